from __future__ import annotations

import numpy as np
import pytest

from trine import dtypes
from trine.core import build
from trine.core.interpreter import evaluate
from trine.core.random_bits import num_counters, philox, random_bits

# Known answers of Random123 (kat_vectors, philox 4x32 10): counter, key, result.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_known_answers(counter, key, expected):
    arrays = tuple(np.array([word], np.uint32) for word in words(counter))
    k0, k1 = words(key)
    assert [int(word[0]) for word in philox(arrays, (k0, k1))] == words(expected)


def element(seed: int, offset: int, n: int) -> int:
    counter = (offset + n // 64 * 16 + n % 16) & (2**64 - 1)
    parts = [counter & 0xFFFFFFFF, counter >> 32, 0, 0]
    return int(philox(tuple(np.array([p], np.uint32) for p in parts), (seed & 0xFFFFFFFF, seed >> 32))[n // 16 % 4][0])


@pytest.mark.parametrize(("seed", "offset"), [(0, 0), (0x0123456789ABCDEF, 5), (2**63 - 1, 2**32 - 3), (7, 2**64 - 20)])
def test_order_of_elements(seed, offset):
    bits = random_bits(seed, offset, (150,))
    for n in (0, 1, 15, 16, 47, 63, 64, 80, 149):
        assert int(bits[n]) == element(seed, offset, n)


def test_consecutive_draws_join():
    joined = random_bits(3, 0, (128,))
    np.testing.assert_array_equal(np.concatenate([random_bits(3, 0, (64,)), random_bits(3, num_counters(64), (64,))]), joined)
    assert [num_counters(n) for n in (0, 1, 64, 65)] == [0, 16, 16, 32]


def test_shapes_and_the_primitive():
    flat = random_bits(3, 1, (6,))
    np.testing.assert_array_equal(random_bits(3, 1, (2, 3)), flat.reshape(2, 3))
    assert random_bits(3, 1, ()).shape == () and random_bits(3, 1, (0, 4)).shape == (0, 4)
    node = build.random_bits(build.scalar(0, dtypes.int64), build.scalar(1, dtypes.int64), (2, 3))
    (bits,) = evaluate([node], [], [3, 1])
    np.testing.assert_array_equal(bits, flat.reshape(2, 3))
    (negative,) = evaluate([node], [], [-1, 1])
    np.testing.assert_array_equal(negative, random_bits(2**64 - 1, 1, (2, 3)))
