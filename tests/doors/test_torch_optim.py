"""Optimizers against PyTorch's, over 20 steps, and the exchange of their states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import randn, torch

STEPS = 20
INITIAL = [randn(3, 2), randn(4), randn(1)]
GRADIENTS = [[randn(3, 2), randn(4), randn(1)] for _ in range(STEPS)]

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "dampening": 0.3, "maximize": True}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.2, "amsgrad": True, "maximize": True}),
]


class Pair:
    """The same parameters and gradients in both libraries."""

    def __init__(self, name: str, options: dict[str, Any], groups: bool = False) -> None:
        self.ours = [trine.nn.Parameter(trine.tensor(x)) for x in INITIAL]
        self.theirs = [torch.nn.Parameter(torch.tensor(x)) for x in INITIAL]
        mine, other = self.ours, self.theirs
        if groups:
            extra = {"lr": options["lr"] * 3, "weight_decay": 0.01}
            mine = [{"params": mine[:2]}, {"params": mine[2:], **extra}]  # type: ignore[list-item]
            other = [{"params": other[:2]}, {"params": other[2:], **extra}]
        self.mine = getattr(trine.optim, name)(mine, **options)
        self.other = getattr(torch.optim, name)(other, **options)

    def step(self, i: int, skip: int | None = None) -> None:
        for position, gradient in enumerate(GRADIENTS[i]):
            self.ours[position].grad = None if position == skip else trine.tensor(gradient)
            self.theirs[position].grad = None if position == skip else torch.tensor(gradient)
        self.mine.step()
        self.other.step()

    def compare(self, rtol: float = 2e-5) -> None:
        for p, q in zip(self.ours, self.theirs, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=rtol, atol=2e-6)


@pytest.mark.parametrize("name,options", CASES, ids=[f"{row[0]}-{i}" for i, row in enumerate(CASES)])
def test_twenty_steps(name: str, options: dict[str, Any]) -> None:
    pair = Pair(name, options)
    for i in range(STEPS):
        pair.step(i)
    pair.compare()
    mine, other = pair.mine.state_dict(), pair.other.state_dict()
    assert set(mine) == set(other) and set(mine["state"]) == set(other["state"])
    for index, state in other["state"].items():
        kept = {k: v for k, v in state.items() if v is not None}
        assert set(mine["state"][index]) == set(kept)
        for key, value in kept.items():
            np.testing.assert_allclose(mine["state"][index][key].numpy(), value.numpy(), rtol=2e-5, atol=1e-6)
    for group, expected in zip(mine["param_groups"], other["param_groups"], strict=True):
        assert {k: expected[k] for k in group} == group


@pytest.mark.parametrize("name,options", [CASES[2], CASES[6]])
def test_groups_learning_rates_and_missing_gradients(name: str, options: dict[str, Any]) -> None:
    pair = Pair(name, options, groups=True)
    for i in range(STEPS):
        for optimizer in (pair.mine, pair.other):
            optimizer.param_groups[0]["lr"] = 0.1 / (i + 1)
        pair.step(i, skip=0 if i in (0, 1, 7) else None)
    pair.compare()


@pytest.mark.parametrize("name,options", [CASES[1], CASES[7]])
def test_states_go_both_ways(name: str, options: dict[str, Any]) -> None:
    pair = Pair(name, options)
    for i in range(5):
        pair.step(i)
    fresh = Pair(name, options | {"lr": 0.5})
    for p, q, r, s in zip(fresh.ours, pair.theirs, fresh.theirs, pair.ours, strict=True):
        p.data = trine.tensor(q.detach().numpy())
        r.data = torch.tensor(s.detach().numpy())
    theirs, mine = pair.other.state_dict(), pair.mine.state_dict()
    to_trine = {k: {n: trine.tensor(v.numpy()) for n, v in s.items() if v is not None} for k, s in theirs["state"].items()}
    to_torch = {k: {n: torch.tensor(v.numpy()) for n, v in s.items()} for k, s in mine["state"].items()}
    fresh.mine.load_state_dict({"state": to_trine, "param_groups": theirs["param_groups"]})
    fresh.other.load_state_dict({"state": to_torch, "param_groups": mine["param_groups"]})
    assert fresh.mine.param_groups[0]["lr"] == options["lr"] == fresh.other.param_groups[0]["lr"]
    for i in range(5, STEPS):
        fresh.step(i)
        pair.step(i)
    pair.compare()
    fresh.compare()
    for p, q in zip(fresh.ours, pair.ours, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=2e-5, atol=2e-6)


def test_closure() -> None:
    pair = Pair("SGD", {"lr": 0.1})

    def closure(optimizer: Any, parameters: Any) -> Any:
        optimizer.zero_grad()
        loss = sum((p * p).sum() for p in parameters)
        loss.backward()
        return loss

    for _ in range(3):
        with trine.no_grad():
            mine = pair.mine.step(lambda: closure(pair.mine, pair.ours))
        other = pair.other.step(lambda: closure(pair.other, pair.theirs))
        np.testing.assert_allclose(mine.item(), other.item(), rtol=1e-5)
    pair.compare()
