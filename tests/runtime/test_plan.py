"""Plans on the native executor: order, barriers, threads, status, scalars, host calls, donation."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import runtime_support as support

from trine.compiler.target import host_target, make_target
from trine.compiler.templates.executor import emit_executor, executor_kernel
from trine.errors import ArgumentError, IndexOutOfRangeError, TrineError
from trine.runtime import executor
from trine.runtime.memory import from_array, memory_info
from trine.runtime.plan import ARENA_SLOT, FIRST_SLOT, SCALARS_SLOT, HostCall, Launch, Output, Placement, Plan
from trine.runtime.pool import get_num_threads, set_num_threads
from trine.runtime.status import raise_status

BIG = 1 << 24


@pytest.fixture(autouse=True, scope="module")
def native() -> Iterator[None]:
    support.install()
    before = get_num_threads()
    yield
    set_num_threads(before)


def ints(buffer: object, count: int) -> np.ndarray:
    return buffer.array(np.int64, (count,))  # type: ignore[attr-defined]


def test_one_command() -> None:
    plan = Plan([support.affine(FIRST_SLOT, FIRST_SLOT + 1, 4, 3, 1)], 1, [(32, -1)])
    for start in range(3):
        x = np.arange(start, start + 4)
        np.testing.assert_array_equal(ints(plan.run([from_array(x)])[0], 4), 3 * x + 1)


@pytest.mark.parametrize("num_threads", [1, 2, 4])
def test_order_barriers_and_bit_identity(num_threads: int) -> None:
    set_num_threads(num_threads)
    n, arena = 1000, ARENA_SLOT
    launches = [support.affine(FIRST_SLOT, arena, n, 3, 1, 50, BIG)]
    for step in range(12):  # each command reads all of what the one before wrote; some are too small for threads
        launches.append(support.affine(arena, arena, n, 5, step, 20, BIG if step % 3 else 0))
    launches.append(support.affine(arena, FIRST_SLOT + 1, n, 7, 2, 1, BIG))
    plan = Plan(launches, 1, [(8 * n, -1)], arena_bytes=8 * n)
    x = np.arange(n)
    with np.errstate(over="ignore"):
        expected = x.copy()
        for a, b, rounds in [(3, 1, 50), *((5, step, 20) for step in range(12)), (7, 2, 1)]:
            for _ in range(rounds):
                expected = a * expected + b
    for _ in range(10):
        np.testing.assert_array_equal(ints(plan.run([from_array(x)])[0], n), expected)


@pytest.mark.parametrize("num_threads", [1, 2, 3, 4])
@pytest.mark.parametrize("units", [0, 1, 2, 3, 7, 64, 1001])
def test_each_unit_runs_once(num_threads: int, units: int) -> None:
    set_num_threads(num_threads)
    count = np.zeros(units + 1, np.int64)
    plan = Plan([Launch(support.kernel("mark").address("kernel"), [FIRST_SLOT, 0, 50], units, BIG)] * 5, 1, [])
    for _ in range(20):
        plan.run([from_array(count)])
    assert (count[:units] & 0xFFFFFFFF == 100).all() and count[units] == 0
    assert (count >> 32).max() <= 100 * (num_threads - 1)


def test_threads_take_part() -> None:
    set_num_threads(2)
    count = np.zeros(64, np.int64)
    plan = Plan([Launch(support.kernel("mark").address("kernel"), [FIRST_SLOT, 0, 20000], 64, BIG)] * 10, 1, [])
    give_up = time.monotonic() + 30  # on a busy machine it may take a while until a worker gets a processor
    while not (count >> 32).any():
        assert time.monotonic() < give_up, "no worker ever joined"
        plan.run([from_array(count)])


def test_status_names_the_line() -> None:
    report = support.kernel("report").address("kernel")
    sources = [("take", None), ("gather", "train.py:31 in step")]
    tail = support.affine(FIRST_SLOT, FIRST_SLOT, 1, 1, 1)
    plan = Plan([Launch(report, [1, -7, 5], 1, 0), tail], 1, [], status_sources=sources)
    x = np.zeros(1, np.int64)
    for _ in range(3):
        with pytest.raises(IndexOutOfRangeError, match="gather: index out of range for an axis of size 5") as caught:
            plan.run([from_array(x)])
        for part in ("received: -7", "expected: an index from -5 to 4", "at: train.py:31 in step"):
            assert part in str(caught.value)
    assert x[0] == 0  # later commands did not run


def test_status_without_axis_and_unknown_code() -> None:
    with pytest.raises(IndexOutOfRangeError, match="size 0"):
        raise_status((1, 0, 3, 0), [])
    with pytest.raises(TrineError, match="unknown status 9"):
        raise_status((9, 0, 3, 0), [("take", None)])


def test_scalars() -> None:
    plan = Plan([Launch(support.kernel("add_scalar").address("kernel"), [5, 0, 6, 0], 3, 0)], 1, [(24, -1)], scalar_kinds="dq")
    x = from_array(np.arange(3.0))
    for scalar in (0.5, 2):
        np.testing.assert_array_equal(plan.run([x], [scalar, -(1 << 63)])[0].array("f8", (3,)), np.arange(3.0) + scalar)
    for scalars in ([], [1.0], [1.0, 1 << 63], [1.0, 0.5]):
        with pytest.raises(ArgumentError, match="kinds 'dq'"):
            plan.run([x], scalars)
    with pytest.raises(ArgumentError, match="1 inputs"):
        plan.run([x, x], [1.0, 1])


def test_host_calls_split_the_segments() -> None:
    n, int64, float64 = 5, np.dtype(np.int64), np.dtype(np.float64)
    arena = Placement(ARENA_SLOT, 64, int64, (n,))
    commands = [
        support.affine(5, ARENA_SLOT, n, 1, 10)._replace(params=[5, 0, ARENA_SLOT, 64, 1, 10, 1]),
        HostCall(lambda x, s: x[::-1] * int(s), [arena, Placement(SCALARS_SLOT, 0, float64, ())], arena),
        support.affine(ARENA_SLOT, 6, n, 2, 1)._replace(params=[ARENA_SLOT, 64, 6, 0, 2, 1, 1]),
    ]
    plan = Plan(commands, 1, [(8 * n, -1)], arena_bytes=200, scalar_kinds="d")
    result = plan.run([from_array(np.arange(n))], [3.0])
    np.testing.assert_array_equal(ints(result[0], n), 2 * (3 * (np.arange(n) + 10)[::-1]) + 1)


def test_host_call_errors_pass_and_the_plan_stays_usable() -> None:
    def fail(x: np.ndarray) -> np.ndarray:
        if x[0] < 0:
            raise ValueError("negative")
        return x

    place = Placement(5, 0, np.dtype(np.int64), (1,))
    plan = Plan([HostCall(fail, [place], place._replace(slot=6))], 1, [(8, -1)])
    with pytest.raises(ValueError, match="negative"):
        plan.run([support.buffer_of(-1)])
    assert ints(plan.run([support.buffer_of(4)])[0], 1)[0] == 4
    wrong = Plan([HostCall(lambda x: x.astype(np.float32), [place], place._replace(slot=6))], 1, [(8, -1)])
    with pytest.raises(TypeError, match="Cannot cast"):
        wrong.run([support.buffer_of(1)])


def test_donation() -> None:
    plan = Plan([support.affine(5, 6, 3, 2, 0)], 1, [Output(24, 0)])
    x = from_array(np.arange(3)).copy()
    assert plan.run([x])[0] is x
    np.testing.assert_array_equal(ints(x, 3), [0, 2, 4])
    fixed = np.arange(3)
    fixed.flags.writeable = False
    result = plan.run([from_array(fixed)])[0]
    np.testing.assert_array_equal(ints(result, 3), [0, 2, 4])
    np.testing.assert_array_equal(fixed, [0, 1, 2])


def test_scratch_is_per_thread() -> None:
    set_num_threads(2)
    address = support.kernel("mark").address("kernel")
    plan = Plan([Launch(address, [5, 0, 1], 4, BIG)], 1, [], arena_bytes=100, scratch_bytes=1000)
    x = from_array(np.zeros(4, np.int64))
    plan.run([x])
    frame = plan._frames[-1]
    assert frame.working_bytes == 128 + 2 * 1024
    table = np.frombuffer(frame.memory, np.int64, 6)
    assert table[0] == table[4] + 128 and table[1] == 1024 and table[5] == x.address
    set_num_threads(3)
    plan.run([x])
    assert plan._frames[-1].working_bytes == 128 + 3 * 1024


def test_profile() -> None:
    n, place = 5, Placement(ARENA_SLOT, 0, np.dtype(np.int64), (5,))
    commands = [
        support.affine(5, ARENA_SLOT, n, 3, 1, 1, BIG),
        HostCall(np.negative, [place], place, "neg"),
        support.affine(ARENA_SLOT, 6, n, 2, 0),
    ]
    plan = Plan(commands, 1, [(8 * n, -1)], arena_bytes=8 * n)
    x = from_array(np.arange(n))
    outputs, timings = plan.profile([x])
    np.testing.assert_array_equal(ints(outputs[0], n), ints(plan.run([x])[0], n))
    assert [t.name for t in timings] == ["affine", "neg", "affine"] and all(t.seconds > 0 for t in timings)
    assert plan.cost == BIG


def test_empty_plan() -> None:
    assert Plan([], 0, []).run([]) == []
    assert Plan([], 0, [(0, -1)]).run([])[0].nbytes == 0


@pytest.mark.parametrize("num_threads", [1, 2])
def test_one_plan_in_several_threads(num_threads: int) -> None:
    set_num_threads(num_threads)
    n = 300
    launches = [support.affine(5, ARENA_SLOT, n, 3, 1, 30, BIG), support.affine(ARENA_SLOT, 6, n, 5, 2, 30, BIG)]
    plan = Plan(launches, 1, [(8 * n, -1)], arena_bytes=8 * n)
    failures = []

    def work(seed: int) -> None:
        x = np.arange(n) * (seed + 1)
        expected = x.copy()
        for a, b in [(3, 1)] * 30 + [(5, 2)] * 30:
            expected = a * expected + b
        for _ in range(200):
            if not (ints(plan.run([from_array(x)])[0], n) == expected).all():
                failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(plan._frames) <= 16


def test_runs_do_not_accumulate_memory() -> None:
    plan = Plan([support.affine(5, 6, 4, 3, 1)], 1, [(32, -1)], arena_bytes=1000, scratch_bytes=100)
    x = support.buffer_of(1, 2, 3, 4)
    plan.run([x])
    before = memory_info().total_bytes
    for _ in range(100):
        plan.run([x])
    assert memory_info().total_bytes == before


def test_cost_decides() -> None:
    small = executor.Segment([Launch(1, [], 100, 100)])
    large = executor.Segment([Launch(1, [], 100, BIG), Launch(1, [], 1, BIG)])
    assert (small.is_parallel, small.release_gil, large.is_parallel, large.release_gil) == (False, False, True, True)
    words = np.ctypeslib.as_array(large._commands)
    assert words[3] == 100 and words[4] == 1 and words[8] == 1  # chunks and wake of the first; the second runs alone


def test_ctypes_entry() -> None:
    """The entry without CPython builtins gives the same result."""
    loaded = executor._Native.keep[-1]
    run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(loaded.address("executor_run"))
    builtin, executor._Native.run = executor._Native.run, run
    try:
        plan = Plan([support.affine(5, 6, 2, 3, 1)], 1, [(16, -1)])
        np.testing.assert_array_equal(ints(plan.run([support.buffer_of(1, 2)])[0], 2), [4, 7])
    finally:
        executor._Native.run = builtin


def test_executor_compiles_for_other_architectures() -> None:
    from trine.compiler import llvm

    kernel = executor_kernel(executor.LAYOUT)
    for target in (make_target("generic", "x86_64"), make_target("generic", "aarch64")):
        assert kernel.emit(target) == emit_executor(target, executor.LAYOUT)
        assert llvm.compile_object(kernel.emit(target), target)
    assert host_target() is not None
