"""Samples of the gamma distribution, with gradients with respect to its concentration."""

from __future__ import annotations

from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.ops.elementwise import digamma, lgamma
from trine.ops.indexing import where
from trine.ops.promotion import as_dtype, number
from trine.ops.random import normal_nodes, num_words, stream, uniform_nodes
from trine.ops.special import gammainc, gammaincc
from trine.runtime.random import Generator
from trine.shapes import size_of
from trine.tensor import Tensor, record
from trine.tensor.function import Function
from trine.tensor.grad_mode import no_grad

_TRIALS = 8
"""Candidates drawn for each sample; the first of them that is accepted (each with a probability above 0.95) is taken."""


def _log_gamma_samples(seed: Node, offset: Node, words: Node, concentration: Node) -> Node:
    """Return logarithms of samples, by the method of Marsaglia and Tsang ("A simple method for generating gamma variables", 2000).

    Concentrations below 1 are raised by 1, and the sample is multiplied by a power of a uniform number.
    """
    alpha = as_dtype(concentration, dtypes.float64)
    shape = alpha.shape
    many = (_TRIALS, *shape)
    z = normal_nodes(seed, offset, many, dtypes.float64)
    u = uniform_nodes(seed, b.add(offset, words), (_TRIALS + 1, *shape), dtypes.float64)
    one = number(1, alpha)
    is_small = b.lt(alpha, one)
    raised = b.where(is_small, b.add(alpha, one), alpha)
    d = b.sub(raised, number(1 / 3, alpha))
    scaled = b.mul(z, b.rsqrt(b.mul(number(9, d), d)))
    root = b.add(one, scaled)
    v = b.mul(b.mul(root, root), root)
    positive = b.gt(v, number(0, v))
    log_v = b.log(b.where(positive, v, one))
    limit = b.add(b.mul(b.mul(z, z), number(0.5, z)), b.mul(d, b.add(b.sub(one, v), log_v)))
    trial = b.slice(u, (0,) * len(u.shape), many)
    accepted = b.bitwise_and(positive, b.lt(b.log(b.sub(one, trial)), limit))
    first = b.argmax(b.cast(accepted, dtypes.int64), 0)
    chosen = b.reshape(b.take_along(log_v, first, 0), shape)
    boost = b.reshape(b.slice(u, (_TRIALS, *(0,) * len(shape)), u.shape), shape)
    power = b.div(b.log(b.sub(one, boost)), alpha)
    return b.add(b.add(b.log(d), chosen), b.where(is_small, power, number(0, alpha)))


def _draw(concentration: Tensor, generator: Generator | None) -> Tensor:
    shape = tuple(concentration.shape)
    normals = num_words((_TRIALS, *shape), dtypes.float64, pairs=True)
    seed, offset = stream(normals, generator)
    _, second = stream(2 * (_TRIALS + 1) * size_of(shape), generator)
    sample: Tensor = record(_log_gamma_samples, (seed, offset, second - offset, concentration.detach()))
    return sample


def log_gamma_derivative(alpha: Tensor, log_x: Tensor) -> Tensor:
    """Return how a sample's logarithm moves with the concentration while its cumulative probability stays (float64).

    Implicit reparameterization (Figurnov, Mohamed and Mnih, 2018): ``-(dF/dalpha) / (x pdf(x))``. The derivative of the distribution
    function is a central difference of fourth order of the smaller of its two tails; near 0, where F is a power, there is a closed form.
    """
    x: Any = log_x.exp()
    a: Any = alpha
    step = 5e-3 * where(a < 1, a, a.sqrt())
    lower, upper = [], []
    for factor in (-2.0, -1.0, 1.0, 2.0):
        lower.append(gammainc(a + factor * step, x))
        upper.append(gammaincc(a + factor * step, x))
    slopes = [(f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step) for f in (lower, upper)]
    slope: Any = where(x < a, slopes[0], -slopes[1])
    log_density: Any = a * log_x - x - lgamma(a)  # of log x
    regular = -slope * (-log_density).exp()
    near_zero = (digamma(a + 1) - log_x) / a
    result: Tensor = where(x < 1e-6 * where(a < 1, a, a * 0 + 1), near_zero, regular)
    return result


class _LogGamma(Function):
    """Logarithms of samples in float64, with gradients."""

    @staticmethod
    def forward(ctx: Any, concentration: Tensor, generator: Generator | None) -> Tensor:
        sample = _draw(concentration, generator)
        ctx.save_for_backward(concentration.detach(), sample)
        return sample

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        concentration, sample = ctx.saved_tensors
        with no_grad():
            derivative = log_gamma_derivative(concentration.to(dtypes.float64), sample)
        return (gradient * derivative).to(concentration.dtype), None


def log_standard_gamma(concentration: Tensor, generator: Generator | None = None) -> Tensor:
    """Return logarithms of samples of the gamma distribution with rate 1, in float64 (small concentrations do not underflow).

    Example:
        >>> import trine
        >>> trine.ops.random_gamma.log_standard_gamma(trine.ones(3)).shape
        trine.Size([3])
    """
    sample: Tensor = _LogGamma.apply(concentration, generator)
    return sample


def standard_gamma(concentration: Tensor, generator: Generator | None = None) -> Tensor:
    """Return samples of the gamma distribution with rate 1, differentiable with respect to the concentration.

    Example:
        >>> import trine
        >>> bool((trine.ops.random_gamma.standard_gamma(trine.ones(3)) > 0).all())
        True
    """
    sample: Tensor = log_standard_gamma(concentration, generator).exp().to(concentration.dtype)
    return sample
