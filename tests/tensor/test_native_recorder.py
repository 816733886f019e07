"""The native recorder does what the Python one does, and counts references as it should."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import trine
from trine import config
from trine.core import build
from trine.core.graph import Node
from trine.errors import TrineError
from trine.runtime import builtin
from trine.tensor import execution, native_recorder, recorder
from trine.tensor.recorder import local

pytestmark = pytest.mark.recorded

pytestmark = pytest.mark.skipif(
    not builtin.is_supported() or config.settings.engine != "native" or not config.settings.native_recorder,
    reason="the native recorder needs CPython and the native engine",
)


def installed() -> native_recorder.NativeRecorder:
    if native_recorder.native is None:
        (trine.ones(2) + 1).numpy()
        native_recorder.wait()
    assert native_recorder.native is not None
    return native_recorder.native


@pytest.fixture(autouse=True)
def native() -> Iterator[native_recorder.NativeRecorder]:
    found = installed()
    found.enable()
    trine.synchronize()
    recorder.new_trace()
    yield found
    found.enable()
    recorder.new_trace()


def leaf(*values: float, cls: type = trine.Tensor, requires_grad: bool = False) -> Any:
    """Return a concrete tensor that is in no recording."""
    made = trine.from_numpy(np.array(values, np.float32))
    return trine.nn.Parameter(made, requires_grad) if cls is not trine.Tensor else made.requires_grad_(requires_grad)


def mul_by(x: Node, factor: float) -> Node:
    return build.mul(x, build.const(factor, x.dtype))


def both(x: Node, y: Node) -> tuple[Node, Node]:
    return build.add(x, y), build.sub(x, y)


def describe() -> tuple[Any, ...]:
    trace = local.trace
    handles = [(h._slot, h._meta, type(h), h._trace is trace, h._buffer is None) for h in trace.handles]
    leaves = {slot: (t._slot, t._meta) for slot, t in trace.leaf_tensors.items()}
    scalars = [(type(s), s) for s in trace.scalars]
    return trace.state, handles, leaves, scalars, len(trace.leaves), sorted(trace._positions.values())


def program(seed: int) -> tuple[list[Any], tuple[Any, ...]]:
    """Record a random program; return its tensors and a description of the recording."""
    rng = random.Random(seed)
    values = [leaf(1, 2, 3), leaf(4, 5, 6, requires_grad=True), leaf(1, 1, 2, cls=trine.nn.Parameter, requires_grad=seed % 2 == 0), leaf(2)]
    numbers: list[Any] = [1.5, 2, -3, True, 0.0, 1 << 40, np.float32(2.5), np.float64(0.5), np.int64(3)]
    steps: list[Callable[[Any, Any], Any]] = [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a < b,
        lambda a, b: a + rng.choice(numbers),
        lambda a, b: rng.choice(numbers) * a,
        lambda a, b: rng.choice(numbers) - a,
        lambda a, b: -a,
        lambda a, b: recorder.record(mul_by, (a,), 2.0),
        lambda a, b: recorder.record(build.neg, [a]),
        lambda a, b: recorder.record(both, (a, b))[rng.randrange(2)],
        lambda a, b: recorder.record(both, [a, b])[0],
        lambda a, b: a.reshape(-1)[:1],
        lambda a, b: a.detach(),
        lambda a, b: (a + b).sum(),
    ]
    for _ in range(40):
        a, b = rng.choice(values), rng.choice(values)
        kind = rng.randrange(20)
        if kind == 0:
            trine.synchronize()
        elif kind == 1:
            with trine.no_grad():
                values.append(a * b)
        elif kind == 2:
            c = (a * 1.0).detach()
            c += 1
            values.append(c)
        else:
            c = rng.choice(steps)(a, b)
            values.append(c.float() if c.dtype is trine.bool else c)
        if len(values) > 4 and rng.randrange(4) == 0:
            del values[rng.randrange(3, len(values))]
    return values, describe()


@pytest.mark.parametrize("seed", range(40))
def test_same_recording(native: native_recorder.NativeRecorder, seed: int) -> None:
    found = []
    for enabled in (False, True, True):
        (native.enable if enabled else native.disable)()
        recorder.new_trace()
        values, description = program(seed)
        found.append((description, [v.detach().numpy().copy() for v in values]))
        trine.synchronize()
    for description, arrays in found[1:]:
        assert description == found[0][0]
        assert description[0] is found[0][0][0]
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays, found[0][1], strict=True))


def test_replaces_and_restores(native: native_recorder.NativeRecorder) -> None:
    from trine.ops import arithmetic

    assert recorder.record is native.record is arithmetic.record
    assert trine.Tensor.__add__ is native.methods["__add__"][1]
    native.disable()
    assert recorder.record is native_recorder.record is arithmetic.record
    assert trine.Tensor.__add__ is native.methods["__add__"][0]


STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "tensors": lambda x, y: x + y,
    "float": lambda x, y: x * 1.5,
    "int": lambda x, y: x * 300,
    "reflected": lambda x, y: 2.5 - x,
    "unary": lambda x, y: -x,
    "tuple": lambda x, y: recorder.record(mul_by, (x,), 3.5),
    "list": lambda x, y: recorder.record(build.add, [x, y]),
    "several": lambda x, y: recorder.record(both, (x, y)),
    "no operand": lambda x, y: x.__add__("no operand"),
    "miss": lambda x, y: x + (y * float(len(local.trace.scalars))),
    "too large": lambda x, y: pytest.raises(TrineError, lambda: x + (1 << 80)),
    "error": lambda x, y: pytest.raises(TrineError, lambda: recorder.record(build.reshape, (x,), (7,))),
    "unhashable": lambda x, y: pytest.raises(TypeError, lambda: recorder.record(build.reshape, (x,), [1])),
    "arguments": lambda x, y: pytest.raises(TypeError, recorder.record),
    "no sequence": lambda x, y: pytest.raises(TypeError, lambda: recorder.record(build.neg, 1)),
}


def counts(objects: list[Any]) -> list[int]:
    return [sys.getrefcount(o) for o in objects]


@pytest.mark.parametrize("name", STEPS)
def test_reference_counts(name: str) -> None:
    step = STEPS[name]
    x, y = leaf(1, 2, 3), leaf(4, 5, 6)
    z = x + y
    repeat = 10 if "too" in name or name in ("error", "unhashable", "miss") else 500

    def once() -> None:
        trine.synchronize()
        keep = z * 1.0 + y * 1.0  # x and y are leaves of a recording, which stays alive
        for _ in range(repeat):
            step(x, y)
        del keep

    watched = [x, y, z, x._meta, x._buffer, float, int, build.add, build.neg, both, mul_by, None, trine.Tensor]
    for _ in range(3):
        once()
    trine.synchronize()
    gc.collect()
    before = counts(watched)
    for _ in range(5):
        once()
    trine.synchronize()
    gc.collect()
    after = counts(watched)
    # None and the common types are counted by everything that runs; a leak would be one for each step
    assert all(abs(b - a) < repeat // 2 for a, b in zip(before, after, strict=True)), (before, after)
    assert before[:3] == after[:3]
    assert before[4] == after[4]


def test_no_garbage() -> None:
    """Temporaries are gone after a flush without help of the garbage collector."""
    x = leaf(1, 2, 3)

    def run() -> None:
        for _ in range(20):
            y = x
            for _ in range(100):
                y = y * 1.0 + 1
            y.numpy()

    run()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        run()
        trine.synchronize()
        assert len(gc.get_objects()) - before < 100
    finally:
        gc.enable()


def test_many_operations_leak_nothing() -> None:
    x = leaf(1, 2, 3)

    def run() -> None:
        for _ in range(50):
            y = x
            for _ in range(500):
                y = recorder.record(both, (2.0 * y + x, x))[0]
            y.numpy()

    run()
    gc.collect()
    before = len(gc.get_objects())
    run()
    gc.collect()
    assert len(gc.get_objects()) - before < 200


def test_subclasses_are_operands_and_results_are_tensors() -> None:
    class Mine(trine.Tensor):
        def __add__(self, other: Any) -> Any:
            return super().__add__(other)

    for _ in range(3):
        x = leaf(1, 2, cls=trine.nn.Parameter)
        mine = Mine([1.0, 2.0])
        for result in (x + x, 2.0 * x, -x, mine + x, x * mine, recorder.record(build.neg, (mine,))):
            assert type(result) is trine.Tensor
        np.testing.assert_array_equal((mine + x).numpy(), [2, 4])


class Half(float):
    pass


@pytest.mark.parametrize("value", [True, np.float32(2), np.float64(2), np.int32(2), Half(2), 2, 2.0, 2 + 0j, np.array(2.0)], ids=repr)
def test_numbers(native: native_recorder.NativeRecorder, value: Any) -> None:
    x = leaf(1, 2)
    found = []
    for enabled in (False, True, True):
        (native.enable if enabled else native.disable)()
        recorder.new_trace()
        results = [x * value, value + x] if not isinstance(value, np.ndarray) else [x * value]
        found.append((local.trace.state, [type(s) for s in local.trace.scalars], [r.dtype for r in results], [r.tolist() for r in results]))
        recorder.flush()
    assert found[0] == found[1] == found[2]


def test_errors_are_those_of_python(native: native_recorder.NativeRecorder) -> None:
    x, y = leaf(1, 2), leaf(1, 2, 3)
    for function in (lambda: x + y, lambda: x + (1 << 70), lambda: "a" * x, lambda: recorder.record(build.neg, ("a",))):
        messages = []
        for enabled in (False, True, True):
            (native.enable if enabled else native.disable)()
            with pytest.raises((TrineError, TypeError)) as caught:
                function()
            messages.append((type(caught.value), str(caught.value)))
        assert messages[0] == messages[1] == messages[2]
    assert x.__add__("a") is NotImplemented
    with pytest.raises(TypeError):
        trine.Tensor.__add__(1, x)
    with pytest.raises(TypeError):
        recorder.record()
    assert recorder.record(builder=build.neg, operands=(x,)).tolist() == [-1, -2]


def test_int_range_is_checked_on_a_known_path() -> None:
    x = leaf(1, 2)
    (x * 3).numpy()
    for _ in range(3):
        scalars = list(local.trace.scalars)
        with pytest.raises(TrineError, match="int64"):
            x * (1 << 63)
        assert local.trace.scalars == scalars
        assert (x * 3).tolist() == [3, 6]


def test_eager() -> None:
    x = leaf(1, 2)
    with trine.eager(True):
        for _ in range(3):
            y = x + x
            assert y._buffer is not None
            assert recorder.record(build.neg, (y,))._buffer is not None
    assert (x + x)._buffer is None


def test_closed_and_foreign_recordings() -> None:
    x = leaf(1, 2)
    y = x * 2
    recorder.new_trace()
    for _ in range(3):
        np.testing.assert_array_equal((y + x).numpy(), [3, 6])  # pending in a recording that is not the current one


def test_lost_value() -> None:
    x = leaf(1, 2)
    y = x * 2
    execution._close(local.trace)
    for _ in range(2):
        with pytest.raises(TrineError, match="no value"):
            y + 1
        with pytest.raises(TrineError, match="no value"):
            recorder.record(build.neg, (y,))


@pytest.mark.parametrize("name", ["_trace", "_slot", "_meta", "_buffer", "_alias", "_alias_version"])
def test_deleted_attributes(native: native_recorder.NativeRecorder, name: str) -> None:
    """What is missing reads as its default, or raises, as in Python."""
    outcomes = []
    for enabled in (False, True, True):
        (native.enable if enabled else native.disable)()
        trine.synchronize()
        recorder.new_trace()
        x, y = leaf(1, 2), leaf(3, 4)
        y + x
        for z in (x, x * 2):
            z.__dict__["a"] = 1
            if name in ("_trace", "_slot", "_meta", "_buffer"):
                delattr(z, name) if name != "_buffer" or z is x else None
            try:
                outcomes.append((z + y).tolist())
            except (AttributeError, TrineError) as error:
                outcomes.append(type(error))
        recorder.new_trace()
    assert outcomes[:2] == outcomes[2:4] == outcomes[4:]


def test_stale_views() -> None:
    for _ in range(4):
        base = leaf(1, 2, 3, 4)
        view = base[1:3]
        for number in range(3):
            base += 1
            np.testing.assert_array_equal((view * 2).numpy() if number else (view + view).numpy(), 2 * (np.array([2, 3]) + 1 + number))


def test_collection_in_the_middle() -> None:
    """Finalizers that change tensors run wherever the collector does."""
    x = leaf(1, 2, 3)
    errors: list[str] = []

    class Cycle:
        def __init__(self, number: int) -> None:
            self.me = self
            self.number = number

        def __del__(self) -> None:
            try:
                x._trace = None if self.number % 2 else x._trace
                gc.collect()
            except Exception as error:  # an error in a finalizer would only be printed
                errors.append(repr(error))

    thresholds = gc.get_threshold()
    gc.set_threshold(3, 2, 2)
    try:
        for seed in range(5):
            y = x
            for number in range(60):
                Cycle(seed + number)
                y = recorder.record(both, [y * 1.0, x])[0] - x
                y = recorder.record(mul_by, (y,), 1.0) + x - x
            np.testing.assert_allclose(y.numpy(), [1, 2, 3])
    finally:
        gc.set_threshold(*thresholds)
    assert not errors


ACTIONS: dict[str, Callable[[Any], Any]] = {
    "flush": lambda x: trine.synchronize(),
    "record": lambda x: recorder.record(both, (x * 3.0, x)),
    "forget": lambda x: setattr(x, "_trace", None),
}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
@pytest.mark.parametrize("number", range(0, 60, 5))
def test_recording_is_interrupted(number: int, action: Callable[[Any], Any]) -> None:
    """The collector runs something that flushes or records: once, at its turn `number`, while known operations are recorded."""
    x, z = leaf(1, 2, 3), leaf(2, 2, 2)
    turns = 0

    def interrupt(phase: str, info: Any) -> None:
        nonlocal turns
        turns += 1
        if turns == number:
            action(x)

    def run() -> Any:
        y = x
        for _ in range(20):
            y = recorder.record(both, [y * 1.0, z])[0] - z
            y = recorder.record(mul_by, (y,), float("1.25")) * 0.8 + x - x
        return y

    run().numpy()
    y = run()
    y.numpy()
    thresholds = gc.get_threshold()
    gc.callbacks.append(interrupt)
    gc.set_threshold(3, 1000, 1000)
    try:
        y = run()
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(interrupt)
    np.testing.assert_allclose(y.numpy(), [1, 2, 3], rtol=1e-5)


class Awkward:
    """An attribute whose comparison runs Python code."""

    def __hash__(self) -> int:
        gc.collect()
        return 1

    def __eq__(self, other: object) -> bool:
        gc.collect()
        return isinstance(other, Awkward)


def ignore(x: Node, attribute: Any) -> Node:
    return build.neg(x)


def test_awkward_attributes() -> None:
    x = leaf(1, 2)
    for _ in range(4):
        y = x + 1
        np.testing.assert_array_equal(recorder.record(ignore, (y,), Awkward()).numpy(), [-2, -3])


def test_threads() -> None:
    x = leaf(1, 2, 3)
    failures: list[Any] = []

    def work(factor: float) -> None:
        try:
            for _ in range(30):
                y = x
                for _ in range(50):
                    y = (y * factor + x) - x
                if not np.allclose(y.numpy(), x.numpy() * factor**50, rtol=1e-4):
                    failures.append(y.numpy())
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f,)) for f in (1.0, 0.5, 1.01, 0.9)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fork() -> None:
    x = leaf(1, 2, 3)
    (x * 2 + x).numpy()
    pending = x * 2
    child = os.fork()
    if child == 0:
        try:
            good = (pending + x).tolist() == [3, 6, 9]
            os._exit(0 if good else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert (pending + x).tolist() == [3, 6, 9]


def test_many_operands_and_long_keys() -> None:
    values = [leaf(float(i)) for i in range(1200)]
    for count in (5, 300, 1200):
        for _ in range(3):
            assert recorder.record(total, values[:count]).tolist() == [sum(range(count))]


def total(*nodes: Node) -> Node:
    return build.sum(build.concat(nodes, 0), (0,))


def test_leaves_beyond_small_integers() -> None:
    values = [leaf(float(i)) for i in range(600)]
    for _ in range(3):
        y = values[0]
        for value in values[1:]:
            y = y + value
        y = y + values[300].detach() + trine.from_numpy(values[400].numpy())
        assert y.tolist() == [sum(range(600)) + 700]


def test_held(native: native_recorder.NativeRecorder) -> None:
    kept = [object(), "text", 1.5]
    values = [object(), *kept, [], object()]
    assert native.held(values) == execution.held_in_python(values) == kept
    assert native.held([]) == []
    with pytest.raises(SystemError):
        native.held((1, 2))  # type: ignore[arg-type]


CODE = """
import trine
from trine.tensor import native_recorder, recorder
x = trine.ones(3)
for _ in range(3):
    y = x
    for _ in range(300):
        y = (y * 1.0 + x) - x
    assert y.tolist() == [1, 1, 1]
    native_recorder.wait()
