"""Evaluating Chebyshev expansions over nodes: the ground of the special functions that are computed in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.ops.promotion import as_dtype, as_float, number

UnaryBuilder = Callable[[Node], Node]


def expansion(t: Node, coefficients: Sequence[float]) -> Node:
    """Return ``sum(c[k] * T_k(t))`` for t in [-1, 1], by Clenshaw's recurrence."""
    double = b.mul(number(2, t), t)
    first, second = number(coefficients[-1], t), number(0, t)
    for coefficient in coefficients[-2:0:-1]:
        first, second = b.add(b.sub(b.mul(double, first), second), number(coefficient, t)), first
    return b.add(b.sub(b.mul(t, first), second), number(coefficients[0], t))


def on_interval(x: Node, low: float, high: float, coefficients: Sequence[float]) -> Node:
    """Return the expansion of a function on [low, high] at x."""
    scale = 2 / (high - low)
    return expansion(b.sub(b.mul(x, number(scale, x)), number((high + low) / (high - low), x)), coefficients)


def at_most(x: Node, limit: float) -> Node:
    """Return x where it is at most `limit`, else `limit`; no gradient flows where it is cut."""
    return b.where(b.gt(x, number(limit, x)), number(limit, x), x)


def at_least(x: Node, limit: float) -> Node:
    """Return x where it is at least `limit`, else `limit`; no gradient flows where it is cut."""
    return b.where(b.lt(x, number(limit, x)), number(limit, x), x)


def in_double(builder: Callable[..., Node]) -> Callable[..., Node]:
    """Return a builder that computes in float64 and rounds once; integers and bool become the default dtype."""

    def wide(x: Node) -> Node:
        x = as_float(x)
        return as_dtype(builder(as_dtype(x, dtypes.float64)), x.dtype)

    return wide
