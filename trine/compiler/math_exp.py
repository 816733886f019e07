"""The exponential family: exp, exp2, expm1, sigmoid, tanh, sinh, cosh.

Method: n = round(x / ln 2), r = x - n ln 2 in two parts (Cody and Waite, 1980), a polynomial in r, times 2**n. The polynomials are minimax
fits (Remez exchange in 40 digits) of (expm1(r) - r) / r**2 and (2**r - 1) / r on half an octave to each side.
"""

from __future__ import annotations

import math

from trine.compiler.math_vector import Vector

# (expm1(r) - r) / r**2
_EXPM1 = {
    32: (0.500000005, 0.166666668, 0.0416663535, 0.00833327278, 0.00139411017, 0.000199143329),
    64: (
        0.5, 0.16666666666666677, 0.041666666666666699, 0.0083333333333215319, 0.0013888888888866533, 0.00019841269886400749,
        2.4801587361115706e-05, 2.7557243912019443e-06, 2.7557242310995962e-07, 2.5109147272853923e-08, 2.0924574548375376e-09,
    ),
}  # fmt: skip
# (2**r - 1) / r
_EXP2 = {
    32: (0.693147206, 0.240226514, 0.0555032746, 0.00961800331, 0.00134004027, 0.000154764684),
    64: (
        0.69314718055994529, 0.24022650695910072, 0.055504108664821701, 0.009618129107628496, 0.0013333558146390171,
        0.00015403530393340761, 1.5252733856511369e-05, 1.3215486833329094e-06, 1.0178051087882384e-07, 7.0548881524093654e-09,
        4.4566930472746759e-10, 2.574194056791534e-11,
    ),
}  # fmt: skip
# ln 2 in two parts; n times the first is exact.
_LN2 = {32: (0.693359375, -2.12194440e-4), 64: (6.93147180369123816490e-01, 1.90821492927058770002e-10)}
# Beyond these the result is zero or infinity.
_RANGE = {32: (-104.5, 89.0), 64: (-746.0, 710.0)}
_EXP2_RANGE = {32: (-151.0, 129.0), 64: (-1076.0, 1025.0)}


def _reduce(v: Vector, x: str) -> tuple[str, str, str]:
    """Return (n as float, n as integer, r)."""
    whole, n = v.round(v.fma(x, v.c(1 / math.log(2)), v.c(v.magic)))
    high, low = _LN2[v.bits]
    return whole, n, v.fma(whole, v.c(-low), v.fma(whole, v.c(-high), x))


def _scale(v: Vector, x: str, whole: str, n: str) -> str:
    """Return x 2**n, by one instruction where there is one."""
    if v.f.module.vector_bits == 512 and v.lanes * v.bits == 512:
        kind = "ps" if v.bits == 32 else "pd"
        arguments = ((v.type, x), (v.type, whole), (v.type, "zeroinitializer"), (f"i{v.lanes}", "-1"), ("i32", "4"))
        return v.f.call(v.type, f"llvm.x86.avx512.mask.scalef.{kind}.512", *arguments)
    return v.scale(x, n)


def exp(v: Vector, x: str) -> str:
    """e**x."""
    return exp_of_sum(v, v.clamp(x, *_RANGE[v.bits]), None)


def exp_of_sum(v: Vector, x: str, low: str | None) -> str:
    """e**(x + low) for x inside the range and a tiny `low`."""
    whole, n, r = _reduce(v, x)
    if low is not None:
        r = v.add(r, low)
    p = v.add(v.fma(v.poly(r, _EXPM1[v.bits]), v.mul(r, r), r), v.c(1.0))
    return _scale(v, p, whole, n)


def exp2(v: Vector, x: str) -> str:
    """2**x."""
    x = v.clamp(x, *_EXP2_RANGE[v.bits])
    whole, n = v.round(v.add(x, v.c(v.magic)))
    r = v.sub(x, whole)
    return _scale(v, exp2_poly(v, r), whole, n)


