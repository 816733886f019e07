"""Arithmetic on shapes and axes, with the errors that users see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index as as_int

from trine.errors import ArgumentError, AxisError, ShapeError, message

Shape = tuple[int, ...]

# The largest array in bytes: offsets and their sums stay far inside int64.
MAX_BYTES = 1 << 62


def size_of(shape: Sequence[int]) -> int:
    """Return the number of elements."""
    return math.prod(shape)


def row_major_strides(shape: Sequence[int]) -> Shape:
    """Return the element strides of a dense row-major array; axes of size 0 count as 1."""
    strides = []
    step = 1
    for extent in reversed(shape):
        strides.append(step)
        step *= max(extent, 1)
    return tuple(reversed(strides))


def canonical_shape(shape: Sequence[int] | int, op: str = "shape") -> Shape:
    """Return `shape` as a tuple of non-negative Python ints.

    Raises:
        ArgumentError: it holds something that is not an integer.
        ShapeError: it holds a negative size.
    """
    if type(shape) is tuple:
        for extent in shape:
            if type(extent) is not int or extent < 0:
                break
        else:
            return shape
    try:
        result = tuple(as_int(s) for s in shape) if not hasattr(shape, "__index__") else (as_int(shape),)
    except TypeError:
        raise ArgumentError(message(f"{op}: not a shape", received=repr(shape), expected="a sequence of integers")) from None
    if any(s < 0 for s in result):
        raise ShapeError(message(f"{op}: a size is negative", received=repr(result), expected="sizes of 0 or more"))
    return result


def check_bytes(op: str, shape: Shape, itemsize: int) -> Shape:
    """Return `shape`; raise ShapeError if an array of it exceeds `MAX_BYTES`."""
    if math.prod(shape) * itemsize > MAX_BYTES:
        raise ShapeError(
            message(
                f"{op}: the result is too large to address",
                received=f"shape {shape} of {itemsize}-byte elements",
                expected="at most 2**62 bytes",
                fix="check the sizes; a product of two large sizes often comes from a broadcast that was not meant",
            )
        )
    return shape


def canonical_axis(axis: int, rank: int, op: str = "axis") -> int:
    """Return `axis` counted from the front.

    Raises:
        AxisError: it lies outside [-rank, rank).
        ArgumentError: it is not an integer.
    """
    if type(axis) is int and 0 <= axis < rank:
        return axis
    try:
        position = as_int(axis)
    except TypeError:
        raise ArgumentError(message(f"{op}: an axis is not an integer", received=repr(axis), expected="an integer")) from None
    if -rank <= position < rank:
        return position % rank
    expected = f"an axis from {-rank} to {rank - 1} of a tensor with {rank} axes" if rank else "no axis: the tensor has none (shape ())"
    raise AxisError(message(f"{op}: axis out of range", received=position, expected=expected))


def canonical_axes(axes: Sequence[int] | int | None, rank: int, op: str = "axes") -> Shape:
    """Return `axes` sorted and counted from the front; None means all.

    Raises:
        AxisError: an axis is out of range or stands twice.
    """
    if axes is None:
        return tuple(range(rank))
    listed = tuple(axes) if isinstance(axes, Sequence) else (axes,)
    if len(listed) == 1:
        return (canonical_axis(listed[0], rank, op),)
    result = tuple(sorted({canonical_axis(a, rank, op) for a in listed}))
    if len(result) != len(listed):
        raise AxisError(message(f"{op}: an axis stands twice", received=listed, expected="each axis once"))
    return result


def broadcast(op: str, *shapes: Shape) -> Shape:
    """Return the shape to which all `shapes` broadcast: aligned at the end, sizes equal or 1.

    Raises:
        ShapeError: they do not.
    """
    rank = max(map(len, shapes))
    result = [1] * rank
    for shape in shapes:
        for k, extent in enumerate(shape, rank - len(shape)):
            if extent != 1:
                if result[k] not in (1, extent):
                    raise _broadcast_error(op, shapes, k)
                result[k] = extent
    return tuple(result)


def _broadcast_error(op: str, shapes: Sequence[Shape], axis: int) -> ShapeError:
    rank = max(map(len, shapes))
    sizes = {s[axis - rank] for s in shapes if len(s) >= rank - axis}
    sizes_text = " and ".join(str(s) for s in sorted(sizes) if s != 1)
    return ShapeError(
        message(
            f"{op}: shapes do not broadcast",
            received=" and ".join(map(str, shapes)),
            expected=f"sizes that are equal or 1, counted from the last axis; axis {axis - rank} has {sizes_text}",
            fix="reshape, transpose or unsqueeze one of them",
        )
    )


def reshape(old: Shape, new: Sequence[int], op: str = "reshape") -> Shape:
    """Return the shape that `new` means for an array of shape `old`; one size may be -1.

    Raises:
        ShapeError: the number of elements differs, or -1 cannot be inferred.
        ArgumentError: a size is not an integer.
    """
    try:
        sizes = [as_int(s) for s in new]
    except TypeError:
        raise ArgumentError(message(f"{op}: not a shape", received=repr(new), expected="a sequence of integers")) from None
    total = math.prod(old)
    if -1 in sizes:
        hole = sizes.index(-1)
        rest = math.prod(sizes[:hole] + sizes[hole + 1 :])
        if rest > 0 and total % rest == 0:
            sizes[hole] = total // rest
    if min(sizes, default=0) < 0 or math.prod(sizes) != total:
        raise ShapeError(
            message(
                f"{op}: the number of elements differs",
                received=f"shape {old} with {total} elements, new shape {tuple(new)}",
                expected=f"sizes whose product is {total}; one of them may be -1 if the others divide it",
            )
        )
    return tuple(sizes)
