"""Sorting, selecting the largest, and searching."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.promotion import as_dtype, number, promote_pair, size
from trine.ops.reduction import ValuesAndIndices
from trine.shapes import canonical_axis
from trine.tensor import Tensor, record
from trine.tensor.convert import tensor


def _sorted(x: Node, dim: int, descending: bool) -> tuple[Node, Node]:
    if not x.shape:
        canonical_axis(dim, 1, "sort")
        return x, b.zeros_like(as_dtype(x, dtypes.int64))
    axis = canonical_axis(dim, len(x.shape), "sort")
    order = b.argsort(x, axis, descending)
    return b.take_along(x, order, axis), order


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> ValuesAndIndices:
    """Return the elements in order along an axis, and where they were. The sort is always stable; NaN counts as the largest.

    Example:
        >>> import trine
        >>> trine.sort(trine.tensor([3, 1, 2])).indices
        tensor([1, 2, 0])
    """
    return ValuesAndIndices(*record(_sorted, (input,), dim, bool(descending)))


def _argsort(x: Node, dim: int, descending: bool) -> Node:
    return _sorted(x, dim, descending)[1]


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Return the positions that sort the tensor along an axis.

    Example:
        >>> import trine
        >>> trine.argsort(trine.tensor([3, 1, 2]))
        tensor([1, 2, 0])
    """
    result: Tensor = record(_argsort, (input,), dim, bool(descending))
    return result


def _first(x: Node, axis: int, count: int, start: int = 0) -> Node:
    starts, stops = [0] * len(x.shape), list(x.shape)
    starts[axis], stops[axis] = start, start + count
    return b.slice(x, tuple(starts), tuple(stops))


def _topk(x: Node, k: int, dim: int, largest: bool) -> tuple[Node, Node]:
    if not x.shape:
        return _sorted(x, dim, largest)
    axis = canonical_axis(dim, len(x.shape), "topk")
    if not 0 <= k <= x.shape[axis]:
        raise ArgumentError(message("topk: k is out of range", received=k, expected=f"0 to {x.shape[axis]}"))
    order = _first(b.argsort(x, axis, largest), axis, k)
    return b.take_along(x, order, axis), order


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    """Return the k largest (or smallest) elements along an axis in order, and where they were.

    Example:
        >>> import trine
        >>> trine.topk(trine.tensor([3, 1, 2]), 2).values
        tensor([3, 2])
    """
    return ValuesAndIndices(*record(_topk, (input,), int(k), dim, bool(largest)))


def _kth(x: Node, k: int, dim: int, keepdim: bool) -> tuple[Node, Node]:
    if not x.shape:
        return _sorted(x, dim, False)
    axis = canonical_axis(dim, len(x.shape), "kthvalue")
    if not 1 <= k <= x.shape[axis]:
        raise ArgumentError(message("kthvalue: k is out of range", received=k, expected=f"1 to {x.shape[axis]}"))
    order = _first(b.argsort(x, axis, False), axis, 1, k - 1)
    values = b.take_along(x, order, axis)
    return (values, order) if keepdim else (b.squeeze(values, axis), b.squeeze(order, axis))


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """Return the k-th smallest element along an axis, and where it was.

    Example:
        >>> import trine
        >>> trine.kthvalue(trine.tensor([3, 1, 2]), 2).values
        tensor(2)
    """
    return ValuesAndIndices(*record(_kth, (input,), k, dim, keepdim))


