"""Comparisons: elementwise, approximate, and of whole tensors."""

from __future__ import annotations

from collections.abc import Callable

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.ops.arithmetic import BinaryFunction, Operand, binary
from trine.ops.promotion import as_dtype, promote_pair
from trine.tensor import Tensor, record


def _comparison(primitive: Callable[[Node, Node], Node]) -> Callable[[Node, Node], Node]:
    def builder(x: Node, y: Node) -> Node:
        return primitive(*promote_pair(x, y))

    return builder


eq_nodes = _comparison(b.eq)
ne_nodes = _comparison(b.ne)
lt_nodes = _comparison(b.lt)
le_nodes = _comparison(b.le)
gt_nodes = _comparison(b.gt)
ge_nodes = _comparison(b.ge)

_PAIR = "trine.tensor([1, 2, 3]), 2"
eq: BinaryFunction = binary("eq", eq_nodes, "Return True where the elements are equal.", _PAIR, "[False,  True, False]")
ne: BinaryFunction = binary("ne", ne_nodes, "Return True where the elements differ.", _PAIR, "[ True, False,  True]")
lt: BinaryFunction = binary("lt", lt_nodes, "Return True where `input` is less than `other`.", _PAIR, "[ True, False, False]")
le: BinaryFunction = binary("le", le_nodes, "Return True where `input` is less than or equal to `other`.", _PAIR, "[ True,  True, False]")
gt: BinaryFunction = binary("gt", gt_nodes, "Return True where `input` is greater than `other`.", _PAIR, "[False, False,  True]")
ge: BinaryFunction = binary(
    "ge", ge_nodes, "Return True where `input` is greater than or equal to `other`.", _PAIR, "[False,  True,  True]"
)
for _function in (eq, ne, lt, le, gt, ge):
    _function.__module__ = __name__
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


def _isclose(x: Node, y: Node, rtol: Node, atol: Node, equal_nan: bool) -> Node:
    x, y = promote_pair(x, y)
    same = b.eq(x, y)
    if x.dtype.is_complex or not x.dtype.is_floating_point:
        x, y = (b.cast(v, dtypes.complex128 if v.dtype.is_complex else dtypes.float64) for v in (x, y))
    difference, scale = b.abs(b.sub(x, y)), b.abs(y)
    dtype = difference.dtype
    tolerance = b.add(as_dtype(atol, dtype), b.mul(as_dtype(rtol, dtype), scale))
    close = b.bitwise_or(same, b.bitwise_and(b.isfinite(difference), b.le(difference, tolerance)))
    return b.bitwise_or(close, b.bitwise_and(b.isnan(x), b.isnan(y))) if equal_nan else close


def isclose(input: Tensor, other: Operand, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
    """Return True where ``abs(input - other) <= atol + rtol * abs(other)``.

    Example:
        >>> import trine
        >>> trine.isclose(trine.tensor([1.0, 2.0]), trine.tensor([1.0 + 1e-7, 2.1]))
        tensor([ True, False])
    """
    result: Tensor = record(_isclose, (input, other, float(rtol), float(atol)), equal_nan)
    return result


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Return whether all elements are close, as a Python bool.

    Example:
        >>> import trine
        >>> trine.allclose(trine.tensor([1.0]), trine.tensor([1.0 + 1e-7]))
        True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def equal(input: Tensor, other: Tensor) -> bool:
    """Return whether the tensors have the same shape and elements, as a Python bool.

    Example:
        >>> import trine
        >>> trine.equal(trine.tensor([1, 2]), trine.tensor([1, 2]))
        True
    """
    if input.shape != other.shape:
        return False
    result: Tensor = record(eq_nodes, (input, other))
    return bool(result.all())
