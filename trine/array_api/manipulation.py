"""Manipulation and indexing functions of the array API standard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine import ops
from trine.errors import ArgumentError, message
from trine.tensor import Tensor

Array = Tensor
Axes = int | Sequence[int]

__all__ = """broadcast_arrays broadcast_to concat expand_dims flip moveaxis permute_dims repeat reshape roll squeeze stack take
take_along_axis tile unstack""".split()


def broadcast_arrays(*arrays: Array) -> list[Array]:
    """Return the arrays in their common shape."""
    return list(ops.broadcast_tensors(*arrays)) if arrays else []


def broadcast_to(x: Array, /, shape: Sequence[int]) -> Array:
    """Return the array in a shape that it broadcasts to."""
    return ops.broadcast_to(x, tuple(shape))


def concat(arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    """Join arrays along an existing axis; flat, if `axis` is None."""
    if axis is None:
        return ops.cat([a.reshape(-1) for a in arrays])
    return ops.cat(list(arrays), axis)


def expand_dims(x: Array, /, axis: int) -> Array:
    """Insert an axis of size 1."""
    if not -x.ndim - 1 <= axis <= x.ndim:
        raise IndexError(message("expand_dims: axis out of range", received=axis, expected=f"{-x.ndim - 1} to {x.ndim}"))
    return ops.unsqueeze(x, axis)


def flip(x: Array, /, *, axis: Axes | None = None) -> Array:
    """Reverse the order of the elements along axes (all by default)."""
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    return ops.flip(x, axes) if axes else ops.clone(x)


def moveaxis(x: Array, source: Axes, destination: Axes, /) -> Array:
    """Move axes to other places."""
    if x.ndim == 0:
        return x
    return ops.movedim(x, source, destination)


def permute_dims(x: Array, /, axes: Sequence[int]) -> Array:
    """Reorder the axes."""
    return ops.permute(x, tuple(axes))


def repeat(x: Array, repeats: int | Array, /, *, axis: int | None = None) -> Array:
    """Repeat each element, along an axis or of the flat array."""
    return ops.repeat_interleave(x, repeats) if axis is None else ops.repeat_interleave(x, repeats, axis)


def reshape(x: Array, /, shape: Sequence[int], *, copy: bool | None = None) -> Array:
    """Return the elements in another shape."""
    result: Array = ops.reshape(x, tuple(shape))
    return ops.clone(result) if copy else result


def roll(x: Array, /, shift: Axes, *, axis: Axes | None = None) -> Array:
    """Shift elements along axes, those at the end to the beginning."""
    shifts = shift if isinstance(shift, int) else tuple(shift)
    if axis is None:
        return ops.roll(x, shifts)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    each = (shifts,) * len(axes) if isinstance(shifts, int) else shifts
    if x.ndim == 0 or not axes:
        return ops.clone(x)
    return ops.roll(x, each, axes)


def squeeze(x: Array, /, axis: Axes) -> Array:
    """Remove axes of size 1.

    Raises:
        ArgumentError: an axis has another size.
    """
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for one in axes:
        if x.shape[one] != 1:
            raise ArgumentError(
                message("squeeze: the axis is not of size 1", received=f"axis {one} of {tuple(x.shape)}", expected="size 1")
            )
    return ops.squeeze(x, axes) if axes else x


def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    """Join arrays along a new axis."""
    return ops.stack(list(arrays), axis)


def take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    """Return elements along an axis, which may be left out for an array of one axis."""
    if axis is None:
        if x.ndim != 1:
            raise ArgumentError(message("take: no axis", received=f"an array of {x.ndim} axes", expected="axis=", fix="name the axis"))
        axis = 0
    flat = ops.index_select(x, axis, indices.reshape(-1).long())
    position = axis % x.ndim
    result: Array = flat.reshape(*x.shape[:position], *indices.shape, *x.shape[position + 1 :])
    return result


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """Return elements at positions along an axis, for each place of the other axes."""
    shapes = [list(x.shape), list(indices.shape)]
    for shape in shapes:
        shape[axis] = 1
    common = list(ops.broadcast_tensors(ops.empty(shapes[0]), ops.empty(shapes[1]))[0].shape)
    common[axis] = indices.shape[axis]
    source = list(common)
    source[axis] = x.shape[axis]
    return ops.take_along_dim(ops.broadcast_to(x, source), ops.broadcast_to(indices.long(), common), axis)


def tile(x: Array, repetitions: Sequence[int], /) -> Array:
    """Repeat the whole array along its axes."""
    return ops.tile(x, tuple(repetitions))


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """Return the slices along an axis."""
    result: Any = ops.unbind(x, axis)
    return tuple(result)
