"""Losses and distances, as functions and as modules, against PyTorch's: values, gradients, texts, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import RNG, assert_close, copy_weights, randn, torch


def labels(classes: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, classes, shape)


def signs(*shape: int) -> np.ndarray:
    return np.where(RNG.random(shape) < 0.5, -1, 1).astype(np.float32)


def unit(*shape: int) -> np.ndarray:
    return RNG.uniform(0.1, 0.9, shape).astype(np.float32)


LONG = np.array([[2, 0, -1, 1], [1, -1, 3, 0], [-1, 2, 2, 2]])
LOSSES: list[tuple[str, dict[str, Any], tuple[np.ndarray, ...]]] = [
    ("L1Loss", {}, (randn(3, 4), randn(3, 4))),
    ("MSELoss", {}, (randn(3, 4), randn(3, 4))),
    ("SmoothL1Loss", {"beta": 0.5}, (randn(3, 4), randn(3, 4))),
    ("HuberLoss", {"delta": 0.5}, (randn(3, 4), randn(3, 4))),
    ("KLDivLoss", {}, (randn(3, 4), unit(3, 4))),
    ("KLDivLoss", {"log_target": True}, (randn(3, 4), randn(3, 4))),
    ("BCELoss", {"weight": unit(4)}, (unit(3, 4), unit(3, 4))),
    ("BCEWithLogitsLoss", {"pos_weight": unit(4)}, (randn(3, 4), unit(3, 4))),
    ("CrossEntropyLoss", {"weight": unit(5), "label_smoothing": 0.1, "ignore_index": 2}, (randn(6, 5), labels(5, 6))),
    ("CrossEntropyLoss", {"label_smoothing": 0.2}, (randn(2, 5, 3, 2), unit(2, 5, 3, 2))),
    ("NLLLoss", {"weight": unit(5)}, (randn(2, 5, 3, 2), labels(5, 2, 3, 2))),
    ("GaussianNLLLoss", {"full": True}, (randn(3, 4), randn(3, 4), unit(3, 1))),
    ("PoissonNLLLoss", {"full": True}, (randn(3, 4), labels(4, 3, 4).astype(np.float32))),
    ("PoissonNLLLoss", {"log_input": False}, (unit(3, 4), labels(4, 3, 4).astype(np.float32))),
    ("SoftMarginLoss", {}, (randn(3, 4), signs(3, 4))),
    ("HingeEmbeddingLoss", {"margin": 0.5}, (randn(3, 4), signs(3, 4))),
    ("CosineEmbeddingLoss", {"margin": 0.1}, (randn(3, 4), randn(3, 4), signs(3))),
    ("CosineEmbeddingLoss", {}, (randn(4), randn(4), signs())),
    ("MarginRankingLoss", {"margin": 0.3}, (randn(5), randn(5), signs(5))),
    ("MultiMarginLoss", {"p": 2, "margin": 0.7, "weight": unit(5)}, (randn(3, 5), labels(5, 3))),
    ("MultiMarginLoss", {}, (randn(5), labels(5))),
    ("MultiLabelMarginLoss", {}, (randn(3, 4), LONG)),
    ("MultiLabelMarginLoss", {}, (randn(4), LONG[0])),
    ("MultiLabelSoftMarginLoss", {"weight": unit(4)}, (randn(3, 4), unit(3, 4))),
    ("TripletMarginLoss", {"swap": True, "p": 3.0, "margin": 2.0}, (randn(3, 4), randn(3, 4), randn(3, 4))),
    ("TripletMarginWithDistanceLoss", {"swap": True}, (randn(3, 4), randn(3, 4), randn(3, 4))),
    ("CosineSimilarity", {"dim": 0}, (randn(3, 4), randn(3, 4))),
    ("PairwiseDistance", {"p": 1.0, "keepdim": True}, (randn(3, 4), randn(3, 4))),
]
ROWS = [(n, o, a, r) for n, o, a in LOSSES for r in (("none", "mean", "sum") if n.endswith("Loss") else (None,))]


def outcome(library: Any, name: str, options: dict[str, Any], arrays: Any, reduction: str | None) -> Any:
    """The module's text, its result, and the gradients of the floating point arguments."""
    given = {k: library.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    module = getattr(library.nn, name)(**given, **({} if reduction is None else {"reduction": reduction}))
    leaves = [library.tensor(x, requires_grad=x.dtype.kind == "f" and i != len(arrays) - 1) for i, x in enumerate(arrays)]
    result = module(*leaves)
    weight = np.cos(np.arange(result.numel())).reshape(tuple(result.shape)).astype(np.float32)
    (result * library.tensor(weight)).sum().backward()
    return repr(module), result, [x.grad for x in leaves if x.grad is not None]


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}-{row[3]}-{i}" for i, row in enumerate(ROWS)])
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
def test_loss(row: Any) -> None:
    (text, found, gradients), (other_text, expected, other_gradients) = (outcome(library, *row) for library in (trine, torch))
    assert text == other_text
    assert_close(found, expected)
    assert len(gradients) == len(other_gradients)
    for x, y in zip(gradients, other_gradients, strict=True):
        assert_close(x, y)


