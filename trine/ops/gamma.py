"""The zeta function, the derivatives of digamma, and the multivariate gamma function, over nodes (float64)."""

from __future__ import annotations

import math

from trine.core import build as b
from trine.core.graph import Node
from trine.ops.promotion import number

# B(2j) / (2j)!: the coefficients of the Euler-Maclaurin formula (DLMF 25.11.5).
_EULER_MACLAURIN = (
    *(1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600),
    *(-3617 / 10670622842880000, 43867 / 5109094217170944000),
)
_DIRECT_TERMS = 10


def _zeta_positive(s: Node, q: Node) -> Node:
    """Return ``sum((q + k) ** -s)`` for s > 1, q > 0: ten terms, and the Euler-Maclaurin formula for the rest."""
    exponent = b.neg(s)
    total = b.pow(q, exponent)
    for k in range(1, _DIRECT_TERMS):
        total = b.add(total, b.pow(b.add(q, number(k, q)), exponent))
    w = b.add(q, number(_DIRECT_TERMS, q))
    power = b.pow(w, exponent)
    total = b.add(total, b.add(b.div(b.mul(power, w), b.sub(s, number(1, s))), b.mul(number(0.5, w), power)))
    factor = b.div(b.mul(power, s), w)
    square = b.mul(w, w)
    for j, coefficient in enumerate(_EULER_MACLAURIN):
        total = b.add(total, b.mul(factor, number(coefficient, w)))
        rising = b.mul(b.add(s, number(2 * j + 1, s)), b.add(s, number(2 * j + 2, s)))
        factor = b.div(b.mul(factor, rising), square)
    return total


def zeta(s: Node, q: Node) -> Node:
    """Return the Hurwitz zeta function: infinite at s = 1 and at the poles q = 0, -1, ..., NaN for s < 1.

    Below 0 the terms before the first positive one are the difference of two more values: ``sum((q + k) ** -s, q + k < 0) =
    (-1) ** s * (zeta(s, 1 - f) - zeta(s, 1 - q))`` with ``f`` the first positive ``q + k``; real only for integers s.
    """
    zero, one, nan, infinity = (number(v, s) for v in (0, 1, math.nan, math.inf))
    is_positive = b.gt(q, zero)
    floor = b.floor(q)
    is_pole = b.bitwise_and(b.eq(floor, q), b.le(q, zero))
    first = b.where(is_positive, q, b.where(is_pole, one, b.sub(q, floor)))
    order = b.where(b.gt(s, one), s, number(2, s))
    value = _zeta_positive(order, first)
    if not (q.op == "const" and q.attrs[0] > 0):
        below = b.where(b.bitwise_or(is_positive, is_pole), number(-0.5, q), q)
        fraction = b.sub(below, b.floor(below))
        parity = b.sub(one, b.mul(number(2, s), b.remainder(order, number(2, s))))
        rest = b.mul(parity, b.sub(_zeta_positive(order, b.sub(one, fraction)), _zeta_positive(order, b.sub(one, below))))
        rest = b.where(b.eq(order, b.floor(order)), rest, nan)
        value = b.add(value, b.where(is_positive, zero, rest))
    value = b.where(is_pole, infinity, value)
    return b.where(b.eq(s, one), infinity, b.where(b.gt(s, one), value, nan))


def polygamma(x: Node, order: int) -> Node:
    """Return the derivative of digamma of an order of 1 or more: ``(-1)**(n+1) n! zeta(n + 1, x)`` (DLMF 25.11.12)."""
    return b.mul(number((-1.0) ** (order + 1) * math.factorial(order), x), zeta(number(order + 1, x), x))


def multigammaln(x: Node, dimension: int) -> Node:
    """Return the logarithm of the multivariate gamma function: ``p (p - 1) / 4 log(pi) + sum(lgamma(x - j / 2))`` (DLMF 35.3.5)."""
    total = number(dimension * (dimension - 1) / 4 * math.log(math.pi), x)
    for j in range(dimension):
        total = b.add(total, b.lgamma(b.sub(x, number(j / 2, x))))
    return total
