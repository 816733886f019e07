"""Bessel functions and their kin over nodes (float64 in, float64 out), from the expansions of `chebyshev_tables`.

Definitions: DLMF, chapters 9 and 10. Every branch is evaluated at a point that is safe for it, so that gradients stay finite.
"""

from __future__ import annotations

import math

from trine.core import build as b
from trine.core.graph import Node
from trine.ops import chebyshev_tables as table
from trine.ops.chebyshev import at_least, at_most, on_interval
from trine.ops.promotion import number

_QUARTER_PI = math.pi / 4


def _is_below(x: Node, limit: float) -> Node:
    return b.le(x, number(limit, x))


def _small_square(magnitude: Node, limit: float) -> Node:
    inside = at_most(magnitude, limit)
    return b.mul(inside, inside)


# --- modified, first kind -----------------------------------------------------------------------------------------------------------


def i0e(x: Node) -> Node:
    """Return ``exp(-|x|) I0(x)``."""
    magnitude = b.abs(x)
    large = at_least(magnitude, 8.0)
    far = b.mul(b.rsqrt(large), on_interval(b.reciprocal(large), 0, 1 / 8, table.I0_LARGE))
    return b.where(_is_below(magnitude, 8.0), on_interval(at_most(magnitude, 8.0), 0, 8, table.I0_SMALL), far)


def i1e(x: Node) -> Node:
    """Return ``exp(-|x|) I1(x)``."""
    magnitude = b.abs(x)
    large = at_least(magnitude, 8.0)
    far = b.mul(b.sign(x), b.mul(b.rsqrt(large), on_interval(b.reciprocal(large), 0, 1 / 8, table.I1_LARGE)))
    near = b.mul(x, on_interval(at_most(magnitude, 8.0), 0, 8, table.I1_SMALL))
    return b.where(_is_below(magnitude, 8.0), near, far)


def _unscaled(scaled: Node, x: Node) -> Node:
    # exp(|x|) overflows before the product does: in two halves.
    half = b.exp(b.mul(number(0.5, x), b.abs(x)))
    return b.mul(b.mul(scaled, half), half)


def i0(x: Node) -> Node:
    """Return the modified Bessel function I0."""
    infinite = b.isinf(x)
    value = _unscaled(i0e(x), b.where(infinite, number(0, x), x))
    return b.where(infinite, number(math.inf, x), value)


def i1(x: Node) -> Node:
    """Return the modified Bessel function I1."""
    infinite = b.isinf(x)
    value = _unscaled(i1e(x), b.where(infinite, number(0, x), x))
    return b.where(infinite, x, value)


# --- modified, second kind ----------------------------------------------------------------------------------------------------------


def _second_kind(x: Node, near: Node, far: Node) -> Node:
    """Join the parts of K0 or K1: infinite at 0, NaN below."""
    zero = number(0, x)
    value = b.where(_is_below(x, 2.0), near, far)
    return b.where(b.eq(x, zero), number(math.inf, x), b.where(b.lt(x, zero), number(math.nan, x), value))


def _k_near(x: Node, first: bool) -> Node:
    inside = at_least(at_most(x, 2.0), 1e-300)
    logarithm = b.log(b.mul(number(0.5, x), inside))
    square = b.mul(inside, inside)
    growth = b.exp(inside)
    if first:
        modified = b.mul(b.mul(growth, inside), on_interval(inside, 0, 8, table.I1_SMALL))
        return b.add(b.mul(logarithm, modified), b.div(on_interval(square, 0, 4, table.K1_SMALL), inside))
    modified = b.mul(growth, on_interval(inside, 0, 8, table.I0_SMALL))
    return b.sub(on_interval(square, 0, 4, table.K0_SMALL), b.mul(logarithm, modified))


def _k_far(x: Node, first: bool) -> Node:
    outside = at_least(x, 2.0)
    coefficients = table.K1_LARGE if first else table.K0_LARGE
    return b.mul(b.rsqrt(outside), on_interval(b.reciprocal(outside), 0, 1 / 2, coefficients))


def k0(x: Node) -> Node:
    """Return the modified Bessel function K0."""
    return _second_kind(x, _k_near(x, False), b.mul(b.exp(b.neg(at_least(x, 2.0))), _k_far(x, False)))


def k1(x: Node) -> Node:
    """Return the modified Bessel function K1."""
    return _second_kind(x, _k_near(x, True), b.mul(b.exp(b.neg(at_least(x, 2.0))), _k_far(x, True)))


def k0e(x: Node) -> Node:
    """Return ``exp(x) K0(x)``."""
    return _second_kind(x, b.mul(b.exp(at_most(x, 2.0)), _k_near(x, False)), _k_far(x, False))


def k1e(x: Node) -> Node:
    """Return ``exp(x) K1(x)``."""
    return _second_kind(x, b.mul(b.exp(at_most(x, 2.0)), _k_near(x, True)), _k_far(x, True))


# --- Bessel functions ---------------------------------------------------------------------------------------------------------------


