"""A backward pass that is known is one transition, and gives what the whole pass gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trine
from trine.errors import GradientError, InPlaceError, TrineError
from trine.tensor import autograd, recorder


def leaf(*values: float) -> Any:
    return trine.from_numpy(np.array(values, np.float32)).requires_grad_()


def loss_of(x: Any, y: Any) -> Any:
    return (x * y).sum()


def hooked(x: Any, y: Any) -> Any:
    x.register_hook(lambda g: g * 10)
    return loss_of(x, y)


def hooked_inside(x: Any, y: Any) -> Any:
    z = x * y
    z.register_hook(lambda g: g * 3)
    return z.sum()


def retained(x: Any, y: Any) -> Any:
    z = x * y
    z.retain_grad()
    return z.sum()


def flushed(x: Any, y: Any) -> Any:
    z = x * y
    z.detach().numpy()
    return z.sum()


def written(x: Any, y: Any) -> Any:
    z = x * 1.0
    z += y
    return z.sum()


def viewed(x: Any, y: Any) -> Any:
    return (x.reshape(-1, 1)[:, 0] * y).sum().reshape(1)


def twice(x: Any, y: Any) -> Any:
    loss = loss_of(x, y)
    loss.backward(retain_graph=True)
    return loss


PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    f.__name__: f for f in (loss_of, hooked, hooked_inside, retained, flushed, written, viewed, twice)
}


def run(program: Callable[[Any, Any], Any], monkeypatch: pytest.MonkeyPatch, *, whole: bool) -> list[Any]:
    if whole:
        monkeypatch.setattr(autograd, "repeat_backward", lambda *args: False)
    else:
        monkeypatch.undo()
    found: list[Any] = []
    for accumulated in (False, True):
        x, y = leaf(1, 2, 3), leaf(4, 5, 6)
        for _ in range(4):
            program(x, y).backward()
            if not accumulated:
                found += [x.grad.tolist(), y.grad.tolist()]
                x.grad = y.grad = None
        if accumulated:
            found += [x.grad.tolist(), y.grad.tolist()]
    return found


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_same_gradients(program: Callable[[Any, Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(program, monkeypatch, whole=True)
    assert run(program, monkeypatch, whole=False) == expected


@pytest.mark.recorded
def test_the_short_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    original = autograd.repeat_backward
    monkeypatch.setattr(autograd, "repeat_backward", lambda *args: taken.append(original(*args)) or taken[-1])
    for _ in range(3):
        trine.synchronize()
        x, y = leaf(1, 2), leaf(3, 4)
        loss_of(x, y).backward()
        assert x.grad.tolist() == [3, 4] and recorder.local.grad_enabled and not recorder.local.in_pass
    assert taken == [False, True, True]


def test_errors_stay() -> None:
    for _ in range(3):
        x, y = leaf(1, 2), leaf(3, 4)
        loss = loss_of(x, y)
        loss.backward()
        with pytest.raises((GradientError, TrineError)):
            loss.backward()
        with pytest.raises(GradientError):
            (x * y).backward()
        with pytest.raises(GradientError):
            x.detach().sum().backward()
        z = x * 1.0
        product = (z * z).sum()
        z += 1
        with pytest.raises(InPlaceError):
            product.backward()
        trine.synchronize()


def test_modes() -> None:
    for _ in range(3):
        x, y = leaf(1, 2), leaf(3, 4)
        loss = loss_of(x, y)
        with trine.no_grad():
            loss.backward()
            assert not recorder.local.grad_enabled
        assert recorder.local.grad_enabled and x.grad.tolist() == [3, 4] and not x.grad.requires_grad
        with trine.eager(True):
            loss_of(x, y).backward()
            assert x.grad.tolist() == [6, 8]
        x.grad = None
        loss_of(x, y).backward(create_graph=True)
        assert x.grad.requires_grad


def test_hook_added_and_removed_later() -> None:
    x, y = leaf(1, 2), leaf(3, 4)
    found = []
    for number in range(6):
        if number == 3:
            handle = x.register_hook(lambda g: g * 2)
        if number == 5:
            handle.remove()
        loss_of(x, y).backward()
        found.append(x.grad.tolist()[0])
        x.grad = None
    assert found == [3, 3, 3, 6, 6, 3]
