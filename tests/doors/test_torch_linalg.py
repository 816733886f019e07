"""`trine.linalg` against `torch.linalg`: values, dtypes, gradients, errors; real and complex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trine
from tests.ops.parity import check, torch

RNG = np.random.default_rng(5)


def matrices(*shape: int, kind: str = "f") -> np.ndarray:
    real = RNG.standard_normal(shape)
    return (real + 1j * RNG.standard_normal(shape)).astype(np.complex64) if kind == "c" else real.astype(np.float32)


def square(kind: str = "f") -> np.ndarray:
    return matrices(2, 4, 4, kind=kind) + 3 * np.eye(4, dtype=np.float32)


def positive(kind: str = "f") -> np.ndarray:
    x = square(kind)
    return x @ x.conj().swapaxes(-1, -2)


def both(call: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the same call on either library: the first argument is its name space."""
    return (lambda *args: call(trine, *args)), (lambda *args: call(torch, *args))


SIMPLE: dict[str, tuple[Callable[..., Any], Callable[[str], tuple[np.ndarray, ...]]]] = {
    "inv": (lambda t, x: t.linalg.inv(x), lambda k: (square(k),)),
    "solve": (lambda t, x, y: t.linalg.solve(x, y), lambda k: (square(k), matrices(4, 3, kind=k))),
    "solve vectors": (lambda t, x, y: t.linalg.solve(x, y), lambda k: (square(k), matrices(2, 4, kind=k))),
    "solve right": (lambda t, x, y: t.linalg.solve(x, y, left=False), lambda k: (square(k), matrices(2, 3, 4, kind=k))),
    "triangular": (
        lambda t, x, y: t.linalg.solve_triangular(x, y, upper=True, left=False, unitriangular=True),
        lambda k: (square(k), matrices(2, 3, 4, kind=k)),
    ),
    "det": (lambda t, x: t.linalg.det(x), lambda k: (square(k),)),
    "slogdet": (lambda t, x: tuple(t.linalg.slogdet(x)), lambda k: (square(k),)),
    "logdet": (lambda t, x: t.logdet(x), lambda k: (positive(k),)),
    "cholesky": (lambda t, x: t.linalg.cholesky(x), lambda k: (positive(k),)),
    "cholesky upper": (lambda t, x: t.linalg.cholesky(x, upper=True).abs(), lambda k: (positive(k),)),
    "cholesky_solve": (lambda t, x, y: t.cholesky_solve(y, t.linalg.cholesky(x)), lambda k: (positive(k), matrices(2, 4, 2, kind=k))),
    "pinv": (lambda t, x: t.linalg.pinv(x), lambda k: (matrices(2, 4, 3, kind=k),)),
    "lstsq": (lambda t, x, y: t.linalg.lstsq(x, y).solution, lambda k: (matrices(5, 3, kind=k), matrices(5, 2, kind=k))),
    "matrix_exp": (lambda t, x: t.matrix_exp(x), lambda k: (square(k) * np.float32(0.3),)),
    "matrix_power": (lambda t, x: t.linalg.matrix_power(x, -3), lambda k: (square(k),)),
    "lu": (lambda t, x: tuple(t.linalg.lu(x)), lambda k: (matrices(2, 5, 3, kind=k),)),
    "lu wide": (lambda t, x: tuple(t.linalg.lu_factor(x)), lambda k: (matrices(2, 3, 5, kind=k),)),
    "lu_solve": (
        lambda t, x, y: t.linalg.lu_solve(*t.linalg.lu_factor(x), y, left=False, adjoint=True),
        lambda k: (square(k), matrices(2, 3, 4, kind=k)),
    ),
    "qr": (lambda t, x: (lambda q, r: q @ r)(*t.linalg.qr(x)), lambda k: (matrices(5, 3, kind=k),)),
    "svd": (
        lambda t, x: (lambda u, s, v: ((u * s.cos().unsqueeze(-2)) @ v, s))(*t.linalg.svd(x, full_matrices=False)),
        lambda k: (matrices(5, 3, kind=k),),
    ),
    "svdvals": (lambda t, x: t.linalg.svdvals(x), lambda k: (matrices(3, 5, kind=k),)),
    "eigh": (lambda t, x: (lambda w, v: (w, v.abs()))(*t.linalg.eigh(x)), lambda k: (positive(k)[0],)),
    "eigvalsh": (lambda t, x: t.linalg.eigvalsh(x, UPLO="U"), lambda k: (positive(k),)),
    "householder": (lambda t, x, y: t.linalg.householder_product(x, y), lambda k: (matrices(5, 3, kind=k), matrices(3, kind=k))),
    "cond": (lambda t, x: t.linalg.cond(x, -2), lambda k: (square(k),)),
    "nuclear": (lambda t, x: t.linalg.matrix_norm(x, "nuc"), lambda k: (square(k),)),
    "norm": (lambda t, x: t.linalg.norm(x, 1, dim=(0, 2), keepdim=True), lambda k: (square(k),)),
    "multi_dot": (
        lambda t, x, y, z: t.linalg.multi_dot([x, y, z]),
        lambda k: (matrices(3, kind=k), matrices(3, 5, kind=k), matrices(5, 2, kind=k)),
    ),
    "cross": (lambda t, x, y: t.linalg.cross(x, y), lambda k: (matrices(2, 3, kind=k), matrices(1, 3, kind=k))),
    "vecdot": (lambda t, x, y: t.linalg.vecdot(x, y), lambda k: (matrices(2, 3, kind=k), matrices(3, kind=k))),
    "kron": (lambda t, x, y: t.kron(x, y), lambda k: (matrices(2, 3, kind=k), matrices(3, kind=k))),
    "vander": (lambda t, x: t.linalg.vander(x), lambda k: (matrices(2, 3, kind=k),)),
    "tensorinv": (lambda t, x: t.linalg.tensorinv(x.reshape(2, 4, 8), 2), lambda k: (matrices(8, 8, kind=k),)),
    "tensorsolve": (
        lambda t, x, y: t.linalg.tensorsolve(x.reshape(2, 4, 8), y),
        lambda k: (matrices(8, 8, kind=k), matrices(2, 4, kind=k)),
    ),
}


