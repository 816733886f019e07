"""The public gradient checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine
from trine.errors import ArgumentError, GradientError
from trine.tensor.gradcheck import gradcheck, gradgradcheck


def point(*shape: int) -> trine.Tensor:
    return trine.tensor(np.random.default_rng(len(shape)).standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize(
    "function", [trine.tanh, lambda x: x * x.exp(), lambda x: (x.sum(0), x.softmax(1)), lambda x: x[:, 1] @ x, lambda x: x.logsumexp(1)]
)
def test_right_gradients(function: Any) -> None:
    x = point(3, 3)
    assert gradcheck(function, (x,))
    assert gradgradcheck(function, (x,))


class Wrong(trine.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return gradient * 3


def test_wrong_gradients() -> None:
    with pytest.raises(GradientError, match="(?s)input 0 is wrong.*received.*expected"):
        gradcheck(Wrong.apply, point(2))
    assert gradcheck(Wrong.apply, point(2), raise_exception=False) is False


def test_nothing_to_check() -> None:
    with pytest.raises(ArgumentError, match="requires_grad=True"):
        gradcheck(trine.tanh, trine.ones(2))
