"""What concerns the process or the thread as a whole: running what is recorded, engines, threads, random state, caches."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine import config, engines
from trine.runtime import memory, random
from trine.tensor import flush
from trine.tensor.convert import from_numpy
from trine.tensor.recorder import local, new_trace
from trine.tensor.state import automaton
from trine.tensor.tensor import Tensor


def synchronize(device: object = None) -> None:
    """Run everything that this thread has recorded."""
    flush()


class eager:
    """Execute each operation at once, for hunting a bug: a call switches it for the thread, `with` for a block.

    >>> import trine
    >>> with trine.eager(True):
    ...     y = trine.ones(2) + 1
    """

    def __init__(self, enabled: bool = True) -> None:
        self._before = local.eager
        _set_eager(enabled)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        _set_eager(self._before)


def _set_eager(enabled: bool) -> None:
    flush()
    local.eager = enabled
    new_trace()


def set_engine(name: str) -> None:
    """Choose what runs recorded programs from now on: "native" or "numpy" (the reference).

    Raises:
        ArgumentError: there is no such engine.
    """
    flush()
    engines.get(name)
    config.settings.engine = name


def set_num_threads(count: int) -> None:
    """Set the number of threads that a program may use, the calling one included."""
    from trine.runtime.pool import pool

    flush()
    pool.set_num_threads(count)
    config.settings.num_threads = count


def get_num_threads() -> int:
    """Return the number of threads that a program may use."""
    return config.settings.num_threads


def manual_seed(seed: int) -> random.Generator:
    """Seed the default generator; the same seed gives the same numbers on every engine and for any number of threads."""
    return random.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the system and return the seed."""
    return random.default_generator.seed()


def initial_seed() -> int:
    """Return the seed of the default generator."""
    return random.default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """Return the state of the default generator as a uint8 tensor."""
    return from_numpy(np.frombuffer(random.default_generator.get_state(), np.uint8).copy())


def set_rng_state(new_state: Tensor) -> None:
    """Set the state of the default generator."""
    random.default_generator.set_state(new_state.numpy().tobytes())


def cache_info() -> dict[str, Any]:
    """Return the size and the limit of every cache: recorded programs, plans, kernels in memory and on disk, free memory."""
    info: dict[str, Any] = {"programs": automaton.info()}
    if config.settings.engine == "native":
        kernels = getattr(engines.current(), "kernels", None)
        if kernels is not None:
            info["kernels"] = kernels.info()._asdict() if hasattr(kernels.info(), "_asdict") else kernels.info()
    info["memory"] = memory.memory_info()._asdict()
    return info
