"""Gradient checkpointing: the same numbers, and the values in between are computed again."""

from __future__ import annotations

from typing import Any

import pytest

import trine
from trine import nn
from trine.utils.checkpoint import checkpoint


def gradients(model: Any, x: Any, function: Any) -> tuple[Any, ...]:
    x = x.detach().requires_grad_()
    for p in model.parameters():
        p.grad = None
    trine.manual_seed(3)
    y = function(x)
    y.sum().backward()
    return (y.tolist(), x.grad.tolist(), *(p.grad.tolist() for p in model.parameters()))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_same_gradients(dropout: float) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3))
    x = trine.randn(5, 4)
    assert gradients(model, x, lambda x: checkpoint(model, x, use_reentrant=False)) == gradients(model, x, model)


def test_observed_between_forward_and_backward() -> None:
    model = nn.Linear(3, 3)
    x = trine.randn(2, 3)

    def observed(x: Any) -> Any:
        y = checkpoint(lambda v: model(v).exp(), x)
        str(y)
        return y

    assert gradients(model, x, observed) == gradients(model, x, lambda x: model(x).exp())


def test_values_are_computed_again() -> None:
    """The plan of a checkpointed step has the exponential twice, that of a plain one once."""
    x = trine.randn(64, requires_grad=True)

    def step(function: Any) -> int:
        x.grad = None
        with trine.profiler.profile() as profile:
            function(x * 2.0).sin().sum().backward()
            x.grad.tolist()
        return sum(event.operations.count("exp") for event in profile.events)

    def plain(v: Any) -> Any:
        return (v.exp() + 1.0).exp()

    assert step(lambda v: checkpoint(plain, v)) > step(plain)
