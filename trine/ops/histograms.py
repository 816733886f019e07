"""Counting elements: by value, and by interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.ops.arguments import write_out, write_outs
from trine.ops.promotion import as_dtype, number
from trine.tensor import Tensor, record


def _bincount(x: Node, length: int) -> Node:
    ones = b.full(1, x.shape, dtypes.int64)
    return b.put(b.full(0, (length,), dtypes.int64), b.check_index(as_dtype(x, dtypes.int64), length, wraps=False), ones, 0, "add")


def _bincount_weighted(x: Node, weights: Node, length: int) -> Node:
    weights = weights if weights.dtype.is_floating_point else as_dtype(weights, dtypes.float64)
    return b.put(b.full(0, (length,), weights.dtype), b.check_index(as_dtype(x, dtypes.int64), length, wraps=False), weights, 0, "add")


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Return how often each number from 0 on occurs, or the sum of its weights (observes the largest number).

    Raises:
        ShapeError: the input is not a list of integers, or the weights have another shape. ArgumentError: a number is negative.

    Example:
        >>> import trine
        >>> trine.bincount(trine.tensor([0, 2, 2]))
        tensor([1, 0, 2])
    """
    if input.dim() != 1 or not (input.dtype.is_integer):
        raise ShapeError(
            message("bincount: not a list of integers", received=f"{input.dtype.name} {tuple(input.shape)}", expected="integers (N,)")
        )
    if minlength < 0:
        raise ArgumentError(message("bincount: minlength is negative", received=minlength, expected="0 or more"))
    if weights is not None and weights.shape != input.shape:
        raise ShapeError(message("bincount: the weights do not fit", received=tuple(weights.shape), expected=tuple(input.shape)))
    array = input.numpy()
    if array.size and array.min() < 0:
        raise ArgumentError(message("bincount: a number is negative", received=int(array.min()), expected="0 or more"))
    length = max(int(array.max()) + 1 if array.size else 0, minlength)
    if weights is None:
        result: Tensor = record(_bincount, (input,), length)
    else:
        result = record(_bincount_weighted, (input, weights), length)
    return result


# --- intervals ----------------------------------------------------------------------------------------------------------------------


def _limits(x: Node, low: Node | None, high: Node | None, margin: float) -> tuple[Node, Node]:
    """Return the range: the given one, or that of the elements; an empty range is widened by `margin` on both sides."""
    if low is None or high is None:
        if 0 in x.shape:
            low, high = number(0, x), number(0, x)
        else:
            axes = tuple(range(len(x.shape)))
            low, high = (b.reshape(reduce(x, axes), ()) for reduce in (b.min, b.max))
    low, high = as_dtype(low, x.dtype), as_dtype(high, x.dtype)
    is_empty = b.eq(low, high)
    wide = number(margin, x)
    return b.where(is_empty, b.sub(low, wide), low), b.where(is_empty, b.add(high, wide), high)


def _edges(low: Node, high: Node, bins: int) -> Node:
    """Return the ``bins + 1`` edges of equal intervals; both halves are measured from their own end."""
    position = as_dtype(b.iota((bins + 1,), 0), low.dtype)
    last = number(bins, low)
    step = b.div(b.sub(high, low), last)
    forward = b.add(low, b.mul(position, step))
    backward = b.sub(high, b.mul(b.sub(last, position), step))
    return b.where(b.lt(position, number(bins / 2, low)), forward, backward)


def _interval(x: Node, edges: Node, is_even: bool) -> tuple[Node, Node]:
    """Return the number of the interval that each element lies in (the last one is closed), and whether it lies in any."""
    bins = edges.shape[0] - 1
    first, last = (b.reshape(b.slice(edges, (k,), (k + 1,)), ()) for k in (0, bins))
    inside = b.bitwise_and(b.ge(x, first), b.le(x, last))
    zero, top = b.const(0, dtypes.int64), b.const(bins - 1, dtypes.int64)
    if is_even:
        guess = b.mul(b.div(b.sub(x, first), b.sub(last, first)), number(bins, x))
        index = b.cast(b.floor(b.where(inside, guess, number(0, x))), dtypes.int64)
        index = b.maximum(b.minimum(index, top), zero)
        # Rounding may have carried an element over an edge: the edges decide.
        index = b.sub(index, b.cast(b.lt(x, b.take(edges, index, 0)), dtypes.int64))
        index = b.maximum(index, zero)
        index = b.add(index, b.cast(b.ge(x, b.take(edges, b.add(index, b.const(1, dtypes.int64)), 0)), dtypes.int64))
    else:
        below = b.le(edges, b.unsqueeze(x, len(x.shape)))
        axis = len(x.shape)
        index = b.sub(b.squeeze(b.sum(b.cast(below, dtypes.int64), (axis,)), axis), b.const(1, dtypes.int64))
    return b.maximum(b.minimum(index, top), zero), inside


