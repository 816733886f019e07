"""Searching: positions in a sorted sequence, membership, and the different elements of a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.arguments import check_choice, write_out
from trine.ops.promotion import as_dtype, number, promote_pair
from trine.tensor import Tensor, record
from trine.tensor.convert import tensor

__all__ = ["bucketize", "isin", "searchsorted", "unique", "unique_consecutive"]

_FEW = 32
"""Up to this many elements are compared with every value, in one fused loop; beyond, each value is searched by halving."""


def _is_before(element: Node, value: Node, right: bool) -> Node:
    """Return whether a value belongs behind an element; a NaN value belongs behind everything."""
    return b.logical_not(b.gt(element, value) if right else b.ge(element, value))


def _positions(ordered: Node, values: Node, right: bool) -> Node:
    """Return where values go in sequences along the last axis: (n,) and any shape, or (*, n) and (*, m)."""
    n = ordered.shape[-1]
    if not n:
        return b.full(0, values.shape, dtypes.int64)
    single = len(ordered.shape) == 1
    if n <= _FEW:
        rank = len(values.shape)
        row = b.reshape(ordered, (*(1,) * rank, n)) if single else b.unsqueeze(ordered, len(ordered.shape) - 1)
        before = _is_before(row, b.unsqueeze(values, rank), right)
        return b.squeeze(b.sum(b.cast(before, dtypes.int64), (rank,)), rank)
    position = b.full(0, values.shape, dtypes.int64)
    step = 1 << (n.bit_length() - 1)
    while step:
        candidate = b.add(position, number(step, position))
        probe = b.minimum(b.sub(candidate, number(1, position)), number(n - 1, position))
        element = b.take(ordered, probe, 0) if single else b.take_along(ordered, probe, len(ordered.shape) - 1)
        goes_on = b.bitwise_and(b.le(candidate, number(n, candidate)), _is_before(element, values, right))
        position = b.where(goes_on, candidate, position)
        step >>= 1
    return position


def _searchsorted(*arguments: Any) -> Node:
    ordered, values, *sorter, right, dtype = arguments
    if sorter:
        ordered = b.take_along(ordered, b.check_index(as_dtype(sorter[0], dtypes.int64), ordered.shape[-1]), len(ordered.shape) - 1)
    ordered, values = promote_pair(ordered, values)
    if len(ordered.shape) > 1 and ordered.shape[:-1] != values.shape[:-1]:
        expected = "one sequence, or as many as rows of values"
        raise ShapeError(message("searchsorted: shapes do not fit", received=f"{ordered.shape} and {values.shape}", expected=expected))
    return as_dtype(_positions(ordered, values, right), dtype)


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    out: Tensor | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Return where each value would be inserted into a sorted sequence (its last axis): before equal elements, or behind them if `right`.

    Args:
        side: "right" is the same as `right`.
        sorter: positions that sort the sequence, if it is not sorted.

    Example:
        >>> import trine
        >>> trine.searchsorted(trine.tensor([1, 3, 5]), trine.tensor([3, 4]))
        tensor([1, 2])
    """
    check_choice("searchsorted", "side", side, (None, "left", "right"))
    if side == "left" and right:
        raise ArgumentError(message("searchsorted: side and right contradict", received="side='left', right=True", expected="one of them"))
    if sorter is not None and tuple(sorter.shape) != tuple(sorted_sequence.shape):
        received = f"{tuple(sorter.shape)} for {tuple(sorted_sequence.shape)}"
        raise ShapeError(message("searchsorted: the sorter does not fit", received=received, expected="equal shapes"))
    dtype = dtypes.int32 if out_int32 else dtypes.int64
    operands = (sorted_sequence, input) if sorter is None else (sorted_sequence, input, sorter)
    return write_out(record(_searchsorted, operands, right or side == "right", dtype), out)


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False, out: Tensor | None = None) -> Tensor:
    """Return the number of the bucket between boundaries that each value falls into.

    Example:
        >>> import trine
        >>> trine.bucketize(trine.tensor([0, 3, 9]), trine.tensor([1, 3, 5]))
        tensor([0, 1, 3])
    """
    if boundaries.dim() != 1:
        received = f"shape {tuple(boundaries.shape)}"
        raise ShapeError(message("bucketize: the boundaries", received=received, expected="1 axis"))
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


def _isin(x: Node, test: Node, invert: bool) -> Node:
    x, test = promote_pair(x, test)
    flat = b.reshape(test, (-1,)) if test.shape else b.reshape(test, (1,))
    n = flat.shape[0]
    if not n:
        return b.full(invert, x.shape, dtypes.bool_)
    if n <= _FEW:
        axis = len(x.shape)
        found = b.squeeze(b.max(b.eq(b.unsqueeze(x, axis), b.reshape(flat, (*(1,) * axis, n))), (axis,)), axis)
    else:
        ordered = b.take(flat, b.argsort(flat, 0), 0)
        place = b.minimum(_positions(ordered, x, False), b.const(n - 1, dtypes.int64))
        found = b.eq(b.take(ordered, place, 0), x)
    return b.logical_not(found) if invert else found


def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False, out: Tensor | None = None) -> Tensor:
    """Return True where an element is among `test_elements`.

    Example:
        >>> import trine
        >>> trine.isin(trine.tensor([1, 2, 3]), trine.tensor([2, 5]))
        tensor([False,  True, False])
    """
    return write_out(record(_isin, (elements, test_elements), invert), out)


def _unique_result(dtype: DType, values: Any, inverse: Any, counts: Any, return_inverse: bool, return_counts: bool) -> Any:
    parts = [tensor(values, dtype=dtype)]
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
    array = input._numbers()
    values, inverse, counts = np.unique(array, return_inverse=True, return_counts=True, axis=dim, equal_nan=False)
    return _unique_result(input.dtype, values, inverse.reshape(array.shape if dim is None else -1), counts, return_inverse, return_counts)


def unique_consecutive(input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """Return the elements without repetitions of neighbours (observes the input).

    Example:
        >>> import trine
        >>> trine.unique_consecutive(trine.tensor([1, 1, 2, 1]))
        tensor([1, 2, 1])
    """
    array = input._numbers()
    rows = array.reshape(-1) if dim is None else np.moveaxis(array, dim, 0)
    starts = np.ones(len(rows), bool)
    if len(rows) > 1:
        starts[1:] = (rows[1:] != rows[:-1]).reshape(len(rows) - 1, -1).any(axis=1)
    positions = np.nonzero(starts)[0]
    counts = np.diff(np.append(positions, len(rows)))
    values = rows[starts] if dim is None else np.moveaxis(rows[starts], 0, dim)
    inverse = np.cumsum(starts) - 1
    return _unique_result(
        input.dtype,
        np.ascontiguousarray(values),
        inverse.reshape(array.shape if dim is None else -1),
        counts,
        return_inverse,
        return_counts,
    )
