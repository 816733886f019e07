"""What a program sees of the workers of a DataLoader."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from trine.errors import TrineError


class WorkerError(TrineError, RuntimeError):
    """An example could not be fetched in a worker; the message holds the worker's traceback."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


@dataclass
class WorkerInfo:
    """What a worker knows of itself: its number, how many there are, its seed and its copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


local = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """Return the WorkerInfo inside a worker, None elsewhere."""
    return getattr(local, "info", None)


class Dry:
    """The result of a worker whose stream has ended."""
