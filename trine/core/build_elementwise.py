"""Builders of the elementwise primitives and of the sources."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from trine import dtypes
from trine.core.build_base import Binary, Unary, binary, broadcast_result, make, unary
from trine.core.graph import Node, context
from trine.dtypes import DType, bool_
from trine.errors import ArgumentError, DTypeError, message
from trine.shapes import Shape, canonical_axis, canonical_shape, check_bytes

# --- sources ------------------------------------------------------------------------------------------------------------------------


def input(position: int, shape: Shape, dtype: DType, requires_grad: bool = False) -> Node:
    """Return the graph's input number `position`, an array of the given shape and dtype."""
    shape = check_bytes("input", canonical_shape(shape, "input"), dtype.itemsize)
    return Node("input", (), (position,), shape, dtype, requires_grad, context.source)


def scalar(position: int, dtype: DType) -> Node:
    """Return the run-time scalar number `position`: 0-d, float64 or int64.

    Raises:
        DTypeError: another dtype.
    """
    if dtype is not dtypes.float64 and dtype is not dtypes.int64:
        raise DTypeError(message("scalar: wrong dtype", received=dtype.name, expected="float64 or int64", fix="cast the node"))
    return Node("scalar", (), (position,), (), dtype, False, context.source)


def canonical_value(value: Any, dtype: DType, op: str = "const") -> builtins.bool | int | float | complex:
    """Return a number as the Python number that a dtype holds: rounded to it, and of the Python type of its kind.

    Raises:
        DTypeError: a complex number for a real dtype, or a fraction, NaN or infinity for an integer dtype.
        ArgumentError: an integer out of the dtype's range, or not a number.
    """
    code = dtype.code
    try:
        if code == "f":
            number = float(value)
            if dtype is dtypes.float64 or number == 0 or not math.isfinite(number):
                return number
            return _round_to(number, dtype)
        if code == "b":
            return bool(value)
        if code == "c":
            with np.errstate(over="ignore"):
                return complex(dtype.numpy.type(complex(value)))
        integer = int(value)
    except (TypeError, ValueError, OverflowError):
        raise DTypeError(
            message(f"{op}: the value does not fit the dtype", received=repr(value), expected=f"a number of {dtype.name}")
        ) from None
    if integer != value:
        raise DTypeError(message(f"{op}: the value is not an integer", received=repr(value), expected=f"an integer for {dtype.name}"))
    info = np.iinfo(dtype.numpy)
    if not info.min <= integer <= info.max:
        raise ArgumentError(message(f"{op}: out of range of {dtype.name}", received=integer, expected=f"{info.min} to {info.max}"))
    return integer


def _round_to(number: float, dtype: DType) -> float:
    with np.errstate(over="ignore", under="ignore"):
        single = np.float32(number)
        if dtype is dtypes.float16:
            return float(np.float16(single))
        if dtype is dtypes.bfloat16:
            return float(dtypes.from_bfloat16_bits(dtypes.to_bfloat16_bits(single))[()])
        return float(single)


def const(value: Any, dtype: DType) -> Node:
    """Return a 0-d constant; the value is rounded to the dtype. (-0.0 equals 0.0 as a key: tell them apart with math.copysign.)"""
    return Node("const", (), (canonical_value(value, dtype),), (), dtype, False, context.source)


def full(value: Any, shape: Shape, dtype: DType) -> Node:
    """Return an array of one value: a constant, expanded."""
    from trine.core.build_movement import expand

    return expand(const(value, dtype), shape)


def zeros_like(x: Node) -> Node:
    """Return zeros of the shape and dtype of `x`."""
    return full(0, x.shape, x.dtype)


def ones_like(x: Node) -> Node:
    """Return ones of the shape and dtype of `x`."""
    return full(1, x.shape, x.dtype)