def _waves(magnitude: Node, order: int, second_kind: bool) -> Node:
    """Return J or Y for magnitudes of 8 and more, by Hankel's expansion."""
    x = at_least(magnitude, 8.0)
    ratio = b.div(number(8, x), x)
    square = b.mul(ratio, ratio)
    p_table, q_table = (table.P1, table.Q1) if order else (table.P0, table.Q0)
    p = on_interval(square, 0, 1, p_table)
    q = b.mul(ratio, on_interval(square, 0, 1, q_table))
    phase = b.sub(x, number((2 * order + 1) * _QUARTER_PI, x))
    cosine, sine = b.cos(phase), b.sin(phase)
    wave = b.add(b.mul(p, sine), b.mul(q, cosine)) if second_kind else b.sub(b.mul(p, cosine), b.mul(q, sine))
    return b.mul(b.sqrt(b.div(number(2 / math.pi, x), x)), wave)


def j0(x: Node) -> Node:
    """Return the Bessel function J0."""
    magnitude = b.abs(x)
    near = on_interval(_small_square(magnitude, 8.0), 0, 64, table.J0_SMALL)
    value = b.where(_is_below(magnitude, 8.0), near, _waves(magnitude, 0, False))
    return b.where(b.isinf(x), number(0, x), value)


def j1(x: Node) -> Node:
    """Return the Bessel function J1."""
    magnitude = b.abs(x)
    near = b.mul(x, on_interval(_small_square(magnitude, 8.0), 0, 64, table.J1_SMALL))
    value = b.where(_is_below(magnitude, 8.0), near, b.mul(b.sign(x), _waves(magnitude, 1, False)))
    return b.where(b.isinf(x), number(0, x), value)


def _on_positive(x: Node, near: Node, far: Node) -> Node:
    """Join the parts of Y0 or Y1: -infinity at 0, NaN below."""
    zero = number(0, x)
    value = b.where(_is_below(x, 8.0), near, far)
    value = b.where(b.eq(x, number(math.inf, x)), zero, value)
    return b.where(b.eq(x, zero), number(-math.inf, x), b.where(b.lt(x, zero), number(math.nan, x), value))


def y0(x: Node) -> Node:
    """Return the Bessel function Y0."""
    inside = at_least(at_most(x, 8.0), 1e-300)
    near = on_interval(b.mul(inside, inside), 0, 64, table.Y0_SMALL)
    near = b.add(near, b.mul(b.mul(number(2 / math.pi, x), b.log(inside)), j0(inside)))
    return _on_positive(x, near, _waves(x, 0, True))


def y1(x: Node) -> Node:
    """Return the Bessel function Y1."""
    inside = at_least(at_most(x, 8.0), 1e-300)
    near = b.mul(inside, on_interval(b.mul(inside, inside), 0, 64, table.Y1_SMALL))
    singular = b.sub(b.mul(b.log(inside), j1(inside)), b.reciprocal(inside))
    return _on_positive(x, b.add(near, b.mul(number(2 / math.pi, x), singular)), _waves(x, 1, True))


def spherical_j0(x: Node) -> Node:
    """Return ``sin(x) / x``, 1 at 0 and 0 at infinity."""
    zero = number(0, x)
    plain = b.bitwise_or(b.eq(x, zero), b.isinf(x))
    safe = b.where(plain, number(1, x), x)
    return b.where(b.isinf(x), zero, b.where(b.eq(x, zero), number(1, x), b.div(b.sin(safe), safe)))


# --- Airy ---------------------------------------------------------------------------------------------------------------------------


def _airy_phase(magnitude: Node) -> Node:
    return b.mul(number(2 / 3, magnitude), b.mul(magnitude, b.sqrt(magnitude)))


def _airy_positive(x: Node) -> Node:
    outside = at_least(x, 2.0)
    phase = _airy_phase(outside)
    factor = on_interval(b.reciprocal(phase), 0, 3 / (2 * 2**1.5), table.AIRY_POSITIVE)
    return b.div(b.mul(b.exp(b.neg(phase)), factor), b.sqrt(b.sqrt(outside)))


def _airy_negative(x: Node) -> Node:
    outside = at_least(b.neg(x), 5.0)
    phase = _airy_phase(outside)
    ratio = b.div(number(2 / 3 * 5**1.5, x), phase)
    square = b.mul(ratio, ratio)
    shifted = b.sub(phase, number(_QUARTER_PI, x))
    cosine = b.mul(b.cos(shifted), on_interval(square, 0, 1, table.AIRY_COSINE))
    sine = b.div(b.mul(b.sin(shifted), on_interval(square, 0, 1, table.AIRY_SINE)), phase)
    return b.mul(b.div(number(1 / math.sqrt(math.pi), x), b.sqrt(b.sqrt(outside))), b.add(cosine, sine))


def airy_ai(x: Node) -> Node:
    """Return the Airy function Ai; NaN at both infinities, as in PyTorch."""
    middle = on_interval(at_least(at_most(x, 2.0), -5.0), -5, 2, table.AIRY_MIDDLE)
    value = b.where(b.gt(x, number(2, x)), _airy_positive(x), b.where(b.lt(x, number(-5, x)), _airy_negative(x), middle))
    return b.where(b.isfinite(x), value, number(math.nan, x))
