"""Datasets that worker processes import by name."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import trine
from trine.data import Dataset, IterableDataset, get_worker_info


class CustomError(Exception):
    """Needs two arguments, as some exceptions do."""

    def __init__(self, first: int, second: str) -> None:
        super().__init__(f"{first} {second}")


class Numbers(Dataset[Any]):
    """(number, number of the worker, random number)."""

    def __init__(self, count: int = 12) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[int, int, float]:
        info = get_worker_info()
        return index, -1 if info is None else info.id, float(np.random.rand())


class Computed(Dataset[Any]):
    """Tensors computed by Trine in the worker."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return self.table[index] * 2 + trine.ones(3).sum()


class Faulty(Numbers):
    """Misbehaves at one index."""

    def __init__(self, kind: str, at: int = 5) -> None:
        super().__init__()
        self.kind, self.at = kind, at

    def __getitem__(self, index: int) -> Any:
        if index == self.at:
            FAULTS[self.kind]()
        return index


def _raise(error: BaseException) -> None:
    raise error


class LocalError(Exception):
    """Cannot be pickled by name once it is renamed."""


LocalError.__qualname__ = "nowhere.LocalError"

FAULTS: dict[str, Any] = {
    "value": lambda: _raise(ValueError("bad value at five")),
    "key": lambda: _raise(KeyError("missing\nkey")),
    "os": lambda: _raise(FileNotFoundError(2, "No such file", "x.png")),
    "stop": lambda: _raise(StopIteration()),
    "custom": lambda: _raise(CustomError(3, "x")),
    "local": lambda: _raise(LocalError("unpicklable class")),
    "unicode": lambda: b"\xff".decode(),
    "exit": lambda: os._exit(3),
    "sleep": lambda: time.sleep(30),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
}


class Unpicklable(Numbers):
    """Returns what cannot be sent."""

    def __getitem__(self, index: int) -> Any:
        return lambda: index


class Stream(IterableDataset[int]):
    """Numbers, split among the workers."""

    def __init__(self, count: int = 10, broken: bool = False) -> None:
        self.count, self.broken = count, broken

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        for i in range(first, self.count, step):
            if self.broken and i > 4:
                raise ValueError("broken stream")
            yield i

    def __len__(self) -> int:
        return self.count


def identity(batch: Any) -> Any:
    return batch


def init_worker(number: int) -> None:
    info = get_worker_info()
    info.dataset.count_in_worker = number  # type: ignore[union-attr]


def failing_init(number: int) -> None:
    raise ValueError("cannot start")
