"""Modules of both libraries side by side: same weights, same inputs, compared results and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(11)


def randn(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def copy_weights(ours: Any, theirs: Any) -> None:
    """Give our module the state of theirs, by name."""
    ours.load_state_dict({name: trine.tensor(value.detach().numpy()) for name, value in theirs.state_dict().items()})


def assert_close(found: Any, expected: Any, rtol: float = 2e-5, atol: float = 2e-5) -> None:
    assert tuple(found.shape) == tuple(expected.shape)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=rtol, atol=atol)


def assert_same_state(ours: Any, theirs: Any, rtol: float = 2e-5, atol: float = 2e-5) -> None:
    """Names in the same order, dtypes and values of parameters and buffers."""
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other)
    for name, value in other.items():
        assert mine[name].dtype.name == str(value.dtype).removeprefix("torch."), name
        assert_close(mine[name], value, rtol, atol)


def check_module(ours: Any, theirs: Any, *inputs: np.ndarray, rtol: float = 5e-5, atol: float = 5e-5) -> None:
    """Forward and backward in training and in evaluation, from the same weights."""
    copy_weights(ours, theirs)
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        ours.zero_grad()
        theirs.zero_grad()
        mine = [trine.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
        other = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
        result, expected = ours(*mine), theirs(*other)
        assert_close(result, expected, rtol, atol)
        weight = np.cos(np.arange(expected.numel())).reshape(tuple(expected.shape)).astype(np.float32)
        if expected.requires_grad:
            result.backward(trine.tensor(weight))
            expected.backward(torch.tensor(weight))
        for x, y in zip(mine, other, strict=True):
            if y.grad is not None:
                assert_close(x.grad, y.grad, rtol, atol)
        parameters = dict(theirs.named_parameters())
        assert [name for name, _ in ours.named_parameters()] == list(parameters)
        for name, p in ours.named_parameters():
            assert_close(p.grad, parameters[name].grad, rtol, atol)
        assert_same_state(ours, theirs, rtol, atol)
