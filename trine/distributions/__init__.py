"""Probability distributions: samples with gradients, densities, entropies, divergences; constraints and transforms."""

from trine import namespace as _namespace  # noqa: F401 - gives the package its names before a subpackage takes one
from trine.distributions import constraints, kl_cross, kl_same, transforms
from trine.distributions.bernoulli import Bernoulli
from trine.distributions.beta import Beta
from trine.distributions.binomial import Binomial
from trine.distributions.categorical import Categorical
from trine.distributions.cauchy import Cauchy
from trine.distributions.chi2 import Chi2
from trine.distributions.constraint_registry import biject_to, transform_to
from trine.distributions.continuous_bernoulli import ContinuousBernoulli
from trine.distributions.dirichlet import Dirichlet
from trine.distributions.distribution import Distribution
from trine.distributions.exp_family import ExponentialFamily
from trine.distributions.exponential import Exponential
from trine.distributions.fishersnedecor import FisherSnedecor
from trine.distributions.gamma import Gamma
from trine.distributions.generalized_pareto import GeneralizedPareto
from trine.distributions.geometric import Geometric
from trine.distributions.gumbel import Gumbel
from trine.distributions.half_cauchy import HalfCauchy
from trine.distributions.half_normal import HalfNormal
from trine.distributions.independent import Independent
from trine.distributions.inverse_gamma import InverseGamma
from trine.distributions.kl import kl_divergence, register_kl
from trine.distributions.kumaraswamy import Kumaraswamy
from trine.distributions.laplace import Laplace
from trine.distributions.lkj_cholesky import LKJCholesky
from trine.distributions.log_normal import LogNormal
from trine.distributions.logistic_normal import LogisticNormal
from trine.distributions.lowrank_multivariate_normal import LowRankMultivariateNormal
from trine.distributions.mixture_same_family import MixtureSameFamily
from trine.distributions.multinomial import Multinomial
from trine.distributions.multivariate_normal import MultivariateNormal
from trine.distributions.negative_binomial import NegativeBinomial
from trine.distributions.normal import Normal
from trine.distributions.one_hot_categorical import OneHotCategorical, OneHotCategoricalStraightThrough
from trine.distributions.pareto import Pareto
from trine.distributions.poisson import Poisson
from trine.distributions.relaxed_bernoulli import RelaxedBernoulli
from trine.distributions.relaxed_categorical import RelaxedOneHotCategorical
from trine.distributions.studentT import StudentT
from trine.distributions.transformed_distribution import TransformedDistribution
from trine.distributions.transforms import *  # noqa: F403
from trine.distributions.transforms import __all__ as _transforms
from trine.distributions.uniform import Uniform
from trine.distributions.von_mises import VonMises
from trine.distributions.weibull import Weibull
from trine.distributions.wishart import Wishart

del kl_cross, kl_same  # loaded for what they register

__all__ = [
    *_transforms,
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Cauchy",
    "Chi2",
    "ContinuousBernoulli",
    "Dirichlet",
    "Distribution",
    "Exponential",
    "ExponentialFamily",
    "FisherSnedecor",
    "Gamma",
    "GeneralizedPareto",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "Independent",
    "InverseGamma",
    "Kumaraswamy",
    "LKJCholesky",
    "Laplace",
    "LogNormal",
    "LogisticNormal",
    "LowRankMultivariateNormal",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Pareto",
    "Poisson",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "StudentT",
    "TransformedDistribution",
    "Uniform",
    "VonMises",
    "Weibull",
    "Wishart",
    "biject_to",
    "constraints",
    "kl_divergence",
    "register_kl",
    "transform_to",
    "transforms",
]
