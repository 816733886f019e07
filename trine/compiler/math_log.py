"""The logarithm family: log, log2, log10, log1p, asinh, acosh, atanh, and pow.

Method: x = 2**e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)]. float32: log(1 + f) = f - f**2 / 2 + f**3 P(f), P a minimax fit (Remez exchange
in 40 digits). float64: with s = f / (2 + f), log(1 + f) = f - (f**2 / 2 - s (f**2 / 2 + R(s**2))), as in FreeBSD's msun (Sun, 1993).
"""

from __future__ import annotations

import math
import struct

from trine.compiler.math_vector import INFINITY, NAN, Vector

_P32 = (0.333333104, -0.249999866, 0.200022265, -0.166692509, 0.142186604, -0.123843481, 0.118729611, -0.117898098, 0.0691540498)
# R(z) / z of msun's e_log.c, k_log.h.
_R64 = (
    6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01, 1.818357216161805012e-01,
    1.531383769920937332e-01, 1.479819860511658591e-01,
)  # fmt: skip
_LN2 = {32: (0.693359375, -2.12194440e-4), 64: (6.93147180369123816490e-01, 1.90821492927058770002e-10)}
# 1 / ln 2, log10(2) and 1 / ln 10 in two parts: the product of the first with few leading bits is exact.
_INV_LN2 = (1.44269504072144627571e00, 1.67517131648865118353e-10)
_INV_LN10 = (4.34294481878168880939e-01, 2.50829467116452752298e-11)
_LOG10_2 = (3.01029995663611771306e-01, 3.69423907715893078616e-13)


def _smallest_normal(v: Vector) -> float:
    return 2.0**-126 if v.bits == 32 else 2.0**-1022


def _bits(v: Vector, value: float) -> int:
    return int(struct.unpack("<i", struct.pack("<f", value))[0] if v.bits == 32 else struct.unpack("<q", struct.pack("<d", value))[0])


def _split(v: Vector, x: str) -> tuple[str, str]:
    """Return (e, m) of a positive normal x: x = 2**e m, m in [sqrt(1/2), sqrt(2)); e is an integer."""
    root = _bits(v, math.sqrt(0.5))
    shifted = v.int_op("sub", v.to_int(x), root)
    e = v.int_op("ashr", shifted, v.mantissa)
    m = v.int_op("add", v.int_op("and", shifted, (1 << v.mantissa) - 1), root)
    return e, v.from_int(m)


def _split_any(v: Vector, x: str) -> tuple[str, str]:
    """Return (e as a float, m) of a positive x, subnormal or not."""
    tiny = v.compare("olt", x, v.c(_smallest_normal(v)))
    shift = v.mantissa + 2
    e, m = _split(v, v.select(tiny, v.mul(x, v.c(2.0**shift)), x))
    return v.sub(_to_float(v, e), v.select(tiny, v.c(float(shift)), v.c(0.0))), m


def _to_float(v: Vector, e: str) -> str:
    """Convert small integers to floats (64-bit conversion is slow before AVX-512: the magic number does it)."""
    if v.bits == 32:
        return v.f.value(f"sitofp {v.integer} {e} to {v.type}")
    return v.sub(v.from_int(v.int_op("add", e, _bits(v, v.magic))), v.c(v.magic))


def _rest(v: Vector, f: str) -> tuple[str, str]:
    """Return (h, t): log(1 + f) = f - (h - t) with h = f**2 / 2 and t the small rest."""
    square = v.mul(f, f)
    h = v.mul(v.c(0.5), square)
    if v.bits == 32:
        return h, v.mul(v.mul(v.poly(f, _P32), square), f)
    s = v.div(f, v.add(f, v.c(2.0)))
    z = v.mul(s, s)
    return h, v.mul(s, v.fma(v.poly(z, _R64), z, h))


def _specials(v: Vector, x: str, value: str) -> str:
    """Replace the results for 0 (-inf), negative numbers (NaN), infinity and NaN."""
    value = v.where("oeq", x, v.c(0.0), v.c(-INFINITY), value)
    value = v.where("olt", x, v.c(0.0), v.c(NAN), value)
    # Infinity and NaN are their own logarithm (NaN passes the unordered comparison).
    return v.where("ueq", x, v.c(INFINITY), x, value)


def log(v: Vector, x: str) -> str:
    """Natural logarithm."""
    e, m = _split_any(v, x)
    f = v.sub(m, v.c(1.0))
    return _specials(v, x, _combine(v, e, f))


