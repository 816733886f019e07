"""A sampler for several processes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from trine.data.sampler import Sampler, permutation
from trine.errors import ArgumentError, UnsupportedError, message
from trine.runtime.random import Generator


class DistributedSampler(Sampler[int]):
    """The part of a dataset that one of several processes sees; all parts are equally long.

    Args:
        dataset: with a length. num_replicas, rank: how many processes, and which this is. shuffle: the same new order in all processes
            after each `set_epoch`. seed: of the order. drop_last: leave out what does not fill all parts (else the first come again).

    Raises:
        ArgumentError: rank is not 0 to num_replicas - 1. UnsupportedError: a RuntimeError; num_replicas or rank is missing (there are no
            process groups to ask).

    >>> import trine
    >>> [list(trine.utils.data.DistributedSampler(range(5), 2, rank, shuffle=False)) for rank in range(2)]
    [[0, 2, 4], [1, 3, 0]]
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            what = "Requires distributed package to be available"
            raise UnsupportedError(message(f"DistributedSampler: {what}", received="no num_replicas or rank", fix="give both"))
        if not 0 <= rank < num_replicas:
            raise ArgumentError(message(f"Invalid rank {rank}", expected=f"rank in the interval [0, {num_replicas - 1}]"))
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.epoch, self.shuffle, self.seed, self.drop_last = 0, shuffle, seed, drop_last
        size = len(dataset)
        self.num_samples = size // num_replicas if drop_last and size % num_replicas else math.ceil(size / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        size = len(self.dataset)
        order = permutation(size, Generator(self.seed + self.epoch)) if self.shuffle else list(range(size))
        if size:
            order = (order * math.ceil(self.total_size / size))[: self.total_size]
        return iter(order[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch; call it before each, or all epochs have the same order."""
        self.epoch = epoch
