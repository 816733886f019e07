"""Functions along one axis that keep its length: cumulative sums, products and extrema."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trine import dtypes
from trine.autograd.rules_reduction import cumulative_extremum_index
from trine.core import build as b
from trine.core.graph import Node
from trine.dtypes import DType
from trine.ops.arguments import numpy_names, write_out, write_outs
from trine.ops.arithmetic import logaddexp_nodes
from trine.ops.promotion import as_dtype, as_float
from trine.ops.reduction import ValuesAndIndices, accumulator
from trine.shapes import canonical_axis
from trine.tensor import Tensor, record


def _with_axis(x: Node, dim: int, op: str) -> tuple[Node, int]:
    """Return the node with at least one axis, and the axis."""
    axis = canonical_axis(dim, max(len(x.shape), 1), op)
    return (x if x.shape else b.reshape(x, (1,))), axis


def _cumsum(x: Node, dim: int, dtype: DType | None) -> Node:
    shape = x.shape
    wide = dtypes.int64 if dtype is dtypes.bool_ else dtype
    x, axis = _with_axis(accumulator(x, wide), dim, "cumsum")
    return as_dtype(b.reshape(b.cumsum(x, axis, False), shape), dtype or x.dtype)


@numpy_names
def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """Return the running sum along an axis; integers and bool are summed in int64.

    Example:
        >>> import trine
        >>> trine.cumsum(trine.tensor([1, 2, 3]), dim=0)
        tensor([1, 3, 6])
    """
    return write_out(record(_cumsum, (input,), dim, dtype), out)


def _cumprod(x: Node, dim: int, dtype: DType | None) -> Node:
    shape = x.shape
    wide = dtypes.int64 if dtype is dtypes.bool_ else dtype
    x, axis = _with_axis(accumulator(x, wide), dim, "cumprod")
    return as_dtype(b.reshape(b.cumprod(x, axis, False), shape), dtype or x.dtype)


@numpy_names
def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """Return the running product along an axis.

    Example:
        >>> import trine
        >>> trine.cumprod(trine.tensor([1, 2, 3, 4]), dim=0)
        tensor([ 1,  2,  6, 24])
    """
    return write_out(record(_cumprod, (input,), dim, dtype), out)


def _cumulative(primitive: Callable[[Node, int, bool], Node], op: str) -> Callable[[Node, int], tuple[Node, Node]]:
    def builder(x: Node, dim: int) -> tuple[Node, Node]:
        shape = x.shape
        x, axis = _with_axis(x, dim, op)
        values = primitive(x, axis, False)
        index = cumulative_extremum_index(x, values, axis, False)
        return b.reshape(values, shape), b.reshape(index, shape)

    return builder


_cummax = _cumulative(b.cummax, "cummax")
_cummin = _cumulative(b.cummin, "cummin")


@numpy_names
def cummax(input: Tensor, dim: int, *, out: Any = None) -> ValuesAndIndices:
    """Return the running maximum along an axis and the last position that it was reached at.

    Example:
        >>> import trine
        >>> trine.cummax(trine.tensor([1, 3, 2]), dim=0)
        ValuesAndIndices(values=tensor([1, 3, 3]), indices=tensor([0, 1, 1]))
    """
    return ValuesAndIndices(*write_outs(record(_cummax, (input,), dim), out))


@numpy_names
def cummin(input: Tensor, dim: int, *, out: Any = None) -> ValuesAndIndices:
    """Return the running minimum along an axis and the last position that it was reached at.

    Example:
        >>> import trine
        >>> trine.cummin(trine.tensor([3, 1, 2]), dim=0).values
        tensor([3, 1, 1])
    """
    return ValuesAndIndices(*write_outs(record(_cummin, (input,), dim), out))


def _logcumsumexp(x: Node, dim: int) -> Node:
    """Add each element's predecessor at distance 1, 2, 4, ... in the log domain (Hillis and Steele, 1986): no shift can lose digits."""
    shape = x.shape
    x, axis = _with_axis(as_float(x), dim, "logcumsumexp")
    size = x.shape[axis]
    distance = 1
    while distance < size:
        stop = list(x.shape)
        stop[axis] = size - distance
        low = [0] * len(stop)
        earlier = b.slice(x, tuple(low), tuple(stop))
        low[axis] = distance
        x = logaddexp_nodes(x, b.pad(earlier, tuple(low), (0,) * len(stop), -math.inf))
        distance *= 2
    return b.reshape(x, shape)


@numpy_names
def logcumsumexp(input: Tensor, dim: int, *, out: Tensor | None = None) -> Tensor:
    """Return ``log(cumsum(exp(input)))`` along an axis.

    Example:
        >>> import trine
        >>> trine.logcumsumexp(trine.tensor([0., 0.]), dim=0)
        tensor([0.0000, 0.6931])
    """
    return write_out(record(_logcumsumexp, (input,), dim), out)
