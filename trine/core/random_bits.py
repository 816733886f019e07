"""Counter-based random numbers: Philox4x32-10, in the order of elements that every engine keeps.

Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

Element n of the flat (row-major) result is word ``(n // 16) % 4`` of the Philox output for the 128-bit counter
``offset + 16 * (n // 64) + n % 16`` (the upper 64 bits are 0, the addition wraps at 64 bits). The key is the seed as two 32-bit words, low
word first. So n elements consume ``16 * ceil(n / 64)`` counter values, and 16 vector lanes make four vectors of results at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trine.shapes import Shape, size_of

ROUNDS = 10
LANES = 16
WORDS = 4
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)

Words = npt.NDArray[np.uint32]


def num_counters(count: int) -> int:
    """Return how many counter values `count` elements consume: what a generator adds to its offset."""
    return -(-count // (LANES * WORDS)) * LANES


def _multiply(factor: int, words: Words) -> tuple[Words, Words]:
    """Return the high and low words of the 64-bit products."""
    product = words.astype(np.uint64) * np.uint64(factor)
    return (product >> np.uint64(32)).astype(np.uint32), product.astype(np.uint32)


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Return the four output words of Philox4x32-10 for arrays of counters (least significant word first) and one key."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        high0, low0 = _multiply(MULTIPLIERS[0], c0)
        high1, low1 = _multiply(MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ np.uint32(k0), low1, high0 ^ c3 ^ np.uint32(k1), low0
        k0 = (k0 + KEY_STEPS[0]) & 0xFFFFFFFF
        k1 = (k1 + KEY_STEPS[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def random_bits(seed: int, offset: int, shape: Shape) -> Words:
    """Return the uint32 random bits of an array, as the primitive `random_bits` defines them."""
    count = size_of(shape)
    seed, offset = seed & 0xFFFFFFFFFFFFFFFF, offset & 0xFFFFFFFFFFFFFFFF
    counters = np.arange(num_counters(count), dtype=np.uint64) + np.uint64(offset)
    low, high = counters.astype(np.uint32), (counters >> np.uint64(32)).astype(np.uint32)
    zero = np.zeros_like(low)
    words = philox((low, high, zero, zero), (seed & 0xFFFFFFFF, seed >> 32))
    groups = np.stack([w.reshape(-1, LANES) for w in words], axis=1)
    return groups.reshape(-1)[:count].reshape(shape)
