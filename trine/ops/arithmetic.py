"""Elementwise functions of two and three tensors; operands broadcast and promote as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, message
from trine.ops.arguments import write_out
from trine.ops.elementwise import as_bool
from trine.ops.promotion import as_dtype, number, promote_float, promote_pair, result_dtype
from trine.tensor import Tensor, record

Number = int | float | bool | complex
Operand = Tensor | Number
BinaryBuilder = Callable[[Node, Node], Node]


class BinaryFunction(Protocol):
    """The signature of the functions made from the table below."""

    __name__: str

    def __call__(self, input: Tensor, other: Operand, *, out: Tensor | None = None) -> Tensor: ...


def binary(name: str, builder: BinaryBuilder, text: str, example: str, result: str, module: str = __name__) -> BinaryFunction:
    """Return the public function of a node builder, with its docstring; functions of `trine.special` are called there in the example."""
    namespace = "trine.special" if module.endswith(".special") else "trine"

    def function(input: Tensor, other: Operand, *, out: Tensor | None = None) -> Tensor:
        value: Tensor = record(builder, (input, other))
        return value if out is None else write_out(value, out)

    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__doc__ = f"""{text}

    Args:
        input: tensor of any shape.
        other: tensor whose shape broadcasts with it, or a number.
        out: tensor to write the result into.

    Example:
        >>> import trine
        >>> {namespace}.{name}({example})
        tensor({result})
    """
    return function


def add_nodes(x: Node, y: Node) -> Node:
    """Return x + y of promoted operands; of bool, x or y."""
    x, y = promote_pair(x, y)
    return b.bitwise_or(x, y) if x.dtype is dtypes.bool_ else b.add(x, y)


def sub_nodes(x: Node, y: Node) -> Node:
    """Return x - y of promoted operands."""
    bools = [node for node in (x, y) if node.dtype is dtypes.bool_]
    if len(bools) == 2 or any(node.op not in ("const", "scalar") for node in bools):  # Python's True is a number beside a tensor of numbers
        received = f"{x.dtype.name} and {y.dtype.name}"
        fix = "use logical_xor or ^; invert a mask by ~ or logical_not(); or cast it"
        raise DTypeError(message("sub: not defined for bool operands", received=received, expected="numbers", fix=fix))
    return b.sub(*promote_pair(x, y))


def rsub_nodes(x: Node, y: Node) -> Node:
    """Return y - x of promoted operands."""
    return sub_nodes(y, x)


def mul_nodes(x: Node, y: Node) -> Node:
    """Return x * y of promoted operands; of bool, x and y."""
    x, y = promote_pair(x, y)
    return b.bitwise_and(x, y) if x.dtype is dtypes.bool_ else b.mul(x, y)


def div_nodes(x: Node, y: Node) -> Node:
    """Return x / y; integers become the default dtype."""
    return b.div(*promote_float(x, y))


def rdiv_nodes(x: Node, y: Node) -> Node:
    """Return y / x."""
    return div_nodes(y, x)


def floor_divide_nodes(x: Node, y: Node) -> Node:
    """Return floor(x / y)."""
    return b.floor_div(*promote_pair(x, y))


def rfloor_divide_nodes(x: Node, y: Node) -> Node:
    """Return floor(y / x)."""
    return floor_divide_nodes(y, x)


def _div_trunc(x: Node, y: Node) -> Node:
    x, y = promote_pair(x, y)
    if x.dtype.is_floating_point:
        return b.trunc(b.div(x, y))
    return b.floor_div(b.sub(x, b.fmod(x, y)), y)


def remainder_nodes(x: Node, y: Node) -> Node:
    """Return x modulo y with the sign of y."""
    return b.remainder(*promote_pair(x, y))


def rremainder_nodes(x: Node, y: Node) -> Node:
    """Return y modulo x."""
    return remainder_nodes(y, x)


def _fmod(x: Node, y: Node) -> Node:
    return b.fmod(*promote_pair(x, y))


def pow_nodes(x: Node, y: Node) -> Node:
    """Return x ** y of promoted operands."""
    return b.pow(*promote_pair(x, y))


def rpow_nodes(x: Node, y: Node) -> Node:
    """Return y ** x."""
    return pow_nodes(y, x)


def _maximum(x: Node, y: Node) -> Node:
    return b.maximum(*promote_pair(x, y))


def _minimum(x: Node, y: Node) -> Node:
    return b.minimum(*promote_pair(x, y))


def _fmax(x: Node, y: Node) -> Node:
    x, y = promote_pair(x, y)
    return b.where(b.bitwise_or(b.ge(x, y), b.isnan(y)), x, y)


def _fmin(x: Node, y: Node) -> Node:
    x, y = promote_pair(x, y)
    return b.where(b.bitwise_or(b.le(x, y), b.isnan(y)), x, y)


def _atan2(x: Node, y: Node) -> Node:
    return b.atan2(*promote_float(x, y))


def _copysign(x: Node, y: Node) -> Node:
    return b.copysign(*promote_float(x, y))


def _nextafter(x: Node, y: Node) -> Node:
    return b.nextafter(*promote_pair(x, y))


def _hypot(x: Node, y: Node) -> Node:
    # Scaled by the larger side, so that squares neither overflow nor vanish.
    x, y = promote_float(x, y)
    x, y = b.abs(x), b.abs(y)
    large, small = b.maximum(x, y), b.minimum(x, y)
    plain = b.bitwise_or(b.eq(large, number(0, x)), b.isinf(large))
    ratio = b.div(small, b.where(plain, number(1, x), large))
    return b.where(plain, large, b.mul(large, b.sqrt(b.add(number(1, x), b.mul(ratio, ratio)))))


def logaddexp_nodes(x: Node, y: Node) -> Node:
    """Return log(exp(x) + exp(y)) of promoted operands, without overflow."""
    x, y = promote_float(x, y)
    if x.dtype.is_complex:
        is_first = b.ge(b.real(x), b.real(y))
        large, small = b.where(is_first, x, y), b.where(is_first, y, x)
        flat = b.bitwise_and(b.eq(x, y), b.isinf(x))
        return b.add(large, b.log1p(b.exp(b.where(flat, number(0, x), b.sub(small, large)))))
    large = b.maximum(x, y)
    # Equal infinities: their difference would be NaN.
    difference = b.where(b.eq(x, y), number(0, x), b.neg(b.abs(b.sub(x, y))))
    return b.add(large, b.log1p(b.exp(difference)))


def _logaddexp2(x: Node, y: Node) -> Node:
    x, y = promote_float(x, y)
    large = b.maximum(x, y)
    difference = b.where(b.eq(x, y), number(0, x), b.neg(b.abs(b.sub(x, y))))
    return b.add(large, b.log2(b.add(number(1, x), b.exp2(difference))))


def _xlogy(x: Node, y: Node) -> Node:
    x, y = promote_float(x, y)
    # Where 0 meets an infinite or undefined logarithm the product is 0; elsewhere its gradient is the logarithm, as in PyTorch.
    zero = number(0, x)
    flat = b.bitwise_and(b.eq(x, zero), b.bitwise_or(b.le(y, zero), b.isinf(y)))
    return b.where(flat, zero, b.mul(x, b.log(b.where(flat, number(1, y), y))))


def _heaviside(x: Node, y: Node) -> Node:
    x, y = promote_pair(x, y)
    zero = number(0, x)
    step = as_dtype(b.gt(x, zero), x.dtype)
    return b.where(b.eq(x, zero), y, step)


def _bitwise(primitive: BinaryBuilder) -> BinaryBuilder:
    def builder(x: Node, y: Node) -> Node:
        return primitive(*promote_pair(x, y))

    return builder


def _logical(primitive: BinaryBuilder) -> BinaryBuilder:
    def builder(x: Node, y: Node) -> Node:
        return primitive(as_bool(x), as_bool(y))

    return builder


bitwise_and_nodes = _bitwise(b.bitwise_and)
bitwise_or_nodes = _bitwise(b.bitwise_or)
bitwise_xor_nodes = _bitwise(b.bitwise_xor)
shift_left_nodes = _bitwise(b.shift_left)
shift_right_nodes = _bitwise(b.shift_right)

true_divide = binary(
    "true_divide", div_nodes, "Return ``input / other``; integers give floats.", "trine.tensor([3, 4]), 2", "[1.5000, 2.0000]"
)
floor_divide = binary("floor_divide", floor_divide_nodes, "Return the quotient rounded down.", "trine.tensor([7, -7]), 2", "[ 3, -4]")
remainder = binary("remainder", remainder_nodes, "Return the remainder with the sign of `other`.", "trine.tensor([7, -7]), 4", "[3, 1]")
fmod = binary("fmod", _fmod, "Return the remainder with the sign of `input`.", "trine.tensor([7, -7]), 4", "[ 3, -3]")
maximum = binary(
    "maximum",
    _maximum,
    "Return the larger element; NaN if one is NaN. At a tie each gets half of the gradient.",
    "trine.tensor([1, 5]), trine.tensor([3, 2])",
    "[3, 5]",
)
minimum = binary(
    "minimum",
    _minimum,
    "Return the smaller element; NaN if one is NaN. At a tie each gets half of the gradient.",
    "trine.tensor([1, 5]), trine.tensor([3, 2])",
    "[1, 2]",
)
fmax = binary(
    "fmax", _fmax, "Return the larger element; a NaN counts as missing.", "trine.tensor([1., float('nan')]), 0.5", "[1.0000, 0.5000]"
)
fmin = binary(
    "fmin", _fmin, "Return the smaller element; a NaN counts as missing.", "trine.tensor([1., float('nan')]), 0.5", "[0.5000, 0.5000]"
)
atan2 = binary("atan2", _atan2, "Return the angle of the point (other, input).", "trine.tensor([1., -1.]), 1.0", "[ 0.7854, -0.7854]")
copysign = binary("copysign", _copysign, "Return `input` with the sign of `other`.", "trine.tensor([1., -2.]), -1.0", "[-1., -2.]")
nextafter = binary(
    "nextafter",
    _nextafter,
    "Return the next representable number towards `other`.",
    "trine.tensor([1.]), trine.tensor([2.])",
    "[1.0000]",
)
hypot = binary(
    "hypot",
    _hypot,
    "Return ``sqrt(input**2 + other**2)`` without overflow.",
    "trine.tensor([3., 5.]), trine.tensor([4., 12.])",
    "[ 5., 13.]",
)
logaddexp = binary(
    "logaddexp",
    logaddexp_nodes,
    "Return ``log(exp(input) + exp(other))`` without overflow.",
    "trine.tensor([0.]), trine.tensor([0.])",
    "[0.6931]",
)
logaddexp2 = binary(
    "logaddexp2", _logaddexp2, "Return ``log2(2**input + 2**other)`` without overflow.", "trine.tensor([0.]), trine.tensor([0.])", "[1.]"
)
xlogy = binary(
    "xlogy",
    _xlogy,
    "Return ``input * log(other)``, and 0 where `input` is 0.",
    "trine.tensor([0., 1.]), trine.tensor([0., 1.])",
    "[0., 0.]",
)


def heaviside(input: Tensor, values: Operand, *, out: Tensor | None = None) -> Tensor:
    """Return 0 below zero, 1 above, and `values` at zero.

    Example:
        >>> import trine
        >>> trine.heaviside(trine.tensor([-1., 0.]), trine.tensor([0.5]))
        tensor([0.0000, 0.5000])
    """
    return write_out(record(_heaviside, (input, values)), out)


bitwise_and = binary("bitwise_and", bitwise_and_nodes, "Return the bitwise and of integers or bool.", "trine.tensor([6]), 3", "[2]")
bitwise_or = binary("bitwise_or", bitwise_or_nodes, "Return the bitwise or of integers or bool.", "trine.tensor([6]), 3", "[7]")
bitwise_xor = binary(
    "bitwise_xor", bitwise_xor_nodes, "Return the bitwise exclusive or of integers or bool.", "trine.tensor([6]), 3", "[5]"
)
bitwise_left_shift = binary("bitwise_left_shift", shift_left_nodes, "Shift bits to the left.", "trine.tensor([3]), 2", "[12]")
bitwise_right_shift = binary(
    "bitwise_right_shift", shift_right_nodes, "Shift bits to the right, keeping the sign.", "trine.tensor([12]), 2", "[3]"
)
logical_and = binary(
    "logical_and", _logical(b.bitwise_and), "Return True where both are not zero.", "trine.tensor([0, 2]), 1", "[False,  True]"
)
logical_or = binary("logical_or", _logical(b.bitwise_or), "Return True where one is not zero.", "trine.tensor([0, 2]), 0", "[False,  True]")
logical_xor = binary(
    "logical_xor", _logical(b.bitwise_xor), "Return True where exactly one is not zero.", "trine.tensor([0, 2]), 1", "[ True, False]"
)


def _add_scaled(x: Node, y: Node, alpha: Node) -> Node:
    dtype = result_dtype(x, y)
    if dtype is dtypes.bool_:
        return b.bitwise_or(as_dtype(x, dtype), b.bitwise_and(as_dtype(y, dtype), as_dtype(alpha, dtype)))
    return b.add(as_dtype(x, dtype), b.mul(as_dtype(y, dtype), as_dtype(alpha, dtype)))


def _sub_scaled(x: Node, y: Node, alpha: Node) -> Node:
    dtype = result_dtype(x, y)
    return b.sub(as_dtype(x, dtype), b.mul(as_dtype(y, dtype), as_dtype(alpha, dtype)))


def add(input: Operand, other: Operand, *, alpha: Number = 1, out: Tensor | None = None) -> Tensor:
    """Return ``input + alpha * other``.

    Example:
        >>> import trine
        >>> trine.add(trine.tensor([1, 2]), trine.tensor([10, 20]), alpha=2)
        tensor([21, 42])
    """
    result: Tensor = record(add_nodes, (input, other)) if alpha == 1 else record(_add_scaled, (input, other, alpha))
    return result if out is None else write_out(result, out)


def sub(input: Operand, other: Operand, *, alpha: Number = 1, out: Tensor | None = None) -> Tensor:
    """Return ``input - alpha * other``.

    Example:
        >>> import trine
        >>> trine.sub(trine.tensor([10, 20]), 1)
        tensor([ 9, 19])
    """
    result: Tensor = record(sub_nodes, (input, other)) if alpha == 1 else record(_sub_scaled, (input, other, alpha))
    return result if out is None else write_out(result, out)


def rsub(input: Tensor, other: Operand, *, alpha: Number = 1) -> Tensor:
    """Return ``other - alpha * input``.

    Example:
        >>> import trine
        >>> trine.rsub(trine.tensor([1, 2]), 10)
        tensor([9, 8])
    """
    result: Tensor = record(rsub_nodes, (input, other)) if alpha == 1 else record(_sub_scaled, (other, input, alpha))
    return result


def mul(input: Operand, other: Operand, *, out: Tensor | None = None) -> Tensor:
    """Return ``input * other``.

    Example:
        >>> import trine
        >>> trine.mul(trine.tensor([1, 2]), 2.5)
        tensor([2.5000, 5.0000])
    """
    result: Tensor = record(mul_nodes, (input, other))
    return result if out is None else write_out(result, out)


_DIVISIONS: dict[str | None, BinaryBuilder] = {None: div_nodes, "floor": floor_divide_nodes, "trunc": _div_trunc}


def div(input: Operand, other: Operand, *, rounding_mode: str | None = None, out: Tensor | None = None) -> Tensor:
    """Return ``input / other``, or with `rounding_mode` "floor" or "trunc" the rounded quotient in the promoted dtype.

    Example:
        >>> import trine
        >>> trine.div(trine.tensor([7, -7]), 2)
        tensor([ 3.5000, -3.5000])
        >>> trine.div(trine.tensor([7, -7]), 2, rounding_mode="trunc")
        tensor([ 3, -3])
    """
    if rounding_mode not in _DIVISIONS:
        raise ArgumentError(message("div: no such rounding_mode", received=repr(rounding_mode), expected="None, 'floor' or 'trunc'"))
    result: Tensor = record(_DIVISIONS[rounding_mode], (input, other))
    return result if out is None else write_out(result, out)


subtract, multiply, divide, arctan2 = sub, mul, div, atan2


# --- powers -------------------------------------------------------------------------------------------------------------------------


def _pow_integer(x: Node, exponent: int) -> Node:
    if exponent < 0:
        if not x.dtype.is_differentiable:
            raise ArgumentError(
                message(
                    "pow: integers to a negative power",
                    received=f"{x.dtype.name} ** {exponent}",
                    expected="a power of 0 or more",
                    fix="cast to float",
                )
            )
        return b.reciprocal(_pow_integer(x, -exponent))
    if x.dtype is dtypes.bool_:
        x = as_dtype(x, dtypes.int64)
    if exponent == 0:
        return b.pow(x, number(0, x))
    result: Node | None = None
    square = x
    while exponent:
        if exponent & 1:
            result = square if result is None else b.mul(result, square)
        exponent >>= 1
        if exponent:
            square = b.mul(square, square)
    return result or x


def _pow_float(x: Node, exponent: float) -> Node:
    (x,) = promote_float(x)
    if exponent == 0.5:
        return b.sqrt(x)
    if exponent == -0.5:
        return b.rsqrt(x)
    return _pow_integer(x, int(exponent))


_STATIC_EXPONENTS = frozenset((-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0))


def pow(input: Operand, exponent: Operand, *, out: Tensor | None = None) -> Tensor:
    """Return ``input ** exponent``. Small constant powers become multiplications, square roots or reciprocals.

    Example:
        >>> import trine
        >>> trine.pow(trine.tensor([1., 2., 3.]), 2)
        tensor([1., 4., 9.])
    """
    kind = type(exponent)
    if (kind is int or kind is float) and exponent in _STATIC_EXPONENTS and isinstance(input, Tensor):
        result: Tensor = record(_pow_integer if kind is int else _pow_float, (input,), exponent)
    elif kind is int and isinstance(input, Tensor) and exponent < 0 and not input.dtype.is_differentiable:  # type: ignore[operator]
        result = record(_pow_integer, (input,), exponent)
    else:
        result = record(pow_nodes, (input, exponent))
    return result if out is None else write_out(result, out)


def _float_power(x: Node, y: Node) -> Node:
    wide = dtypes.complex128 if x.dtype.is_complex or y.dtype.is_complex else dtypes.float64
    return b.pow(as_dtype(x, wide), as_dtype(y, wide))


def float_power(input: Operand, exponent: Operand, *, out: Tensor | None = None) -> Tensor:
    """Return ``input ** exponent`` computed in float64, or in complex128.

    Example:
        >>> import trine
        >>> trine.float_power(trine.tensor([1, 2]), 2)
        tensor([1., 4.], dtype=trine.float64)
    """
    return write_out(record(_float_power, (input, exponent)), out)
