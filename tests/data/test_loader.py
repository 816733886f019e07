"""DataLoader: order, workers, errors, ends."""

from __future__ import annotations

import gc
import multiprocessing
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trine
from tests.data.loader_support import Computed, CustomError, Faulty, Numbers, Stream, Unpicklable, failing_init, identity, init_worker
from trine.data import DataLoader, TensorDataset, WorkerError, get_worker_info

KINDS: list[dict[str, Any]] = [
    {"num_workers": 0},
    {"num_workers": 2, "worker_kind": "thread"},
    {"num_workers": 2, "multiprocessing_context": "fork"},
]
IDS = ["none", "threads", "fork"]
WORKERS = KINDS[1:]


def all_kinds(function: Any) -> Any:
    return pytest.mark.parametrize("workers", KINDS, ids=IDS)(function)


def with_workers(function: Any) -> Any:
    return pytest.mark.parametrize("workers", WORKERS, ids=IDS[1:])(function)


def numbers(loader: Any) -> list[int]:
    return [n for batch in loader for n in batch[0].tolist()]


def no_children() -> bool:
    end = time.monotonic() + 5
    while multiprocessing.active_children() and time.monotonic() < end:
        time.sleep(0.01)
    return not multiprocessing.active_children()


def data_threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("trine-data")}


@all_kinds
def test_order_and_sizes(workers: dict[str, Any]) -> None:
    loader = DataLoader(Numbers(11), batch_size=4, **workers)
    batches = list(loader)
    assert [b[0].tolist() for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]] and len(loader) == 3
    assert [set(b[1].tolist()) for b in batches] == ([{-1}] * 3 if not workers["num_workers"] else [{0}, {1}, {0}])
    assert len(list(DataLoader(Numbers(11), batch_size=4, drop_last=True, **workers))) == 2
    single = DataLoader(Numbers(3), batch_size=None, **workers)
    assert [example[0] for example in single] == [0, 1, 2] and len(single) == 3
    assert [b for b in DataLoader(Numbers(3), batch_sampler=[[2], [0, 1]], collate_fn=identity, **workers)][0][0][0] == 2
    assert numbers(DataLoader(Numbers(), sampler=[5, 1], **workers)) == [5, 1]
    assert no_children()


@all_kinds
def test_shuffle_is_reproducible_and_does_not_depend_on_workers(workers: dict[str, Any]) -> None:
    trine.manual_seed(4)
    loader = DataLoader(Numbers(), batch_size=5, shuffle=True, **workers)
    first, second = numbers(loader), numbers(loader)
    assert first != second and sorted(first) == sorted(second) == list(range(12))
    trine.manual_seed(4)
    plain = DataLoader(Numbers(), batch_size=5, shuffle=True)
    assert [numbers(plain), numbers(plain)] == [first, second]
    generator = trine.Generator(9)
    mine = numbers(DataLoader(Numbers(), shuffle=True, generator=generator, **workers))
    assert mine == numbers(DataLoader(Numbers(), shuffle=True, generator=trine.Generator(9)))


@all_kinds
def test_streams(workers: dict[str, Any]) -> None:
    loader = DataLoader(Stream(), batch_size=3, **workers)
    for _ in range(2):
        batches = [b.tolist() for b in loader]
        assert sorted(n for b in batches for n in b) == list(range(10))
    if not workers["num_workers"]:
        assert batches == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]] and len(loader) == 4
    else:
        assert batches[:2] == [[0, 2, 4], [1, 3, 5]]
    dropped = [b.tolist() for b in DataLoader(Stream(), batch_size=3, drop_last=True, **workers)]
    assert all(len(b) == 3 for b in dropped)
    assert sorted(DataLoader(Stream(), batch_size=None, **workers)) == list(range(10))
    with pytest.raises(ValueError, match="broken stream"):
        list(DataLoader(Stream(broken=True), batch_size=2, **workers))


@with_workers
@pytest.mark.parametrize("stream", [False, True])
def test_persistent_workers(workers: dict[str, Any], stream: bool) -> None:
    loader = DataLoader(Stream() if stream else Numbers(10), batch_size=2, persistent_workers=True, **workers)

    def epoch() -> list[int]:
        return sorted(n for b in loader for n in (b if stream else b[0]).tolist())

    assert epoch() == list(range(10))
    members = loader._workers.crew.members  # type: ignore[union-attr]
    for _ in loader:
        break
    assert epoch() == list(range(10))
    assert loader._workers.crew.members is members  # type: ignore[union-attr]
    older, newer = iter(loader), iter(loader)
    next(older)
    next(newer)
    with pytest.raises(WorkerError, match="newer iterator"):
        next(older)
    older.close()
    newer.close()
    del older, newer
    loader = None
    gc.collect()
    assert no_children()


@with_workers
def test_errors_keep_their_class_and_show_the_traceback(workers: dict[str, Any]) -> None:
    for kind, cls, text in (
        ("value", ValueError, "bad value at five"),
        ("key", KeyError, "missing"),
        ("os", FileNotFoundError, "x.png"),
        ("stop", RuntimeError, "StopIteration"),
        ("custom", CustomError, "3 x"),
        ("local", Exception, "unpicklable class"),
        ("unicode", UnicodeDecodeError, "0xff"),
        ("interrupt", WorkerError, "KeyboardInterrupt"),
    ):
        with pytest.raises(cls) as error:
            numbers(DataLoader(Faulty(kind), batch_size=2, collate_fn=lambda b: (trine.tensor(b),), **workers))
        assert isinstance(error.value, WorkerError)
        assert text in str(error.value) and "Traceback" in str(error.value) and "loader_support.py" in str(error.value)
    assert no_children()


