"""Comparing a tensor function with PyTorch's: values, dtypes and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trine import ops  # noqa: F401  (the package before its parts)
from trine.tensor import Tensor
from trine.tensor.convert import tensor

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(3)


def randn(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


def positive(*shape: int) -> np.ndarray:
    return RNG.uniform(0.2, 2, shape).astype(np.float32)


def _map(value: Any, convert: Callable[[np.ndarray], Any]) -> Any:
    if isinstance(value, np.ndarray):
        return convert(value)
    if isinstance(value, (list, tuple)) and any(isinstance(v, np.ndarray) for v in value):
        return type(value)(_map(v, convert) for v in value)
    return value


def _tensors(value: Any, kind: type) -> list[Any]:
    if isinstance(value, kind):
        return [value]
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in _tensors(v, kind)]
    return []


def check(
    function: Callable[..., Any],
    reference: Callable[..., Any],
    *args: Any,
    grad: bool = True,
    rtol: float = 2e-5,
    atol: float = 1e-5,
    **options: Any,
) -> None:
    """Call both with the same arrays; compare results, their dtypes, and the gradients of a weighted sum of the floating point ones."""
    ours, theirs = [], []

    def mine(array: np.ndarray) -> Tensor:
        leaf = tensor(array)
        if grad and array.dtype.kind in "fc":
            leaf.requires_grad_()
        ours.append(leaf)
        return leaf

    def other(array: np.ndarray) -> Any:
        leaf = torch.tensor(array)
        if grad and array.dtype.kind in "fc":
            leaf.requires_grad_()
        theirs.append(leaf)
        return leaf

    result = function(*[_map(a, mine) for a in args], **{k: _map(v, mine) for k, v in options.items()})
    expected = reference(*[_map(a, other) for a in args], **{k: _map(v, other) for k, v in options.items()})
    results, expecteds = _tensors(result, Tensor), _tensors(expected, torch.Tensor)
    assert len(results) == len(expecteds), (result, expected)
    if not expecteds:
        assert result == expected
    for found, want in zip(results, expecteds, strict=True):
        assert tuple(found.shape) == tuple(want.shape)
        assert found.dtype.name == str(want.dtype).removeprefix("torch.")
        np.testing.assert_allclose(found.detach().numpy(), want.detach().resolve_conj().numpy(), rtol=rtol, atol=atol)
    differentiable = [(f, w) for f, w in zip(results, expecteds, strict=True) if w.requires_grad]
    if not grad or not differentiable:
        return
    for number, (found, want) in enumerate(differentiable):
        weight = np.cos(np.arange(want.numel()) + number).reshape(tuple(want.shape)).astype(want.detach().resolve_conj().numpy().dtype)
        last = number == len(differentiable) - 1
        want.backward(torch.tensor(weight), retain_graph=not last)
        found.backward(tensor(weight), retain_graph=not last)
    for mine_leaf, their_leaf in zip(ours, theirs, strict=True):
        if their_leaf.grad is not None:
            assert mine_leaf.grad is not None
            np.testing.assert_allclose(mine_leaf.grad.numpy(), their_leaf.grad.resolve_conj().numpy(), rtol=rtol * 5, atol=atol * 5)
