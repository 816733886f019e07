"""Elementwise functions of one tensor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import DTypeError, message
from trine.ops.arguments import write_out
from trine.ops.promotion import as_dtype, as_float, number
from trine.tensor import Tensor, record

UnaryBuilder = Callable[[Node], Node]


class UnaryFunction(Protocol):
    """The signature of every function here."""

    __name__: str

    def __call__(self, input: Tensor, *, out: Tensor | None = None) -> Tensor: ...


def unary(name: str, builder: UnaryBuilder, text: str, example: str, result: str, module: str = __name__) -> UnaryFunction:
    """Return the public function of a node builder, with its docstring; functions of `trine.special` are called there in the example."""
    namespace = "trine.special" if module.endswith(".special") else "trine"

    def function(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        value: Tensor = record(builder, (input,))
        return value if out is None else write_out(value, out)

    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__doc__ = f"""{text}

    Args:
        input: tensor of any shape.
        out: tensor to write the result into.

    Example:
        >>> import trine
        >>> {namespace}.{name}(trine.tensor({example}))
        tensor({result})
    """
    return function


def _floating(primitive: UnaryBuilder) -> UnaryBuilder:
    """Return a builder that computes integers and bool in the default dtype."""

    def builder(x: Node) -> Node:
        return primitive(as_float(x))

    return builder


def _not_bool(primitive: UnaryBuilder) -> UnaryBuilder:
    """Return a builder that takes bool as it is."""

    def builder(x: Node) -> Node:
        return x if x.dtype is dtypes.bool_ else primitive(x)

    return builder


def _square(x: Node) -> Node:
    x = as_dtype(x, dtypes.int64) if x.dtype is dtypes.bool_ else x
    return b.mul(x, x)


def as_bool(x: Node) -> Node:
    """Return whether each element is not zero."""
    return x if x.dtype is dtypes.bool_ else b.ne(x, number(0, x))


def sign_nodes(x: Node) -> Node:
    """Return -1, 0 or 1; 0 for NaN and bool as it is, as in PyTorch."""
    if x.dtype is dtypes.bool_:
        return x
    sign = b.sign(x)
    return b.where(b.isnan(x), number(0, x), sign) if x.dtype.is_floating_point else sign


def _always(value: bool) -> UnaryBuilder:
    def builder(x: Node) -> Node:
        return b.full(value, x.shape, dtypes.bool_)

    return builder


def _isposinf(x: Node) -> Node:
    return b.eq(x, number(math.inf, x)) if x.dtype.is_floating_point else _always(False)(x)


def _isneginf(x: Node) -> Node:
    return b.eq(x, number(-math.inf, x)) if x.dtype.is_floating_point else _always(False)(x)


def _frac(x: Node) -> Node:
    return b.sub(x, b.trunc(x))


def _sinc(x: Node) -> Node:
    x = as_float(x)
    scaled = b.mul(x, number(math.pi, x))
    is_zero = b.eq(x, number(0, x))
    return b.where(is_zero, number(1, x), b.div(b.sin(scaled), b.where(is_zero, number(1, x), scaled)))


def _scaled(factor: float) -> UnaryBuilder:
    def builder(x: Node) -> Node:
        x = as_float(x)
        return b.mul(x, number(factor, x))

    return builder


def _angle(x: Node) -> Node:
    if x.dtype.is_complex:
        return b.atan2(b.imag(x), b.real(x))
    x = as_float(x)
    angle = b.where(b.lt(x, number(0, x)), number(math.pi, x), number(0, x))
    return b.where(b.isnan(x), x, angle)


def _sgn(x: Node) -> Node:
    if not x.dtype.is_complex:
        return sign_nodes(x)
    magnitude = b.abs(x)
    is_zero = b.eq(magnitude, number(0, magnitude))
    return b.div(x, as_dtype(b.where(is_zero, number(1, magnitude), magnitude), x.dtype))


def _signbit(x: Node) -> Node:
    if x.dtype.is_floating_point:
        return b.lt(b.copysign(number(1, x), x), number(0, x))
    return b.lt(x, number(0, x)) if x.dtype.code == "i" else _always(False)(x)


def _positive(x: Node) -> Node:
    if x.dtype is dtypes.bool_:
        raise DTypeError(message("positive: not defined for bool", received="bool", expected="numbers"))
    return x


abs_nodes = _not_bool(b.abs)
abs = unary(
    "abs",
    abs_nodes,
    "Return the absolute value; of a complex number, its magnitude. The gradient at 0 is 0.",
    "[-1.5, 2.0]",
    "[1.5000, 2.0000]",
)
positive = unary("positive", _positive, "Return the tensor itself; not defined for bool.", "[1, -2]", "[ 1, -2]")
neg = unary("neg", b.neg, "Return ``-input``.", "[1, -2]", "[-1,  2]")
sign = unary("sign", sign_nodes, "Return -1, 0 or 1, the sign of each element; 0 for NaN.", "[-3, 0, 5]", "[-1,  0,  1]")
sgn = unary("sgn", _sgn, "Return the sign; of a complex number, ``input / abs(input)``, or 0 at 0.", "[-3, 0, 5]", "[-1,  0,  1]")
floor = unary("floor", b.floor, "Round down to an integer value.", "[1.7, -1.2]", "[ 1., -2.]")
ceil = unary("ceil", b.ceil, "Round up to an integer value.", "[1.2, -1.7]", "[ 2., -1.]")
trunc = unary("trunc", b.trunc, "Round towards zero.", "[1.7, -1.7]", "[ 1., -1.]")
frac = unary("frac", _frac, "Return the fractional part, with the sign of the input.", "[1.5, -2.25]", "[ 0.5000, -0.2500]")
sqrt = unary("sqrt", _floating(b.sqrt), "Return the square root; NaN below zero.", "[4.0, 9.0]", "[2., 3.]")
rsqrt = unary("rsqrt", _floating(b.rsqrt), "Return ``1 / sqrt(input)``.", "[4.0, 16.0]", "[0.5000, 0.2500]")
square = unary("square", _square, "Return ``input * input``.", "[1.0, -3.0]", "[1., 9.]")
reciprocal = unary("reciprocal", _floating(b.reciprocal), "Return ``1 / input``.", "[2.0, 4.0]", "[0.5000, 0.2500]")
exp = unary("exp", _floating(b.exp), "Return e to the power of each element.", "[0.0, 1.0]", "[1.0000, 2.7183]")
exp2 = unary("exp2", _floating(b.exp2), "Return 2 to the power of each element.", "[1.0, 3.0]", "[2., 8.]")
expm1 = unary("expm1", _floating(b.expm1), "Return ``exp(input) - 1``, accurate near 0.", "[0.0, 1.0]", "[0.0000, 1.7183]")
log = unary("log", _floating(b.log), "Return the natural logarithm: -inf at 0, NaN below.", "[1.0, 10.0]", "[0.0000, 2.3026]")
log2 = unary("log2", _floating(b.log2), "Return the logarithm to base 2.", "[1.0, 8.0]", "[0., 3.]")
log10 = unary("log10", _floating(b.log10), "Return the logarithm to base 10.", "[1.0, 50.0]", "[0.0000, 1.6990]")
log1p = unary("log1p", _floating(b.log1p), "Return ``log(1 + input)``, accurate near 0.", "[0.0, 1.0]", "[0.0000, 0.6931]")
sin = unary("sin", _floating(b.sin), "Return the sine of angles in radians.", "[0.0, 1.0]", "[0.0000, 0.8415]")
cos = unary("cos", _floating(b.cos), "Return the cosine of angles in radians.", "[0.0, 1.0]", "[1.0000, 0.5403]")
tan = unary("tan", _floating(b.tan), "Return the tangent of angles in radians.", "[0.0, 1.0]", "[0.0000, 1.5574]")
asin = unary("asin", _floating(b.asin), "Return the arc sine in radians; NaN outside [-1, 1].", "[0.0, 1.0]", "[0.0000, 1.5708]")
acos = unary("acos", _floating(b.acos), "Return the arc cosine in radians; NaN outside [-1, 1].", "[1.0, 0.0]", "[0.0000, 1.5708]")
atan = unary("atan", _floating(b.atan), "Return the arc tangent in radians.", "[0.0, 1.0]", "[0.0000, 0.7854]")
sinh = unary("sinh", _floating(b.sinh), "Return the hyperbolic sine.", "[0.0, 1.0]", "[0.0000, 1.1752]")
cosh = unary("cosh", _floating(b.cosh), "Return the hyperbolic cosine.", "[0.0, 1.0]", "[1.0000, 1.5431]")
tanh = unary("tanh", _floating(b.tanh), "Return the hyperbolic tangent.", "[0.0, 1.0]", "[0.0000, 0.7616]")
asinh = unary("asinh", _floating(b.asinh), "Return the inverse hyperbolic sine.", "[0.0, 1.0]", "[0.0000, 0.8814]")
acosh = unary("acosh", _floating(b.acosh), "Return the inverse hyperbolic cosine; NaN below 1.", "[1.0, 2.0]", "[0.0000, 1.3170]")
atanh = unary("atanh", _floating(b.atanh), "Return the inverse hyperbolic tangent; NaN outside [-1, 1].", "[0.0, 0.5]", "[0.0000, 0.5493]")
erf = unary("erf", _floating(b.erf), "Return the error function.", "[0.0, 1.0]", "[0.0000, 0.8427]")
erfc = unary("erfc", _floating(b.erfc), "Return ``1 - erf(input)``, accurate for large inputs.", "[0.0, 1.0]", "[1.0000, 0.1573]")
erfinv = unary("erfinv", _floating(b.erfinv), "Return the inverse error function; NaN outside [-1, 1].", "[0.0, 0.5]", "[0.0000, 0.4769]")
lgamma = unary(
    "lgamma", _floating(b.lgamma), "Return the logarithm of the absolute value of the gamma function.", "[1.0, 4.0]", "[0.0000, 1.7918]"
)
digamma = unary("digamma", _floating(b.digamma), "Return the derivative of `lgamma`.", "[1.0, 2.0]", "[-0.5772,  0.4228]")
sigmoid = unary("sigmoid", _floating(b.sigmoid), "Return ``1 / (1 + exp(-input))``.", "[0.0, 1.0]", "[0.5000, 0.7311]")
sinc = unary("sinc", _sinc, "Return ``sin(pi * input) / (pi * input)``, and 1 at 0.", "[0.0, 0.5]", "[1.0000, 0.6366]")
deg2rad = unary("deg2rad", _scaled(math.pi / 180), "Convert degrees to radians.", "[180.0, 90.0]", "[3.1416, 1.5708]")
rad2deg = unary("rad2deg", _scaled(180 / math.pi), "Convert radians to degrees.", "[0.0, 1.0]", "[ 0.0000, 57.2958]")
logical_not = unary("logical_not", b.logical_not, "Return True where the element is zero.", "[0, 3]", "[ True, False]")
bitwise_not = unary("bitwise_not", b.bitwise_not, "Flip all bits of integers; negate bool.", "[0, 5]", "[-1, -6]")
isnan = unary("isnan", b.isnan, "Return True where the element is NaN.", "[1.0, float('nan')]", "[False,  True]")
isinf = unary("isinf", b.isinf, "Return True where the element is infinite.", "[1.0, float('inf')]", "[False,  True]")
isfinite = unary(
    "isfinite", b.isfinite, "Return True where the element is neither infinite nor NaN.", "[1.0, float('inf')]", "[ True, False]"
)
isposinf = unary("isposinf", _isposinf, "Return True where the element is +inf.", "[1.0, float('inf')]", "[False,  True]")
isneginf = unary("isneginf", _isneginf, "Return True where the element is -inf.", "[1.0, float('inf')]", "[False, False]")
signbit = unary("signbit", _signbit, "Return True where the sign bit is set, also for -0.0.", "[1.0, -0.0]", "[False,  True]")
real = unary("real", b.real, "Return the real part.", "[1.0, 2.0]", "[1., 2.]")
conj = unary("conj", b.conj, "Return the complex conjugate; real tensors are their own.", "[1.0, 2.0]", "[1., 2.]")
angle = unary(
    "angle", _angle, "Return the angle of each number in the complex plane: 0 or pi for real ones.", "[1.0, -1.0]", "[0.0000, 3.1416]"
)


def imag(input: Tensor) -> Tensor:
    """Return the imaginary part of a complex tensor.

    Example:
        >>> import trine
        >>> trine.imag(trine.tensor([1 + 2j, 3j]))
        tensor([2., 3.])
    """
    result: Tensor = record(b.imag, (input,))
    return result


def _round_decimals(x: Node, decimals: int) -> Node:
    if not x.dtype.is_floating_point:
        return x
    if decimals == 0:
        return b.round(x)
    scale = number(10.0 ** builtin_abs(decimals), x)
    if decimals > 0:
        return b.div(b.round(b.mul(x, scale)), scale)
    return b.mul(b.round(b.div(x, scale)), scale)


def builtin_abs(value: int) -> int:
    """Return the absolute value of a Python int (`abs` is the tensor function here)."""
    return value if value >= 0 else -value


def round(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """Round to the nearest integer value, or to a number of decimals; halves go to the even neighbour.

    Example:
        >>> import trine
        >>> trine.round(trine.tensor([0.5, 1.5, 2.6]))
        tensor([0., 2., 3.])
    """
    return write_out(record(_round_decimals, (input,), decimals), out)


def _nan_to_num(x: Node, nan: float, posinf: float | None, neginf: float | None) -> Node:
    if not x.dtype.is_floating_point:
        return x
    limit = FLOAT_MAX[x.dtype.name]
    x = b.where(b.isnan(x), number(nan, x), x)
    x = b.where(b.eq(x, number(math.inf, x)), number(limit if posinf is None else posinf, x), x)
    return b.where(b.eq(x, number(-math.inf, x)), number(-limit if neginf is None else neginf, x), x)


FLOAT_MAX = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38, "float32": 3.4028234663852886e38, "float64": 1.7976931348623157e308}


def nan_to_num(
    input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None, *, out: Tensor | None = None
) -> Tensor:
    """Replace NaN and infinities by numbers: infinities by the largest finite ones unless given.

    Example:
        >>> import trine
        >>> trine.nan_to_num(trine.tensor([float('nan'), float('inf'), 1.0]), posinf=9.0)
        tensor([0., 9., 1.])
    """
    return write_out(record(_nan_to_num, (input,), nan, posinf, neginf), out)


def _logit(x: Node, eps: float | None) -> Node:
    x = as_float(x)
    if eps is not None:
        low, high = number(eps, x), number(1 - eps, x)
        x = b.where(b.lt(x, low), low, b.where(b.gt(x, high), high, x))
    return b.log(b.div(x, b.sub(number(1, x), x)))


def logit(input: Tensor, eps: float | None = None, *, out: Tensor | None = None) -> Tensor:
    """Return ``log(input / (1 - input))``, the inverse of sigmoid; `eps` clamps the input to [eps, 1 - eps].

    Example:
        >>> import trine
        >>> trine.logit(trine.tensor([0.5, 0.75]))
        tensor([0.0000, 1.0986])
    """
    return write_out(record(_logit, (input,), eps), out)


def _clone(x: Node) -> Node:
    return x


def clone(input: Tensor, *, memory_format: object = None) -> Tensor:
    """Return a copy; gradients flow through it. `memory_format` is accepted and has no effect: every tensor is row-major.

    Example:
        >>> import trine
        >>> x = trine.tensor([1, 2])
        >>> y = trine.clone(x)
        >>> x[0] = 5
        >>> y
        tensor([1, 2])
    """
    result: Tensor = record(_clone, (input,))
    return result


def _to_dtype(x: Node, dtype: dtypes.DType) -> Node:
    return as_dtype(x, dtype)


def cast(input: Tensor, dtype: dtypes.DType) -> Tensor:
    """Return the tensor with another dtype; floats become integers by truncation.

    Example:
        >>> import trine
        >>> trine.ops.elementwise.cast(trine.tensor([1.7, -1.7]), trine.int64)
        tensor([ 1, -1])
    """
    if input.dtype is dtype:
        return input
    result: Tensor = record(_to_dtype, (input,), dtype)
    return result


absolute, negative, fix = abs, neg, trunc
arcsin, arccos, arctan = asin, acos, atan
arcsinh, arccosh, arctanh = asinh, acosh, atanh
