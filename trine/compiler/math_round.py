"""Rounding, remainders and neighbours: floor, ceil, trunc, round, sign, fmod, remainder, floor_div, maximum, minimum, nextafter."""

from __future__ import annotations

from trine.compiler.math_vector import INFINITY, Vector


def round_even(v: Vector, x: str) -> str:
    """Round to the nearest whole number, halves to even."""
    if v.has_fma:
        return v.intrinsic("roundeven", x)
    # Adding and subtracting 2**mantissa rounds; from there on every number is whole.
    a, big = v.abs(x), v.c(2.0**v.mantissa)
    return v.where("olt", a, big, v.copysign(v.sub(v.add(a, big), big), x), x)


def floor(v: Vector, x: str) -> str:
    """Round to -infinity."""
    if v.has_fma:
        return v.intrinsic("floor", x)
    r = round_even(v, x)
    return v.copysign(v.sub(r, v.where("ogt", r, x, v.c(1.0), v.c(0.0))), x)


def ceil(v: Vector, x: str) -> str:
    """Round to +infinity."""
    if v.has_fma:
        return v.intrinsic("ceil", x)
    r = round_even(v, x)
    return v.copysign(v.add(r, v.where("olt", r, x, v.c(1.0), v.c(0.0))), x)


def trunc(v: Vector, x: str) -> str:
    """Round to zero."""
    if v.has_fma:
        return v.intrinsic("trunc", x)
    return v.copysign(floor(v, v.abs(x)), x)


def sign(v: Vector, x: str) -> str:
    """-1, 0 or 1; keeps NaN."""
    return v.where("one", x, v.c(0.0), v.copysign(v.c(1.0), x), v.add(x, v.c(0.0)))


def maximum(v: Vector, a: str, b: str) -> str:
    """The larger; NaN wins."""
    return v.where("uno", a, a, a, v.where("ogt", a, b, a, b))


def minimum(v: Vector, a: str, b: str) -> str:
    """The smaller; NaN wins."""
    return v.where("uno", a, a, a, v.where("olt", a, b, a, b))


def fmod(v: Vector, a: str, b: str) -> str:
    """The remainder with the sign of `a`, exact.

    float32: a - b trunc(a / b) in float64, exact while the quotient is below 2**28: then neither the quotient's rounding reaches a whole
    number nor the product needs more than 53 bits. Larger quotients, and float64, go to the C library lane by lane.
    """
    if v.bits == 64:
        return v.each_lane("fmod", a, b)
    w = v.widened()
    x, y = v.extend(a), v.extend(b)
    quotient = w.div(x, y)
    rest = w.sub(x, w.mul(trunc(w, quotient), y))
    value = v.copysign(v.truncate(rest), a)
    infinite = v.compare("oeq", v.abs(b), v.c(INFINITY))
    finite = v.compare("olt", v.abs(a), v.c(INFINITY))
    value = v.select(v.both(infinite, finite), a, value)
    magnitude = w.abs(quotient)
    large = w.both(w.compare("oge", magnitude, w.c(2.0**28)), w.compare("olt", magnitude, w.c(INFINITY)))
    return v.rare(large, "fmod", (a, b), value)


def _adjusted(v: Vector, a: str, b: str) -> tuple[str, str, str]:
    """Return (fmod(a, b), whether it has to move by b for its sign to be b's, whether it is 0)."""
    rest = fmod(v, a, b)
    zero = v.compare("oeq", rest, v.c(0.0))
    opposite = v.f.value(f"xor {v.mask} {v.compare('olt', rest, v.c(0.0))}, {v.compare('olt', b, v.c(0.0))}")
    return rest, v.both(opposite, v.compare("one", rest, v.c(0.0))), zero


def remainder(v: Vector, a: str, b: str) -> str:
    """The remainder with the sign of `b`, as Python's %."""
    rest, moved, zero = _adjusted(v, a, b)
    value = v.select(moved, v.add(rest, b), rest)
    return v.select(zero, v.copysign(v.c(0.0), b), value)


def floor_div(v: Vector, a: str, b: str) -> str:
    """The floor of the quotient, as Python's // (computed from the exact remainder); a / b where b is 0."""
    rest, moved, _ = _adjusted(v, a, b)
    quotient = v.div(v.sub(a, rest), b)
    quotient = v.select(moved, v.sub(quotient, v.c(1.0)), quotient)
    lower = floor(v, quotient)
    lower = v.where("ogt", v.sub(quotient, lower), v.c(0.5), v.add(lower, v.c(1.0)), lower)
    direct = v.div(a, b)
    lower = v.where("oeq", quotient, v.c(0.0), v.copysign(v.c(0.0), direct), lower)
    return v.where("oeq", b, v.c(0.0), direct, lower)


def nextafter(v: Vector, a: str, b: str) -> str:
    """The neighbour of `a` towards `b`."""
    bits = v.to_int(a)
    away = v.f.value(f"xor {v.mask} {v.compare('olt', a, b)}, {v.compare('olt', a, v.c(0.0))}")
    moved = v.from_int(v.int_select(away, v.int_op("add", bits, 1), v.int_op("sub", bits, 1)))
    smallest = v.copysign(v.from_int(v.i(1)), b)
    value = v.where("oeq", a, v.c(0.0), smallest, moved)
    value = v.where("oeq", a, b, b, value)
    return v.where("uno", a, b, v.add(a, b), value)