def _combine(v: Vector, e: str, f: str) -> str:
    """e ln 2 + log(1 + f)."""
    high, low = _LN2[v.bits]
    h, t = _rest(v, f)
    small = v.fma(e, v.c(low), t)
    return v.fma(e, v.c(high), v.sub(f, v.sub(h, small)))


def log1p(v: Vector, x: str) -> str:
    """log(1 + x), accurate near 0: what 1 + x rounds away is added to f."""
    u = v.add(x, v.c(1.0))
    e, m = _split(v, u)
    lost = v.where("oge", x, v.c(1.0), v.sub(v.c(1.0), v.sub(u, x)), v.sub(x, v.sub(u, v.c(1.0))))
    exponent = v.int_select(v.int_compare("slt", e, v.bias), v.int_op("sub", v.i(v.bias), e), v.i(0))
    power = v.from_int(v.int_op("shl", exponent, v.mantissa))
    f = v.fma(lost, power, v.sub(m, v.c(1.0)))
    f = v.select(v.int_compare("eq", e, 0), x, f)
    value = _combine(v, _to_float(v, e), f)
    value = v.where("oeq", x, v.c(-1.0), v.c(-INFINITY), value)
    value = v.where("olt", x, v.c(-1.0), v.c(NAN), value)
    value = v.where("ueq", x, v.c(INFINITY), x, value)
    # Keeps -0 and the subnormals.
    return v.where("olt", v.abs(x), v.c(2.0 ** -(v.mantissa + 3)), x, value)


def _parts64(v: Vector, m: str) -> tuple[str, str]:
    """Return log(m) of doubles as (high, low), high with 21 or fewer bits."""
    f = v.sub(m, v.c(1.0))
    h, t = _rest(v, f)
    high = v.from_int(v.int_op("and", v.to_int(v.sub(f, h)), -(1 << 32)))
    return high, v.add(v.sub(v.sub(f, high), h), t)


def log2(v: Vector, x: str) -> str:
    """Base-2 logarithm; exact for powers of two."""
    return _in_base(v, x, (1.0, 0.0), _INV_LN2)


def log10(v: Vector, x: str) -> str:
    """Base-10 logarithm."""
    return _in_base(v, x, _LOG10_2, _INV_LN10)


def _in_base(v: Vector, x: str, two: tuple[float, float], inverse: tuple[float, float]) -> str:
    """e log_b(2) + log(m) / ln b, the leading parts exact. float32 goes through float64."""
    w = v if v.bits == 64 else v.widened()
    wide = x if v.bits == 64 else v.extend(x)
    e, m = _split_any(w, wide)
    high, low = _parts64(w, m)
    leading = w.mul(high, w.c(inverse[0]))
    rest = w.fma(w.add(low, high), w.c(inverse[1]), w.mul(low, w.c(inverse[0])))
    if two[1]:
        rest = w.fma(e, w.c(two[1]), rest)
    base = w.mul(e, w.c(two[0]))
    total = w.add(base, leading)
    value = w.add(total, w.add(rest, w.add(w.sub(base, total), leading)))
    value = _specials(w, wide, value)
    return value if v.bits == 64 else v.truncate(value)


def asinh(v: Vector, x: str) -> str:
    """log1p(a + a**2 / (1 + sqrt(a**2 + 1))) with a = |x|; log(a) + ln 2 where a**2 is large."""
    a = v.abs(x)
    square = v.mul(a, a)
    near = log1p(v, v.add(a, v.div(square, v.add(v.c(1.0), v.sqrt(v.add(square, v.c(1.0)))))))
    far = v.add(log(v, a), v.c(math.log(2)))
    return v.copysign(v.where("ogt", a, v.c(_LARGE[v.bits]), far, near), x)


def acosh(v: Vector, x: str) -> str:
    """log1p(t + sqrt(2 t + t**2)) with t = x - 1; log(x) + ln 2 where x**2 is large; NaN below 1."""
    t = v.sub(x, v.c(1.0))
    near = log1p(v, v.add(t, v.sqrt(v.fma(t, t, v.add(t, t)))))
    far = v.add(log(v, x), v.c(math.log(2)))
    value = v.where("ogt", x, v.c(_LARGE[v.bits]), far, near)
    return v.where("olt", x, v.c(1.0), v.c(NAN), value)


_LARGE = {32: 2.0**14, 64: 2.0**28}


