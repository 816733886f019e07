"""Sorting, selecting the largest, and searching."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, message
from trine.ops.promotion import as_dtype, promote_pair
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
