"""Where time goes: by kernel, by operation and by the user's source line.

>>> import trine
>>> with trine.profiler.profile() as profile:
...     y = trine.randn(100, 100).exp().sum()
...     _ = y.item()
>>> "exp" in profile.table(by="operation")
True
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trine.errors import ArgumentError, message
from trine.serialization.files import replace_file
from trine.tensor import flush
from trine.tensor.recorder import local


@dataclass(frozen=True)
class Event:
    """One command of a plan, as it ran.

    Attributes:
        name: the kind of kernel. operations: primitives that it computes. sources: the user's lines that recorded them.
        start, seconds: when it began (seconds since the profile did) and how long it took. thread: identifier of the thread.
    """

    name: str
    operations: tuple[str, ...]
    sources: tuple[str, ...]
    start: float
    seconds: float
    thread: int


def _operations(event: Event) -> str:
    return " ".join(dict.fromkeys(event.operations)) or event.name


def _line(event: Event) -> str:
    return event.sources[-1] if event.sources else "(no line)"


_KEYS: dict[str, Callable[[Event], str]] = {"kernel": lambda e: e.name, "operation": _operations, "line": _line}


class profile:
    """Context manager that measures what this thread runs. Plans run command by command meanwhile, which costs about 1 us a command.

    Attributes:
        events: what ran, in order. plans: number of plans that ran. recorded: number of operations that were recorded for them.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.plans = 0
        self.recorded = 0
        self.seconds = 0.0
        self._begin = 0.0
        self._outer: profile | None = None

    def __enter__(self) -> profile:
        flush()
        self._outer, local.profiler = local.profiler, self
        self._begin = time.perf_counter()
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
            self.events.append(Event(type(executable).__name__, (), (), start, time.perf_counter() - self._begin - start, thread))
            return
        results, timings = measure(inputs, scalars)
        outputs += results
        for timing, nodes in timings:
            operations = tuple(n.op for n in nodes)
            sources = tuple(dict.fromkeys(n.source for n in nodes if n.source))
            self.events.append(Event(timing.name, operations, sources, start, timing.seconds, thread))
            start += timing.seconds

    def table(self, by: str = "kernel", limit: int = 20) -> str:
        """Return a table of total times.

        Args:
            by: "kernel", "operation" or "line" (the user's source line). limit: rows.

        Raises:
            ArgumentError: `by` is none of these.
        """
        if by not in _KEYS:
            raise ArgumentError(message("profile.table: by", received=repr(by), expected=", ".join(map(repr, _KEYS))))
        seconds: defaultdict[str, float] = defaultdict(float)
        count: defaultdict[str, int] = defaultdict(int)
        for event in self.events:
            key = _KEYS[by](event)
            seconds[key] += event.seconds
            count[key] += 1
        total = sum(seconds.values()) or 1.0
        rows = sorted(seconds.items(), key=lambda item: -item[1])[:limit]
        lines = [f"{'time':>10}  {'share':>6}  {'count':>6}  {by}"]
        lines += [f"{s * 1e3:7.3f} ms  {s / total:6.1%}  {count[k]:6d}  {k}" for k, s in rows]
        lines.append(f"{total * 1e3:7.3f} ms in kernels of {self.plans} plans, {self.seconds * 1e3:.3f} ms in all")
        return "\n".join(lines)

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the events as a file for a browser's trace viewer (the Trace Event Format); it appears whole or not at all."""
        events = [
            {
                "name": _operations(e),
                "cat": e.name,
                "ph": "X",
                "ts": e.start * 1e6,
                "dur": e.seconds * 1e6,
                "pid": os.getpid(),
                "tid": e.thread,
                "args": {"lines": list(e.sources)},
            }
            for e in self.events
        ]
        replace_file(Path(path), [json.dumps({"traceEvents": events}).encode()])
