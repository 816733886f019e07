"""Loops whose length keeps changing are cut into segments: fewer plans, the same results and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trine
from trine.tensor import segments
from trine.tensor.recorder import local
from trine.tensor.state import automaton

LENGTHS = [30, 12, 25, 41, 18, 33, 22, 27, 36, 15, 29, 38, 12, 41]
WIDTH = 3


def draw(*shape: int, seed: int = 0) -> Any:
    return trine.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 0.5)


class Loop:
    """A recurrent network of a few numbers."""

    def __init__(self) -> None:
        self.weight = draw(WIDTH, WIDTH, seed=1).requires_grad_()
        self.bias = draw(WIDTH, seed=2).requires_grad_()
        self.data = draw(64, 2, WIDTH, seed=3)

    def loss(self, length: int) -> Any:
        h = trine.zeros(2, WIDTH)
        for t in range(length):
            h = trine.tanh(h @ self.weight + self.data[t] * self.bias)
        return (h * h).sum()

    def gradients(self, length: int) -> list[Any]:
        self.weight.grad = self.bias.grad = None
        loss = self.loss(length)
        loss.backward()
        return [loss.item(), self.weight.grad.tolist(), self.bias.grad.tolist()]


def whole(monkeypatch: pytest.MonkeyPatch, run: Callable[[], list[Any]]) -> list[Any]:
    """Return what a program gives when nothing is cut."""
    with monkeypatch.context() as patch:
        patch.setattr(segments, "note_plan", lambda state: None)
        automaton.clear()
        trine.synchronize()
        return run()


@pytest.fixture(autouse=True)
def fresh() -> None:
    trine.synchronize()
    automaton.clear()
    if local.eager:
        pytest.skip("nothing is recorded in eager mode")
    local.trace = type(local.trace)(automaton.root(True, False))


def test_same_gradients_from_fewer_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = whole(monkeypatch, lambda: [Loop().gradients(n) for n in LENGTHS])
    automaton.clear()
    trine.synchronize()
    loop = Loop()
    before = automaton.num_plans_built
    found = [loop.gradients(n) for n in LENGTHS]
    built = automaton.num_plans_built - before
    for mine, theirs in zip(found, expected, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    again = automaton.num_plans_built
    assert [loop.gradients(n) for n in LENGTHS] == [loop.gradients(n) for n in LENGTHS]
    assert automaton.num_plans_built - again <= 4 * len(LENGTHS)
    third = automaton.num_plans_built
    for n in LENGTHS:
        loop.gradients(n)
    assert automaton.num_plans_built == third, "nothing new is planned for lengths that were seen"
    for n in range(44, 64, 3):  # lengths that were never seen share the segments
        loop.gradients(n)
    assert automaton.num_plans_built - third <= 14
    assert built > 0


def test_forward_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> list[float]:
        loop = Loop()
        with trine.no_grad():
            return [loop.loss(n).item() for n in LENGTHS]

    assert run() == whole(monkeypatch, run)


def cut_loop() -> Loop:
    """Return a loop whose recordings are cut."""
    loop = Loop()
    for n in LENGTHS:
        loop.gradients(n)
    return loop


def test_second_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(loop: Loop) -> list[Any]:
        (first,) = trine.autograd.grad(loop.loss(31), loop.weight, create_graph=True)
        (second,) = trine.autograd.grad((first * first).sum(), loop.weight)
        return [first.tolist(), second.tolist()]

    found = run(cut_loop())
    for a, b in zip(found, whole(monkeypatch, lambda: run(Loop())), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_backward_twice() -> None:
    loop = cut_loop()
    loss = loop.loss(31)
    loop.weight.grad = None
    loss.backward(retain_graph=True)
    once = np.array(loop.weight.grad.tolist())
    loss.backward()
    np.testing.assert_allclose(np.array(loop.weight.grad.tolist()), 2 * once, rtol=1e-6)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_hooks_and_errors_inside() -> None:
    loop = cut_loop()
    seen = []
    h = trine.zeros(2, WIDTH)
    for t in range(37):
        h = trine.tanh(h @ loop.weight + loop.data[t] * loop.bias)
        if t == 20:
            h.register_hook(lambda g: seen.append(float(g.abs().sum())))
        if t == 30:
            with pytest.raises(RuntimeError):
                h @ trine.ones(WIDTH + 1, 2)
    loop.weight.grad = None
    (h * h).sum().backward()
    assert len(seen) == 1 and seen[0] > 0
    plain = Loop()
    plain.gradients(37)
    np.testing.assert_allclose(loop.weight.grad.tolist(), plain.weight.grad.tolist(), rtol=2e-5, atol=1e-6)


def test_a_length_that_settles_is_planned_as_a_whole_again() -> None:
    loop = cut_loop()
    assert any(state.cut for state in states())
    for _ in range(segments.SETTLED + 1):
        loop.gradients(30)
    assert not any(state.cut for state in states())
    loop.gradients(30)
    built = automaton.num_plans_built
    settled = loop.gradients(30)
    assert automaton.num_plans_built == built
    for a, b in zip(settled, Loop().gradients(30), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    for n in LENGTHS:  # more lengths than a settled loop may have
        loop.gradients(n)
    assert any(state.cut for state in states())


def states() -> list[Any]:
    """Return all States of recordings with gradients."""
    found = [automaton.root(True, False)]
    for state in found:
        found.extend(state.next.values())
    return found


def test_layers_of_one_depth_are_not_cut() -> None:
    """A deep network is a loop too, but its length does not change."""
    loop = Loop()
    for scale in range(1, 8):
        for _ in range(2):
            (loop.loss(40) * trine.ones(scale).sum()).sum().backward()
            trine.synchronize()
    assert not any(state.segment for state in states())
