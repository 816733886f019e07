"""Generators: the seed and the position in the counter-based stream of random bits (Philox 4x32-10, see `trine.core.random_bits`).

A generator makes no numbers itself. It hands out positions: an operation that needs n random words takes the offset that `reserve(n)`
returns, and the same seed and offset give the same words on every engine and for any number of threads.
"""

from __future__ import annotations

import os
import struct
import threading
from typing import Any

import numpy as np

from trine.errors import ArgumentError, message

_WORDS_PER_BLOCK = 64  # one block of 64 words takes 16 counter values of 4 words
_COUNTERS_PER_BLOCK = 16
_MAGIC = b"trine-philox-1\0\0"
_STATE = struct.Struct("<16sQQ")
_MASK = (1 << 64) - 1


class Generator:
    """A stream of random numbers.

    Safe to use from several threads: each reservation is a range of its own. A generator that was never seeded takes its seed from the
    operating system.

    Example:
        >>> generator = Generator(7)
        >>> generator.reserve(100), generator.reserve(1), generator.reserve(1)
        (0, 32, 48)
    """

    __slots__ = ("_seed", "_offset", "_lock", "__weakref__")

    def __init__(self, seed: int | None = None) -> None:
        self._lock = threading.Lock()
        self._seed = _entropy() if seed is None else _check_seed(seed)
        self._offset = 0

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` (from -2**63 to 2**64 - 1) from its beginning and return the generator."""
        seed = _check_seed(seed)
        with self._lock:
            self._seed, self._offset = seed, 0
        return self

    def seed(self) -> int:
        """Take a new seed from the operating system and return it."""
        seed = _entropy()
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """Return the seed, from 0 to 2**64 - 1."""
        return self._seed

    @property
    def seed_operand(self) -> int:
        """The seed as the signed 64-bit integer that a run-time scalar holds."""
        return self._seed - (1 << 64) if self._seed >> 63 else self._seed

    @property
    def offset(self) -> int:
        """How many counter values were handed out."""
        return self._offset

    def reserve(self, num_elements: int) -> int:
        """Return the offset of the next `num_elements` random words and move past them (by 16 counter values for every 64 words)."""
        counters = -(-num_elements // _WORDS_PER_BLOCK) * _COUNTERS_PER_BLOCK
        with self._lock:
            offset = self._offset
            self._offset = offset + counters
        return offset

    def get_state(self) -> bytes:
        """Return the state, for `set_state`."""
        with self._lock:
            return _STATE.pack(_MAGIC, self._seed, self._offset)

    def set_state(self, state: Any) -> None:
        """Continue where a generator stood when `get_state` was called.

        Args:
            state: what `get_state` returned, or a uint8 array of these bytes.

        Raises:
            ArgumentError: the bytes are not a state.
        """
        data = state.tobytes() if isinstance(state, np.ndarray) else b""
        if isinstance(state, (bytes, bytearray, memoryview)):
            data = bytes(state)
        if len(data) != _STATE.size or data[:16] != _MAGIC:
            received = f"{len(data)} bytes" if data else type(state).__name__
            expected = f"the {_STATE.size} bytes that get_state returned"
            raise ArgumentError(message("set_state: not the state of a generator", received=received, expected=expected))
        with self._lock:
            _, self._seed, self._offset = _STATE.unpack(data)

    def __getstate__(self) -> bytes:
        return self.get_state()

    def __setstate__(self, state: bytes) -> None:
        self._lock = threading.Lock()
        self.set_state(state)

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, offset={self._offset})"


def _entropy() -> int:
    return int.from_bytes(os.urandom(8), "little")


def _check_seed(seed: int) -> int:
    try:
        value = seed.__index__()
    except AttributeError:
        value = None
    if value is None or not -(1 << 63) <= value <= _MASK:
        expected = "an integer from -2**63 to 2**64 - 1"
        raise ArgumentError(message("manual_seed: impossible seed", received=repr(seed), expected=expected))
    return value & _MASK


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator and return it."""
    return default_generator.manual_seed(seed)


def _after_fork() -> None:
    # Another thread of the parent may have held the lock.
    default_generator._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
