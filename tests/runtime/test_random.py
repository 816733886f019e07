"""Generators."""

from __future__ import annotations

import copy
import os
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trine.core.random_bits import num_counters, random_bits
from trine.errors import ArgumentError
from trine.runtime.random import Generator, default_generator, manual_seed


@given(st.lists(st.integers(0, 1000), max_size=20), st.integers(-(1 << 63), (1 << 64) - 1))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_reservations_follow_one_another(sizes: list[int], seed: int) -> None:
    generator = Generator(seed)
    position = 0
    for size in sizes:
        assert generator.reserve(size) == position
        position += num_counters(size)
    assert generator.offset == position
    assert generator.initial_seed() == seed % (1 << 64)
    assert -(1 << 63) <= generator.seed_operand < 1 << 63 and generator.seed_operand % (1 << 64) == seed % (1 << 64)


def test_ranges_do_not_overlap() -> None:
    generator = Generator(1)
    first, second = (random_bits(1, generator.reserve(100), (100,)) for _ in range(2))
    whole = random_bits(1, 0, (256,))
    np.testing.assert_array_equal(whole[:100], first)
    np.testing.assert_array_equal(whole[128:228], second)


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview, lambda b: np.frombuffer(b, np.uint8)])
def test_state(convert: object) -> None:
    generator = Generator(5)
    generator.reserve(1000)
    state = generator.get_state()
    expected = [generator.reserve(n) for n in (1, 65)]
    generator.manual_seed(9)
    generator.set_state(convert(state))  # type: ignore[operator]
    assert [generator.reserve(n) for n in (1, 65)] == expected and generator.initial_seed() == 5


def test_copies_go_their_own_way() -> None:
    generator = Generator(5)
    generator.reserve(10)
    for other in (copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):
        assert other.get_state() == generator.get_state()
        other.reserve(1)
        assert other.offset != generator.offset
    assert repr(generator) == "Generator(seed=5, offset=16)"


@pytest.mark.parametrize("state", [b"", b"x" * 32, "text", None, np.zeros(4, np.uint8)])
def test_wrong_states(state: object) -> None:
    generator = Generator(5)
    with pytest.raises(ArgumentError, match="not the state of a generator"):
        generator.set_state(state)
    assert generator.get_state() == Generator(5).get_state()


@pytest.mark.parametrize("seed", [1.5, "1", None, 1 << 64, -(1 << 63) - 1])
def test_wrong_seeds(seed: object) -> None:
    with pytest.raises(ArgumentError, match="impossible seed"):
        manual_seed(seed)  # type: ignore[arg-type]


def test_seeds() -> None:
    assert Generator().initial_seed() != Generator().initial_seed()
    generator = Generator(3)
    assert generator.seed() == generator.initial_seed() != 3
    state = default_generator.get_state()
    assert manual_seed(np.int64(11)) is default_generator and default_generator.initial_seed() == 11 and default_generator.offset == 0
    default_generator.set_state(state)


def test_threads_get_different_ranges() -> None:
    generator = Generator(0)
    offsets: list[int] = []
    threads = [threading.Thread(target=lambda: offsets.extend(generator.reserve(64) for _ in range(500))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(offsets) == [16 * k for k in range(2000)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fork_while_locked() -> None:
    with default_generator._lock:
        child = os.fork()
        if not child:
            default_generator.reserve(1)  # the child has a lock of its own
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
