"""Shape rules of the convolutions and windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.shapes import Shape, check_bytes

Padding = tuple[tuple[int, int], ...]


def output_size(size: int, window: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    """Return the number of positions of a window along an axis; 0 or less where it does not fit."""
    return (size + padding[0] + padding[1] - (window - 1) * dilation - 1) // stride + 1


def spatial_output(op: str, spatial: Shape, window: Shape, stride: Shape, padding: Padding, dilation: Shape) -> Shape:
    """Return the spatial shape of a convolution or window.

    Raises:
        ArgumentError: stride, padding or dilation are impossible.
        ShapeError: the window does not fit into the padded input.
    """
    rank = len(spatial)
    if not 1 <= rank <= 3 or not len(window) == len(stride) == len(padding) == len(dilation) == rank:
        raise ShapeError(
            message(
                f"{op}: wrong number of spatial axes",
                received=f"spatial shape {spatial}, window {window}, stride {stride}, padding {padding}, dilation {dilation}",
                expected="1 to 3 spatial axes and one value per axis",
            )
        )
    if min((*window, *stride, *dilation)) < 1 or any(min(p) < 0 for p in padding):
        raise ArgumentError(
            message(
                f"{op}: impossible window",
                received=f"window {window}, stride {stride}, padding {padding}, dilation {dilation}",
                expected="window, stride and dilation of 1 or more, padding of 0 or more",
            )
        )
    result = tuple(map(output_size, spatial, window, stride, padding, dilation))
    if min(result) < 1:
        raise ShapeError(
            message(
                f"{op}: the window is larger than the padded input",
                received=f"spatial shape {spatial}, window {window}, padding {padding}, dilation {dilation}",
                expected="size + padding >= (window - 1) * dilation + 1 on each axis",
            )
        )
    return result


def conv(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """(N, C, *spatial) x (O, C/groups, *kernel) -> (N, O, *output)."""
    x, w = operands
    return conv_shape(op, x.shape, w.shape, x.dtype.itemsize, *attrs)


def conv_shape(op: str, x: Shape, w: Shape, itemsize: int, stride: Shape, padding: Padding, dilation: Shape, groups: int) -> Shape:
    """Return the shape of `conv`'s result, from the shapes of its operands."""
    if len(x) != len(w) or len(x) < 3 or groups < 1 or x[1] != w[1] * groups or w[0] % groups:
        raise ShapeError(
            message(
                f"{op}: channels or ranks do not fit",
                received=f"x {x}, w {w}, groups {groups}",
                expected="x (N, C, *spatial) and w (O, C / groups, *kernel), O divisible by groups",
            )
        )
    return check_bytes(op, (x[0], w[0], *spatial_output(op, x[2:], w[2:], stride, padding, dilation)), itemsize)


def _check_gradient(op: str, gy: Shape, expected: Shape) -> None:
    if gy != expected:
        raise ShapeError(message(f"{op}: gy does not have the shape of the forward result", received=gy, expected=expected))


def conv_input_grad(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """The attribute input_shape; gy has the shape of conv(x, w)."""
    gy, w = operands
    shape: Shape = attrs[0]
    _check_gradient(op, gy.shape, conv_shape(op, shape, w.shape, gy.dtype.itemsize, *attrs[1:]))
    return shape


def conv_weight_grad(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """The attribute weight_shape; gy has the shape of conv(x, w)."""
    x, gy = operands
    shape: Shape = attrs[0]
    _check_gradient(op, gy.shape, conv_shape(op, x.shape, shape, gy.dtype.itemsize, *attrs[1:]))
    return shape


def window(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """(N, C, *spatial) -> (N, C, *output)."""
    x = operands[0]
    return window_shape(op, x.shape, x.dtype.itemsize, attrs)


def window_shape(op: str, x: Shape, itemsize: int, attrs: tuple[Any, ...]) -> Shape:
    """Return the shape of a window's result, from that of its operand."""
    if len(x) < 3:
        raise ShapeError(message(f"{op}: too few axes", received=f"shape {x}", expected="(N, C, *spatial)"))
    return check_bytes(op, (*x[:2], *spatial_output(op, x[2:], *attrs)), itemsize)


def window_max_grad(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """The shape of x; gy has the shape of window_max(x)."""
    x, gy = operands
    _check_gradient(op, gy.shape, window(op, operands, attrs))
    return x.shape


def window_sum_grad(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """The attribute input_shape; gy has the shape of window_sum of it."""
    gy = operands[0]
    shape: Shape = attrs[0]
    _check_gradient(op, gy.shape, window_shape(op, shape, gy.dtype.itemsize, attrs[1:]))
    return shape
