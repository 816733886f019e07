"""Where time and memory go: by kernel, by operation and by the user's source line, and how near that is to what the machine can do.

>>> import trine
>>> with trine.profiler.profile() as profile:
...     y = trine.randn(100, 100).exp().sum()
...     _ = y.item()
>>> "exp" in profile.table(by="operation")
True
"""

from __future__ import annotations

import enum
import functools
import json
import os
import socket
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


class ProfilerActivity(enum.Enum):
    """What is measured: the CPU, whatever is asked for."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(enum.Enum):
    """What a profile does during a step: nothing, measure for nothing, measure, or measure and hand over after it."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """Return what can be measured: the CPU."""
    return {ProfilerActivity.CPU}


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """Return what a profile does in each step: cycles of `wait` steps without, `warmup` for nothing and `active` with measurements.

    Args:
        repeat: number of cycles; 0 for no end. skip_first: steps before the first cycle. skip_first_wait: not 0: it begins without waiting.

    >>> import trine
    >>> plan = trine.profiler.schedule(wait=1, warmup=1, active=2)
    >>> [plan(step).name for step in range(5)]
    ['NONE', 'WARMUP', 'RECORD', 'RECORD_AND_SAVE', 'NONE']
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active < 1:
        received = f"wait={wait}, warmup={warmup}, active={active}, repeat={repeat}, skip_first={skip_first}"
        raise ArgumentError(message("profiler.schedule", received=received, expected="active of 1 or more, all others of 0 or more"))

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        if step < 0:
            return ProfilerAction.NONE
        step += wait if skip_first_wait else 0
        cycle, position = divmod(step, wait + warmup + active)
        if position < wait or (repeat and cycle >= repeat):
            return ProfilerAction.NONE
        if position < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if position < wait + warmup + active - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False) -> Callable[[profile], None]:
    """Return a function for `on_trace_ready` that writes each trace as a file of its own into a folder."""

    def handler(prof: profile) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        prof.export_chrome_trace(os.path.join(dir_name, f"{worker}.{time.time_ns()}.pt.trace.json"))

    return handler


@dataclass(frozen=True)
class Average:
    """All events of one kind together; times in microseconds.

    Attributes:
        key: the operations. count: how often they ran. cpu_time_total, self_cpu_time_total: time of all. flops: of all.
    """

    key: str
    count: int
    cpu_time_total: float
    flops: int = 0

    @property
    def self_cpu_time_total(self) -> float:
        """Time of all: kernels do not contain each other."""
        return self.cpu_time_total

    @property
    def cpu_time(self) -> float:
        """Time of one, on average."""
        return self.cpu_time_total / max(self.count, 1)


class Averages(list[Average]):
    """The result of `profile.key_averages`."""

    def table(self, sort_by: str | None = None, row_limit: int = 100, **options: Any) -> str:
        """Return a table, in the order of an attribute of `Average` (largest first)."""
        name = "count" if sort_by == "count" else "cpu_time_total"
        rows = sorted(self, key=lambda a: -getattr(a, name))[: row_limit if row_limit >= 0 else None]
        lines = [f"{'CPU total':>12}  {'CPU time avg':>12}  {'# of Calls':>10}  Name"]
        lines += [f"{a.cpu_time_total:9.1f} us  {a.cpu_time:9.1f} us  {a.count:10d}  {a.key}" for a in rows]
        return "\n".join([*lines, f"Self CPU time total: {sum(a.cpu_time_total for a in self):.1f} us"])

    def total_average(self) -> Average:
        """Return everything together."""
        return Average("Total", sum(a.count for a in self), sum(a.cpu_time_total for a in self), sum(a.flops for a in self))


