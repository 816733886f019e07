"""Trigonometric functions and their inverses.

sin, cos, tan: n = round(x 2 / pi), r = x - n pi / 2 in four parts of 33 bits (Cody and Waite; the parts are those of FreeBSD's msun),
minimax polynomials of sin and cos on [-pi / 4, pi / 4]. float32 is reduced in float64, where two parts do. Arguments too large for that
go lane by lane to the C library in a function of their own, off the hot path.

atan: reduced to |t| < tan(pi / 8), then a minimax polynomial (Remez exchange in 40 digits).
"""

from __future__ import annotations

import math

from trine.compiler.math_vector import INFINITY, NAN, Vector

_HALF_PI_PARTS = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624871116645580e-21, 8.47842766036889956997e-32)
# Above this n times a part is no longer exact.
_REDUCIBLE = 2.0**20

# (sin(r) / r - 1) / r**2 and (cos(r) - 1 + r**2 / 2) / r**4 in r**2, for results of 24 and of 53 bits.
_SIN = {
    32: (-0.16666666641223923, 0.0083333293384053181, -0.00019839319366616031, 2.7181625469143953e-06),
    64: (
        -0.16666666666666666, 0.0083333333333333228, -0.00019841269841254841, 2.7557319214070203e-06, -2.5052104879674836e-08,
        1.6058362489100279e-10, -7.5784892706177346e-13,
    ),
}  # fmt: skip
_COS = {
    32: (0.041666666622123774, -0.00138888836916808, 2.4799503490988659e-05, -2.7208856657254454e-07),
    64: (
        0.041666666666666664, -0.0013888888888888874, 2.4801587301571221e-05, -2.7557319215256695e-07, 2.0876754338946208e-09,
        -1.147029013711222e-11, 4.737966112984347e-14,
    ),
}  # fmt: skip
# (atan(t) / t - 1) / t**2 in t**2
_ATAN = {
    32: (
        -0.33333333333260395, 0.19999999982719413, -0.14285712873713674, 0.11111054387765056, -0.090896138721903538, 0.076742985171007749,
        -0.065100828049669185, 0.050367536194439746, -0.025463620506573772,
    ),
    64: (
        -0.33333333333333326, 0.19999999999997647, -0.14285714285385098, 0.11111111087995104, -0.090909081378953593, 0.076922826078859169,
        -0.066662245207094822, 0.05876999805698737, -0.052182622734417261, 0.045029694030826774, -0.033460903886268066,
        0.015181338358044491,
    ),
}  # fmt: skip
_HALF_PI = (math.pi / 2, 6.123233995736766e-17)  # the second is what the first rounds away
_PI = (math.pi, 1.2246467991473532e-16)


def _double(v: Vector, x: str) -> tuple[Vector, str]:
    return (v, x) if v.bits == 64 else (v.widened(), v.extend(x))


def _narrow(v: Vector, x: str) -> str:
    return x if v.bits == 64 else v.truncate(x)


def _reduce(w: Vector, x: str, bits: int) -> tuple[str, str]:
    """Return (n, r) of doubles."""
    whole, n = w.round(w.fma(x, w.c(2 / math.pi), w.c(w.magic)))
    for part in _HALF_PI_PARTS if bits == 64 else _HALF_PI_PARTS[:2]:
        x = w.fma(whole, w.c(-part), x)
    return n, x


def _sin_cos(w: Vector, r: str, bits: int) -> tuple[str, str]:
    """Return sin and cos of |r| <= pi / 4."""
    z = w.mul(r, r)
    sine = w.fma(w.mul(w.poly(z, _SIN[bits]), z), r, r)
    # 1 - z / 2 with what it rounds away added to the rest.
    half = w.mul(w.c(0.5), z)
    leading = w.sub(w.c(1.0), half)
    lost = w.sub(w.sub(w.c(1.0), leading), half)
    return sine, w.add(leading, w.fma(w.mul(z, z), w.poly(z, _COS[bits]), lost))


def _with_large(v: Vector, name: str, x: str, w: Vector, wide: str, fast: str) -> str:
    """Return `fast`, or the C library's results if a lane is finite and too large for the reduction."""
    magnitude = w.abs(wide)
    large = w.both(w.compare("oge", magnitude, w.c(_REDUCIBLE)), w.compare("olt", magnitude, w.c(INFINITY)))
    return v.rare(large, name, (x,), fast)


def sin(v: Vector, x: str) -> str:
    """Sine; keeps -0."""
    return _quadrant(v, "sin", x, 0)


def cos(v: Vector, x: str) -> str:
    """Cosine."""
    return _quadrant(v, "cos", x, 1)


def _quadrant(v: Vector, name: str, x: str, quadrant: int) -> str:
    w, wide = _double(v, x)
    n, r = _reduce(w, wide, v.bits)
    sine, cosine = _sin_cos(w, r, v.bits)
    if quadrant:
        n = w.int_op("add", n, quadrant)
    odd = w.int_compare("ne", w.int_op("and", n, 1), 0)
    value = w.select(odd, cosine, sine)
    sign = w.int_op("shl", w.int_op("and", n, 2), 62)
    value = _narrow(v, w.from_int(w.int_op("xor", w.to_int(value), sign)))
    if not quadrant:
        value = v.where("oeq", x, v.c(0.0), x, value)
    return _with_large(v, name, x, w, wide, value)


