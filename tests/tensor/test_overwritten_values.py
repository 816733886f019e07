"""In-place writes to computed tensors across flushes: gradients of old and new values go to the right places."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import trine

torch = pytest.importorskip("torch")

STEPS = "spmvq"


def run(library: Any, steps: str) -> list[float]:
    """s writes a slice, m multiplies in place, v adds through a view; p and q observe."""
    x = library.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 2
    str(y)
    view = y
    for step in steps:
        if step == "s":
            y[0] = 5.0
        elif step == "p":
            str(y)
        elif step == "m":
            y.mul_(3.0)
        elif step == "v":
            view = y.view(3, 1)
            view.add_(1.0)
        else:
            str(view)
    y.sum().backward()
    return x.grad.tolist() + y.detach().tolist()


@pytest.mark.parametrize("steps", ["".join(s) for n in (1, 2, 3) for s in itertools.permutations(STEPS, n)] + ["spmpvq", "svpmqs"])
def test_as_torch(steps: str) -> None:
    assert run(trine, steps) == run(torch, steps)


def test_changed_after_use_and_flush_is_an_error() -> None:
    x = trine.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    str(y)
    z = y.exp() * y
    y.add_(1.0)
    str(z)
    with pytest.raises(trine.TrineError, match="modified by an inplace operation"):
        z.sum().backward()


def test_a_view_that_is_read_without_gradients_keeps_its_graph() -> None:
    x = trine.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    y = (x * 2).view(2, 2)
    str(y)
    with trine.no_grad():
        assert (y * 3).tolist() == [[6.0, 12.0], [18.0, 24.0]]
    y.backward(trine.ones(2, 2))
    assert x.grad is not None and x.grad.tolist() == [2.0] * 4