assert (native_recorder.native is None) == (type(recorder.record).__name__ == "function")
print(native_recorder.native is not None)
"""


@pytest.mark.parametrize(
    ("settings", "options", "expected"),
    [
        ({}, ["-X", "dev"], "True"),
        ({"PYTHONMALLOC": "debug"}, [], "True"),
        ({"TRINE_NATIVE_RECORDER": "0"}, [], "False"),
        ({"TRINE_ENGINE": "numpy"}, [], "False"),
    ],
    ids=["dev", "debug malloc", "off", "numpy"],
)
def test_processes(settings: dict[str, str], options: list[str], expected: str) -> None:
    done = subprocess.run([sys.executable, *options, "-c", CODE], env={**os.environ, **settings}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected


def test_compiles_for_other_architectures() -> None:
    from trine.compiler import llvm
    from trine.compiler.target import make_target
    from trine.compiler.templates.recorder import emit_recorder

    for target in (make_target("generic", "x86_64"), make_target("generic", "aarch64")):
        assert llvm.compile_object(emit_recorder(target), target, optimize=True)


def test_unknown_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """If an object is not laid out as expected nothing is replaced."""
    monkeypatch.setattr(native_recorder, "_HEADER", 24)
    monkeypatch.setattr(native_recorder, "native", None)
    monkeypatch.setattr(native_recorder, "is_decided", False)
    installed_before = recorder.record
    recorder.record = native_recorder.record
    try:
        native_recorder.install()
        assert native_recorder.is_decided and native_recorder.native is None
        assert recorder.record is native_recorder.record
    finally:
        recorder.record = installed_before


def test_import_does_not_load_it() -> None:
    code = "import sys, trine; x = trine.ones(3) + 1; sys.exit('trine.tensor.native_recorder' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