def iota(shape: Shape, axis: int) -> Node:
    """Return an int64 array that holds each element's position along `axis`.

    Raises:
        AxisError: the axis is out of range.
    """
    shape = check_bytes("iota", canonical_shape(shape, "iota"), 8)
    axis = canonical_axis(axis, len(shape), "iota")
    return Node("iota", (), (shape, axis), shape, dtypes.int64, False, context.source)


def random_bits(seed: Node, offset: Node, shape: Shape) -> Node:
    """Return uint32 random bits; `seed` and `offset` are 0-d int64 (see `trine.core.random_bits`)."""
    return make("random_bits", (seed, offset), (check_bytes("random_bits", canonical_shape(shape, "random_bits"), 4),))


# --- unary --------------------------------------------------------------------------------------------------------------------------

neg: Unary = unary("neg")
sqrt: Unary = unary("sqrt")
rsqrt: Unary = unary("rsqrt")
exp: Unary = unary("exp")
exp2: Unary = unary("exp2")
expm1: Unary = unary("expm1")
log: Unary = unary("log")
log2: Unary = unary("log2")
log10: Unary = unary("log10")
log1p: Unary = unary("log1p")
sin: Unary = unary("sin")
cos: Unary = unary("cos")
tan: Unary = unary("tan")
asin: Unary = unary("asin")
acos: Unary = unary("acos")
atan: Unary = unary("atan")
sinh: Unary = unary("sinh")
cosh: Unary = unary("cosh")
tanh: Unary = unary("tanh")
asinh: Unary = unary("asinh")
acosh: Unary = unary("acosh")
atanh: Unary = unary("atanh")
erf: Unary = unary("erf")
erfc: Unary = unary("erfc")
erfinv: Unary = unary("erfinv")
lgamma: Unary = unary("lgamma")
digamma: Unary = unary("digamma")
reciprocal: Unary = unary("reciprocal")
sigmoid: Unary = unary("sigmoid")
sign: Unary = unary("sign")

_abs = unary("abs")


def abs(x: Node) -> Node:
    """Return |x|; of a complex operand the real magnitude. Unsigned integers return the operand itself."""
    if x.dtype.code == "u":
        return x
    if x.dtype.code == "c":
        return make("abs", (x,))
    return make("abs", (x,)) if x.dtype.code == "b" else _keep("abs", x)


def _keep(op: str, x: Node) -> Node:
    requires_grad = x.requires_grad and context.grad_enabled
    return Node(op, (x,), (), x.shape, x.dtype, requires_grad, context.source)


def _rounding(op: str) -> Unary:
    """Return the builder of a rounding function, which returns integers unchanged."""

    def builder(x: Node) -> Node:
        if x.dtype.code == "f":
            return _keep(op, x)
        return x if x.dtype.is_integer else make(op, (x,))

    return builder


floor: Unary = _rounding("floor")
ceil: Unary = _rounding("ceil")
trunc: Unary = _rounding("trunc")
round: Unary = _rounding("round")


def logical_not(x: Node) -> Node:
    """Return `not x` as bool; operands other than bool become `x == 0`."""
    if x.dtype is not bool_:
        return eq(x, const(0, x.dtype))
    return make("logical_not", (x,))


def bitwise_not(x: Node) -> Node:
    """Return ~x of integers; of bool, logical_not."""
    return make("logical_not" if x.dtype is bool_ else "bitwise_not", (x,))


def _predicate(op: str, of_exact: builtins.bool) -> Unary:
    """Return the builder of a test of floating point values, which is constant for integers and bool."""

    def builder(x: Node) -> Node:
        return make(op, (x,)) if x.dtype.is_differentiable else full(of_exact, x.shape, bool_)

    return builder


isnan: Unary = _predicate("isnan", False)
isinf: Unary = _predicate("isinf", False)
isfinite: Unary = _predicate("isfinite", True)


def real(x: Node) -> Node:
    """Return the real part; a real operand itself."""
    return make("real", (x,)) if x.dtype.is_complex else x


