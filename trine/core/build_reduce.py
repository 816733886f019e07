"""Builders of the reductions, scans, contractions, convolutions and windows."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence

from trine.core.build_base import derived, make
from trine.core.graph import Node
from trine.core.window_rules import Padding
from trine.errors import ArgumentError, message
from trine.shapes import Shape, canonical_axes, canonical_axis, canonical_shape

Axes = Sequence[int] | int | None


def _reduction(op: str, accepts: str) -> Callable[[Node, Axes], Node]:
    """Return the builder of a reduction; it keeps reduced axes with size 1 and returns the operand itself where nothing is reduced."""
    needs_elements = op in ("max", "min")

    def builder(x: Node, axes: Axes = None) -> Node:
        shape = x.shape
        chosen = canonical_axes(axes, len(shape), op)
        if x.dtype.code not in accepts or (needs_elements and 0 in shape):
            return make(op, (x,), (chosen,))
        result = tuple([1 if k in chosen else s for k, s in enumerate(shape)])
        return x if result == shape else derived(op, x, (chosen,), result)

    return builder


sum: Callable[..., Node] = _reduction("sum", "iufc")
prod: Callable[..., Node] = _reduction("prod", "iufc")
max: Callable[..., Node] = _reduction("max", "biuf")
min: Callable[..., Node] = _reduction("min", "biuf")


def argmax(x: Node, axis: int) -> Node:
    """Return the int64 position of the largest element along `axis`, which keeps size 1; first occurrence, NaN wins."""
    return make("argmax", (x,), (canonical_axis(axis, len(x.shape), "argmax"),))


def argmin(x: Node, axis: int) -> Node:
    """Return the int64 position of the smallest element along `axis`, which keeps size 1; first occurrence, NaN wins."""
    return make("argmin", (x,), (canonical_axis(axis, len(x.shape), "argmin"),))


def _scan(op: str) -> Callable[..., Node]:
    def builder(x: Node, axis: int, reverse: builtins.bool = False) -> Node:
        return make(op, (x,), (canonical_axis(axis, len(x.shape), op), bool(reverse)))

    return builder


cumsum: Callable[..., Node] = _scan("cumsum")
cumprod: Callable[..., Node] = _scan("cumprod")
cummax: Callable[..., Node] = _scan("cummax")
cummin: Callable[..., Node] = _scan("cummin")


def dot(a: Node, b: Node) -> Node:
    """Return the matrix products (*batch, M, K) x (*batch, K, N) -> (*batch, M, N); batch sizes equal or 1."""
    return make("dot", (a, b))


# --- convolutions and windows ---------------------------------------------------------------------------------------------------------

# How users may write one value per spatial axis, and a padding.
PerAxis = Sequence[int] | int
PaddingLike = Sequence[tuple[int, int]] | Sequence[int] | int


def per_axis(value: PerAxis, rank: int, op: str) -> Shape:
    """Return one integer per spatial axis; a single one serves for all.

    Raises:
        ArgumentError: the number of values is another.
    """
    values = canonical_shape(value, op)
    if not isinstance(value, Sequence):
        values *= rank
    if len(values) != rank:
        raise ArgumentError(
            message(f"{op}: wrong number of values", received=values, expected=f"one integer, or one per spatial axis ({rank})")
        )
    return values


def padding_per_axis(padding: PaddingLike, rank: int, op: str) -> Padding:
    """Return (low, high) per spatial axis; an integer means the same on both sides."""
    if not isinstance(padding, Sequence):
        return ((canonical_shape(padding, op)[0],) * 2,) * rank
    pairs = tuple([canonical_shape(p, op) if isinstance(p, Sequence) else canonical_shape(p, op) * 2 for p in padding])
    if len(pairs) != rank or any(len(p) != 2 for p in pairs):
        raise ArgumentError(message(f"{op}: wrong padding", received=padding, expected=f"one (low, high) pair per spatial axis ({rank})"))
    return tuple([(p[0], p[1]) for p in pairs])


def _conv_attrs(
    op: str, rank: int, stride: PerAxis, padding: PaddingLike, dilation: PerAxis, groups: int
) -> tuple[Shape, Padding, Shape, int]:
    return per_axis(stride, rank, op), padding_per_axis(padding, rank, op), per_axis(dilation, rank, op), canonical_shape(groups, op)[0]


def conv(x: Node, w: Node, stride: PerAxis = 1, padding: PaddingLike = 0, dilation: PerAxis = 1, groups: int = 1) -> Node:
    """Return the cross-correlation of x (N, C, *spatial) with w (O, C/groups, *kernel): (N, O, *output)."""
    return make("conv", (x, w), _conv_attrs("conv", len(x.shape) - 2, stride, padding, dilation, groups))


def conv_input_grad(
    gy: Node,
    w: Node,
    input_shape: Shape,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Node:
    """Return the gradient of `conv` with respect to its input, of shape `input_shape`; also the transposed convolution."""
    shape = canonical_shape(input_shape, "conv_input_grad")
    return make("conv_input_grad", (gy, w), (shape, *_conv_attrs("conv_input_grad", len(shape) - 2, stride, padding, dilation, groups)))


def conv_weight_grad(
    x: Node,
    gy: Node,
    weight_shape: Shape,
    stride: PerAxis = 1,
    padding: PaddingLike = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Node:
    """Return the gradient of `conv` with respect to its weight, of shape `weight_shape`."""
    shape = canonical_shape(weight_shape, "conv_weight_grad")
    return make("conv_weight_grad", (x, gy), (shape, *_conv_attrs("conv_weight_grad", len(shape) - 2, stride, padding, dilation, groups)))


def _window_attrs(
    op: str, rank: int, window: PerAxis, stride: PerAxis, padding: PaddingLike, dilation: PerAxis
) -> tuple[Shape, Shape, Padding, Shape]:
    return per_axis(window, rank, op), per_axis(stride, rank, op), padding_per_axis(padding, rank, op), per_axis(dilation, rank, op)


def _window(op: str, x: Node, window: PerAxis, stride: PerAxis, padding: PaddingLike, dilation: PerAxis) -> Node:
    return make(op, (x,), _window_attrs(op, len(x.shape) - 2, window, stride, padding, dilation))


def window_max(x: Node, window: PerAxis, stride: PerAxis, padding: PaddingLike = 0, dilation: PerAxis = 1) -> Node:
    """Return the maximum of each window of x (N, C, *spatial); NaN wins, padding counts as -infinity (the smallest integer)."""
    return _window("window_max", x, window, stride, padding, dilation)


def window_sum(x: Node, window: PerAxis, stride: PerAxis, padding: PaddingLike = 0, dilation: PerAxis = 1) -> Node:
    """Return the sum of each window of x (N, C, *spatial); padding counts as 0."""
    return _window("window_sum", x, window, stride, padding, dilation)


def window_argmax(x: Node, window: PerAxis, stride: PerAxis, padding: PaddingLike = 0, dilation: PerAxis = 1) -> Node:
    """Return the int64 flat index in the spatial plane of each window's maximum; first occurrence; -1 where all of it is padding."""
    return _window("window_argmax", x, window, stride, padding, dilation)


def window_max_grad(x: Node, gy: Node, window: PerAxis, stride: PerAxis, padding: PaddingLike = 0, dilation: PerAxis = 1) -> Node:
    """Return the gradient of `window_max`: each element of `gy` is added where its window has its (first) maximum."""
    return make("window_max_grad", (x, gy), _window_attrs("window_max_grad", len(x.shape) - 2, window, stride, padding, dilation))


def window_sum_grad(
    gy: Node, input_shape: Shape, window: PerAxis, stride: PerAxis, padding: PaddingLike = 0, dilation: PerAxis = 1
) -> Node:
    """Return the gradient of `window_sum`, of shape `input_shape`: each element of `gy` is added to all of its window."""
    shape = canonical_shape(input_shape, "window_sum_grad")
    return make("window_sum_grad", (gy,), (shape, *_window_attrs("window_sum_grad", len(shape) - 2, window, stride, padding, dilation)))