def tan(v: Vector, x: str) -> str:
    """Tangent; keeps -0."""
    w, wide = _double(v, x)
    n, r = _reduce(w, wide, v.bits)
    sine, cosine = _sin_cos(w, r, v.bits)
    odd = w.int_compare("ne", w.int_op("and", n, 1), 0)
    value = _narrow(v, w.div(w.select(odd, w.neg(cosine), sine), w.select(odd, sine, cosine)))
    return _with_large(v, "tan", x, w, wide, v.where("oeq", x, v.c(0.0), x, value))


def _atan_ratio(w: Vector, numerator: str, denominator: str, bits: int) -> str:
    """Return atan(numerator / denominator) for numbers >= 0 with 0 <= numerator <= denominator (their ratio may be 0 / 0: NaN)."""
    # Above tan(pi / 8): atan(t) = pi / 4 + atan((t - 1) / (t + 1)).
    far = w.compare("ogt", numerator, w.mul(denominator, w.c(math.sqrt(2) - 1)))
    top = w.select(far, w.sub(numerator, denominator), numerator)
    bottom = w.select(far, w.add(numerator, denominator), denominator)
    t = w.div(top, bottom)
    z = w.mul(t, t)
    rest = w.mul(w.mul(w.poly(z, _ATAN[bits]), z), t)
    low = w.select(far, w.c(_HALF_PI[1] / 2), w.c(0.0))
    return w.add(w.select(far, w.c(math.pi / 4), w.c(0.0)), w.add(t, w.add(rest, low)))


def _angle(w: Vector, y: str, x: str, bits: int) -> str:
    """Return the angle of (x, y) for finite y >= 0 and any x, not both zero: in [0, pi]."""
    across = w.abs(x)
    steep = w.compare("ogt", y, across)
    angle = _atan_ratio(w, w.select(steep, across, y), w.select(steep, y, across), bits)
    angle = w.select(steep, w.sub(w.c(_HALF_PI[0]), w.sub(angle, w.c(_HALF_PI[1]))), angle)
    negative = w.int_compare("slt", w.to_int(x), 0)
    return w.select(negative, w.sub(w.c(_PI[0]), w.sub(angle, w.c(_PI[1]))), angle)


def atan(v: Vector, x: str) -> str:
    """Inverse tangent."""
    w, wide = _double(v, x)
    a = w.abs(wide)
    steep = w.compare("ogt", a, w.c(1.0))
    # 1 / infinity is 0, so infinity needs no case of its own.
    angle = _atan_ratio(w, w.select(steep, w.c(1.0), a), w.select(steep, w.clamp(a, None, 1e300), w.c(1.0)), v.bits)
    angle = w.select(steep, w.sub(w.c(_HALF_PI[0]), w.sub(angle, w.c(_HALF_PI[1]))), angle)
    return _narrow(v, w.copysign(angle, wide))


def asin(v: Vector, x: str) -> str:
    """Inverse sine: the angle of (sqrt((1 - x) (1 + x)), x); NaN outside [-1, 1]."""
    w, wide = _double(v, x)
    a = w.abs(wide)
    other = w.sqrt(w.mul(w.sub(w.c(1.0), a), w.add(w.c(1.0), a)))
    return _narrow(v, w.copysign(_outside(w, a, _angle(w, a, other, v.bits)), wide))


def acos(v: Vector, x: str) -> str:
    """Inverse cosine: the angle of (x, sqrt((1 - x) (1 + x))); NaN outside [-1, 1]."""
    w, wide = _double(v, x)
    other = w.sqrt(w.mul(w.sub(w.c(1.0), wide), w.add(w.c(1.0), wide)))
    return _narrow(v, _outside(w, w.abs(wide), _angle(w, other, wide, v.bits)))


def _outside(w: Vector, a: str, angle: str) -> str:
    return w.where("ule", a, w.c(1.0), angle, w.c(NAN))


def atan2(v: Vector, y: str, x: str) -> str:
    """Angle of the point (x, y), with the signs and special cases of C's atan2."""
    w, wide_y = _double(v, y)
    wide_x = x if v.bits == 64 else v.extend(x)
    a, b = w.abs(wide_y), w.abs(wide_x)
    # Two infinities are a diagonal; (0, 0) counts as a point on the axis.
    both_infinite = w.both(w.compare("oeq", a, w.c(INFINITY)), w.compare("oeq", b, w.c(INFINITY)))
    a = w.select(both_infinite, w.c(1.0), a)
    b = w.select(both_infinite, w.c(1.0), b)
    origin = w.both(w.compare("oeq", a, w.c(0.0)), w.compare("oeq", b, w.c(0.0)))
    b = w.select(origin, w.c(1.0), b)
    # One infinity: the ratio is 0, computed from finite numbers.
    y_infinite = w.compare("oeq", a, w.c(INFINITY))
    b = w.select(y_infinite, w.c(0.0), b)
    a = w.select(y_infinite, w.c(1.0), a)
    x_infinite = w.compare("oeq", b, w.c(INFINITY))
    a = w.select(x_infinite, w.mul(a, w.c(0.0)), a)
    b = w.select(x_infinite, w.c(1.0), b)
    angle = w.copysign(_angle(w, a, w.copysign(b, wide_x), v.bits), wide_y)
    return _narrow(v, w.where("uno", wide_x, wide_y, w.add(wide_x, wide_y), angle))
