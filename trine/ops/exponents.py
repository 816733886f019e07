"""Parts of numbers: mantissa and exponent, powers of two, greatest common divisors."""

from __future__ import annotations

from typing import NamedTuple

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import DTypeError, message
from trine.ops.arguments import write_outs
from trine.ops.arithmetic import BinaryFunction, binary, mul_nodes
from trine.ops.promotion import as_dtype, as_float, number, promote_pair
from trine.tensor import Tensor, record

# dtype -> (integer dtype of its bits, bits of the mantissa, exponent of 1.0)
_LAYOUT = {dtypes.float32: (dtypes.int32, 23, 127), dtypes.float64: (dtypes.int64, 52, 1023)}


def _power_of_two(exponent: Node, dtype: dtypes.DType) -> Node:
    """Return ``2 ** exponent`` exactly, from its bits; the exponent (int32 or int64) is one of a normal number."""
    _, digits, bias = _LAYOUT[dtype]
    shifted = b.shift_left(b.add(exponent, number(bias, exponent)), number(digits, exponent))
    return b.bitcast(shifted, dtype)


def _frexp(x: Node) -> tuple[Node, Node]:
    if not x.dtype.is_floating_point:
        raise DTypeError(
            message("frexp: not a floating point dtype", received=x.dtype.name, expected="float32 or float64", fix="x.float()")
        )
    if x.dtype.is_half:
        mantissa, exponent = _frexp(as_dtype(x, dtypes.float32))
        return as_dtype(mantissa, x.dtype), exponent
    integer, digits, bias = _LAYOUT[x.dtype]
    magnitude = b.abs(x)
    is_special = b.bitwise_or(b.eq(magnitude, number(0, x)), b.logical_not(b.isfinite(x)))
    # Subnormal numbers are made normal first.
    is_small = b.lt(magnitude, number(2.0 ** (1 - bias), x))
    lifted = b.where(is_small, b.mul(x, number(2.0 ** (digits + 1), x)), x)
    bits = b.bitcast(b.abs(b.stop_gradient(lifted)), integer)
    exponent = b.sub(b.shift_right(bits, number(digits, bits)), number(bias - 1, bits))
    exponent = b.where(is_special, number(0, exponent), exponent)
    # In two halves: the power itself may lie beyond the largest number.
    half = b.shift_right(exponent, number(1, exponent))
    scaled = b.mul(lifted, _power_of_two(b.neg(half), x.dtype))
    mantissa = b.mul(scaled, _power_of_two(b.sub(half, exponent), x.dtype))
    lift = b.where(b.bitwise_and(is_small, b.logical_not(is_special)), number(digits + 1, exponent), number(0, exponent))
    return b.where(is_special, x, mantissa), as_dtype(b.sub(exponent, lift), dtypes.int32)


class MantissaAndExponent(NamedTuple):
    """What `frexp` gives."""

    mantissa: Tensor
    exponent: Tensor


def frexp(input: Tensor, *, out: tuple[Tensor, Tensor] | None = None) -> MantissaAndExponent:
    """Return mantissas of magnitude [0.5, 1) and int32 exponents with ``input = mantissa * 2 ** exponent``.

    Raises:
        DTypeError: the dtype is not floating point.

    Example:
        >>> import trine
        >>> trine.frexp(trine.tensor([3.0, -0.25]))
        MantissaAndExponent(mantissa=tensor([ 0.7500, -0.5000]), exponent=tensor([ 2, -1], dtype=trine.int32))
    """
    return MantissaAndExponent(*write_outs(record(_frexp, (input,)), out))


def _ldexp(x: Node, y: Node) -> Node:
    y = as_float(y)
    return mul_nodes(x, b.pow(number(2, y), y))


def _gcd(x: Node, y: Node) -> Node:
    return b.library("gcd", *promote_pair(x, y))


def _lcm(x: Node, y: Node) -> Node:
    x, y = promote_pair(x, y)
    divisor = b.library("gcd", x, y)
    is_zero = b.eq(divisor, number(0, x))
    return b.abs(b.mul(b.floor_div(x, b.where(is_zero, number(1, x), divisor)), y))


ldexp: BinaryFunction = binary(
    "ldexp", _ldexp, "Return ``input * 2 ** other``.", "trine.tensor([1., 3.]), trine.tensor([2, -1])", "[4.0000, 1.5000]", __name__
)
gcd: BinaryFunction = binary(
    "gcd", _gcd, "Return the greatest common divisor of integers.", "trine.tensor([12, -9]), trine.tensor([18, 6])", "[6, 3]", __name__
)
lcm: BinaryFunction = binary(
    "lcm", _lcm, "Return the least common multiple of integers.", "trine.tensor([4, -3]), trine.tensor([6, 5])", "[12, 15]", __name__
)
