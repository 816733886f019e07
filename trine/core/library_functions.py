"""Elementwise functions without a closed form, computed by NumPy loops that run until every element is done: the primitive `library`.

Floating point functions take and return float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from trine.core.special import lgamma

F64 = npt.NDArray[np.float64]

_PRECISION = 2.0**-53
_MAX_STEPS = 200_000


def gcd(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The greatest common divisor of integers, not negative."""
    return np.asarray(np.gcd(a, b))


def _prefactor(a: F64, x: F64) -> F64:
    """x**a exp(-x) / gamma(a + 1), without overflow."""
    return np.exp(a * np.log(x) - x - lgamma(a + 1).reshape(a.shape))


def _lower_series(a: F64, x: F64) -> F64:
    """P(a, x) by its power series (DLMF 8.11.4), for x < a + 1."""
    term = np.ones_like(a)
    total = np.ones_like(a)
    for k in range(1, _MAX_STEPS):
        term = term * x / (a + k)
        total += term
        if not (term > _PRECISION * total).any():
            break
    return total * _prefactor(a, x)


def _upper_fraction(a: F64, x: F64) -> F64:
    """Q(a, x) by its continued fraction (DLMF 8.9.2) for x >= a + 1, evaluated by Lentz's method (Numerical Recipes, 5.2)."""
    tiny = 1e-300
    denominator = x + 1 - a
    c = np.full_like(a, 1 / tiny)
    d = 1 / denominator
    value = d.copy()
    for k in range(1, _MAX_STEPS):
        numerator = k * (a - k)
        denominator = denominator + 2
        d = numerator * d + denominator
        d = 1 / np.where(np.abs(d) < tiny, tiny, d)
        c = denominator + numerator / c
        c = np.where(np.abs(c) < tiny, tiny, c)
        value = value * (c * d)
        if not (np.abs(c * d - 1) > 16 * _PRECISION).any():  # a product of so many roundings does not come closer to 1
            break
    return value * _prefactor(a, x) * a


def _gammainc(a: F64, x: F64, upper: bool) -> F64:
    a, x = np.broadcast_arrays(a, x)
    result = np.full(a.shape, np.nan)
    regular = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    # At a = 0 all mass lies at 0; at infinity one parameter outgrows the other.
    result[((a == 0) & (x > 0)) | ((a >= 0) & np.isfinite(a) & (x == np.inf))] = 0 if upper else 1
    result[((a > 0) & (x == 0)) | ((a == np.inf) & (x >= 0) & np.isfinite(x))] = 1 if upper else 0
    low = regular & (x < a + 1)
    high = regular & ~low
    below, above = _lower_series(a[low], x[low]), _upper_fraction(a[high], x[high])
    result[low] = 1 - below if upper else below
    result[high] = above if upper else 1 - above
    return result


def gammainc(a: F64, x: F64) -> F64:
    """The regularized lower incomplete gamma function P(a, x)."""
    return _gammainc(a, x, False)


def gammaincc(a: F64, x: F64) -> F64:
    """The regularized upper incomplete gamma function Q(a, x) = 1 - P(a, x)."""
    return _gammainc(a, x, True)


# --- inverse distribution functions -------------------------------------------------------------------------------------------------


def poisson(unit: F64, rate: F64) -> F64:
    """The smallest k whose Poisson distribution function Q(k + 1, rate) exceeds a uniform number; NaN for a negative rate.

    By bisection between two bounds that hold all but 1e-18 of the mass.
    """
    unit, rate = np.broadcast_arrays(unit, rate)
    known = (rate > 0) & np.isfinite(rate)
    mean = np.where(known, rate, 1.0)
    spread = 10 * np.sqrt(mean) + 20
    low = np.maximum(np.floor(mean - spread), -1.0)
    high = np.ceil(mean + spread + 20)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        reached = gammaincc(middle + 1, mean) > unit
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle)
    return np.where(known, high, np.where(rate == 0, 0.0, np.nan))


def binomial(unit: F64, count: F64, p: F64) -> F64:
    """The smallest k at which the binomial distribution function exceeds a uniform number; NaN for impossible parameters."""
    unit, count, p = np.broadcast_arrays(unit, np.floor(count), p)
    known = (count >= 0) & np.isfinite(count) & (p >= 0) & (p <= 1)
    trials, chance = np.where(known, count, 0.0), np.where(known, p, 0.0)
    inside = (chance > 0) & (chance < 1)
    safe = np.where(inside, chance, 0.5)
    total = lgamma(trials + 1).reshape(trials.shape)
    odds = np.log(safe) - np.log1p(-safe)
    base = total + trials * np.log1p(-safe)
    result = np.where(inside, trials, np.where(chance == 1, trials, 0.0))
    cumulative = np.zeros(trials.shape)
    open_ = inside.copy()
    for k in range(int(trials.max(initial=0))):
        if not open_.any():
            break
        rest = np.maximum(trials - k, 0)
        logarithm = base - lgamma(np.full(1, k + 1.0)) - lgamma(rest + 1).reshape(trials.shape) + k * odds
        cumulative += np.where(k <= trials, np.exp(logarithm), 0.0)
        done = open_ & (cumulative > unit)
        result = np.where(done, k, result)
        open_ &= ~done
    return np.where(known, np.minimum(result, trials), np.nan)


# --- orthogonal polynomials ---------------------------------------------------------------------------------------------------------

# p[k+1] from k, x, p[k], p[k-1] (DLMF 18.9); degree 1 from x.
Recurrence = Callable[[int, F64, F64, F64], F64]
_POLYNOMIALS: dict[str, tuple[Callable[[F64], F64], Recurrence]] = {
    "chebyshev_t": (lambda x: x, lambda k, x, p, q: 2 * x * p - q),
    "chebyshev_u": (lambda x: 2 * x, lambda k, x, p, q: 2 * x * p - q),
    "chebyshev_v": (lambda x: 2 * x - 1, lambda k, x, p, q: 2 * x * p - q),
    "chebyshev_w": (lambda x: 2 * x + 1, lambda k, x, p, q: 2 * x * p - q),
    "hermite_h": (lambda x: 2 * x, lambda k, x, p, q: 2 * x * p - 2 * k * q),
    "hermite_he": (lambda x: x, lambda k, x, p, q: x * p - k * q),
    "laguerre_l": (lambda x: 1 - x, lambda k, x, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1)),
    "legendre_p": (lambda x: x, lambda k, x, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1)),
}


def _polynomial(first: Callable[[F64], F64], recurrence: Recurrence) -> Callable[[F64, F64], F64]:
    """Return the function of x and degree: by the recurrence in k, up to the largest degree among the elements; 0 for degrees below 0."""

    def function(x: F64, degree: F64) -> F64:
        x, degree = np.broadcast_arrays(x, np.trunc(degree))
        result = np.where(degree == 0, 1.0, np.where(np.isnan(degree), np.nan, 0.0))
        previous, current = np.ones_like(x), np.asarray(first(x))
        largest = degree.max(initial=0, where=np.isfinite(degree))
        for k in range(1, int(min(largest, _MAX_STEPS)) + 1):
            result = np.where(degree == k, current, result)
            previous, current = current, recurrence(k, x, current, previous)
        return np.asarray(result)

    return function


FUNCTIONS: dict[str, Callable[..., npt.NDArray[Any]]] = {
    "gcd": gcd,
    "gammainc": gammainc,
    "gammaincc": gammaincc,
    "poisson": poisson,
    "binomial": binomial,
    **{name: _polynomial(*parts) for name, parts in _POLYNOMIALS.items()},
}
"""Function name -> function of arrays: the values of the attribute of `library`."""