class record_function:
    """Context manager or decorator that names a part of the program in a profile; what it records runs inside it then.

    >>> import trine
    >>> with trine.profiler.profile() as profile:
    ...     with trine.profiler.record_function("my part"):
    ...         y = trine.ones(3).exp()
    >>> "my part" in [average.key for average in profile.key_averages()]
    True
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name, self._start = name, 0.0

    def __enter__(self) -> record_function:
        if local.profiler is not None:
            flush()
            self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        profiler = local.profiler
        if profiler is not None:
            flush()
            end = time.perf_counter()
            profiler.ranges.append((self.name, self._start - profiler._begin, end - self._start))

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)

        return inside


class profile:
    """Context manager that measures what this thread runs. Plans run command by command meanwhile, which costs about 1 us a command.

    Args:
        activities: accepted; the CPU is measured. schedule: what to do in each step (`schedule`); the program calls `step` after each.
        on_trace_ready: called with the profile at the end, or after each cycle of the schedule.
        record_shapes, profile_memory, with_stack, with_flops, with_modules: accepted; all that is cheap is measured anyway.

    Attributes:
        events: what ran, in order. plans: number of plans that ran. recorded: number of operations that were recorded for them.
        memory: (seconds since the profile began, bytes in use) after each plan, its working memory included.
        ranges: (name, start, seconds) of each `record_function`. step_num: number of calls of `step`.
    """

    def __init__(
        self,
        activities: Any = None,
        *,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        **options: Any,
    ) -> None:
        self._schedule, self._on_trace_ready = schedule, on_trace_ready
        self.step_num = 0
        self.current_action = ProfilerAction.RECORD if schedule is None else schedule(0)
        self._outer: profile | None = None
        self._forget()

    def _forget(self) -> None:
        self.events: list[Event] = []
        self.memory: list[tuple[float, int]] = []
        self.ranges: list[tuple[str, float, float]] = []
        self.plans = self.recorded = 0
        self.seconds = self._begin = 0.0

    def _begin_measuring(self) -> None:
        self._forget()
        local.profiler = self
        self._begin = time.perf_counter()
        self.memory.append((0.0, memory_info().used_bytes))

    def _end_measuring(self) -> None:
        if local.profiler is self:
            try:
                flush()
            finally:
                self.seconds = time.perf_counter() - self._begin
                local.profiler = self._outer

    def __enter__(self) -> profile:
        flush()
        self._outer = local.profiler
        if self.current_action is not ProfilerAction.NONE:
            self._begin_measuring()
        return self

    def __exit__(self, *_: object) -> None:
        self._end_measuring()
        if self._on_trace_ready is not None and self.current_action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE):
            self._on_trace_ready(self)

    def start(self) -> None:
        """Begin, as `with` does."""
        self.__enter__()

    def stop(self) -> None:
        """End, as `with` does."""
        self.__exit__()

    def step(self) -> None:
        """Tell that a step of the program has ended: the schedule says what the next one does."""
        self.step_num += 1
        if self._schedule is None:
            return
        before, self.current_action = self.current_action, self._schedule(self.step_num)
        ends = self.current_action is ProfilerAction.NONE or before is ProfilerAction.RECORD_AND_SAVE
        if ends:
            self._end_measuring()
            if before is ProfilerAction.RECORD_AND_SAVE and self._on_trace_ready is not None:
                self._on_trace_ready(self)
        warmed_up = before is ProfilerAction.WARMUP and self.current_action is not ProfilerAction.WARMUP
        if self.current_action is not ProfilerAction.NONE and (ends or warmed_up or before is ProfilerAction.NONE):
            flush()
            self._begin_measuring()

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0) -> Averages:
        """Return counts and total times by operations (and by names of `record_function`), longest first."""
        found = [
            Average(key, len(events), 1e6 * sum(e.seconds for e in events), sum(e.flops for e in events))
            for key, events in self._grouped("operation").items()
        ]
        for name in dict.fromkeys(name for name, _, _ in self.ranges):
            times = [seconds for other, _, seconds in self.ranges if other == name]
            found.append(Average(name, len(times), 1e6 * sum(times)))
        return Averages(sorted(found, key=lambda a: -a.cpu_time_total))

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
            {"name": n, "cat": "user_annotation", "ph": "X", "ts": start * 1e6, "dur": seconds * 1e6, "pid": os.getpid(), "tid": 0}
            for n, start, seconds in self.ranges
        ]
        events += [
            {"name": "memory", "ph": "C", "ts": seconds * 1e6, "pid": os.getpid(), "args": {"bytes in use": used}}
            for seconds, used in self.memory
        ]
        replace_file(Path(path), [json.dumps({"traceEvents": events}).encode()])
