from __future__ import annotations

import math

import numpy as np
import pytest

from trine.core import special

INF, NAN = math.inf, math.nan


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


def points(*ranges: tuple[float, float], tiny: bool = True) -> np.ndarray:
    generator = np.random.default_rng(0)
    parts = [generator.uniform(low, high, 2000) for low, high in ranges]
    return np.concatenate([*parts, 10.0 ** generator.uniform(-300, -1, 200)] if tiny else parts)


@pytest.mark.parametrize(
    ("name", "xs", "rtol"),
    [
        ("erf", points((-7, 7)), 1.5e-15),
        ("erfc", points((-7, 7), (7, 26)), 3e-15),
    ],
)
def test_against_the_c_library(name, xs, rtol):
    expected = np.array([getattr(math, name)(x) for x in xs])
    np.testing.assert_allclose(getattr(special, name)(xs), expected, rtol=rtol, atol=1e-300)


def test_lgamma():
    xs = points((0.01, 12), (12, 1e6), (0.999, 1.001), (1.999, 2.001))
    # Python's own lgamma is exact to a few ulp of 1 near its zeros, where torch's (the C library's) is relatively exact.
    np.testing.assert_allclose(special.lgamma(xs), [math.lgamma(x) for x in xs], rtol=2e-15, atol=2e-15)
    torch = pytest.importorskip("torch")
    np.testing.assert_allclose(special.lgamma(xs), torch.lgamma(torch.from_numpy(xs)).numpy(), rtol=3e-15)


def test_lgamma_of_negative_numbers():
    xs = points((-30, 0), tiny=False)
    np.testing.assert_allclose(special.lgamma(xs), [math.lgamma(x) for x in xs], rtol=1e-13, atol=1e-13)


def test_erfinv_inverts_erf_and_erfc():
    ys = points((-1, 1))
    np.testing.assert_allclose([math.erf(x) for x in special.erfinv(ys)], ys, rtol=3e-15)
    rest = 10.0 ** -np.arange(1.0, 16.0)
    near_one = 1 - rest
    np.testing.assert_allclose([math.erfc(x) for x in special.erfinv(near_one)], 1 - near_one, rtol=2e-14)


def test_against_torch():
    torch = pytest.importorskip("torch")
    xs = points((0.01, 20), (-8, 0))
    tensor = torch.from_numpy(xs)
    np.testing.assert_allclose(special.digamma(xs), torch.special.digamma(tensor).numpy(), rtol=1e-10, atol=1e-10)
    ys = points((-1, 1))
    np.testing.assert_allclose(special.erfinv(ys), torch.erfinv(torch.from_numpy(ys)).numpy(), rtol=1e-13)


def test_digamma_satisfies_its_recurrence():
    xs = points((0.1, 30), tiny=False)
    np.testing.assert_allclose(special.digamma(xs + 1), special.digamma(xs) + 1 / xs, rtol=1e-14, atol=2e-15)
    assert special.digamma(np.array(1.0))[0] == pytest.approx(-0.5772156649015329, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("erf", [(0.0, 0.0), (-0.0, -0.0), (INF, 1), (-INF, -1), (30.0, 1)]),
        ("erfc", [(0.0, 1), (INF, 0), (-INF, 2), (30.0, 0)]),
        ("erfinv", [(0.0, 0.0), (-0.0, -0.0), (1.0, INF), (-1.0, -INF), (1.5, NAN), (INF, NAN)]),
        ("lgamma", [(0.0, INF), (-0.0, INF), (1.0, 0), (2.0, 0), (-1.0, INF), (-3.0, INF), (INF, INF), (-INF, INF)]),
        ("digamma", [(0.0, -INF), (-0.0, INF), (-1.0, NAN), (INF, INF), (-INF, NAN)]),
    ],
)
def test_special_values(name, cases):
    got = getattr(special, name)(np.array([x for x, _ in cases] + [NAN]))
    expected = np.array([y for _, y in cases] + [NAN])
    np.testing.assert_array_equal(got, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(expected[numbers]))
