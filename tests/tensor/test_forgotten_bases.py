"""What only views that are gone were made of is no result of a plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine
from trine.tensor import execution


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of results of each flush."""
    counts: list[int] = []
    live = execution._live_handles

    def counted(trace: Any) -> Any:
        by_slot, stale = live(trace)
        counts.append(len(by_slot))
        return by_slot, stale

    trine.synchronize()
    monkeypatch.setattr(execution, "_live_handles", counted)
    return counts


def product(x: trine.Tensor) -> trine.Tensor:
    left, right = (x * 2).split(3, 1)
    return left.transpose(0, 1) @ right


@pytest.mark.recorded
def test_bases_of_views_that_are_gone(computed: list[int]) -> None:
    x = trine.arange(24.0).reshape(4, 6)
    trine.synchronize()
    del computed[:]
    y = product(x)
    trine.synchronize()
    assert computed == [1]
    expected = np.arange(24.0, dtype=np.float32).reshape(4, 6) * 2
    np.testing.assert_array_equal(y.numpy(), expected[:, :3].T @ expected[:, 3:])


@pytest.mark.recorded
def test_views_that_are_held_keep_their_base(computed: list[int]) -> None:
    x = trine.arange(24.0).reshape(4, 6)
    trine.synchronize()
    del computed[:]
    base = x * 2
    view = base[1:3]
    del base
    y = product(x)
    trine.synchronize()
    assert computed[0] == 2
    view.add_(1)
    np.testing.assert_array_equal(view.numpy(), np.arange(24.0).reshape(4, 6)[1:3] * 2 + 1)
    assert y.shape == (3, 3)


def test_a_base_that_is_held(computed: list[int]) -> None:
    x = trine.arange(24.0).reshape(4, 6)
    base = x * 2
    z = base[0].sum() + base.T[1].sum()
    trine.synchronize()
    np.testing.assert_array_equal(base.numpy(), np.arange(24.0).reshape(4, 6) * 2)
    assert z.item() == 30.0 + 80.0


def test_with_gradients() -> None:
    x = trine.arange(24.0).reshape(4, 6).requires_grad_()
    for _ in range(3):
        x.grad = None
        y = product(x).sum()
        trine.synchronize()
        y.backward()
        left, right = np.arange(24.0).reshape(4, 6)[:, :3], np.arange(24.0).reshape(4, 6)[:, 3:]
        expected = 4 * np.concatenate([right.sum(1, keepdims=True).repeat(3, 1), left.sum(1, keepdims=True).repeat(3, 1)], 1)
        np.testing.assert_allclose(x.grad.numpy(), expected)