def imag(x: Node) -> Node:
    """Return the imaginary part; zeros of a real operand."""
    return make("imag", (x,)) if x.dtype.is_complex else zeros_like(x)


def conj(x: Node) -> Node:
    """Return the complex conjugate; a real operand itself."""
    return make("conj", (x,)) if x.dtype.is_complex else x


def cast(x: Node, dtype: DType) -> Node:
    """Return `x` converted to `dtype`; the operand itself if it has it.

    Floating point to integer truncates (out of range: unspecified), anything to bool is `x != 0`, complex to real drops the imaginary
    part. Conversions to float16 and bfloat16 go through float32.
    """
    if x.dtype is dtype:
        return x
    if type(dtype) is not DType:
        return make("cast", (x,), (dtype,))
    requires_grad = x.requires_grad and dtype.is_differentiable and context.grad_enabled
    return Node("cast", (x,), (dtype,), x.shape, dtype, requires_grad, context.source)


def bitcast(x: Node, dtype: DType) -> Node:
    """Return the bits of `x` read as `dtype`, which has the same itemsize."""
    return x if x.dtype is dtype else make("bitcast", (x,), (dtype,))


def stop_gradient(x: Node) -> Node:
    """Return `x` without a gradient."""
    return make("stop_gradient", (x,)) if x.requires_grad else x


def check_index(x: Node, size: int, wraps: builtins.bool = True) -> Node:
    """Return indices wrapped into [0, size); at run time IndexOutOfRangeError where one lies outside [-size, size).

    Without `wraps` (labels, row numbers) a negative one is out of range too.
    """
    return make("check_index", (x,), (canonical_shape(size, "check_index")[0], wraps))


# --- binary and select --------------------------------------------------------------------------------------------------------------

add: Binary = binary("add")
sub: Binary = binary("sub")
mul: Binary = binary("mul")
div: Binary = binary("div")
floor_div: Binary = binary("floor_div")
remainder: Binary = binary("remainder")
fmod: Binary = binary("fmod")
pow: Binary = binary("pow")
maximum: Binary = binary("maximum")
minimum: Binary = binary("minimum")
atan2: Binary = binary("atan2")
copysign: Binary = binary("copysign")
nextafter: Binary = binary("nextafter")
bitwise_and: Binary = binary("bitwise_and")
bitwise_or: Binary = binary("bitwise_or")
bitwise_xor: Binary = binary("bitwise_xor")
shift_left: Binary = binary("shift_left")
shift_right: Binary = binary("shift_right")
eq: Binary = binary("eq")
ne: Binary = binary("ne")
lt: Binary = binary("lt")
le: Binary = binary("le")
gt: Binary = binary("gt")
ge: Binary = binary("ge")


def library(function: str, *operands: Node) -> Node:
    """Return an elementwise function of `core.library_functions`, which NumPy computes; operands broadcast and have one dtype.

    Raises:
        ArgumentError: there is no such function.
    """
    from trine.core.library_functions import FUNCTIONS

    if function not in FUNCTIONS:
        raise ArgumentError(message("library: no such function", received=repr(function), expected=", ".join(FUNCTIONS)))
    return make("library", operands, (function,))


def where(condition: Node, a: Node, b: Node) -> Node:
    """Return `a` where `condition` holds, else `b`; the three broadcast, `a` and `b` have one dtype."""
    dtype = a.dtype
    if condition.dtype is not bool_ or dtype is not b.dtype:
        return make("where", (condition, a, b))
    shape = a.shape
    if shape != b.shape:
        shape = broadcast_result("where", shape, b.shape, dtype.itemsize)
    if shape != condition.shape:
        shape = broadcast_result("where", shape, condition.shape, dtype.itemsize)
    requires_grad = (a.requires_grad or b.requires_grad) and context.grad_enabled
    return Node("where", (condition, a, b), (), shape, dtype, requires_grad, context.source)
