"""Densities, moments, entropies, divergences and shapes against PyTorch's."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

import trine
from tests.distributions.families import CASES, IDS, Case

torch = pytest.importorskip("torch")


def close(found: Any, expected: Any, rtol: float = 1e-6, atol: float = 1e-8) -> None:
    assert tuple(found.shape) == tuple(expected.shape)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=rtol, atol=atol)


def tolerance(name: str) -> float:
    return {"VonMises": 1e-5, "GeneralizedPareto": 1e-5}.get(name, 1e-6)  # approximations to 1e-7 in PyTorch, and float32


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_densities_and_moments(case: Case) -> None:
    ours, theirs = case.make(trine), case.make(torch)
    assert tuple(ours.batch_shape) == tuple(theirs.batch_shape) and tuple(ours.event_shape) == tuple(theirs.event_shape)
    assert ours.has_rsample == theirs.has_rsample and ours.has_enumerate_support == theirs.has_enumerate_support
    assert set(ours.arg_constraints) == set(theirs.arg_constraints)
    value, other = trine.tensor(case.value), torch.tensor(case.value)
    rtol = tolerance(case.name)
    close(ours.log_prob(value), theirs.log_prob(other), rtol)
    for name in ("mean", "variance", "stddev", "mode"):
        try:
            expected = getattr(theirs, name)
        except NotImplementedError:
            with pytest.raises(NotImplementedError):
                getattr(ours, name)
        else:
            close(getattr(ours, name), expected, rtol)
    for name, arguments in (("entropy", ()), ("cdf", (other,)), ("perplexity", ())):
        try:
            expected = getattr(theirs, name)(*arguments)
        except NotImplementedError:
            with pytest.raises(NotImplementedError):
                getattr(ours, name)(*(value for _ in arguments))
        else:
            close(getattr(ours, name)(*(value for _ in arguments)), expected, rtol)
    try:
        p = theirs.cdf(other)
        expected = theirs.icdf(p)
    except NotImplementedError:
        return
    close(ours.icdf(trine.tensor(p.numpy())), expected, 1e-5, 1e-6)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_expand_and_support(case: Case) -> None:
    ours, theirs = case.make(trine), case.make(torch)
    shape = (4, *ours.batch_shape)
    larger, other = ours.expand(shape), theirs.expand(shape)
    assert type(larger) is type(ours) and tuple(larger.batch_shape) == shape
    close(larger.log_prob(trine.tensor(case.value)), other.log_prob(torch.tensor(case.value)), tolerance(case.name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's Wishart warns of samples that are nearly singular
        assert tuple(larger.sample((2,)).shape) == tuple(other.sample((2,)).shape)
    sample = ours.sample((5,))
    assert bool(ours.support.check(sample).all())
    if ours.has_enumerate_support:
        for expand in (True, False):
            close(ours.enumerate_support(expand).double(), theirs.enumerate_support(expand).double())
    assert repr(ours).startswith(type(ours).__name__ + "(")


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_gradients_of_densities(case: Case) -> None:
    options = {k: v for k, v in case.options.items() if isinstance(v, np.ndarray)}
    found: list[Any] = []
    for library in (trine, torch):
        leaves = {k: library.tensor(v, requires_grad=True) for k, v in options.items()}
        distribution = getattr(library.distributions, case.name)(**{**case.options, **leaves})
        distribution.log_prob(library.tensor(case.value)).sum().backward()
        found.append({k: v.grad for k, v in leaves.items()})
    for key, expected in found[1].items():
        if expected is None:
            assert found[0][key] is None
            continue
        mine, other = found[0][key].numpy(), expected.numpy()
        if key in ("covariance_matrix", "precision_matrix"):  # PyTorch's gradient of a Cholesky factor is symmetric as well
            mine, other = mine + mine.swapaxes(-1, -2), other + other.swapaxes(-1, -2)
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-7)


SCALARS = [c for c in CASES if c.name not in ("MultivariateNormal", "LowRankMultivariateNormal", "Wishart", "LKJCholesky")]
VECTORS = [c for c in CASES if c.name in ("MultivariateNormal", "LowRankMultivariateNormal")]


@pytest.mark.parametrize("p", [*SCALARS, *VECTORS], ids=lambda c: c.name)
def test_divergences(p: Case) -> None:
    for q in VECTORS if p in VECTORS else SCALARS:
        mine, other = (p.make(trine), q.make(trine)), (p.make(torch), q.make(torch))
        if tuple(mine[0].batch_shape) != tuple(mine[1].batch_shape):
            continue
        try:
            expected = torch.distributions.kl_divergence(*other)
        except NotImplementedError:
            with pytest.raises(NotImplementedError):
                trine.distributions.kl_divergence(*mine)
            continue
        found = trine.distributions.kl_divergence(*mine)
        if (p.name, q.name) == ("ContinuousBernoulli", "Uniform"):
            # PyTorch says infinity for a wider interval too; it is minus the entropy plus the logarithm of the length
            length = mine[1].high - mine[1].low
            outside = (mine[1].low > 0) | (mine[1].high < 1)
            expected = torch.tensor(trine.where(outside, float("inf"), length.log() - mine[0].entropy()).numpy())
        np.testing.assert_allclose(
            np.broadcast_to(found.detach().numpy(), tuple(expected.shape)), expected.detach().numpy(), rtol=1e-5, atol=1e-7, err_msg=q.name
        )


def test_divergences_where_supports_end() -> None:
    d = trine.distributions
    assert d.kl_divergence(d.Uniform(0.0, 2.0), d.Uniform(0.0, 1.0)).item() == float("inf")
    assert d.kl_divergence(d.Normal(0.0, 1.0), d.Exponential(1.0)).item() == float("inf")
    for library in (trine, torch):
        d = library.distributions
        p, q = library.tensor([0.0, 1.0, 0.5]), library.tensor([0.5, 0.0, 1.0])
        assert d.kl_divergence(d.Bernoulli(p), d.Bernoulli(q)).tolist()[1:] == [float("inf")] * 2
        weights = library.tensor([[1.0, 0.0], [0.5, 0.5]])
        assert d.kl_divergence(d.Categorical(weights), d.Categorical(weights.flip(0))).tolist()[1] == float("inf")
    independent = [trine.distributions.Independent(c.make(trine), 1) for c in (CASES[0], CASES[0])]
    assert trine.distributions.kl_divergence(*independent).item() == 0.0


def test_mixture_and_independent() -> None:
    weights, loc = np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([[-1.0, 1.0], [0.0, 3.0]])
    found = []
    for library in (trine, torch):
        d = library.distributions
        mixture = d.MixtureSameFamily(d.Categorical(library.tensor(weights)), d.Normal(library.tensor(loc), 0.5))
        vectors = d.MixtureSameFamily(d.Categorical(library.tensor(weights[0])), d.Independent(d.Normal(library.tensor(loc), 0.5), 1))
        x = library.tensor(np.array([0.3, 0.7]))
        found.append(
            [mixture.log_prob(x), mixture.cdf(x), mixture.mean, mixture.variance, vectors.log_prob(x), vectors.mean, vectors.variance]
        )
        assert tuple(mixture.sample((3,)).shape) == (3, 2) and tuple(vectors.sample((3,)).shape) == (3, 2)
        assert tuple(mixture.expand((4, 2)).sample().shape) == (4, 2)
        assert tuple(mixture.event_shape) == () and tuple(vectors.event_shape) == (2,)
    for mine, other in zip(*found, strict=True):
        close(mine, other)


@pytest.mark.parametrize("validate", [None, True])
def test_bad_arguments(validate: bool | None) -> None:
    d = trine.distributions
    options: dict[str, Any] = {"validate_args": validate}
    for make in (
        lambda: d.Normal(0.0, -1.0, **options),
        lambda: d.Bernoulli(1.5, **options),
        lambda: d.Categorical(trine.tensor([-1.0, 2.0]), **options),
        lambda: d.Categorical(trine.tensor(1.0), **options),
        lambda: d.Uniform(1.0, 0.0, **options),
        lambda: d.MultivariateNormal(trine.zeros(2), trine.tensor([[-1.0, 0.0], [0.0, -1.0]]), **options),
        lambda: d.MultivariateNormal(trine.zeros(2), **options),
        lambda: d.Dirichlet(trine.tensor([1.0, -1.0]), **options),
        lambda: d.Bernoulli(**options),
        lambda: d.Normal("a", 1.0, **options),
        lambda: d.Normal(0.0, 1.0, **options).log_prob(1.0),
        lambda: d.Poisson(1.0, **options).log_prob(trine.tensor(0.5)),
        lambda: d.Normal(trine.zeros(2), 1.0, **options).log_prob(trine.zeros(3)),
        lambda: d.Beta(1.0, 1.0, **options).log_prob(trine.tensor(2.0)),
    ):
        with pytest.raises(ValueError):
            make()
    d.Normal(0.0, -1.0, validate_args=False)
    assert d.Normal(trine.tensor(0.0), (trine.ones(1) * -1.0)[0]).batch_shape == ()  # not known yet: not checked
    with pytest.raises(ValueError, match="scale"):
        d.Normal(trine.tensor(0.0), (trine.ones(1) * -1.0)[0], validate_args=True)


def test_checks_leave_the_recording_alone() -> None:
    from trine.tensor.recorder import local

    matrix = trine.eye(2)
    matrix.tolist()
    pending = trine.ones(2) * 2
    before = local.trace
    trine.distributions.MultivariateNormal(trine.tensor([0.0, 0.0]), scale_tril=matrix)
    trine.distributions.Normal(0.0, 1.0)
    assert local.trace is before and pending._buffer is None
    assert (pending + 1).tolist() == [3.0, 3.0]


def test_registries() -> None:
    d = trine.distributions
    for constraint, theirs in (
        ("positive", None),
        ("unit_interval", None),
        ("simplex", None),
        ("real_vector", None),
        ("lower_cholesky", None),
        ("corr_cholesky", None),
        ("positive_definite", None),
        ("greater_than", (1.5,)),
        ("less_than", (1.5,)),
        ("interval", (-1.0, 2.0)),
    ):
        found = []
        shape = (2, 3, 3) if constraint in ("lower_cholesky", "positive_definite") else (2, 3)
        x = np.random.default_rng(3).standard_normal(shape)
        for library in (trine, torch):
            kind = getattr(library.distributions.constraints, constraint)
            kind = kind(*theirs) if theirs else kind
            transform = library.distributions.transform_to(kind)
            y = transform(library.tensor(x))
            assert bool(kind.check(y).all())
            found.append((y, transform(transform.inv(y))))
        for mine, other in zip(*found, strict=True):
            close(mine, other)
    with pytest.raises(NotImplementedError):
        d.biject_to(d.constraints.boolean)
    assert len({repr(c) for c in (d.constraints.positive, d.constraints.simplex, d.constraints.interval(0, 2))}) == 3


TRANSFORMS = {
    "exp": lambda t: t.ExpTransform(),
    "power": lambda t: t.ComposeTransform([t.ExpTransform(), t.PowerTransform(2.0)]),
    "sigmoid": lambda t: t.SigmoidTransform(),
    "softplus": lambda t: t.SoftplusTransform(),
    "tanh": lambda t: t.TanhTransform(),
    "affine": lambda t: t.AffineTransform(1.0, -2.0),
    "stick": lambda t: t.StickBreakingTransform(),
    "corr": lambda t: t.CorrCholeskyTransform(),
    "reshape": lambda t: t.ReshapeTransform((3,), (3, 1)),
    "independent": lambda t: t.IndependentTransform(t.ExpTransform(), 1),
    "cat": lambda t: t.CatTransform([t.ExpTransform(), t.AffineTransform(0.0, 2.0)], -1, [1, 2]),
    "stack": lambda t: t.StackTransform([t.ExpTransform(), t.TanhTransform(), t.SigmoidTransform()], -1),
    "compose": lambda t: t.ComposeTransform([t.AffineTransform(1.0, 0.5), t.StickBreakingTransform()]),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name: str) -> None:
    x = np.random.default_rng(4).standard_normal((2, 3))
    found = []
    for library in (trine, torch):
        transform = TRANSFORMS[name](library.distributions.transforms)
        value = library.tensor(x)
        y = transform(value)
        found.append([y, transform.inv(y), transform.log_abs_det_jacobian(value, y)])
        assert tuple(transform.forward_shape(value.shape)) == tuple(y.shape) and transform.inv.inv is transform
        cached = transform.with_cache(1)
        y = cached(value)
        assert cached.inv(y) is value or name in ("power", "compose")
    for mine, other in zip(*found, strict=True):
        close(mine, other)


def test_transformed_distributions() -> None:
    found = []
    for library in (trine, torch):
        d = library.distributions
        base = d.Normal(library.tensor(np.zeros(3)), 1.0)
        value = library.tensor(np.array([0.2, 0.3, 0.4]))
        steps = [d.transforms.AffineTransform(1.0, -2.0), d.transforms.SigmoidTransform()]
        made = d.TransformedDistribution(base, steps)
        found.append([made.log_prob(value), made.cdf(value), made.icdf(value), made.expand((2, 3)).log_prob(value)])
        stick = d.TransformedDistribution(base, d.transforms.StickBreakingTransform())
        assert tuple(stick.event_shape) == (4,) and tuple(stick.batch_shape) == ()
        found[-1].append(stick.log_prob(library.tensor(np.array([0.1, 0.2, 0.3, 0.4]))))
    for mine, other in zip(*found, strict=True):
        close(mine, other)


def test_names() -> None:
    missing = [n for n in torch.distributions.__all__ if not hasattr(trine.distributions, n)]
    assert not missing
    for module, name in itertools.chain(
        [("categorical", "Categorical"), ("normal", "Normal"), ("kl", "kl_divergence"), ("transforms", "Transform")],
        [("transformed_distribution", "TransformedDistribution"), ("utils", "broadcast_all"), ("constraints", "interval")],
        [("relaxed_bernoulli", "LogitRelaxedBernoulli"), ("relaxed_categorical", "ExpRelaxedCategorical")],
    ):
        assert hasattr(getattr(trine.distributions, module), name)
