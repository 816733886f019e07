"""Differences, numerical derivatives, and integrals by the trapezoidal rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.arguments import hashable_dim, write_out
from trine.ops.promotion import as_dtype, as_float, number, promote
from trine.shapes import canonical_axes, canonical_axis
from trine.tensor import Tensor, record


def piece(x: Node, axis: int, start: int, stop: int) -> Node:
    """Return the elements from `start` up to `stop` along an axis; a negative `stop` counts from the end."""
    starts, stops = [0] * len(x.shape), list(x.shape)
    starts[axis] = start
    stops[axis] = stop if stop >= 0 else x.shape[axis] + stop
    return b.slice(x, tuple(starts), tuple(stops))


def neighbours(x: Node, axis: int) -> tuple[Node, Node]:
    """Return the elements that have a predecessor, and their predecessors."""
    size = x.shape[axis]
    return piece(x, axis, min(1, size), size), piece(x, axis, 0, max(size - 1, 0))


def _diff(x: Node, *ends: Node, n: int, dim: int, has_prepend: bool) -> Node:
    if not x.shape:
        raise ShapeError(message("diff: a tensor without axes", received="shape ()", expected="at least one axis"))
    axis = canonical_axis(dim, len(x.shape), "diff")
    if ends:
        x, *rest = promote(x, *ends)
        before, after = (rest[:1], rest[1:]) if has_prepend else ([], rest)
        x = b.concat([*before, x, *after], axis)
    for _ in range(min(n, x.shape[axis])):
        later, earlier = neighbours(x, axis)
        x = b.bitwise_xor(later, earlier) if x.dtype is dtypes.bool_ else b.sub(later, earlier)
    return x


def _diff_nodes(*operands: Any) -> Node:
    *nodes, n, dim, has_prepend = operands
    return _diff(*nodes, n=n, dim=dim, has_prepend=has_prepend)


def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Return the n-th differences of neighbours along an axis, which gets n elements shorter.

    Args:
        input: tensor of at least one axis.
        n: how often differences are taken.
        dim: the axis.
        prepend, append: tensors that are joined to the input along the axis first.
        out: tensor to write the result into.

    Raises:
        ArgumentError: n is negative.

    Example:
        >>> import trine
        >>> trine.diff(trine.tensor([1, 4, 9]))
        tensor([3, 5])
        >>> trine.diff(trine.tensor([1, 4, 9]), prepend=trine.tensor([0]))
        tensor([1, 3, 5])
    """
    if n < 0:
        raise ArgumentError(message("diff: n is negative", received=n, expected="0 or more"))
    operands = [v for v in (input, prepend, append) if v is not None]
    if n == 0:
        operands = operands[:1]
    return write_out(record(_diff_nodes, tuple(operands), n, dim, prepend is not None), out)


# --- the trapezoidal rule -----------------------------------------------------------------------------------------------------------


def _spacing(x: Node, y: Node, axis: int) -> Node:
    """Return the distances of the positions `x`, which lie along `axis` of `y` or broadcast with it."""
    rank = len(y.shape)
    if len(x.shape) == 1:
        later, earlier = neighbours(x, 0)
        return b.reshape(b.sub(later, earlier), (-1, *(1,) * (rank - 1 - axis)))
    # Positions of fewer axes align at the end, as in broadcasting.
    if len(x.shape) < rank:
        x = b.reshape(x, (*(1,) * (rank - len(x.shape)), *x.shape))
    later, earlier = neighbours(x, axis + len(x.shape) - rank)
    return b.sub(later, earlier)


def _double_areas(y: Node, x: Node | None, dx: float | None, dim: int, op: str) -> tuple[Node, int]:
    """Return twice the area above each interval, and the axis. Integers with positions are added as integers, as in PyTorch."""
    axis = canonical_axis(dim, len(y.shape), op)
    if x is not None:
        y, x = promote(y, x)
        later, earlier = neighbours(y, axis)
        areas = b.mul(b.add(later, earlier), _spacing(x, y, axis))
        return areas if areas.dtype.is_differentiable else as_dtype(areas, dtypes.int64), axis + len(areas.shape) - len(y.shape)
    y = as_float(y)
    later, earlier = neighbours(y, axis)
    return b.mul(b.add(later, earlier), number(dx or 0.0, y)), axis


