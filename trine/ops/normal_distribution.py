"""The normal distribution function, its inverse and its logarithm, and the scaled error function, over nodes (float64)."""

from __future__ import annotations

import math

from trine.core import build as b
from trine.core.graph import Node
from trine.ops import chebyshev_tables as table
from trine.ops.chebyshev import at_least, at_most, expansion, on_interval
from trine.ops.promotion import number

_ROOT_HALF = math.sqrt(0.5)


def _erfcx_positive(x: Node) -> Node:
    shifted = b.add(x, number(3.75, x))
    t = b.sub(number(1, x), b.div(number(7.5, x), shifted))
    return b.div(expansion(t, table.ERFCX), b.add(b.mul(number(2, x), x), number(1, x)))


def erfcx(x: Node) -> Node:
    """Return ``exp(x**2) erfc(x)`` without overflow for positive x."""
    zero = number(0, x)
    is_negative = b.lt(x, zero)
    tail = _erfcx_positive(b.abs(x))
    below = b.where(is_negative, x, zero)
    return b.where(is_negative, b.sub(b.mul(number(2, x), b.exp(b.mul(below, below))), tail), b.where(b.isnan(x), x, tail))


def ndtr(x: Node) -> Node:
    """Return the probability that a standard normal number is at most x."""
    return b.mul(number(0.5, x), b.erfc(b.mul(x, number(-_ROOT_HALF, x))))


def log_ndtr(x: Node) -> Node:
    """Return ``log(ndtr(x))``, exact in the lower tail too."""
    is_tail = b.lt(x, number(-1, x))
    low = at_most(x, -1.0)
    scaled = _erfcx_positive(b.mul(low, number(-_ROOT_HALF, x)))
    tail = b.sub(b.log(b.mul(number(0.5, x), scaled)), b.mul(number(0.5, x), b.mul(low, low)))
    rest = b.log1p(b.mul(number(-0.5, x), b.erfc(b.mul(at_least(x, -1.0), number(_ROOT_HALF, x)))))
    return b.where(is_tail, tail, rest)


_EDGE = math.exp(-2)


def _ndtri_tail(p: Node) -> Node:
    """Return ndtri for p <= exp(-2): in terms of w = sqrt(-2 log p)."""
    w = b.sqrt(b.mul(number(-2, p), b.log(p)))
    inverse = b.reciprocal(w)
    near = on_interval(at_least(inverse, 1 / 8), 1 / 8, 1 / 2, table.NDTRI_TAIL_NEAR)
    far = on_interval(at_most(inverse, 1 / 8), 1 / 40, 1 / 8, table.NDTRI_TAIL_FAR)
    correction = b.where(b.lt(w, number(8, w)), near, far)
    return b.mul(inverse, b.sub(b.add(b.log(w), correction), b.mul(w, w)))


def ndtri(p: Node) -> Node:
    """Return the inverse of `ndtr`: infinite at 0 and 1, NaN outside."""
    one, zero = number(1, p), number(0, p)
    is_upper = b.gt(p, number(0.5, p))
    smaller = b.where(is_upper, b.sub(one, p), p)
    is_tail = b.lt(smaller, number(_EDGE, p))
    offset = b.where(is_tail, zero, b.sub(p, number(0.5, p)))
    square = b.mul(offset, offset)
    centre = b.mul(offset, on_interval(square, 0, (0.5 - _EDGE) ** 2, table.NDTRI_CENTRE))
    tail = _ndtri_tail(at_least(at_most(smaller, _EDGE), 5e-324))
    value = b.where(is_tail, b.where(is_upper, b.neg(tail), tail), centre)
    value = b.where(b.eq(p, zero), number(-math.inf, p), b.where(b.eq(p, one), number(math.inf, p), value))
    inside = b.bitwise_and(b.ge(p, zero), b.le(p, one))
    return b.where(inside, value, number(math.nan, p))


def entr(x: Node) -> Node:
    """Return ``-x log(x)``: 0 at 0, -infinity below."""
    zero = number(0, x)
    is_positive = b.gt(x, zero)
    safe = b.where(is_positive, x, number(1, x))
    value = b.neg(b.mul(safe, b.log(safe)))
    rest = b.where(b.eq(x, zero), zero, b.where(b.isnan(x), x, number(-math.inf, x)))
    return b.where(is_positive, value, rest)
