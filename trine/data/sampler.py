"""Samplers: in which order examples are taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from trine.errors import ArgumentError, message
from trine.runtime import random

T = TypeVar("T")


def _numpy_generator(generator: Any) -> np.random.Generator:
    """Return a NumPy generator seeded from Trine's (which moves on)."""
    source = generator if generator is not None else random.default_generator
    return np.random.Generator(np.random.Philox(key=[source.initial_seed() & (1 << 64) - 1, source.reserve(1)]))


def permutation(count: int, generator: Any = None) -> list[int]:
    """Return a random order of range(count), reproducible by `manual_seed`."""
    return _numpy_generator(generator).permutation(count).tolist()  # type: ignore[no-any-return]


class Sampler(Generic[T]):
    """Base of samplers: define ``__iter__`` (indices) and ``__len__``."""

    def __init__(self, data_source: Any = None) -> None:
        pass

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, …"""

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


_DRAWN_AT_ONCE = 1 << 12


class RandomSampler(Sampler[int]):
    """A random order, or `num_samples` random draws with replacement."""

    def __init__(self, data_source: Any, replacement: bool = False, num_samples: int | None = None, generator: Any = None) -> None:
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self.num_samples = len(data_source) if num_samples is None else num_samples
        if self.num_samples <= 0:
            raise ArgumentError(message("RandomSampler: num_samples", received=self.num_samples, expected="a positive integer"))

    def __iter__(self) -> Iterator[int]:
        count = len(self.data_source)
        if self.replacement:
            drawer, left = _numpy_generator(self.generator), self.num_samples
            while left > 0:  # in pieces: endless samplers ask for very many
                piece = min(left, _DRAWN_AT_ONCE)
                yield from drawer.integers(0, count, piece).tolist()
                left -= piece
            return
        left = self.num_samples
        while left > 0:
            yield from permutation(count, self.generator)[:left]
            left -= count

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        return (self.indices[i] for i in permutation(len(self.indices), self.generator))

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Random draws with given weights."""

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, generator: Any = None) -> None:
        self.weights = np.asarray(weights, np.float64)
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator
        if self.weights.ndim != 1 or not (self.weights >= 0).all() or not 0 < self.weights.sum() < np.inf:
            expected = "one axis of numbers of 0 or more, not all 0"
            raise ArgumentError(message("WeightedRandomSampler: weights", received=repr(weights)[:80], expected=expected))

    def __iter__(self) -> Iterator[int]:
        p = self.weights / self.weights.sum()
        return iter(_numpy_generator(self.generator).choice(len(p), self.num_samples, self.replacement, p).tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Groups the indices of a sampler into batches."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ArgumentError(message("batch_size", received=repr(batch_size), expected="a positive integer"))
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