def _half(x: Node) -> Node:
    x = as_float(x)
    return b.mul(x, number(0.5, x))


def _total(y: Node, x: Node | None, dx: float | None, dim: int) -> Node:
    areas, axis = _double_areas(y, x, dx, dim, "trapezoid")
    return _half(b.squeeze(b.sum(areas, (axis,)), axis))


def _running(y: Node, x: Node | None, dx: float | None, dim: int) -> Node:
    areas, axis = _double_areas(y, x, dx, dim, "cumulative_trapezoid")
    return _half(b.cumsum(areas, axis, False))


def _total_of_positions(y: Node, x: Node, dim: int) -> Node:
    return _total(y, x, None, dim)


def _total_of_spacing(y: Node, dx: float, dim: int) -> Node:
    return _total(y, None, dx, dim)


def _running_of_positions(y: Node, x: Node, dim: int) -> Node:
    return _running(y, x, None, dim)


def _running_of_spacing(y: Node, dx: float, dim: int) -> Node:
    return _running(y, None, dx, dim)


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """Return the integral along an axis by the trapezoidal rule.

    Args:
        y: the samples.
        x: their positions: one axis of the samples' length, or a shape that broadcasts with `y`.
        dx: their distance (1), if `x` is not given.
        dim: the axis.

    Raises:
        ArgumentError: both `x` and `dx` are given.

    Example:
        >>> import trine
        >>> trine.trapezoid(trine.tensor([1., 2., 3.]))
        tensor(4.)
        >>> trine.trapezoid(trine.tensor([1., 2., 3.]), trine.tensor([0., 1., 3.]))
        tensor(6.5000)
    """
    _check_one("trapezoid", x, dx)
    result: Tensor
    if x is not None:
        result = record(_total_of_positions, (y, x), dim)
    else:
        result = record(_total_of_spacing, (y,), 1.0 if dx is None else float(dx), dim)
    return result