def _histc(x: Node, low: Node, high: Node, bins: int, of_data: bool) -> Node:
    x = b.reshape(x, (-1,))
    low, high = _limits(x, None if of_data else low, None if of_data else high, 1.0)
    position = b.floor(b.mul(b.div(b.sub(x, low), b.sub(high, low)), number(bins, x)))
    inside = b.bitwise_and(b.ge(x, low), b.le(x, high))
    index = b.cast(b.minimum(b.where(inside, position, number(0, x)), number(bins - 1, x)), dtypes.int64)
    return b.put(b.full(0, (bins,), x.dtype), index, as_dtype(inside, x.dtype), 0, "add")


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0, *, out: Tensor | None = None) -> Tensor:
    """Return how many elements lie in each of `bins` equal intervals from `min` to `max` (the data's range if both are equal).

    Example:
        >>> import trine
        >>> trine.histc(trine.tensor([1., 2., 1.]), bins=4, min=0, max=3)
        tensor([0., 2., 1., 0.])
    """
    if bins < 1:
        raise ArgumentError(message("histc: too few bins", received=bins, expected="1 or more"))
    if not input.dtype.is_floating_point:
        return write_out(histc(input.float(), bins, min, max).to(input.dtype), out)
    return write_out(record(_histc, (input.detach(), float(min), float(max)), int(bins), min == max), out)


class Histogram(NamedTuple):
    """What `histogram` gives: the counts (or densities) and the edges of the intervals."""

    hist: Tensor
    bin_edges: Tensor


class HistogramDD(NamedTuple):
    """What `histogramdd` gives: the counts (or densities) and the edges along each axis."""

    hist: Tensor
    bin_edges: tuple[Tensor, ...]


def _edges_of_data(x: Node, bins: int) -> Node:
    return _edges(*_limits(b.reshape(x, (-1,)), None, None, 0.5), bins)


def _edges_of_range(x: Node, low: Node, high: Node, bins: int) -> Node:
    return _edges(*_limits(x, low, high, 0.5), bins)


def _axis_edges(x: Tensor, bins: Any, limits: Sequence[float] | None) -> tuple[Tensor, bool]:
    """Return the edges along one axis, and whether their distances are equal."""
    if isinstance(bins, Tensor):
        return bins, False
    if bins < 1:
        raise ArgumentError(message("histogram: too few bins", received=bins, expected="1 or more"))
    if limits is None:
        return record(_edges_of_data, (x,), int(bins)), True
    if limits[0] > limits[1]:
        raise ArgumentError(message("histogram: the range is empty", received=tuple(limits), expected="(low, high)"))
    return record(_edges_of_range, (x, float(limits[0]), float(limits[1])), int(bins)), True


def _count(points: Node, weight: Node | None, edges: Sequence[Node], even: tuple[bool, ...], density: bool) -> Node:
    """Return the histogram of the rows of `points`."""
    shape = tuple([e.shape[0] - 1 for e in edges])
    amount = number(1, points) if weight is None else as_dtype(b.reshape(weight, (-1,)), points.dtype)
    flat: Node | None = None
    for axis, (side, is_even) in enumerate(zip(edges, even, strict=True)):
        column = b.reshape(b.slice(points, (0, axis), (points.shape[0], axis + 1)), (-1,))
        index, inside = _interval(column, side, is_even)
        amount = b.where(inside, amount, number(0, points))
        flat = index if flat is None else b.add(b.mul(flat, b.const(shape[axis], dtypes.int64)), index)
    size = 1
    for extent in shape:
        size *= extent
    empty = b.full(0, (size,), points.dtype)
    counts = empty if flat is None else b.put(empty, flat, b.expand(amount, flat.shape), 0, "add")
    counts = b.reshape(counts, shape)
    if density:
        counts = b.div(counts, b.sum(counts, tuple(range(len(shape)))))
        for axis, side in enumerate(edges):
            widths = b.sub(b.slice(side, (1,), side.shape), b.slice(side, (0,), (side.shape[0] - 1,)))
            counts = b.div(counts, b.reshape(widths, (-1, *(1,) * (len(shape) - 1 - axis))))
    return counts


