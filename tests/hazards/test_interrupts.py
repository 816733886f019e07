"""KeyboardInterrupt at any point of a training step: nothing is lost, and no update happens twice."""

from __future__ import annotations

import contextlib
import dis
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import pytest

import trine
from trine import nn
from trine.runtime import executor

pytestmark = pytest.mark.recorded

PACKAGE = str(Path(trine.__file__).parent)
_POINTS: dict[CodeType, set[int]] = {}


def _points(code: CodeType) -> set[int]:
    """Return the offsets of instructions after which CPython looks for signals, as it does after calls and loops."""
    if code not in _POINTS:
        instructions = list(dis.get_instructions(code))
        found = {b.offset for a, b in zip(instructions, instructions[1:], strict=False) if a.opname.startswith(("CALL", "RESUME"))}
        _POINTS[code] = found | {i.argval for i in instructions if "JUMP_BACKWARD" in i.opname}
    return _POINTS[code]


def run_interrupted(function: Callable[[], Any], number: int) -> int:
    """Call a function with a KeyboardInterrupt at the `number`-th point inside Trine; return the number of points it passed."""
    passed = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal passed
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE) or code.co_name == "__del__":
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_lasti in _points(code):
            passed += 1
            if passed == number:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            function()
    finally:
        sys.settrace(before)
    return passed


def snapshot(tensors: Any) -> list[np.ndarray]:
    return [t.detach().numpy().copy() for t in tensors]


class Training:
    """A model, its optimizer, and one batch."""

    def __init__(self) -> None:
        trine.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        self.optimizer = trine.optim.Adam(self.model.parameters(), lr=0.1)
        self.x, self.y = trine.arange(6.0).reshape(2, 3) / 6, trine.tensor([0, 1])
        self.step()
        self.step()

    def forward_backward(self) -> None:
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.model(self.x), self.y).backward()

    def step(self) -> None:
        self.forward_backward()
        self.optimizer.step()

    def tensors(self) -> list[trine.Tensor]:
        moments = [s[name] for s in self.optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
        return [*self.model.parameters(), *moments]


def check_step(number: int, whole: bool, old: list[np.ndarray], new: list[np.ndarray]) -> int:
    """Interrupt a step (or its update alone): every tensor has its old value or its new one."""
    training = Training()
    if not whole:
        training.forward_backward()
    passed = run_interrupted(training.step if whole else training.optimizer.step, number)
    trine.set_grad_enabled(True)  # Python may be interrupted at the first instruction of any __exit__
    trine.synchronize()
    for found, a, b in zip(snapshot(training.tensors()), old, new, strict=True):
        assert np.array_equal(found, a) or np.array_equal(found, b), f"interrupt {number}"
    training.step()
    assert all(np.isfinite(t).all() for t in snapshot(training.tensors()))
    return passed


def check_interrupts(whole: bool, count: int) -> None:
    reference = Training()
    old = snapshot(reference.tensors())
    reference.step()
    new = snapshot(reference.tensors())
    total = check_step(-1, whole, old, new)
    assert total > 20
    for number in sorted({1 + i * (total - 1) // (count - 1) for i in range(count)}):
        check_step(number, whole, old, new)


@pytest.mark.parametrize("engine", ["native", "numpy"])
def test_interrupts_during_a_training_step(engine: str) -> None:
    trine.set_engine(engine)
    try:
        check_interrupts(whole=True, count=40)
    finally:
        trine.set_engine("native")


def test_interrupts_during_the_update() -> None:
    check_interrupts(whole=False, count=80)


def test_an_interrupt_after_the_native_run() -> None:
    """Results of what has been run are kept; it is not run again."""
    w = trine.tensor([1.0, 2.0])
    y = w * 10
    trine.synchronize()
    run = executor._Native.run

    def interrupting(block: int) -> int:
        assert run is not None
        run(block)
        raise KeyboardInterrupt

    executor._Native.run = interrupting
    try:
        w.add_(1.0)
        z = w * 100
        with pytest.raises(KeyboardInterrupt):
            trine.synchronize()
    finally:
        executor._Native.run = run
    assert w.tolist() == [2.0, 3.0]
    assert z.tolist() == [200.0, 300.0]
    assert y.tolist() == [10.0, 20.0]


def test_an_interrupt_while_a_plan_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from trine.tensor import execution

    def interrupting(*args: Any) -> Any:
        raise KeyboardInterrupt

    x = trine.tensor([1.5, 2.5])
    trine.synchronize()
    x.mul_(2.0)
    y = x - 0.125
    with monkeypatch.context() as patch:
        patch.setattr(execution, "compile_plan", interrupting)
        with pytest.raises(KeyboardInterrupt):
            y.tolist()
    assert y.tolist() == [2.875, 4.875]
    assert x.tolist() == [3.0, 5.0]


def test_an_interrupt_between_forward_and_backward() -> None:
    training = Training()
    training.optimizer.zero_grad()
    with pytest.raises(KeyboardInterrupt):
        loss = nn.functional.cross_entropy(training.model(training.x), training.y)
        raise KeyboardInterrupt
    loss.backward()
    training.optimizer.step()
    reference = Training()
    reference.step()
    for found, expected in zip(snapshot(training.tensors()), snapshot(reference.tensors()), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_an_interrupt_inside_a_host_function() -> None:
    """A plan that has written to memory is finished before the interrupt is passed on."""
    calls = []

    def sort_once() -> None:
        w = trine.tensor([3.0, 1.0, 2.0])
        trine.synchronize()
        w.add_(1.0)
        order = w.argsort()
        w.mul_(2.0)
        calls.append((w, order))
        trine.synchronize()

    for number in range(0, 300, 9):
        run_interrupted(sort_once, number)
        if calls:
            w, order = calls.pop()
            assert w.tolist() in ([3.0, 1.0, 2.0], [4.0, 2.0, 3.0], [8.0, 4.0, 6.0])
            assert order.tolist() == [1, 2, 0]
