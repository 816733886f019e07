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
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1, "maximize": True}),
    ("Adafactor", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adafactor", {"lr": 0.1, "beta2_decay": -1.0, "eps": (1e-4, 1e-2), "d": 1.5, "maximize": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.5, "weight_decay": 0.1, "initial_accumulator_value": 0.1}),
    ("Adamax", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("ASGD", {"lr": 0.1, "t0": 3, "lambd": 0.01, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.5, "centered": True, "maximize": True}),
    ("Rprop", {"lr": 0.1, "step_sizes": (0.01, 0.15), "maximize": True}),
]
MORE = [row for row in CASES if row[0] not in ("SGD", "Adam", "AdamW")]


class Pair:
    """The same parameters and gradients in both libraries."""

    def __init__(self, name: str, options: dict[str, Any], groups: bool = False, double: bool = False) -> None:
        initial = [x.astype(np.float64 if double else np.float32) for x in INITIAL]
        self.ours = [trine.nn.Parameter(trine.tensor(x)) for x in initial]
        self.theirs = [torch.nn.Parameter(torch.tensor(x)) for x in initial]
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


@pytest.mark.parametrize("name,options", [CASES[2], CASES[6], *(row for row in MORE if row[0] in ("NAdam", "Adafactor"))])
def test_groups_learning_rates_and_missing_gradients(name: str, options: dict[str, Any]) -> None:
    pair = Pair(name, options, groups=True)
    for i in range(STEPS):
        for optimizer in (pair.mine, pair.other):
            optimizer.param_groups[0]["lr"] = 0.1 / (i + 1)
        pair.step(i, skip=0 if i in (0, 1, 7) else None)
    pair.compare()


@pytest.mark.parametrize("name,options", [CASES[1], CASES[7], *MORE])
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


def matrices(library: Any, make: Any, name: str, options: dict[str, Any], steps: int) -> list[np.ndarray]:
    parameters = [library.nn.Parameter(make(x)) for x in (INITIAL[0], randn_like(3, 2), randn_like(2, 4))]
    optimizer = getattr(library.optim, name)(parameters, **options)
    rng = np.random.default_rng(3)
    for _ in range(steps):
        for p in parameters:
            p.grad = make(rng.standard_normal(tuple(p.shape)).astype(np.float32))
        optimizer.step()
    return [p.detach().numpy() for p in parameters] + [optimizer.state[p]["momentum_buffer"].numpy() for p in parameters]


def randn_like(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("options", [{}, {"nesterov": False, "ns_steps": 3, "weight_decay": 0.0}, {"adjust_lr_fn": "match_rms_adamw"}])
def test_muon(options: dict[str, Any]) -> None:
    options = {"lr": 0.01} | options
    mine, other = (matrices(lib, make, "Muon", options, 5) for lib, make in ((trine, trine.tensor), (torch, torch.tensor)))
    for found, expected in zip(mine, other, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3)  # the iterations are in bfloat16
    with pytest.raises(ValueError, match="2D"):
        trine.optim.Muon([trine.nn.Parameter(trine.ones(3))])


def test_sparse_adam_against_sparse_gradients() -> None:
    table = randn(5, 3)
    ours, theirs = trine.nn.Parameter(trine.tensor(table)), torch.nn.Parameter(torch.tensor(table))
    mine, other = trine.optim.SparseAdam([ours], lr=0.1), torch.optim.SparseAdam([theirs], lr=0.1)
    for rows in ([0, 2], [2], [4, 0]):
        gradient = np.zeros_like(table)
        gradient[rows] = randn(len(rows), 3)
        ours.grad, theirs.grad = trine.tensor(gradient), torch.tensor(gradient).to_sparse(1)
        mine.step()
        other.step()
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-5, atol=1e-6)
    for name in ("exp_avg", "exp_avg_sq"):
        np.testing.assert_allclose(mine.state[ours][name].numpy(), other.state[theirs][name].numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"lr": 0.5, "history_size": 2}, {"line_search_fn": "strong_wolfe"}])
def test_lbfgs(options: dict[str, Any]) -> None:
    # in float64: the last bit of a sum grows to another path within a few steps, in PyTorch too
    pair = Pair("LBFGS", {"max_iter": 8} | options, double=True)
    losses: dict[int, list[float]] = {0: [], 1: []}

    def closure(which: int, library: Any, optimizer: Any, parameters: Any) -> Any:
        optimizer.zero_grad()
        a, b, c = parameters
        loss = ((a * b[:2]).sum() - 1) ** 2 + (b * b).sum() + library.exp(c).sum() + (a * a).sum()
        loss.backward()
        losses[which].append(loss.item())
        return loss

    for _ in range(2):
        pair.mine.step(lambda: closure(0, trine, pair.mine, pair.ours))
        pair.other.step(lambda: closure(1, torch, pair.other, pair.theirs))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)
    pair.compare(rtol=1e-4)
    keys = {k: set(v) for k, v in pair.other.state_dict()["state"].items()}
    assert {k: set(v) | {"al"} for k, v in pair.mine.state_dict()["state"].items()} == {k: v | {"al"} for k, v in keys.items()}


@pytest.mark.parametrize("name,options", [CASES[3], CASES[6], CASES[-4]])
def test_complex_parameters(name: str, options: dict[str, Any]) -> None:
    start, gradients = randn(3) + 1j * randn(3), [(randn(3) + 1j * randn(3)).astype(np.complex64) for _ in range(4)]
    ours, theirs = trine.nn.Parameter(trine.tensor(start)), torch.nn.Parameter(torch.tensor(start))
    mine, other = getattr(trine.optim, name)([ours], **options), getattr(torch.optim, name)([theirs], **options)
    for gradient in gradients:
        ours.grad, theirs.grad = trine.tensor(gradient), torch.tensor(gradient)
        mine.step()
        other.step()
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name,options", [("SGD", {}), ("Adam", {}), ("RMSprop", {"momentum": 0.5})])
def test_gradients_go_through_a_differentiable_step(name: str, options: dict[str, Any]) -> None:
    found = []
    for library in (trine, torch):
        w = library.tensor([1.0, 2.0], requires_grad=True)
        p = w * 1.0
        optimizer = getattr(library.optim, name)([p], lr=0.25, differentiable=True, **options)
        for _ in range(2):
            p.grad = w * w
            optimizer.step()
        p.sum().backward()
        found.append(w.grad.numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)


def test_foreign_tensors_are_taken_from_a_state_dict() -> None:
    pair = Pair("Adam", {"lr": 0.1})
    pair.step(0)
    pair.mine.load_state_dict(pair.other.state_dict())
    state = pair.mine.state[pair.ours[0]]
    assert isinstance(state["exp_avg"], trine.Tensor) and state["step"] == 1
    pair.step(1)
    pair.compare()
