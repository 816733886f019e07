"""One program gives equal results however it is run."""

from __future__ import annotations

import numpy as np
import pytest

import trine
from trine import nn


def train(steps: int = 4) -> list[np.ndarray]:
    trine.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Dropout(0.25), nn.Linear(32, 4))
    optimizer = trine.optim.Adam(model.parameters(), lr=0.01)
    generator = np.random.default_rng(0)
    losses = []
    for _ in range(steps):
        x = trine.tensor(generator.standard_normal((64, 16)).astype(np.float32))
        y = trine.tensor(generator.integers(0, 4, 64))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach().numpy().copy())
    return [*losses, *(p.detach().numpy().copy() for p in model.parameters())]


def test_run_to_run_bit_identical() -> None:
    for a, b in zip(train(), train(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_bit_identical_for_any_number_of_threads() -> None:
    before = trine.get_num_threads()
    try:
        results = []
        for count in (1, 2):
            trine.set_num_threads(count)
            results.append(train())
    finally:
        trine.set_num_threads(before)
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_engines_agree() -> None:
    native = train()
    trine.set_engine("numpy")
    try:
        reference = train()
    finally:
        trine.set_engine("native")
    for a, b in zip(native, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_eager_agrees() -> None:
    recorded = train()
    with trine.eager(True):
        one_by_one = train()
    for a, b in zip(recorded, one_by_one, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("bad", ["matmul", "labels", "axis"])
def test_bad_input_says_what_was_expected(bad: str) -> None:
    x = trine.ones(2, 3)
    with pytest.raises(trine.TrineError, match="(?s)received.*expected"):
        {
            "matmul": lambda: x @ x,
            "labels": lambda: nn.functional.cross_entropy(x, trine.tensor([0, 1, 2])),
            "axis": lambda: x.sum(4),
        }[bad]()
    assert (x + 1).tolist() == [[2.0] * 3] * 2
