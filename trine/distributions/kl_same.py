"""Divergences within families."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions.bernoulli import Bernoulli
from trine.distributions.beta import Beta
from trine.distributions.binomial import Binomial
from trine.distributions.categorical import Categorical
from trine.distributions.cauchy import Cauchy
from trine.distributions.continuous_bernoulli import ContinuousBernoulli
from trine.distributions.dirichlet import Dirichlet
from trine.distributions.exp_family import ExponentialFamily
from trine.distributions.exponential import Exponential
from trine.distributions.gamma import Gamma
from trine.distributions.geometric import Geometric
from trine.distributions.gumbel import Gumbel
from trine.distributions.half_normal import HalfNormal
from trine.distributions.independent import Independent
from trine.distributions.kl import kl_divergence, register_kl
from trine.distributions.laplace import Laplace
from trine.distributions.lowrank_multivariate_normal import LowRankMultivariateNormal
from trine.distributions.multivariate_normal import MultivariateNormal, half_log_det, mahalanobis
from trine.distributions.normal import Normal
from trine.distributions.one_hot_categorical import OneHotCategorical
from trine.distributions.pareto import Pareto
from trine.distributions.poisson import Poisson
from trine.distributions.transformed_distribution import TransformedDistribution
from trine.distributions.uniform import Uniform
from trine.distributions.utils import euler_constant, sum_rightmost
from trine.errors import ShapeError, UnsupportedError, message
from trine.ops import broadcast_shapes, digamma, exp, full_like, lgamma, log, log1p, softplus, where
from trine.ops.solving import solve_triangular
from trine.tensor.autograd import grad


def infinite_where(condition: Any, value: Any) -> Any:
    """Return the value, infinity where the condition holds."""
    return where(condition, full_like(value, math.inf), value)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Any:
    yes = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    yes = where(p.probs == 0, yes * 0, infinite_where(q.probs == 0, yes))
    no = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    return yes + where(p.probs == 1, no * 0, infinite_where(q.probs == 1, no))


@register_kl(Beta, Beta)
def _beta(p: Any, q: Any) -> Any:
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(Binomial, Binomial)
def _binomial(p: Any, q: Any) -> Any:
    if bool((p.total_count < q.total_count).any()):
        raise UnsupportedError(message("KL between Binomials where q.total_count > p.total_count is not implemented"))
    value = p.total_count * (p.probs * (p.logits - q.logits) + log1p(-p.probs) - log1p(-q.probs))
    return infinite_where(p.total_count > q.total_count, value)


@register_kl(Categorical, Categorical)
def _categorical(p: Any, q: Any) -> Any:
    terms = p.probs * (p.logits - q.logits)
    terms = infinite_where((q.probs == 0).expand(tuple(terms.shape)), terms)
    return where((p.probs == 0).expand(tuple(terms.shape)), terms * 0, terms).nan_to_num(nan=0.0, posinf=math.inf).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: Any, q: Any) -> Any:
    return _categorical(p._categorical, q._categorical)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: Any, q: Any) -> Any:
    own, other = (d._cont_bern_log_norm() + log1p(-d.probs) for d in (p, q))
    return p.mean * (p.logits - q.logits) + own - other


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    totals = lgamma(a.sum(-1)) - lgamma(b.sum(-1)) - (lgamma(a) - lgamma(b)).sum(-1)
    return totals + ((a - b) * (digamma(a) - digamma(a.sum(-1)).unsqueeze(-1))).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return ratio - log(ratio) - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _exponential_family(p: Any, q: Any) -> Any:
    """The Bregman divergence of the log normalizer."""
    if type(p) is not type(q):
        what = "The cross KL-divergence between different exponential families cannot be computed using Bregman divergences"
        raise UnsupportedError(message(what, received=f"{type(p).__name__} and {type(q).__name__}"))
    own = [x.detach().requires_grad_() for x in p._natural_params]
    normalizer = p._log_normalizer(*own)
    gradients = grad(normalizer.sum(), own, create_graph=True)
    result = q._log_normalizer(*q._natural_params) - normalizer
    for mine, other, gradient in zip(own, q._natural_params, gradients, strict=True):
        term = (other - mine) * gradient
        result = result - sum_rightmost(term, term.dim() - result.dim())
    return result


@register_kl(Gamma, Gamma)
def _gamma(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    scale = b * log(p.rate / q.rate) + (q.rate - p.rate) * (a / p.rate)
    return scale + lgamma(b) - lgamma(a) + (a - b) * digamma(a)


@register_kl(Geometric, Geometric)
def _geometric(p: Any, q: Any) -> Any:
    return -p.entropy() - log1p(-q.probs) / p.probs - q.logits


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Any, q: Any) -> Any:
    ratio, distance = p.scale / q.scale, (q.loc - p.loc) / q.scale
    return ratio * euler_constant - log(ratio) - distance + exp(distance + lgamma(1 + ratio)) - (1 + euler_constant)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: Any, q: Any) -> Any:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p: Any, q: Any) -> Any:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return distance / q.scale - log(ratio) + ratio * exp(-distance / p.scale) - 1


@register_kl(Normal, Normal)
def _normal(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - log(ratio))


@register_kl(Pareto, Pareto)
def _pareto(p: Any, q: Any) -> Any:
    ratio = q.alpha / p.alpha
    value = q.alpha * log(p.scale / q.scale) - log(ratio) + ratio - 1
    return infinite_where(p.scale < q.scale, value)


@register_kl(Poisson, Poisson)
def _poisson(p: Any, q: Any) -> Any:
    return p.rate * (log(p.rate) - log(q.rate)) - (p.rate - q.rate)


@register_kl(Uniform, Uniform)
def _uniform(p: Any, q: Any) -> Any:
    return infinite_where((q.low > p.low) | (q.high < p.high), log((q.high - q.low) / (p.high - p.low)))


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Any, q: Any) -> Any:
    return log((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)) - log(4 * p.scale * q.scale)


@register_kl(Independent, Independent)
def _independent(p: Any, q: Any) -> Any:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise UnsupportedError(message("KL of Independent distributions with different reinterpreted_batch_ndims"))
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: Any, q: Any) -> Any:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise UnsupportedError(message("KL of transformed distributions with different transforms or event shapes"))
    return kl_divergence(p.base_dist, q.base_dist)


# --- multivariate normal distributions --------------------------------------------------------------------------------------------------


def _same_event(p: Any, q: Any) -> int:
    if p.event_shape != q.event_shape:
        what = "KL-divergence between two (Low Rank) Multivariate Normals with different event shapes cannot be computed"
        raise ShapeError(message(what, received=f"{tuple(p.event_shape)} and {tuple(q.event_shape)}"))
    return int(p.event_shape[0])


def _solved(tril: Any, matrix: Any) -> Any:
    batch = broadcast_shapes(tuple(tril.shape[:-2]), tuple(matrix.shape[:-2]))
    return solve_triangular(tril.expand((*batch, *tril.shape[-2:])), matrix.expand((*batch, *matrix.shape[-2:])), upper=False)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p: Any, q: Any) -> Any:
    n = _same_event(p, q)
    own, other = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    trace = _solved(other, own).pow(2).sum((-2, -1))
    return half_log_det(other) - half_log_det(own) + 0.5 * (trace + mahalanobis(other, q.loc - p.loc) - n)


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _low_rank_multivariate(p: Any, q: Any) -> Any:
    n, (factor, diagonal, _), tril = _same_event(p, q), p._own, q._unbroadcasted_scale_tril
    trace = _solved(tril, factor).pow(2).sum((-2, -1)) + _solved(tril, diagonal.sqrt().diag_embed()).pow(2).sum((-2, -1))
    return 0.5 * (2 * half_log_det(tril) - p.log_det() + trace + mahalanobis(tril, q.loc - p.loc) - n)


def _low_rank_trace(q: Any, columns: Any) -> Any:
    """Return the trace of q's precision times ``columns @ columns.T``."""
    factor, diagonal, tril = q._own
    weighted = columns / diagonal.unsqueeze(-1)
    return (weighted * columns).sum((-2, -1)) - _solved(tril, factor.mT @ weighted).pow(2).sum((-2, -1))


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _multivariate_low_rank(p: Any, q: Any) -> Any:
    n, tril = _same_event(p, q), p._unbroadcasted_scale_tril
    return 0.5 * (q.log_det() - 2 * half_log_det(tril) + _low_rank_trace(q, tril) + q.distance(q.loc - p.loc) - n)


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _low_rank(p: Any, q: Any) -> Any:
    n, (factor, diagonal, _) = _same_event(p, q), p._own
    trace = _low_rank_trace(q, factor) + _low_rank_trace(q, diagonal.sqrt().diag_embed())
    return 0.5 * (q.log_det() - p.log_det() + trace + q.distance(q.loc - p.loc) - n)
