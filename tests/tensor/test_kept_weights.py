"""What a plan keeps of its inputs from run to run, and that every change of a weight is seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import trine
from trine.nn import functional as F

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 6, 6)).astype(np.float32)
W = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)


def ran(function: Callable[[], trine.Tensor]) -> tuple[np.ndarray, list[str]]:
    """Return the result and the names of the commands that ran."""
    with trine.no_grad(), trine.profiler.profile() as profile:
        result = function().numpy()
    return result, [event.name for event in profile.events]


def own(array: np.ndarray) -> trine.Tensor:
    return trine.tensor(array) * 1.0


def changed_in_place(w: trine.Tensor) -> trine.Tensor:
    w.mul_(2.0)
    return w


def changed_by_a_step(w: trine.Tensor) -> trine.Tensor:
    w.requires_grad_()
    optimizer = trine.optim.SGD([w], lr=0.5)
    F.conv2d(trine.tensor(X), w).sum().backward()
    optimizer.step()
    return w.detach()


def changed_from_outside(w: trine.Tensor) -> trine.Tensor:
    w.numpy()[...] *= 3.0
    return w


def changed_piece(w: trine.Tensor) -> trine.Tensor:
    w[1].fill_(7.0)
    return w


def copied_over(w: trine.Tensor) -> trine.Tensor:
    w.copy_(trine.tensor(W[::-1].copy()))
    return w


@pytest.mark.parametrize(
    "change", [changed_in_place, changed_by_a_step, changed_from_outside, changed_piece, copied_over], ids=lambda f: f.__name__
)
def test_every_change_of_a_weight_is_seen(change: Callable[[trine.Tensor], trine.Tensor]) -> None:
    x, w = own(X), own(W)
    for _ in range(3):
        before, _ = ran(lambda: F.conv2d(x, w))
    w = change(w)
    for _ in range(2):
        after, _ = ran(lambda: F.conv2d(x, w))
        expected, _ = ran(lambda: F.conv2d(own(X), own(w.detach().numpy().copy())))
        np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(after - before).max() > 0.1


def test_weights_are_packed_once() -> None:
    x, w = own(X), own(W)
    first, names = ran(lambda: F.conv2d(x, w))
    again, later = ran(lambda: F.conv2d(x, w))
    other, others = ran(lambda: F.conv2d(x, own(W * 2)))
    assert ["conv.pack" in run for run in (names, later, others)] == [True, False, True]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(other, 2 * first, rtol=1e-5)


def test_memory_that_others_see_is_packed_each_time() -> None:
    array = W.copy()
    x, w = own(X), trine.from_numpy(array)
    first, _ = ran(lambda: F.conv2d(x, w))
    array *= 2
    second, names = ran(lambda: F.conv2d(x, w))
    assert "conv.pack" in names
    np.testing.assert_allclose(second, 2 * first, rtol=1e-5)


def test_weights_that_the_program_writes_are_packed_each_time() -> None:
    x, w = own(X), own(W).requires_grad_()
    optimizer = trine.optim.SGD([w], lr=0.1)
    for _ in range(3):
        with trine.profiler.profile() as profile:
            optimizer.zero_grad()
            F.conv2d(x, w).square().sum().backward()
            optimizer.step()
        assert "conv.pack" in [event.name for event in profile.events]
