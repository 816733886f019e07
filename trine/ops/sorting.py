"""Sorting, selecting the largest, and searching."""

from __future__ import annotations

from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, message
from trine.ops.arguments import write_out
from trine.ops.linalg_support import write_outs
from trine.ops.promotion import as_dtype
from trine.ops.reduction import ValuesAndIndices
from trine.shapes import canonical_axis
from trine.tensor import Tensor, record


def _sorted(x: Node, dim: int, descending: bool) -> tuple[Node, Node]:
    if not x.shape:
        canonical_axis(dim, 1, "sort")
        return x, b.zeros_like(as_dtype(x, dtypes.int64))
    axis = canonical_axis(dim, len(x.shape), "sort")
    order = b.argsort(x, axis, descending)
    return b.take_along(x, order, axis), order


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool | None = False, *, out: Any = None) -> ValuesAndIndices:
    """Return the elements in order along an axis, and where they were. The sort is always stable; NaN counts as the largest.

    Example:
        >>> import trine
        >>> trine.sort(trine.tensor([3, 1, 2])).indices
        tensor([1, 2, 0])
    """
    result: ValuesAndIndices = write_outs(ValuesAndIndices(*record(_sorted, (input,), dim, bool(descending))), out)
    return result


def msort(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the elements in order along the first axis.

    Example:
        >>> import trine
        >>> trine.msort(trine.tensor([3, 1, 2]))
        tensor([1, 2, 3])
    """
    return write_out(sort(input, 0).values if input.dim() else input.clone(), out)


def _argsort(x: Node, dim: int, descending: bool) -> Node:
    return _sorted(x, dim, descending)[1]


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Return the positions that sort the tensor along an axis.

    Example:
        >>> import trine
        >>> trine.argsort(trine.tensor([3, 1, 2]))
        tensor([1, 2, 0])
    """
    return write_out(record(_argsort, (input,), dim, bool(descending)), out)


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


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, out: Any = None) -> ValuesAndIndices:
    """Return the k largest (or smallest) elements along an axis in order, and where they were.

    Example:
        >>> import trine
        >>> trine.topk(trine.tensor([3, 1, 2]), 2).values
        tensor([3, 2])
    """
    result: ValuesAndIndices = write_outs(ValuesAndIndices(*record(_topk, (input,), int(k), dim, bool(largest))), out)
    return result


def _kth(x: Node, k: int, dim: int, keepdim: bool) -> tuple[Node, Node]:
    if not x.shape:
        return _sorted(x, dim, False)
    axis = canonical_axis(dim, len(x.shape), "kthvalue")
    if not 1 <= k <= x.shape[axis]:
        raise ArgumentError(message("kthvalue: k is out of range", received=k, expected=f"1 to {x.shape[axis]}"))
    order = _first(b.argsort(x, axis, False), axis, 1, k - 1)
    values = b.take_along(x, order, axis)
    return (values, order) if keepdim else (b.squeeze(values, axis), b.squeeze(order, axis))


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> ValuesAndIndices:
    """Return the k-th smallest element along an axis, and where it was.

    Example:
        >>> import trine
        >>> trine.kthvalue(trine.tensor([3, 1, 2]), 2).values
        tensor(2)
    """
    result: ValuesAndIndices = write_outs(ValuesAndIndices(*record(_kth, (input,), k, dim, keepdim)), out)
    return result