def atanh(v: Vector, x: str) -> str:
    """log1p(2 a / (1 - a)) / 2 with a = |x|; infinity at 1, NaN beyond."""
    a = v.abs(x)
    value = v.mul(v.c(0.5), log1p(v, v.div(v.add(a, a), v.sub(v.c(1.0), a))))
    tiny = v.compare("olt", a, v.c(2.0 ** -(v.mantissa // 2 + 3)))
    return v.copysign(v.select(tiny, a, value), x)


# atanh series of log in base e: (log((1 + s) / (1 - s)) - 2 s) / s**3 in s**2, to 2**-44 of the logarithm: enough for a float32 result.
_POW_R = (0.66666666675860997, 0.39999995599019839, 0.28572111807261308, 0.22176069099513041, 0.1958599292093044)


def pow(v: Vector, x: str, y: str) -> str:
    """x**y with the special cases of C's pow. float32 goes through float64; float64 calls the C library lane by lane."""
    if v.bits == 64:
        return v.each_lane("pow", x, y)
    w = v.widened()
    magnitude = v.abs(x)
    wide, exponent = v.extend(magnitude), v.extend(y)
    # As a double every float32 is normal; 0 and infinity are replaced below.
    e, m = _split(w, wide)
    s = w.div(w.sub(m, w.c(1.0)), w.add(m, w.c(1.0)))
    z = w.mul(s, s)
    logarithm = w.fma(w.mul(w.poly(z, _POW_R), z), s, w.add(s, s))
    scaled = w.mul(exponent, w.fma(logarithm, w.c(1 / math.log(2)), _to_float(w, e)))
    value = v.truncate(_exp2_short(w, scaled))
    return _pow_specials(v, x, y, magnitude, value)


_EXP2_SHORT = (
    0.69314718054151203, 0.24022651078129431, 0.055504109631595758, 0.0096180365425729171, 0.0013333430259371739,
    0.00015467237382052281, 1.5315076529575186e-05,
)  # fmt: skip


def _exp2_short(w: Vector, x: str) -> str:
    """2**x of doubles to float32 accuracy; beyond the range of float32 it is still finite and nonzero, so that the conversion rounds it."""
    x = w.clamp(x, -200.0, 200.0)
    whole, n = w.round(w.add(x, w.c(w.magic)))
    r = w.sub(x, whole)
    return w.mul(w.fma(w.poly(r, _EXP2_SHORT), r, w.c(1.0)), w.power_of_two(n))


def _pow_specials(v: Vector, x: str, y: str, magnitude: str, value: str) -> str:
    """Zeros, infinities, NaN and negative bases (C11 F.10.4.4)."""
    zero, one, infinity = v.c(0.0), v.c(1.0), v.c(INFINITY)
    # |x| in {0, inf} or |y| infinite: the result is 0 or infinity, by the signs of log|x| and y.
    vanishes = v.f.value(f"xor {v.mask} {v.compare('olt', magnitude, one)}, {v.compare('olt', y, zero)}")
    extreme = v.either(
        v.either(v.compare("oeq", magnitude, zero), v.compare("oeq", magnitude, infinity)), v.compare("oeq", v.abs(y), infinity)
    )
    value = v.select(extreme, v.select(vanishes, zero, infinity), value)
    # Negative base (or -0): NaN unless y is whole, the sign of x if y is odd. Every |y| >= 2**24 is whole and even.
    absolute = v.abs(y)
    small = v.compare("olt", absolute, v.c(2.0**24))
    bounded = v.select(small, absolute, zero)
    n = v.f.value(f"fptosi {v.type} {bounded} to {v.integer}")
    whole = v.compare("oeq", v.f.value(f"sitofp {v.integer} {n} to {v.type}"), bounded)
    odd = v.both(v.int_compare("ne", v.int_op("and", n, 1), 0), whole)
    value = v.select(odd, v.copysign(value, x), value)
    finite_negative = v.both(v.compare("olt", x, zero), v.compare("olt", magnitude, infinity))
    fractional = v.f.value(f"xor {v.mask} {whole}, {_true(v)}")
    value = v.select(v.both(finite_negative, fractional), v.c(NAN), value)
    value = v.where("uno", x, y, v.add(x, y), value)
    unit = v.either(v.compare("oeq", y, zero), v.compare("oeq", x, one))
    unit = v.either(unit, v.both(v.compare("oeq", magnitude, one), v.compare("oeq", absolute, infinity)))
    return v.select(unit, one, value)


def _true(v: Vector) -> str:
    return "true" if v.lanes == 1 else "<" + ", ".join(["i1 true"] * v.lanes) + ">"
