"""Fetching ahead: tasks go to workers in turn, results come back in the order of the tasks."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from trine.data.crew import ProcessCrew, ThreadCrew
from trine.data.worker import Failure, Fetch
from trine.data.worker_info import Dry, WorkerError, WorkerInfo
from trine.errors import message
from trine.tensor import flush


class Workers:
    """A group of workers that fetch tasks ahead.

    Args:
        fetch: turns a task (the indices of a batch) into a batch; runs in the workers.
        kind: "process" or "thread". prefetch: tasks given to each worker ahead. timeout: seconds to wait for a batch; 0 waits for ever.
        in_order: False yields results as they come.
    """

    def __init__(
        self,
        fetch: Fetch,
        count: int,
        kind: str,
        prefetch: int,
        timeout: float,
        seed: int,
        dataset: Any,
        init: Callable[[int], None] | None,
        context: Any,
        in_order: bool = True,
    ) -> None:
        self.count, self.prefetch, self.timeout, self.in_order = count, prefetch, timeout, in_order
        flush()  # what is recorded runs here, not again in each worker
        infos = [WorkerInfo(i, count, seed + i, dataset) for i in range(count)]
        self.crew = ProcessCrew(fetch, infos, init, context) if kind == "process" else ThreadCrew(fetch, infos, init)
        self.close = weakref.finalize(self, self.crew.close)
        self.epoch = 0
        self.sent = 0
        self.dry: set[int] = set()

    def run(self, tasks: Callable[[int], Iterator[Any]]) -> Iterator[Any]:
        """Yield the results of ``tasks(epoch)``.

        Raises:
            WorkerError: an error in a worker (also an instance of the original error's class where that is possible), a worker that died
                or took too long.
        """
        self.epoch += 1
        epoch, first, received = self.epoch, self.sent, self.sent
        self.dry.clear()
        waiting: dict[int, Any] = {}
        pending = tasks(epoch)
        exhausted = False
        while True:
            if epoch != self.epoch:
                raise WorkerError(
                    message("DataLoader: this iterator has ended", received="a newer iterator over the same persistent workers")
                )
            while not exhausted and self.sent - received < self.count * self.prefetch:
                task = next(pending, Dry)
                if task is Dry:
                    exhausted = True
                    break
                self.crew.send(self.sent % self.count, (self.sent, task))
                self.sent += 1
            if received == self.sent:
                return
            number, result = self._next(waiting, received, first)
            received += 1
            if isinstance(result, Failure):
                raise _error(result)
            if isinstance(result, Dry):
                self.dry.add(number % self.count)
                continue
            yield result

    def _next(self, waiting: dict[int, Any], wanted: int, first: int) -> tuple[int, Any]:
        """Return the result that is to be yielded next; others wait in `waiting`. Results of tasks before `first` are dropped."""
        end = time.monotonic() + self.timeout
        while wanted not in waiting and (self.in_order or not waiting):
            item = self.crew.receive(max(end - time.monotonic(), 0) if self.timeout else None)
            if item is None:
                received, fix = f"no batch within {self.timeout} s", "raise timeout=, or use more workers"
                raise WorkerError(message("DataLoader: timed out", received=received, fix=fix))
            number, result = item
            if number == -1:
                raise _error(result)
            if number >= first:
                waiting[number] = result
        number = wanted if wanted in waiting else next(iter(waiting))
        return number, waiting.pop(number)


def _error(failure: Failure) -> Exception:
    """Return an exception of the worker's class that holds the worker's traceback."""
    text = message(f"{failure.kind.__name__} in a DataLoader worker", received="the worker's traceback below") + "\n" + failure.text
    if not issubclass(failure.kind, Exception) or issubclass(failure.kind, StopIteration):  # means something else in this process
        return WorkerError(text)
    try:
        kind = type(f"Worker{failure.kind.__name__}", (WorkerError, failure.kind), {"__init__": Exception.__init__})
        return kind(text)  # type: ignore[no-any-return]
    except TypeError:  # a class that does not mix with others
        return WorkerError(text)
