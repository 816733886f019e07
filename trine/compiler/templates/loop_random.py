"""Philox4x32-10 in vector registers; the order of elements is that of `trine.core.random_bits`."""

from __future__ import annotations

from trine.compiler.templates.loop_types import Context
from trine.core.random_bits import KEY_STEPS, LANES, MULTIPLIERS, ROUNDS, WORDS
from trine.dtypes import int64, uint32

BLOCK = LANES * WORDS
_LOW = 0xFFFFFFFF

Keys = list[tuple[str, str]]


def key_schedule(c: Context, seed: str) -> Keys:
    """Return the keys of the rounds, as int64 registers that hold 32-bit words."""
    first = c.binary("and", seed, c.literal(_LOW, int64), int64)
    second = c.binary("lshr", seed, c.literal(32, int64), int64)
    keys = []
    for r in range(ROUNDS):
        words = []
        for word, step in zip((first, second), KEY_STEPS, strict=True):
            stepped = c.binary("add", word, c.literal(r * step, int64), int64) if r else word
            words.append(c.binary("and", stepped, c.literal(_LOW, int64), int64))
        keys.append((words[0], words[1]))
    return keys


def philox(c: Context, counter: str, keys: Keys) -> list[str]:
    """Return the four output words (uint32 registers) for int64 counters.

    Words stay in 64-bit lanes, whose product of low halves is one instruction.
    """
    low = c.literal(_LOW, int64)
    zero = c.literal(0, int64)
    w0 = c.binary("and", counter, low, int64)
    w1 = c.binary("lshr", counter, c.literal(32, int64), int64)
    w2 = w3 = zero
    for k0, k1 in keys:
        p0 = c.binary("mul", c.binary("and", w0, low, int64), c.literal(MULTIPLIERS[0], int64), int64)
        p1 = c.binary("mul", c.binary("and", w2, low, int64), c.literal(MULTIPLIERS[1], int64), int64)
        high0 = c.binary("lshr", p0, c.literal(32, int64), int64)
        high1 = c.binary("lshr", p1, c.literal(32, int64), int64)
        # The upper halves of w1 and w3 are not cleared: products use low halves only, and the result is truncated.
        w0, w2 = _xor(c, high1, w1, k0), _xor(c, high0, w3, k1)
        w1, w3 = p1, p0
    return [c.value(f"trunc {c.type(int64)} {w} to {c.type(uint32)}") for w in (w0, w1, w2, w3)]


def _xor(c: Context, a: str, b: str, k: str) -> str:
    return c.binary("xor", c.binary("xor", a, b, int64), k, int64)


def any_order(c: Context, keys: Keys, offset: str, index: str) -> str:
    """Return the random bits of the elements whose flat indices are in an int64 register."""
    group = c.binary("shl", c.binary("lshr", index, c.literal(6, int64), int64), c.literal(4, int64), int64)
    lane = c.binary("and", index, c.literal(LANES - 1, int64), int64)
    counter = c.binary("add", c.binary("add", offset, group, int64), lane, int64)
    words = philox(c, counter, keys)
    word = c.binary("and", c.binary("lshr", index, c.literal(4, int64), int64), c.literal(WORDS - 1, int64), int64)
    result = words[0]
    for k in range(1, WORDS):
        result = c.select(c.compare("eq", word, c.literal(k, int64), int64), words[k], result, uint32)
    return result


def whole_block(c: Context, keys: Keys, offset: str, first: str) -> list[str]:
    """Return the random bits of the 64 elements from a flat index that is a multiple of 64, as vectors in order.

    Args:
        offset: int64 register.
        first: int64 register whose lane 0 is the flat index of the first element.
    """
    f, vector = c.function, c.type(int64)
    scalar = c.value(f"extractelement {vector} {first}, i64 0")
    base = f.splat(c.value(f"lshr i64 {scalar}, 2"), c.lanes, "i64")
    parts = []
    for start in range(0, LANES, c.lanes):
        lanes = "<" + ", ".join(f"i64 {start + i}" for i in range(c.lanes)) + ">"
        counter = c.binary("add", c.binary("add", base, offset, int64), lanes, int64)
        parts.append(philox(c, counter, keys))
    return [part[word] for word in range(WORDS) for part in parts]