def test_errors_without_workers_are_the_original_ones() -> None:
    with pytest.raises(CustomError):
        list(DataLoader(Faulty("custom")))


@with_workers
def test_a_persistent_loader_survives_an_error(workers: dict[str, Any]) -> None:
    data = Faulty("value")
    loader = DataLoader(data, batch_size=2, persistent_workers=True, **workers)
    with pytest.raises(ValueError, match="bad value"):
        list(loader)
    data.at = -1
    assert len(list(loader)) == 6


def test_a_worker_that_dies_is_noticed_at_once() -> None:
    begin = time.monotonic()
    with pytest.raises(WorkerError, match="died\n  received: exit code 3"):
        list(DataLoader(Faulty("exit"), num_workers=2))
    assert time.monotonic() - begin < 5 and no_children()


@with_workers
def test_timeout(workers: dict[str, Any]) -> None:
    with pytest.raises(WorkerError, match="timed out\n  received: no batch within 0.3 s"):
        list(DataLoader(Faulty("sleep", at=0), timeout=0.3, **workers))
    assert no_children()


def test_a_result_that_cannot_be_sent() -> None:
    with pytest.raises(WorkerError, match="pickle"):
        list(DataLoader(Unpicklable(), collate_fn=identity, num_workers=1))


@with_workers
def test_init(workers: dict[str, Any]) -> None:
    assert numbers(DataLoader(Numbers(), worker_init_fn=init_worker, **workers)) == list(range(12))
    with pytest.raises(ValueError, match="cannot start"):
        list(DataLoader(Numbers(), worker_init_fn=failing_init, **workers))
    assert get_worker_info() is None


@with_workers
def test_leaving_early_stops_the_workers(workers: dict[str, Any]) -> None:
    before = data_threads()
    big = TensorDataset(trine.zeros(64, 20_000))
    begin = time.monotonic()
    for _ in DataLoader(big, batch_size=8, **workers):
        break
    assert time.monotonic() - begin < 4 and no_children()
    end = time.monotonic() + 3
    while data_threads() - before and time.monotonic() < end:
        time.sleep(0.01)
    assert not data_threads() - before


def test_large_tasks_and_large_results_do_not_block_each_other() -> None:
    data = TensorDataset(trine.arange(200_000))
    loader = DataLoader(data, batch_sampler=[list(range(200_000))] * 5, num_workers=1)
    assert [len(b) for (b,) in loader] == [200_000] * 5


def test_workers_compute_with_tensors() -> None:
    table = trine.arange(12).reshape(6, 2).float() * 1.0  # still pending when the workers start
    (trine.ones(300, 300) @ trine.ones(300, 300)).sum().item()  # the threads of this process run
    for workers in WORKERS:
        (batch,) = DataLoader(Computed(table), batch_size=6, **workers)
        assert batch.tolist() == (table * 2 + 3).tolist()


def test_random_numbers_in_worker_processes() -> None:
    def draw() -> list[float]:
        return [x for b in DataLoader(Numbers(), batch_size=3, num_workers=2) for x in b[2].tolist()]

    trine.manual_seed(1)
    first, second = draw(), draw()
    trine.manual_seed(1)
    assert draw() == first != second and len(set(first)) == 12


def test_spawned_workers_and_results_as_they_come() -> None:
    loader = DataLoader(Numbers(6), batch_size=2, num_workers=2, multiprocessing_context="spawn", in_order=False)
    assert sorted(numbers(loader)) == list(range(6))
    assert no_children()


def test_the_program_ends_without_a_word() -> None:
    program = """
import trine
from trine.data import DataLoader, TensorDataset
loader = DataLoader(TensorDataset(trine.arange(100)), batch_size=2, num_workers=2, persistent_workers=True)
print(sum(len(b) for b, in loader))
for batch in loader:
    break
other = iter(DataLoader(TensorDataset(trine.arange(100)), num_workers=1))
next(other)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "100\n", "")


def test_no_worker_outlives_a_main_process_that_is_killed() -> None:
    program = """
import multiprocessing, time, trine
from trine.data import DataLoader, TensorDataset
batches = iter(DataLoader(TensorDataset(trine.arange(1000)), num_workers=2))
next(batches)
print(*[p.pid for p in multiprocessing.active_children()], flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        workers = [int(number) for number in output.readline().split()]
    process.kill()
    process.wait()
    end = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < end:
        time.sleep(0.02)
    assert len(workers) == 2 and not any(map(is_running, workers))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_bad_arguments() -> None:
    data = Numbers()
    for options, text in (
        ({"num_workers": -1}, "num_workers"),
        ({"timeout": -1}, "timeout"),
        ({"num_workers": 1, "worker_kind": "fiber"}, "worker_kind"),
        ({"prefetch_factor": 2}, "workers"),
        ({"num_workers": 1, "prefetch_factor": 0}, "prefetch_factor"),
        ({"persistent_workers": True}, "workers"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "batch_sampler"),
        ({"sampler": [0], "shuffle": True}, "sampler"),
    ):
        with pytest.raises(ValueError, match=text):
            DataLoader(data, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="own order"):
        DataLoader(Stream(), shuffle=True)
    with pytest.raises(ValueError, match="batch_size"):
        DataLoader(Stream(), batch_size=0)


def test_training_batches_are_aligned_rows() -> None:
    table = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    for (batch,) in DataLoader(TensorDataset(trine.tensor(table)), batch_size=8):
        assert batch.data_ptr() % 64 == 0 and batch.dtype is trine.float32
