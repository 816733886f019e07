"""Native execution of command buffers: one call runs a segment of a plan.

The native code is emitted by `trine.compiler.templates.executor` for `LAYOUT` and handed in as loaded addresses by `install`. On CPython it
is reached as a builtin function made with `PyCFunction_NewEx`, elsewhere through ctypes.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol

from trine.errors import CompileError
from trine.runtime import builtin
from trine.runtime.pool import POOL_LAYOUT, pool

# Cost is bytes moved plus flops. One core does about 10 to 20 of them in a nanosecond, so 64 Ki is some 5 us; a fork-join with spinning
# workers is 0.1 to 1 us, and waking a sleeping worker costs the caller a system call and takes about 50 us until it joins.
PARALLEL_COST = 1 << 16
CHUNK_COST = 1 << 14
WAKE_COST = 1 << 20
# Above this cost the GIL is released: some 15 us, against 0.1 us to release it, and up to 5 ms to get it back from a busy Python thread.
RELEASE_GIL_COST = 1 << 18

# Offsets in bytes of what the native code reads and writes; see `Segment` and `trine.runtime.pool`.
LAYOUT: Mapping[str, int] = {
    "command.kernel": 0,
    "command.params": 8,
    "command.units": 16,
    "command.max_chunks": 24,  # into how many pieces the parallel loop may be split; 1 or less: the calling thread runs it alone
    "command.wake": 32,  # 1 if sleeping workers are to be woken for it
    "command.size": 40,
    "run.commands": 0,
    "run.count": 8,
    "run.table": 16,
    "run.status": 24,
    "run.pool_cell": 32,  # address of a cell that holds the address of the pool's control block; 0 if nothing is parallel
    "run.release_gil": 40,
    "run.max_threads": 48,  # threads for which there is scratch memory
    "run.size": 56,
    "python.as_pointer": 0,
    "python.from_int": 8,
    "python.save_thread": 16,
    "python.restore_thread": 24,
    "python.header": bytes.__basicsize__ - 1,  # where the payload of a bytes object begins
    **POOL_LAYOUT,
}
FUNCTIONS = ("executor_run", "executor_call", "pool_worker", "pool_stop", "pool_pause")


class LaunchLike(Protocol):
    """What a segment is made of; see `trine.runtime.plan.Launch`."""

    @property
    def address(self) -> int: ...
    @property
    def params(self) -> Sequence[int]: ...
    @property
    def units(self) -> int: ...
    @property
    def cost(self) -> int: ...


class _Native:
    """The installed entry point: `run(address of a run block)` returns the status code."""

    run: Callable[[int], int] | None = None
    keep: ClassVar[list[Any]] = []


def install(addresses: Mapping[str, int], keep: Any = None) -> None:
    """Hand in the addresses of the native functions named in `FUNCTIONS`; needed once, before the first plan is run.

    `keep` is what must live as long as the process: the loaded object.
    """
    if builtin.is_supported():
        run = _make_builtin(addresses["executor_call"])
    else:
        run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(addresses["executor_run"])
    _Native.keep.append(keep)
    pool.install(addresses["pool_worker"], addresses["pool_stop"], addresses["pool_pause"])
    _Native.run = run


def is_installed() -> bool:
    """Return whether `install` was called."""
    return _Native.run is not None


def _make_builtin(address: int) -> Callable[[int], int]:
    """Return a builtin function that calls the native code at `address` with (self, argument).

    `self` is a bytes object with the addresses of the functions of the Python API that the native code calls.
    """
    names = ("PyLong_AsVoidPtr", "PyLong_FromLongLong", "PyEval_SaveThread", "PyEval_RestoreThread")
    functions = struct.pack("=4Q", *[ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in names])
    return builtin.make_function("executor_call", address, builtin.METH_O, functions)  # type: ignore[no-any-return]


class Segment:
    """Consecutive kernel launches in the form that the native code reads."""

    __slots__ = ("is_parallel", "release_gil", "_commands", "_params", "_count")

    def __init__(self, launches: Sequence[LaunchLike]) -> None:
        params = [int(p) for launch in launches for p in launch.params]
        self._params = (ctypes.c_int64 * max(len(params), 1))(*params)
        self._count = len(launches)
        remaining = sum(launch.cost for launch in launches if _max_chunks(launch) > 1)
        words: list[int] = []
        position = ctypes.addressof(self._params)
        for launch in launches:
            chunks = _max_chunks(launch)
            words += [launch.address, position, launch.units, chunks, int(remaining >= WAKE_COST)]
            remaining -= launch.cost if chunks > 1 else 0
            position += 8 * len(launch.params)
        self._commands = (ctypes.c_int64 * max(len(words), 1))(*words)
        self.is_parallel = any(_max_chunks(launch) > 1 for launch in launches)
        self.release_gil = sum(launch.cost for launch in launches) >= RELEASE_GIL_COST

    def bind(self, table: int, status: int, num_threads: int) -> tuple[Callable[[], int], Any]:
        """Return a function that runs the segment with a run-time table and returns the status code, and what must live as long as it."""
        native = _Native.run
        if native is None:
            raise CompileError("executor: its native code is not loaded; call trine.runtime.executor.install first")
        cell = pool.cell if self.is_parallel else 0
        commands = ctypes.addressof(self._commands)
        block = (ctypes.c_int64 * 7)(commands, self._count, table, status, cell, int(self.release_gil), num_threads)
        return partial(native, ctypes.addressof(block)), (self, block)


def _max_chunks(launch: LaunchLike) -> int:
    """Return into how many pieces a launch may be split: 1 if it is too small for threads to pay."""
    if launch.cost < PARALLEL_COST or launch.units < 2:
        return 1
    return min(launch.units, launch.cost // CHUNK_COST)