def _median(x: Node, dim: int, keepdim: bool) -> tuple[Node, Node]:
    if not x.shape:
        return _sorted(x, dim, False)
    axis = canonical_axis(dim, len(x.shape), "median")
    values, order = _kth(x, (x.shape[axis] + 1) // 2, axis, True)
    if x.dtype.is_floating_point:
        # NaN wins: it sorts last, so the last element tells.
        last = _first(b.argsort(x, axis, False), axis, 1, x.shape[axis] - 1)
        largest = b.take_along(x, last, axis)
        order = b.where(b.isnan(largest), last, order)
        values = b.take_along(x, order, axis)
    return (values, order) if keepdim else (b.squeeze(values, axis), b.squeeze(order, axis))


def _median_of_all(x: Node) -> Node:
    return _median(b.reshape(x, (-1,)), 0, False)[0]


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Return the median, the lower one of two; along an axis also where it was. NaN if there is one.

    Example:
        >>> import trine
        >>> trine.median(trine.tensor([3, 1, 2, 4]))
        tensor(2)
    """
    if dim is None:
        return record(_median_of_all, (input,))
    return ValuesAndIndices(*record(_median, (input,), dim, keepdim))


_INTERPOLATIONS = ("linear", "lower", "higher", "nearest", "midpoint")


def _quantile(x: Node, q: Node, dim: int | None, keepdim: bool, interpolation: str) -> Node:
    """Quantiles: positions are computed at run time from q, and gathered from the sorted axis."""
    rank = len(x.shape)
    flat = b.reshape(x, (-1,)) if dim is None else x
    axis = 0 if dim is None else canonical_axis(dim, rank, "quantile")
    extent = flat.shape[axis]
    ordered = b.take_along(flat, b.argsort(flat, axis, False), axis)
    ordered = b.permute(ordered, (axis, *[k for k in range(len(flat.shape)) if k != axis]))
    position = b.mul(as_dtype(q, flat.dtype), size(extent - 1, flat.dtype))
    low, high = b.floor(position), b.ceil(position)
    if interpolation == "nearest":
        low = high = b.round(position)
    elif interpolation in ("lower", "higher"):
        low = high = low if interpolation == "lower" else high
    shape = (*q.shape, *ordered.shape[1:])
    below, above = (b.reshape(b.take(ordered, b.reshape(b.cast(p, dtypes.int64), (-1,)), 0), shape) for p in (low, high))
    weight = number(0.5, position) if interpolation == "midpoint" else b.sub(position, low)
    weight = b.reshape(weight, (*weight.shape, *(1,) * (len(below.shape) - len(weight.shape))))
    result = b.add(below, b.mul(weight, b.sub(above, below)))
    # A NaN sorts last: it makes the quantile NaN.
    last = b.slice(ordered, (extent - 1, *(0,) * (len(ordered.shape) - 1)), ordered.shape)
    last = b.reshape(last, last.shape[1:])
    result = b.where(b.isnan(last), b.expand(last, result.shape), result)
    if not keepdim:
        return result
    kept = (1,) * rank if dim is None else (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    return b.reshape(result, (*q.shape, *kept))


def quantile(input: Tensor, q: float | Tensor, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
    """Return quantiles of the elements, of the flat tensor or along an axis; several q add a first axis.

    Example:
        >>> import trine
        >>> trine.quantile(trine.tensor([1., 2., 3., 4.]), 0.5)
        tensor(2.5)
    """
    if interpolation not in _INTERPOLATIONS:
        raise ArgumentError(message("quantile: no such interpolation", received=repr(interpolation), expected=", ".join(_INTERPOLATIONS)))
    result: Tensor = record(_quantile, (input, q if isinstance(q, Tensor) else float(q)), dim, keepdim, interpolation)
    return result


def _searchsorted(ordered: Node, values: Node, right: bool, dtype: dtypes.DType) -> Node:
    """Count the elements below each value: a fused comparison and sum."""
    ordered, values = promote_pair(ordered, values)
    if len(ordered.shape) == 1:
        ordered = b.reshape(ordered, (*(1,) * len(values.shape), ordered.shape[0]))
    else:
        ordered = b.unsqueeze(ordered, len(ordered.shape) - 1)
    values = b.unsqueeze(values, len(values.shape))
    axis = len(values.shape) - 1
    below = b.le(ordered, values) if right else b.lt(ordered, values)
    return as_dtype(b.squeeze(b.sum(b.cast(below, dtypes.int64), (axis,)), axis), dtype)


def searchsorted(sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None) -> Tensor:
    """Return where each value would be inserted into a sorted sequence (its last axis): before equal elements, or behind them if `right`.

    Example:
        >>> import trine
        >>> trine.searchsorted(trine.tensor([1, 3, 5]), trine.tensor([3, 4]))
        tensor([1, 2])
    """
    result: Tensor = record(_searchsorted, (sorted_sequence, input), right or side == "right", dtypes.int32 if out_int32 else dtypes.int64)
    return result


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """Return the number of the bucket between boundaries that each value falls into.

    Example:
        >>> import trine
        >>> trine.bucketize(trine.tensor([0, 3, 9]), trine.tensor([1, 3, 5]))
        tensor([0, 1, 3])
    """
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def _unique_result(values: Any, inverse: Any, counts: Any, return_inverse: bool, return_counts: bool) -> Any:
    parts = [tensor(values)]
    if return_inverse:
        parts.append(tensor(inverse.astype(np.int64)))
    if return_counts:
        parts.append(tensor(counts.astype(np.int64)))
    return parts[0] if len(parts) == 1 else tuple(parts)


def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """Return the different elements in order (observes the input); optionally where each element went, and how often each occurs.

    Example:
        >>> import trine
        >>> trine.unique(trine.tensor([3, 1, 3]))
        tensor([1, 3])
    """
    array = input.detach().numpy()
    values, inverse, counts = np.unique(array, return_inverse=True, return_counts=True, axis=dim)
    return _unique_result(values, inverse.reshape(array.shape if dim is None else -1), counts, return_inverse, return_counts)


def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """Return the elements without repetitions of neighbours (observes the input).

    Example:
        >>> import trine
        >>> trine.unique_consecutive(trine.tensor([1, 1, 2, 1]))
        tensor([1, 2, 1])
    """
    array = input.detach().numpy()
    rows = array.reshape(-1) if dim is None else np.moveaxis(array, dim, 0)
    starts = np.ones(len(rows), bool)
    if len(rows) > 1:
        starts[1:] = (rows[1:] != rows[:-1]).reshape(len(rows) - 1, -1).any(axis=1)
    positions = np.nonzero(starts)[0]
    counts = np.diff(np.append(positions, len(rows)))
    values = rows[starts] if dim is None else np.moveaxis(rows[starts], 0, dim)
    inverse = np.cumsum(starts) - 1
    return _unique_result(
        np.ascontiguousarray(values), inverse.reshape(array.shape if dim is None else -1), counts, return_inverse, return_counts
    )


def _bincount(x: Node, length: int) -> Node:
    ones = b.full(1, x.shape, dtypes.int64)
    return b.put(b.full(0, (length,), dtypes.int64), b.check_index(as_dtype(x, dtypes.int64), length, wraps=False), ones, 0, "add")


def _bincount_weighted(x: Node, weights: Node, length: int) -> Node:
    weights = weights if weights.dtype.is_floating_point else as_dtype(weights, dtypes.float64)
    return b.put(b.full(0, (length,), weights.dtype), b.check_index(as_dtype(x, dtypes.int64), length, wraps=False), weights, 0, "add")


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Return how often each number from 0 on occurs, or the sum of its weights (observes the largest number).

    Example:
        >>> import trine
        >>> trine.bincount(trine.tensor([0, 2, 2]))
        tensor([1, 0, 2])
    """
    if input.dim() != 1 or not (input.dtype.is_integer):
        raise ShapeError(
            message("bincount: not a list of integers", received=f"{input.dtype.name} {tuple(input.shape)}", expected="integers (N,)")
        )
    array = input.numpy()
    if array.size and array.min() < 0:
        raise ArgumentError(message("bincount: a number is negative", received=int(array.min()), expected="0 or more"))
    length = max(int(array.max()) + 1 if array.size else 0, minlength)
    if weights is None:
        result: Tensor = record(_bincount, (input,), length)
    else:
        result = record(_bincount_weighted, (input, weights), length)
    return result


def _histc(x: Node, low: Node, high: Node, bins: int) -> Node:
    x = b.reshape(x, (-1,))
    low, high = as_dtype(low, x.dtype), as_dtype(high, x.dtype)
    position = b.floor(b.mul(b.div(b.sub(x, low), b.sub(high, low)), number(bins, x)))
    inside = b.bitwise_and(b.ge(x, low), b.le(x, high))
    index = b.cast(b.minimum(b.where(inside, position, number(0, x)), number(bins - 1, x)), dtypes.int64)
    return b.put(b.full(0, (bins,), x.dtype), index, as_dtype(inside, x.dtype), 0, "add")


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Return how many elements lie in each of `bins` equal intervals from `min` to `max` (the data's range if both are equal).

    Example:
        >>> import trine
        >>> trine.histc(trine.tensor([1., 2., 1.]), bins=4, min=0, max=3)
        tensor([0., 2., 1., 0.])
    """
    if min == max:
        array = input.detach().numpy()
        min, max = float(array.min()), float(array.max())
        if min == max:
            min, max = min - 1, max + 1
    result: Tensor = record(_histc, (input, float(min), float(max)), bins)
    return result


def _isin(x: Node, test: Node, invert: bool) -> Node:
    x, test = promote_pair(x, test)
    flat = b.reshape(test, (*(1,) * len(x.shape), -1))
    if 0 in flat.shape:
        return b.full(invert, x.shape, dtypes.bool_)
    axis = len(x.shape)
    found = b.squeeze(b.max(b.eq(b.unsqueeze(x, axis), flat), (axis,)), axis)
    return b.logical_not(found) if invert else found


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Return True where an element is among `test_elements`.

    Example:
        >>> import trine
        >>> trine.isin(trine.tensor([1, 2, 3]), trine.tensor([2, 5]))
        tensor([False,  True, False])
    """
    result: Tensor = record(_isin, (elements, test_elements), invert)
    return result
