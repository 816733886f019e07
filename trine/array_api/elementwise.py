"""Elementwise functions of the array API standard. Operands are arrays, or an array and a Python number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine import ops
from trine.core import build as b
from trine.core.graph import Node
from trine.ops.promotion import as_dtype, as_float, number
from trine.tensor import Tensor, record

Array = Tensor
Number = bool | int | float | complex

_UNARY = """abs acos acosh asin asinh atan atanh bitwise_not ceil conj cos cosh exp floor imag isfinite isinf isnan log log10 log1p
log2 logical_not negative positive real reciprocal signbit sin sinh sqrt square tan trunc""".split()
_BINARY = {
    **{name: name for name in "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign".split()},
    **{name: name for name in "greater greater_equal hypot less less_equal logaddexp logical_and logical_or".split()},
    **{name: name for name in "logical_xor maximum minimum multiply nextafter not_equal pow remainder subtract".split()},
    **{"divide": "true_divide", "equal": "eq"},
}


def _unary(name: str) -> Callable[[Array], Array]:
    inner: Callable[..., Any] = getattr(ops, name)

    def function(x: Array, /) -> Array:
        result: Array = inner(x)
        return result

    public = "bitwise_invert" if name == "bitwise_not" else name
    function.__name__ = function.__qualname__ = public
    function.__doc__ = (inner.__doc__ or "").split("\n")[0]
    return function


def _binary(name: str, function_name: str) -> Callable[[Array | Number, Array | Number], Array]:
    inner: Callable[..., Any] = getattr(ops, function_name)

    def function(x1: Array | Number, x2: Array | Number, /) -> Array:
        result: Array = inner(*_operands(x1, x2))
        return result

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (inner.__doc__ or "").split("\n")[0].replace("`input`", "`x1`").replace("`other`", "`x2`")
    return function


def _operands(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Return the operands, a number as an array of the other one's dtype where its kind allows that."""
    if isinstance(x1, Tensor) and isinstance(x2, Tensor):
        # Arrays without axes count as any other: the dtypes alone decide.
        common = ops.promote_types(x1.dtype, x2.dtype)
        return x1.to(common), x2.to(common)
    if isinstance(x1, Tensor):
        return x1, scalar_like(x2, x1)
    return (scalar_like(x1, x2), x2) if isinstance(x2, Tensor) else (x1, x2)


_KINDS = {bool: "buifc", int: "uifc", float: "fc", complex: "c"}


def scalar_like(value: Any, like: Array) -> Any:
    """Return a number as a 0-d array of the dtype of an array, where that has room for its kind."""
    if type(value) in _KINDS and like.dtype.code in _KINDS[type(value)]:
        return ops.full((), value, dtype=like.dtype)
    return value


def _sign(x: Node) -> Node:
    if x.dtype.is_complex:
        magnitude = b.abs(x)
        is_zero = b.eq(magnitude, number(0, magnitude))
        unit = b.div(x, as_dtype(b.where(is_zero, number(1, magnitude), magnitude), x.dtype))
        return b.where(is_zero, number(0, x), unit)
    return b.where(b.eq(x, number(0, x)), number(0, x), b.sign(x))


def sign(x: Array, /) -> Array:
    """Return -1, 0 or 1, the sign of each element (NaN of NaN); of a complex number, ``x / abs(x)``."""
    result: Array = record(_sign, (x,))
    return result


def _expm1(x: Node) -> Node:
    if not x.dtype.is_complex:
        return b.expm1(as_float(x))
    finite = b.bitwise_and(b.isfinite(b.real(x)), b.isfinite(b.imag(x)))
    value = b.where(finite, b.expm1(x), b.sub(b.exp(x), number(1, x)))
    imaginary = b.imag(x)
    is_zero = b.bitwise_and(b.eq(x, number(0, x)), b.gt(b.copysign(number(1, imaginary), imaginary), number(0, imaginary)))
    return b.where(is_zero, number(0, x), value)


def expm1(x: Array, /) -> Array:
    """Return ``exp(x) - 1``, accurate near 0, with C99's limits at infinity."""
    result: Array = record(_expm1, (x,))
    return result


def _tanh(x: Node) -> Node:
    if not x.dtype.is_complex:
        return b.tanh(as_float(x))
    real, imaginary = b.real(x), b.imag(x)
    limit = b.bitwise_and(b.isinf(real), b.isfinite(imaginary))
    return b.where(limit, b.cast(b.sign(real), x.dtype), b.tanh(x))


def tanh(x: Array, /) -> Array:
    """Return the hyperbolic tangent; 1 or -1 where the real part is infinite."""
    result: Array = record(_tanh, (x,))
    return result


def _floor_divide(x: Node, y: Node) -> Node:
    if not x.dtype.is_floating_point:
        return b.floor_div(x, y)
    infinite = b.bitwise_or(b.isinf(x), b.isinf(y))
    return b.where(infinite, b.floor(b.div(x, y)), b.floor_div(x, y))


def floor_divide(x1: Array | Number, x2: Array | Number, /) -> Array:
    """Return the quotient rounded down; where an operand is infinite, the quotient's limit."""
    first, second = _operands(x1, x2)
    result: Array = record(_floor_divide, (first, second))
    return result


def _round(x: Node) -> Node:
    if not x.dtype.is_complex:
        return b.round(x)
    unit = b.const(1j, x.dtype)
    return b.add(b.cast(b.round(b.real(x)), x.dtype), b.mul(b.cast(b.round(b.imag(x)), x.dtype), unit))


def round(x: Array, /) -> Array:
    """Round to the nearest integer value, halves to even; complex numbers by parts."""
    result: Array = record(_round, (x,))
    return result


def clip(x: Array, /, min: Array | Number | None = None, max: Array | Number | None = None) -> Array:
    """Limit elements to [min, max]; the result has the dtype of `x`."""
    if min is None and max is None:
        return ops.clone(x)
    for bound, choose in ((min, ops.maximum), (max, ops.minimum)):
        if bound is not None:
            limit = bound.to(x.dtype) if isinstance(bound, Tensor) else ops.full((), _inside(bound, x), dtype=x.dtype)
            x = choose(x, limit)
    return x


def _inside(value: Any, x: Array) -> Any:
    """Return a bound that the dtype can hold."""
    if x.dtype.is_integer:
        info = ops.iinfo(x.dtype)
        return info.min if value < info.min else info.max if value > info.max else value
    return value


for _name in _UNARY:
    globals()["bitwise_invert" if _name == "bitwise_not" else _name] = _unary(_name)
for _name, _inner in _BINARY.items():
    globals()[_name] = _binary(_name, _inner)

__all__ = sorted(
    [*(n if n != "bitwise_not" else "bitwise_invert" for n in _UNARY), *_BINARY, "clip", "expm1", "floor_divide", "round", "sign", "tanh"]
)
