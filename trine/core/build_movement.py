"""Builders of the movement, concat, update, index, sort and scan primitives."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from trine import shapes
from trine.core.build_base import derived, make
from trine.core.build_elementwise import canonical_value
from trine.core.graph import Node
from trine.errors import ArgumentError, AxisError, ShapeError, message
from trine.shapes import Shape, canonical_axes, canonical_axis, canonical_shape

# --- movement -----------------------------------------------------------------------------------------------------------------------


def reshape(x: Node, shape: Sequence[int]) -> Node:
    """Return `x` in another shape with as many elements, in row-major order; one size may be -1.

    Raises:
        ShapeError: the number of elements differs.
    """
    if shape == x.shape and type(shape) is tuple:
        return x
    new = shapes.reshape(x.shape, shape)
    return x if new == x.shape else derived("reshape", x, (new,), new)


def squeeze(x: Node, axes: Sequence[int] | int | None = None) -> Node:
    """Return `x` without the axes of size 1 (all of them, or those given).

    Raises:
        ShapeError: an axis that is given has another size.
    """
    if axes is None:
        return reshape(x, tuple([s for s in x.shape if s != 1]))
    chosen = canonical_axes(axes, len(x.shape), "squeeze")
    if any(x.shape[k] != 1 for k in chosen):
        raise ShapeError(
            message("squeeze: an axis is not of size 1", received=f"shape {x.shape}, axes {chosen}", expected="axes of size 1")
        )
    return reshape(x, tuple([s for k, s in enumerate(x.shape) if k not in chosen]))


def unsqueeze(x: Node, axes: Sequence[int] | int) -> Node:
    """Return `x` with new axes of size 1 at the positions `axes` of the result."""
    count = len(axes) if isinstance(axes, Sequence) else 1
    rank = len(x.shape) + count
    chosen = canonical_axes(axes, rank, "unsqueeze")
    sizes = iter(x.shape)
    return reshape(x, tuple([1 if k in chosen else next(sizes) for k in range(rank)]))


def permute(x: Node, axes: Sequence[int]) -> Node:
    """Return `x` with its axes in another order: axis k of the result is axis axes[k] of `x`.

    Raises:
        AxisError: not a permutation.
    """
    rank = len(x.shape)
    order = tuple([canonical_axis(a, rank, "permute") for a in axes])
    if len(order) != rank or len(set(order)) != rank:
        raise AxisError(message("permute: not a permutation", received=tuple(axes), expected=f"each axis of shape {x.shape} once"))
    if order == tuple(range(rank)):
        return x
    return derived("permute", x, (order,), tuple([x.shape[k] for k in order]))


def transpose(x: Node, a: int = -1, b: int = -2) -> Node:
    """Return `x` with two axes exchanged."""
    rank = len(x.shape)
    a, b = canonical_axis(a, rank, "transpose"), canonical_axis(b, rank, "transpose")
    order = list(range(rank))
    order[a], order[b] = b, a
    return permute(x, order)


def expand(x: Node, shape: Sequence[int]) -> Node:
    """Return `x` repeated along axes of size 1 and along new leading axes.

    Raises:
        ShapeError: the shape does not expand.
    """
    new = canonical_shape(shape, "expand")
    return x if new == x.shape else make("expand", (x,), (new,))


def pad(x: Node, low: Sequence[int], high: Sequence[int], value: float | int | builtins.bool | complex = 0) -> Node:
    """Return `x` with `low` elements of `value` before it and `high` after it on each axis (amounts of 0 or more)."""
    low, high = canonical_shape(low, "pad"), canonical_shape(high, "pad")
    if not any(low) and not any(high) and len(low) == len(high) == len(x.shape):
        return x
    return make("pad", (x,), (low, high, canonical_value(value, x.dtype, "pad")))


def slice(x: Node, start: Sequence[int], stop: Sequence[int], step: Sequence[int] | None = None) -> Node:
    """Return every `step`-th element of [start, stop) on each axis; 0 <= start, stop <= size, step >= 1.

    The attributes are canonical: `stop` is one past the last element taken, `step` is 1 where at most one element is.

    Raises:
        ShapeError: bounds out of range or too few.
    """
    shape = x.shape
    start, stop = canonical_shape(start, "slice"), canonical_shape(stop, "slice")
    step = (1,) * len(shape) if step is None else canonical_shape(step, "slice")
    if not len(start) == len(stop) == len(step) == len(shape) or 0 in step:
        return make("slice", (x,), (start, stop, step))
    bounds = [_canonical_range(*row) for row in zip(start, stop, step, strict=True)]
    start, stop, step = (tuple([b[k] for b in bounds]) for k in range(3))
    if stop == shape and not any(start) and all(s == 1 for s in step):
        return x
    return make("slice", (x,), (start, stop, step))


def _canonical_range(start: int, stop: int, step: int) -> tuple[int, int, int]:
    count = max(0, (stop - start + step - 1) // step)
    if count == 0:
        return 0, 0, 1
    return start, start + (count - 1) * step + 1, step if count > 1 else 1


def flip(x: Node, axes: Sequence[int] | int) -> Node:
    """Return `x` reversed along `axes`; axes with at most one element drop out."""
    chosen = tuple([k for k in canonical_axes(axes, len(x.shape), "flip") if x.shape[k] > 1])
    return derived("flip", x, (chosen,), x.shape) if chosen and 0 not in x.shape else x


def concat(nodes: Sequence[Node], axis: int) -> Node:
    """Return the operands one after the other along `axis`; equal dtypes, equal sizes on the other axes.

    Raises:
        ArgumentError: no operands.
    """
    if not nodes:
        raise ArgumentError(message("concat: no operands", received="nothing", expected="at least one"))
    axis = canonical_axis(axis, len(nodes[0].shape), "concat")
    return nodes[0] if len(nodes) == 1 else make("concat", tuple(nodes), (axis,))


def update(base: Node, value: Node, start: Sequence[int], step: Sequence[int] | None = None) -> Node:
    """Return `base` with `value` written to the box that begins at `start` and takes every `step`-th element.

    Raises:
        ShapeError: the box does not lie inside the base.
    """
    start = canonical_shape(start, "update")
    step = (1,) * len(start) if step is None else canonical_shape(step, "update")
    if len(step) == len(value.shape):
        step = tuple([1 if size <= 1 else s for s, size in zip(step, value.shape, strict=True)])
    node = make("update", (base, value), (start, step))
    if 0 in value.shape:
        return base
    # A write of all elements is the value, unless the node must carry a gradient that the value has not.
    return value if value.shape == base.shape and value.requires_grad == node.requires_grad else node


# --- index --------------------------------------------------------------------------------------------------------------------------


def take(x: Node, index: Node, axis: int) -> Node:
    """Return the elements of `x` at `index` along `axis`, as numpy.take; the index is int64 or int32 and in range (`check_index`)."""
    return make("take", (x, index), (canonical_axis(axis, len(x.shape), "take"),))


def take_along(x: Node, index: Node, axis: int) -> Node:
    """Return x[..., index[..., i, ...], ...], as numpy.take_along_axis; sizes outside `axis` are equal."""
    return make("take_along", (x, index), (canonical_axis(axis, len(x.shape), "take_along"),))


def put(x: Node, index: Node, value: Node, axis: int, mode: str = "set") -> Node:
    """Return `x` with `value` combined into the elements that `take(x, index, axis)` reads; mode set, add, mul, max or min."""
    return make("put", (x, index, value), (canonical_axis(axis, len(x.shape), "put"), mode))


def put_along(x: Node, index: Node, value: Node, axis: int, mode: str = "set") -> Node:
    """Return `x` with `value` combined into the elements that `take_along(x, index, axis)` reads; mode set, add, mul, max or min."""
    return make("put_along", (x, index, value), (canonical_axis(axis, len(x.shape), "put_along"), mode))


def argsort(x: Node, axis: int = -1, descending: builtins.bool = False) -> Node:
    """Return int64 positions that sort `x` along `axis`; stable; NaN last when ascending, first when descending."""
    return make("argsort", (x,), (canonical_axis(axis, len(x.shape), "argsort"), bool(descending)))


# --- broadcasting helpers -------------------------------------------------------------------------------------------------------------


def broadcast_shapes(*operands: Shape) -> Shape:
    """Return the shape to which all shapes broadcast."""
    return shapes.broadcast("broadcast_shapes", *operands)


def sum_to(x: Node, shape: Shape) -> Node:
    """Return `x` summed over the axes along which `shape` was broadcast to x's shape: the gradient of broadcasting."""
    if x.shape == shape:
        return x
    lead = len(x.shape) - len(shape)
    axes = (*range(lead), *[k + lead for k, s in enumerate(shape) if s == 1 and x.shape[k + lead] != 1])
    if lead < 0 or any(s not in (1, x.shape[k + lead]) for k, s in enumerate(shape)):
        raise ShapeError(
            message("sum_to: not a shape that broadcasts to this one", received=f"{shape} for {x.shape}", expected="sizes equal or 1")
        )
    from trine.core.build_reduce import sum

    return reshape(sum(x, axes), shape)
