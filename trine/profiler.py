"""Where time and memory go: by kernel, by operation and by the user's source line, and how near that is to what the machine can do.

>>> import trine
>>> with trine.profiler.profile() as profile:
...     y = trine.randn(100, 100).exp().sum()
...     _ = y.item()
>>> "exp" in profile.table(by="operation")
True
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trine.core.work import flops, traffic
from trine.errors import ArgumentError, message
from trine.ops import randn, zeros
from trine.runtime.memory import memory_info
from trine.serialization.files import replace_file
from trine.tensor import flush
from trine.tensor.recorder import local


@dataclass(frozen=True)
class Event:
    """One command of a plan, as it ran.

    Attributes:
        name: the kind of kernel. operations: primitives that it computes. sources: the user's lines that recorded them.
        start, seconds: when it began (seconds since the profile did) and how long it took. thread: identifier of the thread.
        flops, bytes: floating-point operations, and the memory traffic that is needed at least, counted from the shapes.
    """

    name: str
    operations: tuple[str, ...]
    sources: tuple[str, ...]
    start: float
    seconds: float
    thread: int
    flops: int = 0
    bytes: int = 0


def _operations(event: Event) -> str:
    return " ".join(dict.fromkeys(event.operations)) or event.name


def _line(event: Event) -> str:
    return event.sources[-1] if event.sources else "(no line)"


_KEYS: dict[str, Callable[[Event], str]] = {"kernel": lambda e: e.name, "operation": _operations, "line": _line}


@dataclass(frozen=True)
class Machine:
    """What a machine can do: floating-point operations a second in large matrix products, bytes a second from and to memory."""

    flops: float
    bandwidth: float


@functools.cache
def measure_machine() -> Machine:
    """Measure (once, a second at most) the speed of a large product and of a copy that does not fit into the caches."""
    a, b = randn(768, 768), randn(768, 768)
    large = zeros(1 << 24)
    flush()

    def best(run: Callable[[], Any]) -> float:
        times = []
        for _ in range(6):
            start = time.perf_counter()
            result = run()
            flush()
            times.append(time.perf_counter() - start)
            del result
        return min(times)

    return Machine(2 * 768**3 / best(lambda: a @ b), 2 * large.nbytes / best(lambda: large + 1.0))


class profile:
    """Context manager that measures what this thread runs. Plans run command by command meanwhile, which costs about 1 us a command.

    Attributes:
        events: what ran, in order. plans: number of plans that ran. recorded: number of operations that were recorded for them.
        memory: (seconds since the profile began, bytes in use) after each plan, its working memory included.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.memory: list[tuple[float, int]] = []
        self.plans = 0
        self.recorded = 0
        self.seconds = 0.0
        self._begin = 0.0
        self._outer: profile | None = None

    def __enter__(self) -> profile:
        flush()
        self._outer, local.profiler = local.profiler, self
        self._begin = time.perf_counter()
        self.memory.append((0.0, memory_info().used_bytes))
        return self

    def __exit__(self, *_: object) -> None:
        try:
            flush()
        finally:
            self.seconds = time.perf_counter() - self._begin
            local.profiler = self._outer

    def run(self, executable: Any, inputs: Sequence[Any], scalars: Sequence[float | int], outputs: list[Any], recorded: int) -> None:
        """Run a plan for the recorder, measuring it; `outputs` takes its results."""
        self.plans += 1
        self.recorded += recorded
        start = time.perf_counter() - self._begin
        measure = getattr(executable, "profile", None)
        thread = threading.get_ident()
        if measure is None:
            outputs += executable.run(inputs, scalars)
            self._note_memory(0)
            self.events.append(Event(type(executable).__name__, (), (), start, time.perf_counter() - self._begin - start, thread))
            return
        results, timings = measure(inputs, scalars)
        outputs += results
        for timing, nodes in timings:
            operations = tuple(n.op for n in nodes)
            sources = tuple(dict.fromkeys(n.source for n in nodes if n.source))
            work = (sum(map(flops, nodes)), traffic(nodes))
            self.events.append(Event(timing.name, operations, sources, start, timing.seconds, thread, *work))
            start += timing.seconds
        self._note_memory(getattr(executable, "working_bytes", 0))

    def _note_memory(self, working: int) -> None:
        self.memory.append((time.perf_counter() - self._begin, memory_info().used_bytes + working))

    @property
    def peak_bytes(self) -> int:
        """The most memory that was in use at the end of a plan, in bytes."""
        return max((used for _, used in self.memory), default=0)

    def memory_table(self, limit: int = 20) -> str:
        """Return memory over time: the most that was in use in each of `limit` equal spans of the profile."""
        if not self.memory:
            return "nothing was measured"
        span = max(self.memory[-1][0], 1e-9) / limit
        rows: dict[int, int] = {}
        for seconds, used in self.memory:
            row = min(int(seconds / span), limit - 1)
            rows[row] = max(rows.get(row, 0), used)
        peak = self.peak_bytes or 1
        lines = [f"{'from':>10}  {'MB in use':>10}"]
        lines += [f"{row * span * 1e3:7.1f} ms  {used / 1e6:10.2f}  {'#' * round(30 * used / peak)}" for row, used in sorted(rows.items())]
        return "\n".join([*lines, f"peak {peak / 1e6:.2f} MB"])

    def roofline(self, by: str = "operation", limit: int = 20, machine: Machine | None = None) -> str:
        """Return a table of achieved GFLOP/s and GB/s, and how much of the possible speed that is.

        The bound of a kernel is the time that its operations take at the machine's peak rate, or its memory traffic at the machine's
        bandwidth, whichever is longer. (S. Williams, A. Waterman, D. Patterson, Roofline, CACM 52(4), 2009.)

        Args:
            by, limit: as for `table`. machine: what the machine can do; default: what `measure_machine` measures.
        """
        machine = machine or measure_machine()
        groups = self._grouped(by)
        lines = [f"{'time':>10}  {'GFLOP/s':>8}  {'GB/s':>7}  {'of bound':>8}  {by}"]
        for key, events in sorted(groups.items(), key=lambda item: -sum(e.seconds for e in item[1]))[:limit]:
            seconds = sum(e.seconds for e in events) or 1e-12
            bound = sum(max(e.flops / machine.flops, e.bytes / machine.bandwidth) for e in events)
            rates = (sum(e.flops for e in events) / seconds / 1e9, sum(e.bytes for e in events) / seconds / 1e9)
            lines.append(f"{seconds * 1e3:7.3f} ms  {rates[0]:8.1f}  {rates[1]:7.1f}  {bound / seconds:8.0%}  {key}")
        lines.append(f"the machine: {machine.flops / 1e9:.0f} GFLOP/s in matrix products, {machine.bandwidth / 1e9:.1f} GB/s")
        return "\n".join(lines)

    def _grouped(self, by: str) -> dict[str, list[Event]]:
        if by not in _KEYS:
            raise ArgumentError(message("profile: by", received=repr(by), expected=", ".join(map(repr, _KEYS))))
        groups: defaultdict[str, list[Event]] = defaultdict(list)
        for event in self.events:
            groups[_KEYS[by](event)].append(event)
        return groups

    def table(self, by: str = "kernel", limit: int = 20) -> str:
        """Return a table of total times.

        Args:
            by: "kernel", "operation" or "line" (the user's source line). limit: rows.

        Raises:
            ArgumentError: `by` is none of these.
        """
        groups = self._grouped(by)
        seconds = {key: sum(e.seconds for e in events) for key, events in groups.items()}
        total = sum(seconds.values()) or 1.0
        rows = sorted(seconds.items(), key=lambda item: -item[1])[:limit]
        lines = [f"{'time':>10}  {'share':>6}  {'count':>6}  {by}"]
        lines += [f"{s * 1e3:7.3f} ms  {s / total:6.1%}  {len(groups[k]):6d}  {k}" for k, s in rows]
        lines.append(f"{total * 1e3:7.3f} ms in kernels of {self.plans} plans, {self.seconds * 1e3:.3f} ms in all")
        return "\n".join(lines)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the events as a file for a browser's trace viewer (the Trace Event Format); it appears whole or not at all."""
        events: list[dict[str, Any]] = [
            {
                "name": _operations(e),
                "cat": e.name,
                "ph": "X",
                "ts": e.start * 1e6,
                "dur": e.seconds * 1e6,
                "pid": os.getpid(),
                "tid": e.thread,
                "args": {"lines": list(e.sources), "GFLOP": e.flops / 1e9, "MB": e.bytes / 1e6},
            }
            for e in self.events
        ]
        events += [
            {"name": "memory", "ph": "C", "ts": seconds * 1e6, "pid": os.getpid(), "args": {"bytes in use": used}}
            for seconds, used in self.memory
        ]
        replace_file(Path(path), [json.dumps({"traceEvents": events}).encode()])
