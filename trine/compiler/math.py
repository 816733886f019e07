"""Float functions of the primitive table as vector code.

`emit_unary` and `emit_binary` write a primitive on float32 or float64 values of any number of lanes. `ULP` states each function's largest
error in units in the last place, for every target (with and without FMA); the tests hold the functions to it. NaN, infinities, signed
zeros and subnormals are treated as C's mathematics library does (Annex F), except that no floating-point exception flags are promised.
"""

from __future__ import annotations

from collections.abc import Callable

from trine.compiler import math_erf, math_exp, math_log, math_round, math_trig
from trine.compiler.ir import Function
from trine.compiler.math_vector import Vector
from trine.dtypes import DType

_UNARY: dict[str, Callable[[Vector, str], str]] = {
    "neg": Vector.neg,
    "abs": Vector.abs,
    "sqrt": Vector.sqrt,
    "rsqrt": lambda v, x: v.div(v.c(1.0), v.sqrt(x)),
    "reciprocal": lambda v, x: v.div(v.c(1.0), x),
    "sign": math_round.sign,
    "floor": math_round.floor,
    "ceil": math_round.ceil,
    "trunc": math_round.trunc,
    "round": math_round.round_even,
    "exp": math_exp.exp,
    "exp2": math_exp.exp2,
    "expm1": math_exp.expm1,
    "sigmoid": math_exp.sigmoid,
    "tanh": math_exp.tanh,
    "sinh": math_exp.sinh,
    "cosh": math_exp.cosh,
    "log": math_log.log,
    "log2": math_log.log2,
    "log10": math_log.log10,
    "log1p": math_log.log1p,
    "asinh": math_log.asinh,
    "acosh": math_log.acosh,
    "atanh": math_log.atanh,
    "sin": math_trig.sin,
    "cos": math_trig.cos,
    "tan": math_trig.tan,
    "asin": math_trig.asin,
    "acos": math_trig.acos,
    "atan": math_trig.atan,
    "erf": math_erf.erf,
    "erfc": math_erf.erfc,
}

_BINARY: dict[str, Callable[[Vector, str, str], str]] = {
    "add": Vector.add,
    "sub": Vector.sub,
    "mul": Vector.mul,
    "div": Vector.div,
    "maximum": math_round.maximum,
    "minimum": math_round.minimum,
    "copysign": Vector.copysign,
    "fmod": math_round.fmod,
    "remainder": math_round.remainder,
    "floor_div": math_round.floor_div,
    "nextafter": math_round.nextafter,
    "pow": math_log.pow,
    "atan2": math_trig.atan2,
}

# Largest error in ulp for (float32, float64); 0.5 is correct rounding, 0 an exact result. Functions of float32 with 0.51 to 0.6 are
# computed in float64. The C library is assumed to be within 1 ulp where it is called.
ULP: dict[str, tuple[float, float]] = {
    **dict.fromkeys("neg abs sign floor ceil trunc round maximum minimum copysign nextafter fmod".split(), (0, 0)),
    **dict.fromkeys("add sub mul div sqrt reciprocal".split(), (0.5, 0.5)),
    **{"rsqrt": (1.5, 1.5), "exp": (1, 1), "exp2": (1.5, 1.5), "expm1": (2, 2.5), "sigmoid": (2.5, 2.5), "tanh": (2.5, 3)},
    **{"sinh": (2.5, 3), "cosh": (2, 2), "log": (1, 1), "log2": (0.51, 1), "log10": (0.51, 1), "log1p": (2, 2)},
    **{"asinh": (2.5, 2.5), "acosh": (3, 3), "atanh": (2.5, 2.5), "pow": (0.51, 1), "erf": (1.5, 2), "erfc": (0.51, 5)},
    **{"sin": (0.6, 2), "cos": (0.6, 2), "tan": (1.5, 4), "asin": (0.51, 3), "acos": (0.51, 3), "atan": (0.51, 2.5), "atan2": (0.51, 3)},
    **{"remainder": (0.5, 0.5), "floor_div": (1, 1)},
}

# Float primitives without vector code: they run on the host.
UNSUPPORTED = frozenset({"erfinv", "lgamma", "digamma"})


def is_supported(op: str, dtype: DType) -> bool:
    """Return True if the float primitive `op` has vector code; half types compute in float32, so they count."""
    return dtype.is_floating_point and (op in _UNARY or op in _BINARY)


def emit_unary(f: Function, op: str, x: str, dtype: DType, lanes: int) -> str:
    """Emit a unary float primitive.

    Args:
        f: the function under construction; new blocks may be begun in it.
        op: the primitive's name.
        x: value of type ``float`` or ``double`` (one lane) or ``<lanes x float>``.
        dtype: float32 or float64.

    Returns:
        the result, of the same type.

    Raises:
        KeyError: `op` has no vector code (see `UNSUPPORTED`).
    """
    return _UNARY[op](_vector(f, dtype, lanes), x)


def emit_binary(f: Function, op: str, a: str, b: str, dtype: DType, lanes: int) -> str:
    """Emit a binary float primitive; as `emit_unary`."""
    return _BINARY[op](_vector(f, dtype, lanes), a, b)


def _vector(f: Function, dtype: DType, lanes: int) -> Vector:
    return Vector(f, "double" if dtype.itemsize == 8 else "float", lanes)
