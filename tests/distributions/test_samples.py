"""Samples: their moments, their gradients, their reproducibility; the examples in the docstrings."""

from __future__ import annotations

import doctest
import importlib
import math
import pkgutil

import numpy as np
import pytest

import trine
from tests.distributions.families import CASES, Case
from trine import distributions as d
from trine.ops.random_gamma import log_gamma_derivative, standard_gamma

MODULES = sorted(m.name for m in pkgutil.iter_modules(d.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"trine.distributions.{name}")).failed == 0


COUNT = 5_000
OWN_WAYS = """Categorical Beta Gamma Dirichlet Laplace Poisson Multinomial MultivariateNormal StudentT Binomial Geometric NegativeBinomial
VonMises Wishart ContinuousBernoulli Kumaraswamy LowRankMultivariateNormal""".split()
DRAWN = {case.name: case for case in CASES if case.name in OWN_WAYS}


@pytest.mark.parametrize("case", DRAWN.values(), ids=DRAWN)
def test_moments_of_samples(case: Case) -> None:
    trine.manual_seed(5)
    distribution = case.make(trine)
    sample = distribution.sample((COUNT,)).double()
    assert not sample.requires_grad
    if case.name == "VonMises":  # its moments are circular
        centre = (sample - distribution.loc).cos().mean(0)
        np.testing.assert_allclose(1 - centre.numpy(), distribution.variance.numpy(), atol=0.03)
        return
    try:
        mean, variance = distribution.mean.numpy(), distribution.variance.numpy()
    except NotImplementedError:
        return
    finite = np.isfinite(mean) & np.isfinite(variance)
    if case.name in ("Pareto", "FisherSnedecor", "StudentT", "InverseGamma"):  # tails so heavy that few samples decide the variance
        finite = finite & (np.sqrt(variance) < 5 * np.abs(mean) + 5)
    found = sample.mean(0).numpy()
    error = np.sqrt(np.where(finite, variance, 1.0) / COUNT)
    assert (np.abs(found - mean)[finite] < 6 * error[finite] + 1e-9).all()


@pytest.mark.parametrize(
    "name,options", [("Gamma", (2.0, 3.0)), ("Beta", (2.0, 3.0)), ("Normal", (0.5, 2.0)), ("Gumbel", (0.5, 2.0)), ("StudentT", (6.0,))]
)
def test_gradients_of_samples(name: str, options: tuple[float, ...]) -> None:
    """The gradient of the mean of many samples is that of the mean, or of the variance where the mean is constant."""
    trine.manual_seed(3)
    leaves = [trine.tensor(v, dtype=trine.float64, requires_grad=True) for v in options]
    again = [trine.tensor(v, dtype=trine.float64, requires_grad=True) for v in options]
    sample = getattr(d, name)(*leaves).rsample((20_000,))
    exact = getattr(d, name)(*again)
    moment = (sample - exact.mean.detach()).pow(2).mean() if name == "StudentT" else sample.mean()
    moment.backward()
    (exact.variance if name == "StudentT" else exact.mean).backward()
    for mine, other in zip(leaves, again, strict=True):
        expected = 0.0 if other.grad is None else other.grad.item()
        assert mine.grad is not None and abs(mine.grad.item() - expected) < 0.05 * abs(expected) + 0.03


def test_derivative_of_gamma_samples_against_finite_differences() -> None:
    """Along the samples, the distribution function does not change."""
    for alpha in (0.05, 0.5, 1.0, 3.0, 40.0):
        a = trine.full((4,), alpha, dtype=trine.float64)
        x = trine.tensor(np.quantile(np.random.default_rng(0).gamma(alpha, size=2000), [0.05, 0.4, 0.7, 0.95]))
        slope = log_gamma_derivative(a, x.log()) * x
        step = 1e-4 * min(alpha, 1.0)
        before, after = (trine.special.gammainc(a + s * step, x + s * step * slope) for s in (-1, 1))
        np.testing.assert_allclose(before.numpy(), after.numpy(), rtol=1e-6, atol=1e-9)


def test_gamma_samples_of_small_and_large_concentrations() -> None:
    trine.manual_seed(0)
    for alpha in (0.02, 1.0, 900.0):
        sample = standard_gamma(trine.full((COUNT,), alpha, dtype=trine.float64))
        assert abs(sample.mean().item() - alpha) < 6 * math.sqrt(alpha / COUNT)
    tiny = d.Dirichlet(trine.full((3,), 1e-3)).rsample((50,))
    assert bool(tiny.isfinite().all()) and np.allclose(tiny.sum(-1).numpy(), 1.0, atol=1e-5)


def test_samples_are_reproducible_and_nothing_is_compiled_again() -> None:
    from trine.tensor.state import automaton

    def draw(scale: float) -> list[float]:
        loc = trine.ones(3) * 2
        return d.Normal(loc, trine.ones(3) * scale).rsample().tolist() + d.Gamma(loc, 1.0).sample().tolist()

    trine.manual_seed(1)
    first = draw(1.0)
    draw(0.5)
    before = automaton.info()["plans_built"]
    for scale in (2.0, 3.0, 4.0):
        draw(scale)
    assert automaton.info()["plans_built"] == before
    trine.manual_seed(1)
    assert draw(1.0) == first


def test_a_variational_autoencoder_step_runs_as_one_program() -> None:
    """Parameters that are still being recorded are not computed for a check."""
    encoder = trine.nn.Linear(4, 4)
    optimizer = trine.optim.Adam(encoder.parameters(), lr=0.01)
    x = trine.ones(8, 4)
    losses = []
    for _ in range(5):
        loc, scale = encoder(x).chunk(2, -1)
        posterior = d.Normal(loc, scale.exp())
        z = posterior.rsample()
        assert z._buffer is None
        loss = d.kl_divergence(posterior, d.Normal(trine.zeros(2), 1.0)).mean() - d.Normal(z, 1.0).log_prob(x[:, :2]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(math.isfinite(value) for value in losses)


def test_policy_gradients() -> None:
    logits = trine.zeros(2, requires_grad=True)
    policy = d.Categorical(logits=logits)
    action = policy.sample((100,))
    (-policy.log_prob(action) * (action == 1).float()).mean().backward()
    assert logits.grad is not None and logits.grad[1].item() < 0 < logits.grad[0].item()
    assert d.Categorical(logits=logits).entropy().item() == pytest.approx(math.log(2))


def test_multinomial_counts_and_one_hot_vectors() -> None:
    counts = d.Multinomial(7, logits=trine.zeros(2, 3)).sample((4,))
    assert counts.shape == (4, 2, 3) and (counts.sum(-1) == 7).all().item()
    straight = d.OneHotCategoricalStraightThrough(logits=trine.zeros(3, requires_grad=True))
    sample = straight.rsample()
    assert sorted(sample.tolist()) == [0.0, 0.0, 1.0] and sample.requires_grad
    with pytest.warns(FutureWarning):
        assert d.Normal(0.0, 1.0).sample_n(3).shape == (3,)
    d.Distribution.set_default_validate_args(False)
    try:
        d.Normal(0.0, -1.0)
    finally:
        d.Distribution.set_default_validate_args(True)
