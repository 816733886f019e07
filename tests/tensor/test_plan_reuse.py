"""Training loops compile nothing after their first steps, whatever changes from step to step."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trine
from trine import nn
from trine.tensor.state import automaton

RNG = np.random.default_rng(0)


def plans_built() -> int:
    return automaton.info()["plans_built"]


def steady(step: Callable[[int], Any], warm: int = 2, steps: int = 6) -> list[Any]:
    """Run `step(i)`; after `warm` steps neither plans nor states may be added. Return what the steps returned."""
    results = [step(i) for i in range(warm)]
    before = automaton.info()
    results += [step(i) for i in range(warm, steps)]
    after = automaton.info()
    assert after["plans_built"] == before["plans_built"]
    assert after["states"] == before["states"]
    return results


def batch(*shape: int) -> trine.Tensor:
    return trine.tensor(RNG.standard_normal(shape).astype(np.float32))


def mlp(dropout: float = 0.0) -> nn.Module:
    trine.manual_seed(0)
    middle = [nn.ReLU(), nn.Dropout(dropout)] if dropout else [nn.ReLU()]
    return nn.Sequential(nn.Linear(6, 8), *middle, nn.Linear(8, 3))


def cnn() -> nn.Module:
    trine.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 3))


class Trainer:
    """One step of training on fresh data, in one of the usual styles."""

    def __init__(self, model: nn.Module, *shape: int, optimizer: str = "SGD", **options: Any) -> None:
        self.model = model
        self.shape = shape
        self.optimizer = getattr(trine.optim, optimizer)(model.parameters(), **{"lr": 0.05, **options})
        self.losses: list[Any] = []

    def loss(self) -> trine.Tensor:
        x = batch(*self.shape)
        y = trine.tensor(RNG.integers(0, 3, self.shape[0]))
        return nn.functional.cross_entropy(self.model(x), y)

    def step(self, i: int) -> trine.Tensor:
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return loss


@pytest.mark.parametrize("optimizer,options", [("SGD", {"momentum": 0.9}), ("SGD", {}), ("Adam", {}), ("AdamW", {"weight_decay": 0.1})])
def test_mlp(optimizer: str, options: dict[str, Any]) -> None:
    trainer = Trainer(mlp(), 5, 6, optimizer=optimizer, **options)
    steady(trainer.step)


def test_cnn() -> None:
    steady(Trainer(cnn(), 4, 1, 8, 8).step)


def test_changing_learning_rate() -> None:
    trainer = Trainer(mlp(), 5, 6, optimizer="Adam")

    def step(i: int) -> None:
        for group in trainer.optimizer.param_groups:
            group["lr"] = 0.1 / (i + 1)
        trainer.step(i)

    steady(step)


def test_dropout_advances_without_new_plans() -> None:
    trainer = Trainer(mlp(0.5), 5, 6)
    steady(trainer.step)
    x = trine.ones(1000)
    outputs = steady(lambda i: nn.functional.dropout(x, 0.5).numpy().copy())
    assert not np.array_equal(outputs[2], outputs[3])


def test_changing_numbers() -> None:
    x = batch(4, 3)

    def step(i: int) -> np.ndarray:
        y = (x * (0.5 + i) + i) / (i + 1.5) - i**2
        return y.clamp(-i - 1.0, i + 1.0).numpy()

    results = steady(step)
    for i, found in enumerate(results):
        expected = np.clip((x.numpy() * np.float32(0.5 + i) + i) / np.float32(i + 1.5) - i**2, -i - 1, i + 1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_changing_values_written_in_place() -> None:
    x = trine.zeros(4)

    def step(i: int) -> list[float]:
        x[1] = float(i)
        x.add_(1.0 * i)
        x[2:] *= i
        return x.tolist()

    steady(step)


def test_item_before_backward() -> None:
    trainer = Trainer(mlp(), 5, 6)

    def step(i: int) -> float:
        trainer.optimizer.zero_grad()
        loss = trainer.loss()
        value = loss.item()
        loss.backward()
        trainer.optimizer.step()
        return value

    steady(step)


def test_item_after_backward() -> None:
    trainer = Trainer(mlp(), 5, 6)

    def step(i: int) -> float:
        trainer.optimizer.zero_grad()
        loss = trainer.loss()
        loss.backward()
        value = loss.item()
        trainer.optimizer.step()
        return value

    steady(step)


def test_item_after_step() -> None:
    trainer = Trainer(mlp(), 5, 6)
    steady(lambda i: trainer.step(i).item())


def test_losses_collected_in_a_list() -> None:
    trainer = Trainer(mlp(), 5, 6)
    losses: list[trine.Tensor] = []
    steady(lambda i: losses.append(trainer.step(i)), steps=8)
    assert len({loss.item() for loss in losses}) == 8
    mean = trine.stack(losses).mean().item()
    assert mean == pytest.approx(np.mean([loss.item() for loss in losses]), rel=1e-5)


def test_running_loss() -> None:
    trainer = Trainer(mlp(), 5, 6)
    total = trine.zeros(())

    def step(i: int) -> None:
        nonlocal total
        total = total + trainer.step(i).detach()

    steady(step)
    assert np.isfinite(total.item())


def test_validation_without_no_grad() -> None:
    trainer = Trainer(mlp(), 5, 6)

    def epoch(i: int) -> float:
        trainer.step(i)
        correct = 0
        for _ in range(3):
            prediction = trainer.model(batch(7, 6)).argmax(1)
            correct += int((prediction == trine.tensor(RNG.integers(0, 3, 7))).sum())
        return correct

    steady(epoch)


def test_validation_with_no_grad_and_eval() -> None:
    trainer = Trainer(cnn(), 4, 1, 8, 8)

    def epoch(i: int) -> float:
        trainer.model.train()
        trainer.step(i)
        trainer.model.eval()
        with trine.no_grad():
            return trainer.loss().item()

    steady(epoch)


def test_gradient_clipping_and_accumulation() -> None:
    trainer = Trainer(mlp(), 5, 6)

    def step(i: int) -> None:
        trainer.optimizer.zero_grad()
        for _ in range(2):
            (trainer.loss() / 2).backward()
        parameters = list(trainer.model.parameters())
        norm = trine.stack([(p.grad * p.grad).sum() for p in parameters]).sum().sqrt()
        scale = 1.0 / max(norm.item(), 1.0)
        with trine.no_grad():
            for p in parameters:
                p.grad.mul_(scale)
        trainer.optimizer.step()

    steady(step)


def test_manual_update() -> None:
    w = trine.zeros(3, requires_grad=True)
    x, y = batch(8, 3), batch(8)

    def step(i: int) -> float:
        loss = ((x @ w - y) ** 2).mean()
        loss.backward()
        with trine.no_grad():
            w.sub_(w.grad, alpha=0.1)
        w.grad = None
        return loss.item()

    losses = steady(step, steps=20)
    assert losses[-1] < losses[0]


def test_two_batch_sizes_alternate() -> None:
    model = mlp()
    optimizer = trine.optim.SGD(model.parameters(), lr=0.1)

    def step(i: int) -> None:
        for size in (5, 3):
            optimizer.zero_grad()
            model(batch(size, 6)).sum().backward()
            optimizer.step()

    steady(step)


def test_collector_timing_does_not_multiply_plans() -> None:
    """Results kept alive by reference cycles come and go with the collector; a plan that computes more serves as well."""
    trainer = Trainer(mlp(), 5, 6)
    gc.collect()
    gc.disable()
    try:

        def step(i: int) -> None:
            trainer.optimizer.zero_grad()
            loss = trainer.loss()
            hidden = loss * 2
            cycle: list[Any] = [hidden]
            cycle.append(cycle)
            if i % 3 == 1:
                del cycle, hidden
                gc.collect()
            loss.backward()
            trainer.optimizer.step()

        steady(step, warm=4, steps=12)
    finally:
        gc.enable()


def test_fewer_live_results_use_the_same_plan() -> None:
    x = batch(5)

    def run(keep: bool) -> float:
        a = x * 2
        b = a + 1
        c = b.exp()
        if not keep:
            del a, b
        return c.sum().item()

    run(True)
    before = plans_built()
    run(False)
    assert plans_built() == before


def test_cache_info_counts_programs() -> None:
    info = trine.cache_info()["programs"]
    assert set(info) >= {"states", "max_states", "plans", "max_plans", "plans_built"}
    assert info["plans"] <= info["max_plans"] and info["states"] <= info["max_states"]