@pytest.mark.parametrize("name", SIMPLE)
@pytest.mark.parametrize("kind", ["f", "c"])
def test_against_torch(name: str, kind: str) -> None:
    call, arguments = SIMPLE[name]
    check(*both(call), *arguments(kind), rtol=2e-3, atol=2e-4)


def test_singular_matrices_raise_at_the_call() -> None:
    for call in (
        lambda: trine.linalg.inv(trine.zeros(2, 2)),
        lambda: trine.linalg.solve(trine.ones(2, 2), trine.ones(2)),
        lambda: trine.linalg.cholesky(-trine.eye(2)),
        lambda: trine.linalg.matrix_power(trine.zeros(2, 2), -1),
    ):
        with pytest.raises(RuntimeError) as caught:
            call()
        assert isinstance(caught.value, trine.linalg.LinAlgError)
    assert trine.linalg.inv(trine.eye(2)).tolist() == [[1, 0], [0, 1]]


def test_infos_tell_without_raising() -> None:
    x = trine.stack([trine.eye(3), trine.tensor([[1.0, 2, 3], [2, 4, 6], [1, 1, 1]])])
    theirs = torch.tensor(x.numpy())
    assert trine.linalg.inv_ex(x).info.tolist() == torch.linalg.inv_ex(theirs).info.tolist()
    assert trine.linalg.lu_factor_ex(x).info.tolist() == torch.linalg.lu_factor_ex(theirs).info.tolist()
    assert trine.linalg.solve_ex(x, trine.ones(3, 1)).info.tolist() == [0, 3]
    spd = trine.stack([trine.eye(3), trine.diag(trine.tensor([1.0, -1, 1]))])
    assert trine.linalg.cholesky_ex(spd).info.tolist() == [0, 2]
    with pytest.raises(trine.linalg.LinAlgError):
        trine.linalg.inv_ex(x, check_errors=True)


def test_wrong_operands() -> None:
    for wrong in (trine.ones(2, 3), trine.ones(3)):
        with pytest.raises(RuntimeError):
            trine.linalg.inv(wrong)
    with pytest.raises(RuntimeError):
        trine.linalg.eigh(trine.eye(2, dtype=trine.int64))
    with pytest.raises(RuntimeError):
        trine.linalg.det(trine.eye(2).half())


def test_ranks_and_thresholds() -> None:
    x = np.diag(np.array([1.0, 1e-3, 1e-9], np.float32))
    for options in ({}, {"atol": 1e-2}, {"rtol": 1e-12}, {"hermitian": True}):
        ours, theirs = trine.linalg.matrix_rank(trine.tensor(x), **options), torch.linalg.matrix_rank(torch.tensor(x), **options)
        assert ours.item() == theirs.item()
    np.testing.assert_allclose(trine.linalg.pinv(trine.tensor(x), atol=1e-2).numpy(), np.diag([1.0, 0, 0]), atol=1e-6)


def test_least_squares_returns_what_the_driver_computes() -> None:
    a, right = matrices(5, 3), matrices(5, 2)
    for driver in ("gels", "gelsy", "gelsd", "gelss"):
        ours = trine.linalg.lstsq(trine.tensor(a), trine.tensor(right), driver=driver)
        theirs = torch.linalg.lstsq(torch.tensor(a), torch.tensor(right), driver=driver)
        for found, want in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(found.numpy(), want.numpy(), rtol=1e-3, atol=1e-4)


def test_low_rank_decompositions_find_the_low_rank() -> None:
    x = trine.tensor(matrices(20, 3) @ matrices(3, 12))
    u, s, v = trine.svd_lowrank(x, q=5)
    np.testing.assert_allclose(((u * s) @ v.mT).numpy(), x.numpy(), atol=1e-3)
    u, s, v = trine.pca_lowrank(x, q=4)
    np.testing.assert_allclose(((u * s) @ v.mT).numpy(), (x - x.mean(0)).numpy(), atol=1e-3)


def test_out_and_methods() -> None:
    x = trine.tensor(square())
    out = trine.empty(2, 4, 4)
    assert trine.linalg.inv(x, out=out) is out
    np.testing.assert_allclose((x @ out).numpy(), np.broadcast_to(np.eye(4), (2, 4, 4)), atol=1e-5)
    np.testing.assert_allclose(x.inverse().numpy(), out.numpy())
    assert trine.linalg.svd(x).U.shape == (2, 4, 4) and x.det().shape == (2,) and x.mH.shape == (2, 4, 4)
