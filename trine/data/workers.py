"""Workers of a DataLoader: threads or processes that fetch batches ahead, delivered in order."""

from __future__ import annotations

import multiprocessing
import queue
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from trine.errors import TrineError, message

Fetch = Callable[[Any], Any]


@dataclass
class WorkerInfo:
    """What a worker knows of itself: its number, how many there are, its seed and its copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """Return the WorkerInfo inside a worker, None elsewhere."""
    return getattr(_info, "value", None)


class WorkerError(TrineError, RuntimeError):
    """An example could not be fetched in a worker; the message holds the worker's traceback."""


@dataclass
class _Failure:
    kind: type[BaseException]
    text: str


def _run(fetch: Fetch, tasks: Any, results: Any, info: WorkerInfo, init: Callable[[int], None] | None) -> None:
    """A worker's life: take (number, task) pairs until None comes."""
    _info.value = info
    try:
        if init is not None:
            init(info.id)
    except BaseException as error:
        results.put((-1, _Failure(type(error), traceback.format_exc())))
        return
    while True:
        item = tasks.get()
        if item is None:
            return
        number, task = item
        try:
            results.put((number, fetch(task)))
        except StopIteration:
            results.put((number, StopIteration))
        except BaseException as error:
            results.put((number, _Failure(type(error), traceback.format_exc())))


class Workers:
    """A group of workers that fetch tasks ahead.

    Args:
        fetch: turns a task (the indices of a batch) into a batch; runs in the workers.
        kind: "process" or "thread". prefetch: tasks given to each worker ahead. timeout: seconds to wait for a batch; 0 waits for ever.
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
    ) -> None:
        self.count, self.prefetch, self.timeout = count, prefetch, timeout
        self.is_process = kind == "process"
        if self.is_process:
            maker = context if context is not None else multiprocessing.get_context()
            self.tasks: list[Any] = [maker.SimpleQueue() for _ in range(count)]
            self.results: Any = maker.Queue()
        else:
            self.tasks = [queue.SimpleQueue() for _ in range(count)]
            self.results = queue.Queue()
        self.dry: set[int] = set()
        self.members: list[Any] = []
        for i in range(count):
            args = (fetch, self.tasks[i], self.results, WorkerInfo(i, count, seed + i, dataset), init)
            member = maker.Process(target=_run, args=args, daemon=True) if self.is_process else threading.Thread(target=_run, args=args, daemon=True)
            member.start()
            self.members.append(member)

    def run(self, tasks: Iterator[Any]) -> Iterator[Any]:
        """Yield the results of the tasks in their order.

        Raises:
            WorkerError: an error in a worker (also an instance of the original error's class where that is possible).
        """
        sent = received = 0
        waiting: dict[int, Any] = {}
        exhausted = False
        while True:
            while not exhausted and sent - received < self.count * self.prefetch:
                try:
                    task = next(tasks)
                except StopIteration:
                    exhausted = True
                    break
                self.tasks[sent % self.count].put((sent, task))
                sent += 1
            if received == sent:
                return
            while received not in waiting:
                number, result = self._receive()
                waiting[number] = result
                if number == -1:
                    raise _error(result)
            result = waiting.pop(received)
            received += 1
            if isinstance(result, _Failure):
                raise _error(result)
            if result is StopIteration:
                self.dry.add((received - 1) % self.count)
                continue
            yield result

    def _receive(self) -> tuple[int, Any]:
        waited = 0.0
        while True:
            try:
                return self.results.get(timeout=0.5)  # type: ignore[no-any-return]
            except queue.Empty:
                waited += 0.5
            dead = [m for m in self.members if not m.is_alive()]
            if dead and self.is_process:
                codes = [m.exitcode for m in dead]
                raise WorkerError(message("DataLoader: a worker process died", received=f"exit codes {codes}", fix="check memory, or num_workers=0"))
            if self.timeout and waited >= self.timeout:
                raise WorkerError(message("DataLoader: timed out", received=f"no batch within {self.timeout} s", fix="raise timeout="))

    def close(self) -> None:
        """Stop the workers."""
        for tasks in self.tasks:
            tasks.put(None)
        for member in self.members:
            member.join(timeout=2 if self.is_process else 0.2)
            if self.is_process and member.is_alive():
                member.terminate()
                member.join(timeout=2)
        if self.is_process:
            self.results.cancel_join_thread()
            self.results.close()
        self.members = []


def _error(failure: _Failure) -> Exception:
    text = message(f"{failure.kind.__name__} in a DataLoader worker", received="the worker's traceback below") + "\n" + failure.text
    try:
        kind = type(f"Worker{failure.kind.__name__}", (WorkerError, failure.kind), {})
        return kind(text)  # type: ignore[no-any-return]
    except TypeError:
        return WorkerError(text)