def _count_plain(points: Node, *edges: Any) -> Node:
    *nodes, even, density = edges
    return _count(points, None, nodes, even, density)


def _count_weighted(points: Node, weight: Node, *edges: Any) -> Node:
    *nodes, even, density = edges
    return _count(points, weight, nodes, even, density)


def _histogram(points: Tensor, sides: Sequence[tuple[Tensor, bool]], weight: Tensor | None, density: bool) -> Tensor:
    edges, even = tuple([s[0] for s in sides]), tuple([s[1] for s in sides])
    result: Tensor
    if weight is None:
        result = record(_count_plain, (points.detach(), *edges), even, bool(density))
    else:
        result = record(_count_weighted, (points.detach(), weight, *edges), even, bool(density))
    return result


def _check_floating(op: str, input: Tensor) -> None:
    if not input.dtype.is_floating_point:
        raise DTypeError(message(f"{op}: wrong dtype", received=input.dtype.name, expected="float32 or float64", fix="x.float()"))


def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
    out: Any = None,
) -> Histogram:
    """Return how many elements lie in each interval, and the edges of the intervals; the last interval includes its right edge.

    Args:
        input: floating point tensor of any shape.
        bins: the number of equal intervals, or a tensor of increasing edges.
        range: (low, high) of equal intervals; the data's range unless given.
        weight: what each element counts, of the input's shape.
        density: divide by the total and by the widths, so that the integral is 1.
        out: a pair of tensors to write the results into.

    Example:
        >>> import trine
        >>> trine.histogram(trine.tensor([1., 2., 1.]), bins=4, range=(0., 3.)).hist
        tensor([0., 2., 1., 0.])
    """
    _check_floating("histogram", input)
    side = _axis_edges(input.detach(), bins, range)
    hist = _histogram(input.reshape(-1, 1), [side], weight, density)
    return Histogram(*write_outs((hist, side[0]), out))


def histogramdd(
    input: Tensor, bins: Any, *, range: Sequence[float] | None = None, weight: Tensor | None = None, density: bool = False
) -> HistogramDD:
    """Return how many points lie in each cell of a grid, and the edges along each axis.

    Args:
        input: floating point tensor of shape (..., N): points of N coordinates.
        bins: the number of equal intervals (one, or one for each axis), or a sequence of edge tensors.
        range: low and high of each axis, one after the other.
        weight: what each point counts.
        density: divide by the total and by the cells' volumes.

    Example:
        >>> import trine
        >>> points = trine.tensor([[0., 1.], [1., 0.], [2., 0.], [2., 2.]])
        >>> trine.histogramdd(points, bins=[3, 3], weight=trine.tensor([1., 2., 4., 8.])).hist
        tensor([[0., 1., 0.],
                [2., 0., 0.],
                [4., 0., 8.]])
    """
    _check_floating("histogramdd", input)
    if input.dim() < 2:
        raise ShapeError(message("histogramdd: no points", received=f"shape {tuple(input.shape)}", expected="(..., N)"))
    points = input.detach().reshape(-1, input.shape[-1])
    axes = points.shape[1]
    each = [bins] * axes if isinstance(bins, int) else list(bins)
    if len(each) != axes or (range is not None and len(range) != 2 * axes):
        received = f"{len(each)} bins" if len(each) != axes else f"a range of {len(range or ())} numbers"
        raise ArgumentError(message("histogramdd: the number of axes differs", received=received, expected=f"{axes} axes"))
    sides = []
    for axis, count in enumerate(each):
        limits = None if range is None else (range[2 * axis], range[2 * axis + 1])
        sides.append(_axis_edges(points[:, axis], count, limits))
    return HistogramDD(_histogram(points, sides, weight, density), tuple([s[0] for s in sides]))
