"""Embeddings, bags and the adaptive softmax against PyTorch's: values, gradients, texts, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import RNG, assert_close, copy_weights, randn, torch

IDS = np.array([[1, 0, 3, 3], [3, 2, 2, 1]])
EMBEDDINGS: list[dict[str, Any]] = [
    {},
    {"padding_idx": 3},
    {"padding_idx": -2, "scale_grad_by_freq": True},
    {"max_norm": 1.0},
    {"max_norm": 0.5, "norm_type": 1.0},
]


def compare(name: str, options: dict[str, Any], *arrays: Any) -> None:
    """The same weights and inputs: results, gradients, and the weights afterwards."""
    ours, theirs = (getattr(lib.nn, name)(5, 3, **options) for lib in (trine, torch))
    copy_weights(ours, theirs)
    assert repr(ours) == repr(theirs)
    outcomes = []
    for library, module in ((trine, ours), (torch, theirs)):
        leaves = [None if x is None else library.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays]
        result = module(*leaves)
        weight = np.cos(np.arange(result.numel())).reshape(tuple(result.shape)).astype(np.float32)
        (result * library.tensor(weight)).sum().backward()
        gradients = [x.grad for x in leaves if x is not None and x.grad is not None]
        outcomes.append([result, module.weight.grad, module.weight, *gradients])
    for found, expected in zip(*outcomes, strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize("options", EMBEDDINGS, ids=lambda o: "-".join(o) or "plain")
def test_embedding(options: dict[str, Any]) -> None:
    compare("Embedding", options, IDS)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("options", [{}, {"padding_idx": 3}, {"max_norm": 1.0}], ids=lambda o: "-".join(o) or "plain")
def test_bags(mode: str, options: dict[str, Any]) -> None:
    options = {**options, "mode": mode}
    compare("EmbeddingBag", options, IDS)
    compare("EmbeddingBag", options, IDS.ravel(), np.array([0, 3, 3, 5]))
    compare("EmbeddingBag", {**options, "include_last_offset": True}, IDS.ravel(), np.array([0, 3, 3, 8]))


def test_weights_of_samples() -> None:
    compare("EmbeddingBag", {"mode": "sum"}, IDS, None, randn(2, 4))
    compare("EmbeddingBag", {"mode": "sum", "padding_idx": 2}, IDS.ravel(), np.array([0, 5]), randn(8))


def test_frequency_in_bags() -> None:
    """By hand: PyTorch divides by the frequency of another row here."""
    bag = trine.nn.EmbeddingBag(5, 3, mode="sum", scale_grad_by_freq=True)
    bag(trine.tensor(IDS)).sum().backward()
    assert bag.weight.grad.tolist() == [[1.0] * 3] * 4 + [[0.0] * 3]


def test_from_pretrained() -> None:
    table = randn(4, 3)
    for name in ("Embedding", "EmbeddingBag"):
        for options in ({}, {"freeze": False, "max_norm": 0.5}):
            ours, theirs = (getattr(lib.nn, name).from_pretrained(lib.tensor(table), **options) for lib in (trine, torch))
            assert ours.weight.requires_grad == theirs.weight.requires_grad
            ids = np.array([[2, 1]])
            assert_close(ours(trine.tensor(ids)), theirs(torch.tensor(ids)))


WRONG: list[tuple[Any, tuple[type[BaseException], ...]]] = [
    (lambda lib: lib.nn.Embedding(3, 2, padding_idx=5), (AssertionError,)),
    (lambda lib: lib.nn.Embedding.from_pretrained(lib.ones(3)), (AssertionError,)),
    (lambda lib: lib.nn.functional.embedding(lib.tensor([1.5]), lib.ones(3, 2)), (RuntimeError,)),
    (lambda lib: lib.nn.functional.embedding(lib.tensor([7]), lib.ones(3, 2)).sum().item(), (IndexError,)),
    (lambda lib: lib.nn.functional.embedding_bag(lib.tensor([1]), lib.ones(3, 2)), (ValueError,)),
    (lambda lib: lib.nn.functional.embedding_bag(lib.tensor([[1]]), lib.ones(3, 2), lib.tensor([0])), (ValueError,)),
    (lambda lib: lib.nn.functional.embedding_bag(lib.tensor([1]), lib.ones(3, 2), lib.tensor([1])), (ValueError, RuntimeError)),
    (lambda lib: lib.nn.functional.embedding_bag(lib.tensor([[1]]), lib.ones(3, 2), mode="median"), (ValueError,)),
    (
        lambda lib: lib.nn.functional.embedding_bag(lib.tensor([[1]]), lib.ones(3, 2), per_sample_weights=lib.ones(1, 1)),
        (NotImplementedError,),
    ),
    (lambda lib: lib.nn.AdaptiveLogSoftmaxWithLoss(4, 5, [3, 2]), (ValueError,)),
    (lambda lib: lib.nn.AdaptiveLogSoftmaxWithLoss(16, 9, [3, 5])(lib.ones(2, 16), lib.tensor([1])), (RuntimeError,)),
    (lambda lib: lib.nn.AdaptiveLogSoftmaxWithLoss(16, 9, [3, 5])(lib.ones(1, 16), lib.tensor([9])).loss.item(), (RuntimeError,)),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_input(number: int) -> None:
    program, kinds = WRONG[number]
    for library in (trine, torch):
        with pytest.raises(kinds):
            program(library)


@pytest.mark.parametrize("head_bias", [False, True])
def test_adaptive_softmax(head_bias: bool) -> None:
    ours, theirs = (lib.nn.AdaptiveLogSoftmaxWithLoss(16, 12, [3, 7], div_value=2.0, head_bias=head_bias) for lib in (trine, torch))
    copy_weights(ours, theirs)
    assert repr(ours) == repr(theirs)
    x, y = randn(6, 16), RNG.permutation(12)[:6]
    found, expected = ours(trine.tensor(x), trine.tensor(y)), theirs(torch.tensor(x), torch.tensor(y))
    assert_close(found.output, expected.output)
    assert_close(found.loss, expected.loss)
    found.loss.backward()
    expected.loss.backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        if q.grad is not None:
            assert_close(p.grad, q.grad)
    assert_close(ours.log_prob(trine.tensor(x)), theirs.log_prob(torch.tensor(x)))
    assert ours.predict(trine.tensor(x)).tolist() == theirs.predict(torch.tensor(x)).tolist()
    assert_close(ours(trine.tensor(x[0]), trine.tensor(y[0])).output, theirs(torch.tensor(x[0]), torch.tensor(y[0])).output)
