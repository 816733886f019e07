"""Divergences between families: minus the entropy of p, minus the mean of q's log density under p.

That mean takes few moments of p: those of x and x**2 for a normal q, of log x for a gamma q, of exp(-x / scale) for a Gumbel q, and so on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trine.distributions.bernoulli import Bernoulli
from trine.distributions.beta import Beta
from trine.distributions.binomial import Binomial
from trine.distributions.continuous_bernoulli import ContinuousBernoulli
from trine.distributions.exponential import Exponential
from trine.distributions.gamma import Gamma
from trine.distributions.gumbel import Gumbel
from trine.distributions.kl import register_kl
from trine.distributions.kl_same import infinite_where
from trine.distributions.laplace import Laplace
from trine.distributions.normal import Normal
from trine.distributions.pareto import Pareto
from trine.distributions.poisson import Poisson
from trine.distributions.uniform import Uniform
from trine.distributions.utils import euler_constant
from trine.ops import digamma, erf, exp, full_like, lgamma, log, log1p, xlogy

# --- moments of p -----------------------------------------------------------------------------------------------------------------------


def _mean_log_uniform(low: Any, high: Any) -> Any:
    return (xlogy(high, high) - xlogy(low, low)) / (high - low) - 1


_MEAN_LOG: dict[type, Callable[[Any], Any]] = {
    Beta: lambda p: digamma(p.concentration1) - digamma(p.concentration1 + p.concentration0),
    Exponential: lambda p: -euler_constant - log(p.rate),
    Gamma: lambda p: digamma(p.concentration) - log(p.rate),
    Pareto: lambda p: log(p.scale) + p.alpha.reciprocal(),
    Uniform: lambda p: _mean_log_uniform(p.low, p.high),
}
"""Class -> the mean of log x."""

_MEAN_EXP: dict[type, Callable[[Any, Any], Any]] = {
    Exponential: lambda p, scale: p.rate * scale / (p.rate * scale + 1),
    Gamma: lambda p, scale: (1 + (p.rate * scale).reciprocal()).pow(-p.concentration),
    Normal: lambda p, scale: exp(0.5 * (p.scale / scale).pow(2) - p.loc / scale),
    Uniform: lambda p, scale: (exp(-p.low / scale) - exp(-p.high / scale)) * scale / (p.high - p.low),
}
"""Class -> the mean of exp(-x / scale)."""

# --- minus the mean log density of q under p --------------------------------------------------------------------------------------------


def _against_normal(p: Any, q: Any) -> Any:
    return 0.5 * math.log(2 * math.pi) + log(q.scale) + (p.variance + (p.mean - q.loc).pow(2)) / (2 * q.scale.pow(2))


def _against_exponential(p: Any, q: Any) -> Any:
    return q.rate * p.mean - log(q.rate)


def _against_gamma(p: Any, q: Any) -> Any:
    shape = q.concentration
    return lgamma(shape) - shape * log(q.rate) - (shape - 1) * _MEAN_LOG[_kind(p, _MEAN_LOG)](p) + q.rate * p.mean


def _against_gumbel(p: Any, q: Any) -> Any:
    return log(q.scale) + (p.mean - q.loc) / q.scale + exp(q.loc / q.scale) * _MEAN_EXP[_kind(p, _MEAN_EXP)](p, q.scale)


def _against_continuous_bernoulli(p: Any, q: Any) -> Any:
    return -p.mean * q.logits - log1p(-q.probs) - q._cont_bern_log_norm()


def _against_uniform(p: Any, q: Any) -> Any:
    return log(q.high - q.low)


def _kind(p: Any, table: dict[type, Any]) -> type:
    return next(kind for kind in type(p).__mro__ if kind in table)


def _register(type_p: type, type_q: type, against: Callable[[Any, Any], Any], outside: Callable[[Any, Any], Any] | None = None) -> None:
    """Register a pair; where `outside` holds, p has values that q has not, and the divergence is infinite."""

    def divergence(p: Any, q: Any) -> Any:
        value = against(p, q) - p.entropy()
        return value if outside is None else infinite_where(outside(p, q), value)

    register_kl(type_p, type_q)(divergence)


_type: type
_other: type
for _type in (Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Uniform):
    _register(_type, Normal, _against_normal)
for _type in (Beta, ContinuousBernoulli):
    _register(_type, Exponential, _against_exponential)
    _register(_type, Uniform, _against_uniform, lambda p, q: (q.low > 0) | (q.high < 1))
_register(Gamma, Exponential, _against_exponential)
for _type in (Beta, Exponential):
    _register(_type, Gamma, _against_gamma)
for _type in (Exponential, Gamma, Normal, Uniform):
    _register(_type, Gumbel, _against_gumbel)
_register(Beta, ContinuousBernoulli, _against_continuous_bernoulli)
_register(Uniform, ContinuousBernoulli, _against_continuous_bernoulli, lambda p, q: (p.high > 1) | (p.low < 0))
_register(Uniform, Exponential, _against_exponential, lambda p, q: p.low < 0)
_register(Uniform, Gamma, _against_gamma, lambda p, q: p.low < 0)
_register(Pareto, Exponential, _against_exponential, lambda p, q: p.alpha <= 1)
_register(Pareto, Gamma, _against_gamma, lambda p, q: p.alpha <= 1)
_register(Pareto, Normal, _against_normal, lambda p, q: p.alpha <= 2)
_register(Bernoulli, Poisson, lambda p, q: q.rate - p.probs * log(q.rate))


@register_kl(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Any:
    one, zero = q.concentration1, q.concentration0
    logs = (one - 1) * _mean_log_uniform(p.low, p.high) + (zero - 1) * _mean_log_uniform(1 - p.high, 1 - p.low)
    value = lgamma(one) + lgamma(zero) - lgamma(one + zero) - logs - p.entropy()
    return infinite_where((p.high > 1) | (p.low < 0), value)


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Any, q: Any) -> Any:
    value = (q.alpha + 1) * _mean_log_uniform(p.low, p.high) - log(q.alpha) - q.alpha * log(q.scale) - p.entropy()
    return infinite_where(p.low < q.scale, value)


@register_kl(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Any:
    distance = p.loc - q.loc
    z = distance / p.scale
    mean = math.sqrt(2 / math.pi) * p.scale * exp(-0.5 * z.pow(2)) + distance * erf(math.sqrt(0.5) * z)
    return log(2 * q.scale) + mean / q.scale - p.entropy()


_EVERYWHERE = (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
_INFINITE: dict[type, tuple[type, ...]] = {
    Beta: (Pareto,),
    ContinuousBernoulli: (Pareto,),
    Exponential: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gamma: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gumbel: _EVERYWHERE,
    Laplace: _EVERYWHERE,
    Normal: _EVERYWHERE,
    Pareto: (Beta, ContinuousBernoulli, Uniform),
    Poisson: (Bernoulli, Binomial),
}
"""Class of p -> classes of q that lack some of p's values."""


def _infinite(p: Any, q: Any) -> Any:
    return full_like(p.mean, math.inf)


for _type, _others in _INFINITE.items():
    for _other in _others:
        register_kl(_type, _other)(_infinite)
