"""A fork-join pool of native worker threads.

Each worker is a Python daemon thread that enters a native loop and stays there without the GIL. It spins for some 80 us after the last
job, then sleeps on a futex (elsewhere than on Linux: naps of 100 us). A job is the parallel loop of one command, cut into chunks. Each
thread has a share of them, from which it and, later, the others take chunks by an atomic counter.

The state of a job is one 64-bit word, so that a worker sees a consistent state in one load:

    bits 0-31 generation | 32-47 threads allowed | 48-62 workers taking part | 63 open

The caller publishes a job as a new generation, open, with nobody taking part; works itself; closes it; and waits until nobody takes
part. A worker joins by compare-and-swap while the job is open. Hence a worker that is asleep, late or dead delays nobody.

A pool belongs to a process: after a fork the child has none and starts its own when it needs one. One plan at a time uses the pool; a
second caller finds it busy and runs alone on its own thread.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from trine import config
from trine.errors import ArgumentError, message

MAX_THREADS = 1024
_SPIN_SECONDS = 80e-6
_JOIN_SECONDS = 5.0
_NAP_MICROSECONDS = 100

# Offsets in bytes in the control block. What different threads write lies in different cache lines.
POOL_LAYOUT: Mapping[str, int] = {
    "pool.word": 0,
    "pool.sleepers": 64,
    "pool.busy": 128,
    "pool.kernel": 192,
    "pool.table": 200,
    "pool.params": 208,
    "pool.units": 216,
    "pool.chunk": 224,
    "pool.chunks": 232,
    "pool.threads": 240,
    "pool.helped": 256,  # how many chunks the workers have run
    "pool.helped_before": 288,  # the same when they were last woken
    "pool.wake_penalty": 296,
    "pool.wake_pause": 304,  # occasions to let pass before they are woken again
    "pool.num_threads": 320,
    "pool.stop": 328,
    "pool.spin": 336,
    "pool.futex": 344,  # number of the futex system call; 0 where there is none
    "pool.syscall": 352,  # address of libc's syscall
    "pool.yield": 360,  # address of libc's sched_yield
    "pool.sleep": 368,  # address of libc's usleep
    "pool.nap": 376,  # argument of usleep
    "pool.counters": 384,  # for each thread, the next chunk of its share
    "pool.size": 384 + 8 * 1024,
}
_FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
# Process-directed signals are for the main thread, whose system calls they are to interrupt.
_BLOCKED_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGWINCH")


def available_cpus() -> int:
    """Return how many CPUs this process may use: its affinity mask, and on Linux the CPU quota of its control group."""
    count = config.default_num_threads()
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        if quota != "max":
            count = min(count, -(-int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return max(count, 1)


def _default_num_threads() -> int:
    if os.environ.get("TRINE_NUM_THREADS", "").strip():
        return min(config.settings.num_threads, MAX_THREADS)
    return min(config.settings.num_threads, available_cpus(), MAX_THREADS)


class _Control:
    """A control block in memory that is never freed: a thread may still look at the block of a stopped pool."""

    blocks: list[Any] = []

    def __init__(self, num_threads: int, spin: int) -> None:
        raw = ctypes.create_string_buffer(POOL_LAYOUT["pool.size"] + 64)
        self.blocks.append(raw)
        self.address = ctypes.addressof(raw) + -ctypes.addressof(raw) % 64
        libc = ctypes.CDLL(None)
        is_linux = sys.platform == "linux"
        self._put("pool.num_threads", num_threads)
        self._put("pool.spin", spin)
        self._put("pool.futex", _FUTEX_NUMBERS.get(platform.machine().lower(), 0) if is_linux else 0)
        for field, name in (("pool.syscall", "syscall"), ("pool.yield", "sched_yield"), ("pool.sleep", "usleep")):
            self._put(field, ctypes.cast(getattr(libc, name), ctypes.c_void_p).value or 0)
        self._put("pool.nap", _NAP_MICROSECONDS)

    def _put(self, field: str, value: int) -> None:
        ctypes.c_int64.from_address(self.address + POOL_LAYOUT[field]).value = value


class WorkerPool:
    """The worker threads of this process, started when the first parallel plan is run.

    Attributes:
        num_threads: threads of a parallel loop, the caller included.
        cell: address of an 8-byte cell that holds the address of the control block, or 0 while there are no workers.
        is_running: True if the workers that `num_threads` asks for are there.
    """

    def __init__(self, num_threads: int) -> None:
        self.num_threads = num_threads
        self.is_running = False
        self._cell = ctypes.c_int64(0)
        self.cell = ctypes.addressof(self._cell)
        self._lock = threading.RLock()
        self._threads: list[threading.Thread] = []
        self._control: _Control | None = None
        self._worker: Callable[[int, int], None] | None = None
        self._stop: Callable[[int], None] | None = None
        self._pause: Callable[[int], None] | None = None
        self._spin = 0

    def install(self, worker: int, stop: int, pause: int) -> None:
        """Hand in the addresses of the native functions (see `trine.runtime.executor.install`)."""
        self._worker = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(worker)
        self._stop = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(stop)
        self._pause = ctypes.CFUNCTYPE(None, ctypes.c_int64)(pause)

    def set_num_threads(self, num_threads: int) -> None:
        """Change the number of threads; takes effect with the next parallel plan."""
        if isinstance(num_threads, bool) or not isinstance(num_threads, int) or not 1 <= num_threads <= MAX_THREADS:
            expected = f"an integer from 1 to {MAX_THREADS}"
            raise ArgumentError(message("set_num_threads: impossible number", received=repr(num_threads), expected=expected))
        with self._lock:
            if num_threads != self.num_threads:
                self.close()
                self.num_threads = num_threads

    def start(self) -> None:
        """Start the workers if they are not there. Does nothing when one thread is asked for."""
        with self._lock:
            if self.is_running or self._worker is None:
                return
            if self.num_threads > 1:
                self._control = _Control(self.num_threads, self._spin_count())
                for number in range(1, self.num_threads):
                    name = f"trine-worker-{number}"
                    thread = threading.Thread(target=self._enter, args=(self._control.address, number), daemon=True, name=name)
                    try:
                        thread.start()
                    except RuntimeError:
                        break  # the system has no more threads: the others do the work
                    self._threads.append(thread)
                self._cell.value = self._control.address
            self.is_running = True

    def close(self) -> None:
        """Stop the workers after the plan that uses them, and wait until they are gone."""
        with self._lock:
            self._cell.value = 0
            self.is_running = False
            control, threads = self._control, self._threads
            self._control, self._threads = None, []
            if control is not None and self._stop is not None:
                self._stop(control.address)
                for thread in threads:
                    thread.join(_JOIN_SECONDS)

    def reset_after_fork(self) -> None:
        """Forget the parent's workers: no thread but the caller's survives a fork."""
        self._lock = threading.RLock()
        self._cell.value = 0
        self.is_running = False
        self._control, self._threads = None, []

    def _enter(self, control: int, number: int) -> None:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, {getattr(signal, name) for name in _BLOCKED_SIGNALS if hasattr(signal, name)})
        if self._worker is not None:
            self._worker(control, number)

    def _spin_count(self) -> int:
        """Return how many pause instructions take `_SPIN_SECONDS`: from 5 to 140 cycles each, depending on the processor."""
        if not self._spin and self._pause is not None:
            count, best = 500, float("inf")
            for _ in range(5):
                start = time.perf_counter()
                self._pause(count)
                best = min(best, time.perf_counter() - start)
            self._spin = max(int(count * _SPIN_SECONDS / max(best, 1e-7)), 1)
        return self._spin


pool = WorkerPool(_default_num_threads())
atexit.register(pool.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.reset_after_fork)


def get_num_threads() -> int:
    """Return how many threads a parallel loop uses."""
    return pool.num_threads


def set_num_threads(num_threads: int) -> None:
    """Set how many threads a parallel loop uses, the calling thread included; results do not depend on it.

    Raises:
        ArgumentError: not an integer from 1 to 1024.

    Example:
        >>> before = get_num_threads()
        >>> set_num_threads(2)
        >>> get_num_threads()
        2
        >>> set_num_threads(before)
    """
    pool.set_num_threads(num_threads)
