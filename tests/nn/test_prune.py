"""Pruning against PyTorch's."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import assert_close, copy_weights, randn, torch
from trine import nn
from trine.nn.utils import prune

importlib.import_module("torch.nn.utils.prune")


def pair(*sizes: int) -> tuple[Any, Any]:
    ours, theirs = nn.Linear(*sizes), torch.nn.Linear(*sizes)
    copy_weights(ours, theirs)
    return ours, theirs


def check_pruned(ours: Any, theirs: Any) -> None:
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert_close(ours.state_dict()[name], value)
    assert_close(ours.weight, theirs.weight)
    x = randn(2, theirs.in_features)
    for layer, tensor in ((ours, trine.tensor), (theirs, torch.tensor)):
        layer.zero_grad()
        (layer(tensor(x)) ** 2).sum().backward()
    assert_close(ours.weight_orig.grad, theirs.weight_orig.grad)


@pytest.mark.parametrize(
    "name,options",
    [
        ("l1_unstructured", {"amount": 0.4}),
        ("l1_unstructured", {"amount": 7}),
        ("ln_structured", {"amount": 0.5, "n": 2, "dim": 0}),
        ("ln_structured", {"amount": 2, "n": 1, "dim": -1}),
        ("identity", {}),
    ],
)
def test_methods(name: str, options: dict[str, Any]) -> None:
    ours, theirs = pair(6, 4)
    assert getattr(prune, name)(ours, "weight", **options) is ours
    getattr(torch.nn.utils.prune, name)(theirs, "weight", **options)
    check_pruned(ours, theirs)
    assert prune.is_pruned(nn.Sequential(ours)) and not prune.is_pruned(nn.Linear(1, 1))


def test_one_after_another() -> None:
    ours, theirs = pair(6, 5)
    for layer, lib in ((ours, prune), (theirs, torch.nn.utils.prune)):
        lib.l1_unstructured(layer, "weight", amount=0.3)
        lib.ln_structured(layer, "weight", amount=2, n=2, dim=0)
        lib.l1_unstructured(layer, "weight", amount=4)
    check_pruned(ours, theirs)
    container = next(iter(ours._forward_pre_hooks.values()))[0]
    assert isinstance(container, prune.PruningContainer) and len(container) == 3
    weight = ours.weight_orig
    prune.remove(ours, "weight")
    assert ours.weight is weight and isinstance(weight, nn.Parameter) and sorted(ours.state_dict()) == ["bias", "weight"]
    assert_close(ours.weight, theirs.weight)
    assert_close(ours(trine.ones(1, 6)), theirs(torch.ones(1, 6)))
    with pytest.raises(ValueError, match="not pruned"):
        prune.remove(ours, "weight")


def test_masks_and_scores() -> None:
    ours, theirs = pair(4, 3)
    mask, scores = (randn(3, 4) > 0).astype(np.float32), randn(3, 4)
    for layer, lib, tensor in ((ours, prune, trine.tensor), (theirs, torch.nn.utils.prune, torch.tensor)):
        lib.custom_from_mask(layer, "weight", mask=tensor(mask))
        lib.l1_unstructured(layer, "weight", 2, importance_scores=tensor(scores))
    check_pruned(ours, theirs)
    method = prune.L1Unstructured(0.5)
    expected = torch.nn.utils.prune.L1Unstructured(0.5).prune(torch.tensor(scores))
    assert_close(method.prune(trine.tensor(scores)), expected)


def test_several_parameters_together() -> None:
    models = []
    for lib, utils in ((nn, prune), (torch.nn, torch.nn.utils.prune)):
        model = lib.Sequential(lib.Linear(3, 4), lib.Linear(4, 2))
        models.append((model, utils))
    copy_weights(models[0][0], models[1][0])
    for model, utils in models:
        chosen = [(model[0], "weight"), (model[1], "weight"), (model[0], "bias")]
        utils.global_unstructured(chosen, pruning_method=utils.L1Unstructured, amount=0.4)
        utils.global_unstructured(chosen, pruning_method=utils.L1Unstructured, amount=3)
    ours, theirs = models[0][0], models[1][0]
    for name, value in theirs.state_dict().items():
        assert_close(ours.state_dict()[name], value)


def test_random_methods_prune_as_many() -> None:
    layer = prune.random_unstructured(nn.Linear(10, 10), "weight", amount=0.37)
    assert int((layer.weight_mask == 0).sum()) == 37
    layer = prune.random_structured(nn.Conv2d(6, 4, 2), "weight", amount=2, dim=1)
    gone = (layer.weight_mask == 0).numpy()
    assert gone.all((0, 2, 3)).sum() == 2 and gone.mean() == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    "call",
    [
        lambda nn, prune: prune.l1_unstructured(nn.Linear(2, 2), "weight", amount=1.5),
        lambda nn, prune: prune.l1_unstructured(nn.Linear(2, 2), "weight", amount=-1),
        lambda nn, prune: prune.l1_unstructured(nn.Linear(2, 2), "weight", amount=9),
        lambda nn, prune: prune.ln_structured(nn.Linear(2, 2), "bias", amount=1, n=2, dim=0),
        lambda nn, prune: prune.global_unstructured([(nn.Linear(2, 2), "weight")], prune.LnStructured, amount=1, n=2),
        lambda nn, prune: prune.ln_structured(nn.Linear(2, 2), "weight", amount=1, n=2, dim=5),
    ],
)
def test_errors(call: Any) -> None:
    for lib, utils in ((nn, prune), (torch.nn, torch.nn.utils.prune)):
        with pytest.raises((ValueError, TypeError, IndexError)):
            call(lib, utils)