def exp2_poly(v: Vector, r: str) -> str:
    """2**r for r in [-1/2, 1/2]."""
    return v.fma(v.poly(r, _EXP2[v.bits]), r, v.c(1.0))


def _expm1_parts(v: Vector, x: str) -> tuple[str, str]:
    """Return (expm1(r), n): expm1(x) = 2**n expm1(r) + (2**n - 1)."""
    _, n, r = _reduce(v, x)
    return v.fma(v.poly(r, _EXPM1[v.bits]), v.mul(r, r), r), n


def _expm1_moderate(v: Vector, x: str) -> str:
    """expm1 for x where 2**n neither overflows nor underflows; -0 gives 0."""
    p, n = _expm1_parts(v, x)
    power = v.power_of_two(n)
    return v.fma(power, p, v.sub(power, v.c(1.0)))


def expm1(v: Vector, x: str) -> str:
    """e**x - 1, accurate near 0."""
    bounded = v.clamp(x, -20.0 if v.bits == 32 else -40.0, _RANGE[v.bits][1])
    p, n = _expm1_parts(v, bounded)
    # One power less, doubled at the end: 2**128 itself is not a float. Tiny x (whose half may be inexact) are their own result.
    power = v.power_of_two(v.int_op("sub", n, 1))
    value = v.fma(power, p, v.sub(power, v.c(0.5)))
    return v.where("olt", v.abs(x), v.c(2.0 ** -(v.mantissa + 2)), x, v.add(value, value))


def sigmoid(v: Vector, x: str) -> str:
    """1 / (1 + e**-x), without overflow: with e = exp(-|x|) it is 1 / (1 + e) or e / (1 + e)."""
    e = exp_of_sum(v, v.clamp(v.neg(v.abs(x)), _RANGE[v.bits][0], None), None)
    return v.div(v.where("olt", x, v.c(0.0), e, v.c(1.0)), v.add(e, v.c(1.0)))


def tanh(v: Vector, x: str) -> str:
    """t / (t + 2) with t = expm1(2 |x|); it rounds to 1 where the argument is cut off."""
    a = v.abs(x)
    t = _expm1_moderate(v, v.clamp(v.add(a, a), None, 20.0 if v.bits == 32 else 44.0))
    return v.copysign(v.div(t, v.add(t, v.c(2.0))), x)


def sinh(v: Vector, x: str) -> str:
    """(t + t / (t + 1)) / 2 with t = expm1(|x|); e**(|x|/2) squared where that overflows."""
    a = v.abs(x)
    t = expm1(v, a)
    ratio = v.where("oeq", t, v.c(math.inf), v.c(1.0), v.div(t, v.add(t, v.c(1.0))))
    moderate = v.mul(v.c(0.5), v.add(t, ratio))
    # e**(|x| - ln 2) in the last octave, with ln 2 exact enough as two parts.
    return v.copysign(v.where("ogt", a, v.c(_LAST_OCTAVE[v.bits]), _half_exp(v, a), moderate), x)


def cosh(v: Vector, x: str) -> str:
    """(e + 1 / e) / 2 with e = e**|x|."""
    a = v.abs(x)
    e = exp(v, a)
    moderate = v.add(v.mul(v.c(0.5), e), v.div(v.c(0.5), e))
    return v.where("ogt", a, v.c(_LAST_OCTAVE[v.bits]), _half_exp(v, a), moderate)


_LAST_OCTAVE = {32: 80.0, 64: 700.0}


def _half_exp(v: Vector, a: str) -> str:
    """e**a / 2 for a up to where this overflows, though e**a overflows earlier."""
    a = v.clamp(a, None, _RANGE[v.bits][1] + 1.0)
    whole, n, r = _reduce(v, a)
    p = v.add(v.fma(v.poly(r, _EXPM1[v.bits]), v.mul(r, r), r), v.c(1.0))
    return v.scale(p, v.int_op("sub", n, 1))