CTC: list[dict[str, Any]] = [
    {"inputs": (6, 5, 6), "targets": (2, 3, 0)},
    {"inputs": (6, 2, 6), "targets": (3, 3, 1), "zero_infinity": True},
    {"inputs": (6, 6, 6), "targets": (3, 2, 3), "flat": True, "blank": 2},
    {"inputs": (3, 2, 6), "targets": (3, 3, 1), "unfit": True},
]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("case", CTC, ids=lambda c: "-".join(k for k in c if k not in ("inputs", "targets")) or "plain")
def test_ctc(case: dict[str, Any], reduction: str) -> None:
    logits, blank = randn(6, 3, 5), case.get("blank", 0)
    targets = RNG.permuted(np.tile([1, 3, 4], (3, 1)), axis=1)
    targets[0, :2] = 3  # a repeated label needs a blank between
    results = []
    for library in (trine, torch):
        x = library.tensor(logits, requires_grad=True)
        y = library.tensor(
            np.concatenate([row[:n] for row, n in zip(targets, case["targets"], strict=True)]) if case.get("flat") else targets
        )
        loss = library.nn.CTCLoss(blank=blank, reduction=reduction, zero_infinity=case.get("zero_infinity", False))
        value = loss(x.log_softmax(2), y, library.tensor(case["inputs"]), library.tensor(case["targets"]))
        value.sum().backward()
        results.append((value, x.grad))
    (found, gradient), (expected, other_gradient) = results
    assert_close(found, expected)
    if not case.get("unfit"):
        assert_close(gradient, other_gradient)


def test_ctc_of_one_sequence() -> None:
    logits = randn(5, 4)
    found = trine.nn.functional.ctc_loss(trine.tensor(logits).log_softmax(1), trine.tensor([1, 2]), (5,), (2,))
    expected = torch.nn.functional.ctc_loss(torch.tensor(logits).log_softmax(1), torch.tensor([1, 2]), torch.tensor(5), torch.tensor(2))
    assert_close(found, expected)


@pytest.mark.parametrize("options", [{}, {"bias": True, "out_features": (2,), "ignore_index": 1}, {"label_smoothing": 0.1}], ids=str)
def test_linear_cross_entropy(options: dict[str, Any]) -> None:
    ours, theirs = trine.nn.LinearCrossEntropyLoss(3, 4, **options), torch.nn.LinearCrossEntropyLoss(3, 4, **options)
    copy_weights(ours, theirs)
    assert ours.extra_repr() == theirs.extra_repr()
    x, y = randn(5, 3), labels(4, 5, *options.get("out_features", ()))
    found, expected = ours(trine.tensor(x), trine.tensor(y)), theirs(torch.tensor(x), torch.tensor(y))
    assert_close(found, expected)
    found.backward()
    expected.backward()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(p.grad, q.grad)


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "huber_loss"])
def test_weights_of_elements(name: str) -> None:
    x, y, weight = randn(3, 4), randn(3, 4), unit(3, 4)
    for reduction in ("none", "mean", "sum"):
        found, expected = (
            getattr(lib.nn.functional, name)(lib.tensor(x), lib.tensor(y), weight=lib.tensor(weight), reduction=reduction)
            for lib in (trine, torch)
        )
        assert_close(found, expected)


def test_a_distance_of_ones_own() -> None:
    arrays = [randn(3, 4) for _ in range(3)]

    def run(lib: Any) -> Any:
        function = lib.nn.functional.triplet_margin_with_distance_loss
        cosine = lib.nn.functional.cosine_similarity
        return function(*[lib.tensor(x) for x in arrays], distance_function=lambda a, b: 1 - cosine(a, b))

    assert_close(run(trine), run(torch))


WRONG: list[tuple[Any, tuple[type[Exception], ...]]] = [
    (lambda lib: lib.nn.MultiMarginLoss(p=3), (ValueError, AssertionError)),
    (lambda lib: lib.nn.functional.multi_margin_loss(lib.ones(2, 3), lib.tensor([1, 2, 0])), (RuntimeError,)),
    (lambda lib: lib.nn.functional.multilabel_margin_loss(lib.ones(2, 3), lib.ones(2, 2, dtype=lib.int64)), (RuntimeError,)),
    (lambda lib: lib.nn.functional.cosine_embedding_loss(lib.ones(2, 3), lib.ones(2, 3), lib.ones(2, 2)), (RuntimeError,)),
    (lambda lib: lib.nn.functional.margin_ranking_loss(lib.ones(2), lib.ones(2), lib.ones(2, 1)), (RuntimeError,)),
    (lambda lib: lib.nn.functional.huber_loss(lib.ones(2), lib.ones(2), delta=0.0), (RuntimeError, ValueError)),
    (lambda lib: lib.nn.functional.ctc_loss(lib.zeros(4, 1, 3), lib.tensor([[1]]), (5,), (1,)), (RuntimeError,)),
    (lambda lib: lib.nn.functional.ctc_loss(lib.zeros(4, 1, 3), lib.tensor([[1]]), (4,), (1,), blank=3), (RuntimeError,)),
    (lambda lib: lib.nn.functional.ctc_loss(lib.zeros(4, 1, 3), lib.tensor([[1]]), (4, 4), (1,)), (RuntimeError,)),
    (lambda lib: lib.nn.functional.linear_cross_entropy(lib.ones(2, 3), lib.ones(4, 2), lib.tensor([0, 1])), (RuntimeError,)),
    (lambda lib: lib.nn.TripletMarginLoss(margin=0.0), (ValueError,)),
    (lambda lib: lib.nn.L1Loss(reduction="median")(lib.ones(1), lib.ones(1)), (ValueError,)),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_input(number: int) -> None:
    program, kinds = WRONG[number]
    for library in (trine, torch):
        with pytest.raises(kinds):
            program(library)
