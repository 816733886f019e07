"""Shape rules of the primitives: functions of (name, operands, attributes) that return the shape of the result or raise ShapeError."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.shapes import Shape, broadcast, check_bytes

Rule = Callable[[str, Sequence[Node], tuple[Any, ...]], Shape]


def same(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """The shape of the first operand."""
    return operands[0].shape


def broadcasting(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """Operands broadcast against one another."""
    return broadcast(op, *[o.shape for o in operands])


def first_attribute(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """The first attribute is the shape of the result."""
    shape: Shape = attrs[0]
    return shape


def scalar(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """A 0-d result."""
    return ()


def unknown(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """Inputs have the shape that they are given."""
    raise ArgumentError(message(f"{op}: its shape is not inferred", received=op, expected="build.input(position, shape, dtype)"))


def reduced(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """Reduced axes keep size 1."""
    axes = attrs[0] if isinstance(attrs[0], tuple) else (attrs[0],)
    return tuple([1 if k in axes else s for k, s in enumerate(operands[0].shape)])


def reduced_not_empty(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """As `reduced`; a reduced axis has an element, because there is no neutral one."""
    shape = operands[0].shape
    axes = attrs[0] if isinstance(attrs[0], tuple) else (attrs[0],)
    if any(shape[k] == 0 for k in axes):
        raise ShapeError(
            message(
                f"{op}: a reduced axis is empty, and there is no smallest or largest element of nothing",
                received=f"shape {shape}, axes {axes}",
                expected="at least one element along each reduced axis",
            )
        )
    return reduced(op, operands, attrs)


def permuted(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """Axis k of the result is axis axes[k] of the operand."""
    shape = operands[0].shape
    if sorted(attrs[0]) != list(range(len(shape))):
        raise ShapeError(
            message(
                f"{op}: not a permutation of the axes", received=attrs[0], expected=f"each of 0 to {len(shape) - 1} once, for shape {shape}"
            )
        )
    return tuple([shape[k] for k in attrs[0]])


def expanded(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """Axes of size 1 grow, new axes come in front."""
    old, new = operands[0].shape, attrs[0]
    lead = len(new) - len(old)
    if lead < 0 or any(a not in (1, b) for a, b in zip(old, new[lead:], strict=True)):
        raise ShapeError(
            message(
                f"{op}: the shape does not expand",
                received=f"shape {old}, new shape {new}",
                expected="sizes that are equal, or 1 in the old shape; new axes only in front",
            )
        )
    return check_bytes(op, new, operands[0].dtype.itemsize)


def padded(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """low + size + high elements on each axis."""
    shape = operands[0].shape
    low, high = attrs[0], attrs[1]
    if len(low) != len(shape) or len(high) != len(shape) or min((*low, *high), default=0) < 0:
        raise ShapeError(
            message(f"{op}: wrong amounts", received=f"low {low}, high {high}, shape {shape}", expected="one amount of 0 or more per axis")
        )
    padded_shape = tuple([a + s + b for a, s, b in zip(low, shape, high, strict=True)])
    return check_bytes(op, padded_shape, operands[0].dtype.itemsize)


def sliced(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """Every step-th element of [start, stop)."""
    shape = operands[0].shape
    start, stop, step = attrs
    if not len(start) == len(stop) == len(step) == len(shape):
        raise ShapeError(
            message(f"{op}: wrong number of bounds", received=f"{start}, {stop}, {step}", expected=f"one per axis of shape {shape}")
        )
    if any(not 0 <= a <= b <= n or c < 1 for a, b, c, n in zip(start, stop, step, shape, strict=True)):
        raise ShapeError(
            message(
                f"{op}: bounds out of range",
                received=f"start {start}, stop {stop}, step {step}, shape {shape}",
                expected="0 <= start <= stop <= size and step >= 1 on each axis",
            )
        )
    return tuple([(b - a + c - 1) // c for a, b, c in zip(start, stop, step, strict=True)])


def concatenated(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """Sizes add up along the axis and are equal elsewhere."""
    axis = attrs[0]
    first = operands[0].shape
    total = 0
    for operand in operands:
        shape = operand.shape
        if len(shape) != len(first) or shape[:axis] != first[:axis] or shape[axis + 1 :] != first[axis + 1 :]:
            raise ShapeError(
                message(
                    f"{op}: shapes differ outside the axis",
                    received=" and ".join(str(o.shape) for o in operands[:8]),
                    expected=f"equal shapes except along axis {axis}",
                )
            )
        total += shape[axis]
    return check_bytes(op, (*first[:axis], total, *first[axis + 1 :]), operands[0].dtype.itemsize)


def updated(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """The shape of the base; the strided box of `value` lies inside it."""
    base, value = operands[0].shape, operands[1].shape
    start, step = attrs
    fits = len(base) == len(value) == len(start) == len(step) and all(
        a >= 0 and c >= 1 and (v == 0 or a + (v - 1) * c < n) for a, c, v, n in zip(start, step, value, base, strict=True)
    )
    if not fits:
        raise ShapeError(
            message(
                f"{op}: the box does not lie inside the base",
                received=f"base {base}, value {value}, start {start}, step {step}",
                expected="equal ranks and start + (size - 1) * step inside the base on each axis",
            )
        )
    return base


def taken(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """As numpy.take: the axis gives way to the shape of the index."""
    x, index = operands
    axis = attrs[0]
    return check_bytes(op, (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]), x.dtype.itemsize)


def put(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """The shape of x; `value` has the shape that take would give."""
    x, index, value = operands
    expected = taken(op, (x, index), attrs)
    if value.shape != expected:
        raise ShapeError(
            message(
                f"{op}: the value has the wrong shape",
                received=f"x {x.shape}, index {index.shape}, value {value.shape}, axis {attrs[0]}",
                expected=f"a value of shape {expected}",
            )
        )
    return x.shape


def taken_along(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """The shape of the index, which is x's save along the axis."""
    x, index = operands[0].shape, operands[1].shape
    axis = attrs[0]
    if len(x) != len(index) or any(a != b and k != axis for k, (a, b) in enumerate(zip(x, index, strict=True))):
        raise ShapeError(
            message(f"{op}: the index does not fit", received=f"x {x}, index {index}", expected=f"equal sizes on every axis but {axis}")
        )
    return check_bytes(op, index, operands[0].dtype.itemsize)


def put_along(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """The shape of x; index and value have the same shape."""
    x, index, value = operands
    taken_along(op, (x, index), attrs)
    if value.shape != index.shape:
        raise ShapeError(
            message(
                f"{op}: the value has the wrong shape",
                received=f"index {index.shape}, value {value.shape}",
                expected=f"shape {index.shape}",
            )
        )
    return x.shape


def dot(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """(*batch, M, K) x (*batch, K, N) -> (*batch, M, N); batch sizes equal or 1."""
    a, b = operands[0].shape, operands[1].shape
    if len(a) < 2 or len(a) != len(b) or a[-1] != b[-2]:
        raise ShapeError(
            message(
                f"{op}: shapes do not contract",
                received=f"{a} and {b}",
                expected="(*batch, M, K) and (*batch, K, N) with the same K and equal ranks",
                fix="transpose or reshape one of them",
            )
        )
    if a[:-2] == b[:-2]:
        batch = a[:-2]
    else:
        batch = broadcast(op, a[:-2], b[:-2])
    return check_bytes(op, (*batch, a[-2], b[-1]), operands[0].dtype.itemsize)
