"""The factorizations that NumPy does not have, against SciPy-free identities: what is taken apart comes together again."""

from __future__ import annotations

import numpy as np
import pytest

from trine.core.factorization import exponential, factor_cholesky, factor_ldl, factor_lu, solve_ldl, substitute

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("shape", [(3, 5, 5), (2, 7, 4), (2, 4, 7), (1, 150, 130), (0, 3, 3), (2, 0, 3)])
def test_lu(shape: tuple[int, ...]) -> None:
    x = RNG.standard_normal(shape)
    lu, pivots = factor_lu(x, True)
    batch, m, n = shape
    k = min(m, n)
    lower, upper = np.tril(lu[:, :, :k], -1) + np.eye(m, k), np.triu(lu[:, :k])
    rows = np.array(x)
    for b in range(batch):
        for j in range(k):
            rows[b][[j, pivots[b, j] - 1]] = rows[b][[pivots[b, j] - 1, j]]
    np.testing.assert_allclose(lower @ upper, rows, atol=1e-11)
    if k:
        assert np.abs(lower).max(initial=0) <= 1 + 1e-12


@pytest.mark.parametrize("is_lower", [True, False])
@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("n", [1, 5, 140])
def test_substitution_reads_one_triangle(is_lower: bool, unit: bool, n: int) -> None:
    x = RNG.standard_normal((2, n, n)) / n + np.eye(n)
    right = RNG.standard_normal((2, n, 3))
    found = substitute(x, right, lower=is_lower, unit=unit)
    triangle = np.tril(x) if is_lower else np.triu(x)
    if unit:
        triangle[:, np.arange(n), np.arange(n)] = 1
    np.testing.assert_allclose(triangle @ found, right, atol=1e-10)


def test_substitution_divides_by_zero_quietly() -> None:
    assert np.isinf(substitute(np.zeros((1, 1, 1)), np.ones((1, 1, 1)), lower=True, unit=False)).all()


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("hermitian", [True, False])
@pytest.mark.parametrize("diagonal", [0.0, 3.0])
def test_ldl(dtype: type, hermitian: bool, diagonal: float) -> None:
    for n in (1, 2, 6, 9):
        x = RNG.standard_normal((n, n)) + (1j * RNG.standard_normal((n, n)) if dtype is np.complex128 else 0)
        x = x + (x.conj().T if hermitian else x.T)
        x[np.arange(n), np.arange(n)] *= diagonal
        x += np.eye(n) * 1e-3
        right = RNG.standard_normal((n, 2)).astype(dtype)
        factor, pivots = factor_ldl(x, hermitian)
        assert np.all(pivots != 0)
        np.testing.assert_allclose(x @ solve_ldl(factor, pivots, right, hermitian), right, atol=1e-7)


def test_cholesky_stops_where_it_must() -> None:
    good = np.array([[4.0, 2.0], [2.0, 2.0]])
    np.testing.assert_allclose(factor_cholesky(good), np.linalg.cholesky(good))
    assert np.isnan(np.diagonal(factor_cholesky(np.diag([1.0, -1.0, 2.0])))).tolist() == [False, True, False]


def test_exponential() -> None:
    x = np.array([[[0.0, 1.0], [-1.0, 0.0]], [[20.0, 0.0], [0.0, -3.0]], [[np.nan, 0], [0, 0]]])
    found = exponential(x)
    np.testing.assert_allclose(found[0], [[np.cos(1), np.sin(1)], [-np.sin(1), np.cos(1)]], rtol=1e-12)
    np.testing.assert_allclose(found[1], np.diag(np.exp([20.0, -3.0])), rtol=1e-12)
    assert np.isnan(found[2]).all()
