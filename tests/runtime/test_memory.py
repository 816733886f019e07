"""Buffers and their pool."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.errors import AllocationError, ArgumentError, DTypeError, ShapeError
from trine.runtime import memory


@given(st.integers(0, 1 << 40))
@settings(deadline=None, derandomize=True)
def test_size_classes(nbytes: int) -> None:
    size = memory._class_size(nbytes)
    assert size >= nbytes and size % memory.ALIGNMENT == 0 and memory._class_size(size) == size
    assert nbytes <= 256 or size - nbytes <= nbytes / 4


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 1000, 1 << 20])
def test_allocate(nbytes: int) -> None:
    buffer = memory.allocate(nbytes)
    assert buffer.nbytes == nbytes and buffer.address % 64 == 0 and not buffer.readonly and not buffer.external
    view = buffer.array(np.uint8, (nbytes,))
    view[:] = 7
    assert view.sum() == 7 * nbytes
    assert f"{nbytes} bytes" in repr(buffer)


def test_memory_is_recycled() -> None:
    first = memory.allocate(12345)
    address = first.address
    del first
    assert memory.allocate(12345).address == address
    assert memory.allocate(12340).address == address  # another size of the same class


def test_a_view_keeps_the_memory() -> None:
    buffer = memory.allocate(400)
    view = buffer.array("f4", (10, 10))
    view[:] = 1
    address = buffer.address
    del buffer
    gc.collect()
    other = memory.allocate(400)
    assert other.address != address
    other.array("f4", (100,))[:] = 2
    assert (view == 1).all()


def test_array_checks_the_size() -> None:
    with pytest.raises(ShapeError, match="float32 array of shape \\(3, 3\\)"):
        memory.allocate(32).array("f4", (3, 3))


def test_empty_arrays() -> None:
    assert memory.allocate(0).array("f4", (3, 0)).shape == (3, 0)
    assert memory.from_array(np.zeros((0, 2))).array("f8", (0, 2)).size == 0


def test_from_array_shares() -> None:
    array = np.arange(6.0).reshape(2, 3)
    buffer = memory.from_array(array)
    assert buffer.external and buffer.address == array.ctypes.data
    array[1, 2] = 9
    assert buffer.array("f8", (6,))[5] == 9
    del array
    gc.collect()
    assert buffer.array("f8", (6,))[5] == 9


def test_from_array_copies_what_it_must() -> None:
    base = np.arange(12, dtype=np.int32).reshape(3, 4)
    unaligned = np.frombuffer(b"x" + base.tobytes(), np.int32, 12, 1).reshape(3, 4)
    for array in (base.T, base[:, ::2], base[::-1], base.astype(">i4"), unaligned, np.asfortranarray(base)):
        buffer = memory.from_array(array)
        assert not buffer.external and not buffer.readonly
        np.testing.assert_array_equal(buffer.array("i4", array.shape), array)


def test_from_array_readonly() -> None:
    array = np.arange(3)
    array.flags.writeable = False
    buffer = memory.from_array(array)
    assert buffer.readonly and not buffer.array("i8", (3,)).flags.writeable
    copied = buffer.copy()
    assert not copied.readonly and not copied.external and copied.address != buffer.address
    np.testing.assert_array_equal(copied.array("i8", (3,)), array)


def test_from_array_rejects_objects() -> None:
    with pytest.raises(DTypeError, match="object"):
        memory.from_array(np.array([None]))


@pytest.mark.parametrize("nbytes", [-1, (1 << 47) + 1, 1 << 100])
def test_impossible_sizes(nbytes: int) -> None:
    with pytest.raises(AllocationError, match="impossible size"):
        memory.allocate(nbytes)


def test_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise MemoryError

    memory.empty_cache()  # a free block of this size would serve
    monkeypatch.setattr(memory.np, "empty", fail)
    with pytest.raises(AllocationError, match="a request for 3333333 bytes") as caught:
        memory.allocate(3333333)
    assert isinstance(caught.value, MemoryError)


def test_info_and_limit() -> None:
    memory.empty_cache()
    before = memory.memory_info()
    buffers = [memory.allocate(1 << 20) for _ in range(4)]
    during = memory.memory_info()
    assert during.used_bytes - before.used_bytes == 4 << 20 and during.num_blocks == before.num_blocks + 4
    buffers.clear()
    assert memory.memory_info().free_bytes - during.free_bytes == 4 << 20
    try:
        memory.set_cache_limit(1 << 20)
        large = memory.allocate(8 << 20)  # a new block: free ones beyond the limit are released first
        assert memory.memory_info().free_bytes <= 1 << 20
        del large
    finally:
        memory.set_cache_limit(before.limit_bytes)
    memory.empty_cache()
    assert memory.memory_info().free_bytes == 0
    with pytest.raises(ArgumentError, match="negative"):
        memory.set_cache_limit(-1)


def test_threads_never_share_a_block() -> None:
    failures: list[str] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        held: list[tuple[memory.Buffer, int]] = []
        for step in range(1500):
            nbytes = rng.choice([8, 64, 100, 4096, 5000])
            buffer = memory.allocate(nbytes)
            mark = (seed * 1500 + step) % 251
            buffer.array(np.uint8, (nbytes,))[:] = mark
            held.append((buffer, mark))
            if len(held) > 20:
                old, expected = held.pop(rng.randrange(len(held)))
                if not (old.array(np.uint8, (old.nbytes,)) == expected).all():
                    failures.append(f"thread {seed}, step {step}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_exit_with_living_buffers() -> None:
    code = "from trine.runtime import memory as m\nkeep = [m.allocate(100)]\nkeep.append(keep)\nview = m.allocate(8).array('f8', (1,))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
