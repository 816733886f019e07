"""Initial values against PyTorch's: distributions, exact patterns, older names, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_parity import torch
from trine import nn
from trine.nn import init


def test_truncated_normal() -> None:
    trine.manual_seed(0)
    w = trine.empty(200, 200)
    assert init.trunc_normal_(w, mean=0.5, std=2.0, a=-1.0, b=3.0) is w
    theirs = torch.nn.init.trunc_normal_(torch.empty(200, 200), mean=0.5, std=2.0, a=-1.0, b=3.0).numpy()
    values = w.numpy()
    assert values.min() >= -1 and values.max() <= 3
    assert values.mean() == pytest.approx(theirs.mean(), abs=0.03) and values.std() == pytest.approx(theirs.std(), rel=0.02)
    with pytest.warns(UserWarning, match="mean"):
        init.trunc_normal_(w, mean=10.0)


@pytest.mark.parametrize("shape,groups", [((3, 4, 3), 1), ((4, 2, 2, 3), 2), ((2, 3, 3, 3, 3), 1)])
def test_dirac(shape: tuple[int, ...], groups: int) -> None:
    ours, theirs = init.dirac_(trine.empty(*shape), groups), torch.nn.init.dirac_(torch.empty(*shape), groups)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (6, 2, 2)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    w = nn.Parameter(trine.empty(*shape))
    assert init.orthogonal_(w, gain=2.0) is w and w.requires_grad and w.is_leaf
    flat = w.detach().numpy().reshape(shape[0], -1)
    gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)
    assert init.orthogonal_(trine.empty(0, 3)).shape == (0, 3)


def test_patterns() -> None:
    assert init.eye_(trine.empty(2, 3)).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    trine.manual_seed(0)
    w = init.sparse_(trine.empty(50, 20), 0.25, std=2.0)
    assert (w == 0).sum(0).tolist() == [13] * 20
    assert w[w != 0].std().item() == pytest.approx(2.0, rel=0.1)


def test_fans_and_gains() -> None:
    assert init._calculate_fan_in_and_fan_out(trine.empty(4, 3, 2, 2)) == (12, 16)
    for name in ("linear", "conv1d", "conv_transpose3d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain("leaky_relu", 0.3) == math.sqrt(2 / 1.09)
    with pytest.raises(ValueError, match="slope"):
        init.calculate_gain("leaky_relu", "a")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name,args",
    [("uniform", ()), ("normal", (0.0, 2.0)), ("constant", (3.0,)), ("eye", ()), ("xavier_uniform", ()), ("xavier_normal", ())]
    + [("kaiming_uniform", ()), ("kaiming_normal", ()), ("orthogonal", ()), ("sparse", (0.5,))],
)
def test_older_names_warn(name: str, args: Any) -> None:
    w = trine.empty(4, 4)
    with pytest.warns(FutureWarning, match=f"nn.init.{name}_"):
        assert getattr(init, name)(w, *args) is w
    with pytest.warns(FutureWarning, match=f"nn.init.{name}_"):
        getattr(torch.nn.init, name)(torch.empty(4, 4), *args)


@pytest.mark.parametrize(
    "call",
    [
        lambda lib: lib.nn.init.eye_(lib.empty(3)),
        lambda lib: lib.nn.init.dirac_(lib.empty(3, 3)),
        lambda lib: lib.nn.init.dirac_(lib.empty(3, 3, 3), 2),
        lambda lib: lib.nn.init.orthogonal_(lib.empty(3)),
        lambda lib: lib.nn.init.sparse_(lib.empty(3), 0.5),
        lambda lib: lib.nn.init.kaiming_normal_(lib.empty(3, 3), mode="fan"),
    ],
)
def test_errors(call: Any) -> None:
    for lib in (torch, trine):
        with pytest.raises(ValueError):
            call(lib)
