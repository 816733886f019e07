"""Distributions: moments, ranges and bad parameters."""

from __future__ import annotations

import pytest

import trine
from trine.errors import ArgumentError, DTypeError

COUNT = 20_000


def draws(name: str, *args: float) -> trine.Tensor:
    generator = trine.Generator(5)
    return getattr(trine.zeros(COUNT), name)(*args, generator=generator)


def test_moments() -> None:
    geometric = draws("geometric_", 0.25)
    assert geometric.min() == 1 and abs(geometric.mean().item() - 4) < 0.15
    assert abs(draws("log_normal_", 0.5, 0.25).log().mean().item() - 0.5) < 0.01
    assert abs(draws("cauchy_", 3.0, 0.5).median().item() - 3) < 0.03


@pytest.mark.parametrize("rate", [0.5, 7.0, 900.0])
def test_poisson(rate: float) -> None:
    drawn = trine.poisson(trine.full((COUNT,), rate), trine.Generator(3))
    assert drawn.dtype is trine.float32 and (drawn == drawn.floor()).all()
    assert abs(drawn.mean().item() / rate - 1) < 0.03 and abs(drawn.var().item() / rate - 1) < 0.06


def test_binomial() -> None:
    drawn = trine.binomial(trine.full((COUNT,), 12.0), trine.full((1,), 0.3), trine.Generator(3))
    assert abs(drawn.mean().item() - 3.6) < 0.05 and abs(drawn.var().item() - 2.52) < 0.1
    assert trine.binomial(trine.tensor([3.0, 4.0, -1.0]), trine.tensor([0.0, 1.0, 0.5])).nan_to_num(-9).tolist() == [0, 4, -9]


def test_the_same_seed_draws_the_same_numbers() -> None:
    for name, args in (("cauchy_", ()), ("geometric_", (0.5,)), ("log_normal_", ())):
        assert trine.equal(draws(name, *args), draws(name, *args))


def test_bad_parameters() -> None:
    x = trine.zeros(2)
    for call in (
        lambda: x.cauchy_(0.0, 0.0),
        lambda: x.geometric_(1.0),
        lambda: x.log_normal_(0.0, 0.0),
        lambda: trine.normal(0.0, -1.0, (2,)),
    ):
        with pytest.raises(ArgumentError):
            call()
    with pytest.raises(DTypeError):
        trine.zeros(2, dtype=trine.int64).cauchy_()
    with pytest.raises(DTypeError):
        trine.poisson(trine.arange(3))


@pytest.mark.parametrize("dtype", [trine.complex64, trine.complex128])
def test_complex_numbers(dtype: trine.dtype) -> None:
    drawn = trine.randn(COUNT, dtype=dtype)
    assert drawn.dtype is dtype and abs(drawn.abs().square().mean().item() - 1) < 0.03
    assert abs(drawn.real.var().item() - 0.5) < 0.02 and abs((drawn.real * drawn.imag).mean().item()) < 0.02
    uniform = trine.rand_like(drawn)
    assert uniform.imag.min() >= 0 and uniform.real.max() < 1 and abs(uniform.imag.mean().item() - 0.5) < 0.01
    assert trine.zeros(3, dtype=dtype).normal_(2 + 1j, 0.0).tolist() == [2 + 1j] * 3
