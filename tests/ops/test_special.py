"""Special functions against PyTorch, in float64 and with gradients where PyTorch has them."""

from __future__ import annotations

import numpy as np
import pytest

import trine
from tests.ops.parity import check, torch
from trine.errors import ArgumentError, GradientError

POINTS = np.array([-25.0, -9.0, -7.9, -2.1, -0.4, 1e-6, 0.7, 1.9, 2.1, 7.9, 8.1, 40.0])
POSITIVE = POINTS[5:]


@pytest.mark.parametrize("name", "i0 i0e i1 i1e erfcx ndtr log_ndtr".split())
def test_differentiable(name: str) -> None:
    points = POINTS[1:] if name == "erfcx" else POINTS
    check(getattr(trine.special, name), getattr(torch.special, name), points, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", "i0 ndtr log_ndtr bessel_j0 zeta".split())
def test_integers_and_single_precision(name: str) -> None:
    second = [np.array([1, 2, 3])] if name == "zeta" else []
    ours, theirs = getattr(trine.special, name), getattr(torch.special, name)
    check(ours, theirs, np.array([2, 3, 4]), *second)
    check(ours, theirs, np.array([2, 3, 4], np.float32), *[s.astype(np.float32) for s in second], grad=False)


@pytest.mark.parametrize("name", "bessel_j0 bessel_j1 airy_ai spherical_bessel_j0 modified_bessel_i0 modified_bessel_i1".split())
def test_on_the_line(name: str) -> None:
    check(getattr(trine.special, name), getattr(torch.special, name), POINTS, grad=False, rtol=3e-5, atol=1e-8)


KINDS = "bessel_y0 bessel_y1 modified_bessel_k0 modified_bessel_k1 scaled_modified_bessel_k0 scaled_modified_bessel_k1".split()


@pytest.mark.parametrize("name", KINDS)
def test_on_positive_numbers(name: str) -> None:
    points = np.concatenate([POSITIVE, [0.0, -1.0]])
    check(getattr(trine.special, name), getattr(torch.special, name), points, grad=False, rtol=1e-7, atol=1e-8)


# in 40-digit arithmetic: PyTorch's own float64 values are good to 1e-8 only
EXACT: dict[str, dict[float, float]] = {
    "bessel_j0": {
        0.3: 0.9776262465382961,
        1.9: 0.28181855937438555,
        2.1: 0.16660698033199028,
        7.9: 0.19436184484127825,
        8.1: 0.14751745404437766,
        33.0: 0.09727067223550946,
    },
    "bessel_j1": {
        0.3: 0.148318816273104,
        1.9: 0.5811570727134341,
        2.1: 0.5682921357570386,
        7.9: 0.2191793999217512,
        8.1: 0.24760776698159287,
        33.0: 0.10061964911511749,
    },
    "bessel_y0": {
        0.3: -0.8072735778045195,
        1.9: 0.4968199712838202,
        2.1: 0.5182937375137607,
        7.9: 0.20652094814437577,
        8.1: 0.23809132870223482,
        33.0: 0.09913482552087946,
    },
    "bessel_y1": {
        0.3: -2.2931051383885293,
        1.9: -0.1644057723315953,
        2.1: -0.05167861213042353,
        7.9: -0.18172107728057313,
        8.1: -0.13314879595249593,
        33.0: -0.0957801224197018,
    },
    "modified_bessel_k0": {
        0.3: 1.3724600605442974,
        1.9: 0.1288459792760475,
        2.1: 0.10078374088996693,
        7.9: 0.0001628676676876532,
        8.1: 0.00013173427864935836,
        33.0: 1.012661232385917e-15,
    },
    "modified_bessel_k1": {
        0.3: 3.055992033457325,
        1.9: 0.15966015303266762,
        2.1: 0.12274641153350789,
        7.9: 0.00017288430649238984,
        8.1: 0.00013964122894503082,
        33.0: 1.0278917122071688e-15,
    },
    "i0": {
        0.3: 1.022626879351597,
        1.9: 2.127740194053888,
        2.1: 2.4462831294361824,
        7.9: 389.406283282158,
        8.1: 469.5006067101215,
        33.0: 14963796904156.906,
    },
    "i1": {
        0.3: 0.15169384000359276,
        1.9: 1.4482443730548888,
        2.1: 1.7454998088361062,
        7.9: 363.8539440845084,
        8.1: 439.48430891035844,
        33.0: 14735300419212.182,
    },
    "airy_ai": {
        -20.0: -0.1764061270779847,
        -4.9: 0.37453635470583874,
        -2.1: 0.16348451299929267,
        1.9: 0.0405944200315295,
        2.1: 0.029952602115866523,
        9.0: 2.47116843087249e-09,
    },
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_values(name: str) -> None:
    points, values = list(EXACT[name]), list(EXACT[name].values())
    found = getattr(trine.special, name)(trine.tensor(points, dtype=trine.float64)).numpy()
    np.testing.assert_allclose(found, values, rtol=2e-14, atol=1e-15)


def test_bessel_functions_have_gradients() -> None:
    x = trine.tensor(POSITIVE, requires_grad=True)
    trine.special.bessel_j0(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), -trine.special.bessel_j1(x.detach()).numpy(), rtol=1e-9, atol=1e-12)


def test_inverse_of_the_normal_distribution() -> None:
    levels = np.array([0.0, 1e-300, 1e-20, 0.01, 0.1353, 0.1354, 0.5, 0.8, 0.95, 1 - 1e-12, 1.0, 1.5, np.nan])
    check(trine.special.ndtri, torch.special.ndtri, levels, grad=False, rtol=1e-12)
    check(trine.special.ndtri, torch.special.ndtri, np.array([0.05, 0.3, 0.9]), rtol=1e-10)


def test_entropy_and_products_with_logarithms() -> None:
    check(trine.special.entr, torch.special.entr, np.array([-1.0, 0.0, 0.3, 1.0, 2.0, np.nan]), grad=False)
    check(trine.special.entr, torch.special.entr, np.array([0.3, 2.0]))
    check(trine.special.xlog1py, torch.special.xlog1py, np.array([0.0, 0.5, 2.0]), np.array([1.0, 0.5, 3.0]))
    check(trine.special.xlog1py, torch.special.xlog1py, np.array([0.0, 0.0]), np.array([-1.0, np.nan]), grad=False)


@pytest.mark.parametrize("order", [1.0, 1.5, 2.0, 5.0, 0.5])
def test_zeta(order: float) -> None:
    q = np.array([0.1, 1.0, 3.5, 30.0, 0.0, -2.0, -0.3, -4.7])
    check(trine.special.zeta, torch.special.zeta, np.full_like(q, order), q, grad=False, rtol=1e-11)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_polygamma(order: int) -> None:
    check(lambda x: trine.polygamma(order, x), lambda x: torch.polygamma(order, x), np.array([0.2, 1.0, 4.5, 20.0]), rtol=1e-9)
    check(lambda x: x.polygamma(order), lambda x: x.polygamma(order), np.array([1, 2]), rtol=1e-5)


def test_multivariate_gamma() -> None:
    for p in (1, 3):
        check(trine.mvlgamma, torch.mvlgamma, np.array([2.5, 4.0, 9.0]), p, rtol=1e-10)


def test_incomplete_gamma() -> None:
    a = np.array([0.5, 2.0, 10.0, 10.0, 200.0, 0.0, 1.0, 1.0])
    x = np.array([0.3, 5.0, 3.0, 30.0, 190.0, 1.0, 0.0, np.inf])
    for name in ("gammainc", "gammaincc"):
        check(getattr(trine.special, name), getattr(torch.special, name), a, x, grad=False, rtol=1e-10)
        found, point = trine.tensor(a[:5]), trine.tensor(x[:5], requires_grad=True)
        getattr(trine.special, name)(found, point).sum().backward()
        reference = torch.tensor(x[:5], requires_grad=True)
        getattr(torch.special, name)(torch.tensor(a[:5]), reference).sum().backward()
        np.testing.assert_allclose(point.grad.numpy(), reference.grad.numpy(), rtol=1e-9)
    with pytest.raises(GradientError, match="gammainc: the derivative is not implemented"):
        trine.igamma(trine.ones(2, requires_grad=True), trine.ones(2)).sum().backward()


FAMILIES = "chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w hermite_polynomial_h".split()
FAMILIES += "hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p shifted_chebyshev_polynomial_w".split()


@pytest.mark.parametrize("name", FAMILIES)
def test_polynomials(name: str) -> None:
    x, n = np.array([-1.5, -1.0, 0.0, 0.3, 1.0, 2.5]), np.arange(-1, 9)[:, None].astype(float)
    check(getattr(trine.special, name), getattr(torch.special, name), x, n, grad=False, rtol=1e-10, atol=1e-10)
    check(getattr(trine.special, name), getattr(torch.special, name), x.astype(np.float32), 3, grad=False)


def test_bad_orders() -> None:
    with pytest.raises(ArgumentError, match="polygamma: the order is negative"):
        trine.polygamma(-1, trine.ones(1))
    with pytest.raises(ArgumentError, match="multigammaln: p is too small"):
        trine.mvlgamma(trine.ones(1), 0)
    with pytest.raises(ArgumentError, match="library: no such function"):
        from trine.core import build

        build.library("nothing", build.const(1.0, trine.float32))
