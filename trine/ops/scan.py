"""Functions along one axis that keep its length: cumulative sums, products and extrema, and differences."""

from __future__ import annotations

from collections.abc import Callable

from trine import dtypes
from trine.autograd.rules_reduction import cumulative_extremum_index
from trine.core import build as b
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, message
from trine.ops.arguments import write_out
from trine.ops.promotion import as_float, number
from trine.ops.reduction import ValuesAndIndices, accumulator
from trine.shapes import canonical_axis
from trine.tensor import Tensor, record


def _with_axis(x: Node, dim: int, op: str) -> tuple[Node, int]:
    """Return the node with at least one axis, and the axis."""
    axis = canonical_axis(dim, max(len(x.shape), 1), op)
    return (x if x.shape else b.reshape(x, (1,))), axis


def _cumsum(x: Node, dim: int, dtype: DType | None) -> Node:
    shape = x.shape
    x, axis = _with_axis(accumulator(x, dtype), dim, "cumsum")
    return b.reshape(b.cumsum(x, axis, False), shape)


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
    x, axis = _with_axis(accumulator(x, dtype), dim, "cumprod")
    return b.reshape(b.cumprod(x, axis, False), shape)


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


def cummax(input: Tensor, dim: int) -> ValuesAndIndices:
    """Return the running maximum along an axis and the last position that it was reached at.

    Example:
        >>> import trine
        >>> trine.cummax(trine.tensor([1, 3, 2]), dim=0)
        ValuesAndIndices(values=tensor([1, 3, 3]), indices=tensor([0, 1, 1]))
    """
    return ValuesAndIndices(*record(_cummax, (input,), dim))


def cummin(input: Tensor, dim: int) -> ValuesAndIndices:
    """Return the running minimum along an axis and the last position that it was reached at.

    Example:
        >>> import trine
        >>> trine.cummin(trine.tensor([3, 1, 2]), dim=0).values
        tensor([3, 1, 1])
    """
    return ValuesAndIndices(*record(_cummin, (input,), dim))


def _logcumsumexp(x: Node, dim: int) -> Node:
    shape = x.shape
    x, axis = _with_axis(as_float(x), dim, "logcumsumexp")
    # One shift for the whole row: elements far below its maximum lose precision, but nothing overflows.
    largest = b.stop_gradient(b.max(x, (axis,)))
    largest = b.where(b.isfinite(largest), largest, number(0, x))
    return b.reshape(b.add(b.log(b.cumsum(b.exp(b.sub(x, largest)), axis, False)), largest), shape)


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Return ``log(cumsum(exp(input)))`` along an axis.

    Example:
        >>> import trine
        >>> trine.logcumsumexp(trine.tensor([0., 0.]), dim=0)
        tensor([0.    , 0.6931])
    """
    result: Tensor = record(_logcumsumexp, (input,), dim)
    return result


def _diff(x: Node, n: int, dim: int) -> Node:
    axis = canonical_axis(dim, len(x.shape), "diff")
    for _ in range(min(n, x.shape[axis])):
        start, stop = [0] * len(x.shape), list(x.shape)
        start[axis], stop[axis] = 1, x.shape[axis] - 1
        later = b.slice(x, tuple(start), x.shape)
        earlier = b.slice(x, (0,) * len(x.shape), tuple(stop))
        x = b.bitwise_xor(later, earlier) if x.dtype is dtypes.bool_ else b.sub(later, earlier)
    return x


def diff(input: Tensor, n: int = 1, dim: int = -1) -> Tensor:
    """Return the n-th differences of neighbours along an axis, which gets n elements shorter.

    Raises:
        ArgumentError: n is negative.

    Example:
        >>> import trine
        >>> trine.diff(trine.tensor([1, 4, 9]))
        tensor([3, 5])
    """
    if n < 0:
        raise ArgumentError(message("diff: n is negative", received=n, expected="0 or more"))
    result: Tensor = record(_diff, (input,), n, dim)
    return result


def _trapezoid(y: Node, dx: float, dim: int) -> Node:
    y = as_float(y)
    axis = canonical_axis(dim, len(y.shape), "trapezoid")
    start, stop = [0] * len(y.shape), list(y.shape)
    start[axis], stop[axis] = 1, y.shape[axis] - 1
    pairs = b.add(b.slice(y, tuple(start), y.shape), b.slice(y, (0,) * len(y.shape), tuple(stop)))
    total = b.mul(b.sum(pairs, (axis,)), number(dx / 2, y))
    return b.squeeze(total, axis)


def trapezoid(y: Tensor, *, dx: float = 1.0, dim: int = -1) -> Tensor:
    """Return the integral along an axis by the trapezoidal rule with spacing `dx`.

    Example:
        >>> import trine
        >>> trine.trapezoid(trine.tensor([1., 2., 3.]))
        tensor(4.)
    """
    result: Tensor = record(_trapezoid, (y,), dx, dim)
    return result