def trapz(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """Return `trapezoid`, under its older name.

    Example:
        >>> import trine
        >>> trine.trapz(trine.tensor([1., 2., 3.]), dx=2)
        tensor(8.)
    """
    return trapezoid(y, x, dx=dx, dim=dim)


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """Return the running integral along an axis, which gets one element shorter.

    Example:
        >>> import trine
        >>> trine.cumulative_trapezoid(trine.tensor([1., 2., 3.]))
        tensor([1.5000, 4.0000])
    """
    _check_one("cumulative_trapezoid", x, dx)
    result: Tensor
    if x is not None:
        result = record(_running_of_positions, (y, x), dim)
    else:
        result = record(_running_of_spacing, (y,), 1.0 if dx is None else float(dx), dim)
    return result


def _check_one(op: str, x: Tensor | None, dx: float | None) -> None:
    if x is not None and dx is not None:
        raise ArgumentError(message(f"{op}: positions and a spacing", received="x and dx", expected="one of them"))


# --- derivatives --------------------------------------------------------------------------------------------------------------------


def _gradient_uniform(x: Node, spacing: float, dim: int, edge_order: int) -> Node:
    """Return central differences, and one-sided ones of order 1 or 2 at the edges."""
    x = as_float(x)
    axis = canonical_axis(dim, len(x.shape), "gradient")
    size = x.shape[axis]
    h = number(spacing, x)
    inner = b.div(b.sub(piece(x, axis, 2, size), piece(x, axis, 0, size - 2)), b.mul(number(2, x), h))
    if edge_order == 1:
        first = b.div(b.sub(piece(x, axis, 1, 2), piece(x, axis, 0, 1)), h)
        last = b.div(b.sub(piece(x, axis, size - 1, size), piece(x, axis, size - 2, size - 1)), h)
    else:
        first = b.div(_weighted(x, axis, 0, (-1.5, 2.0, -0.5)), h)
        last = b.div(_weighted(x, axis, size - 3, (0.5, -2.0, 1.5)), h)
    return b.concat([first, inner, last], axis)


def _weighted(x: Node, axis: int, start: int, weights: Sequence[float]) -> Node:
    total: Node | None = None
    for k, weight in enumerate(weights):
        term = b.mul(number(weight, x), piece(x, axis, start + k, start + k + 1))
        total = term if total is None else b.add(total, term)
    return x if total is None else total


def _gradient_at(x: Node, positions: Node, dim: int, edge_order: int) -> Node:
    """Return derivatives at uneven positions: the parabola through three neighbours (second order), lines or parabolas at the edges."""
    x = as_float(x)
    axis = canonical_axis(dim, len(x.shape), "gradient")
    size = x.shape[axis]
    line = (size, *(1,) * (len(x.shape) - 1 - axis))
    later, earlier = neighbours(b.reshape(as_dtype(positions, x.dtype), line), 0)
    steps = b.sub(later, earlier)
    left, right = piece(steps, 0, 0, size - 2), piece(steps, 0, 1, size - 1)
    before, here, after = (piece(x, axis, k, size - 2 + k) for k in range(3))
    total = b.add(left, right)
    inner = b.add(
        b.sub(b.mul(b.div(left, b.mul(right, total)), after), b.mul(b.div(right, b.mul(left, total)), before)),
        b.mul(b.div(b.sub(right, left), b.mul(left, right)), here),
    )
    edges = [_edge(x, axis, steps, end, edge_order) for end in (0, size)]
    return b.concat([edges[0], inner, edges[1]], axis)


def _edge(x: Node, axis: int, steps: Node, end: int, edge_order: int) -> Node:
    size = x.shape[axis]
    order = [0, 1, 2] if end == 0 else [size - 1, size - 2, size - 3]
    values = [piece(x, axis, k, k + 1) for k in order[: edge_order + 1]]
    sign = number(1 if end == 0 else -1, x)
    near = piece(steps, 0, 0, 1) if end == 0 else piece(steps, 0, size - 2, size - 1)
    if edge_order == 1:
        return b.mul(sign, b.div(b.sub(values[1], values[0]), near))
    far = piece(steps, 0, 1, 2) if end == 0 else piece(steps, 0, size - 3, size - 2)
    total = b.add(near, far)
    first = b.neg(b.div(b.add(b.mul(number(2, x), near), far), b.mul(near, total)))
    second = b.div(total, b.mul(near, far))
    third = b.neg(b.div(near, b.mul(far, total)))
    return b.mul(sign, b.add(b.add(b.mul(first, values[0]), b.mul(second, values[1])), b.mul(third, values[2])))


def gradient(input: Tensor, *, spacing: Any = None, dim: int | Sequence[int] | None = None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """Return the derivatives along axes by second-order differences (Fornberg's for uneven spacing).

    Args:
        input: samples of a function.
        spacing: the distance of the samples (1), one distance for each axis, or a tensor of positions for each axis.
        dim: the axis or axes; all by default.
        edge_order: 1 or 2, the order of the one-sided differences at the edges.

    Returns:
        One tensor for each axis.

    Raises:
        ArgumentError: the number of spacings differs from the number of axes, `edge_order` is not 1 or 2, or an axis is too short.

    Example:
        >>> import trine
        >>> trine.gradient(trine.tensor([1., 4., 9., 16.]))
        (tensor([3., 4., 6., 7.]),)
    """
    if edge_order not in (1, 2):
        raise ArgumentError(message("gradient: impossible edge_order", received=edge_order, expected="1 or 2"))
    axes = canonical_axes(hashable_dim(dim), input.dim(), "gradient")
    spacing = 1 if spacing is None else spacing
    several = isinstance(spacing, (list, tuple))
    if several and len(spacing) != len(axes):
        raise ArgumentError(message("gradient: wrong number of spacings", received=len(spacing), expected=len(axes)))
    for axis in axes:
        if input.shape[axis] <= edge_order:
            raise ArgumentError(
                message("gradient: the axis is too short", received=input.shape[axis], expected=f"{edge_order + 1} or more")
            )
    results = []
    for number_, axis in enumerate(axes):
        distance = spacing[number_] if several else spacing
        if isinstance(distance, Tensor) and distance.dim():
            results.append(record(_gradient_at, (input, distance), axis, edge_order))
        else:
            value = distance.item() if isinstance(distance, Tensor) else distance
            results.append(record(_gradient_uniform, (input,), float(value), axis, edge_order))
    return tuple(results)
