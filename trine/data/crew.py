"""Groups of workers: threads, or processes with a pipe each."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import select
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from typing import Any

from trine.data.worker import Fetch, serve, serve_process
from trine.data.worker_info import WorkerError, WorkerInfo
from trine.errors import message

Init = Callable[[int], None] | None
_GRACE = 1.0
"""Seconds that worker processes get to finish their examples before they are terminated."""


class ThreadCrew:
    """Worker threads of this process."""

    def __init__(self, fetch: Fetch, infos: Sequence[WorkerInfo], init: Init) -> None:
        self.tasks: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in infos]
        self.results: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self.stop = threading.Event()
        self.members = [
            threading.Thread(target=self._serve, args=(fetch, info, init), name=f"trine-data-{info.id}", daemon=True) for info in infos
        ]
        for member in self.members:
            member.start()

    def _serve(self, fetch: Fetch, info: WorkerInfo, init: Init) -> None:
        def take() -> Any:
            item = self.tasks[info.id].get()
            return None if self.stop.is_set() else item

        serve(fetch, info, init, take, lambda number, result: self.results.put((number, result)))

    def send(self, worker: int, item: Any) -> None:
        """Give a worker a task."""
        self.tasks[worker].put(item)

    def receive(self, timeout: float | None) -> tuple[int, Any] | None:
        """Return the next (number, result), None if there is none within `timeout` seconds."""
        try:
            return self.results.get(timeout=timeout)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Stop the workers, each after the example that it is fetching."""
        self.stop.set()
        for tasks in self.tasks:
            tasks.put(None)


class ProcessCrew:
    """Worker processes."""

    def __init__(self, fetch: Fetch, infos: Sequence[WorkerInfo], init: Init, context: Any) -> None:
        maker = context if context is not None else multiprocessing.get_context()
        self.stop = maker.Event()
        self.connections: list[Any] = []
        self.members: list[Any] = []
        self.ready: list[Any] = []
        try:
            for info in infos:
                here, there = maker.Pipe()
                self.connections.append(here)
                member = maker.Process(target=serve_process, args=(fetch, info, init, there, self.stop), daemon=True)
                with warnings.catch_warnings():
                    # a forked worker uses none of the parent's threads, and Trine's locks are made anew in it
                    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
                    member.start()
                there.close()  # the worker holds the only other end, so its death is seen here
                self.members.append(member)
        except BaseException:
            self.close()
            raise

    def send(self, worker: int, item: Any) -> None:
        """Give a worker a task; if it is gone, what it sent before (why it could not start), or its death, is met in `receive`."""
        with contextlib.suppress(OSError):
            self.connections[worker].send(item)

    def receive(self, timeout: float | None) -> tuple[int, Any] | None:
        """Return the next (number, result), None if there is none within `timeout` seconds.

        Raises:
            WorkerError: a worker died.
        """
        if not self.ready:
            self.ready = list(wait(self.connections, timeout))
            if not self.ready:
                return None
        connection = self.ready.pop()
        try:
            return connection.recv()  # type: ignore[no-any-return]
        except (EOFError, OSError):
            self._died(self.connections.index(connection))
            return None

    def _died(self, worker: int) -> None:
        member = self.members[worker]
        member.join(timeout=_GRACE)
        what = f"DataLoader: worker process {worker} died"
        fix = "check its output and the memory (a negative exit code is a signal), or use num_workers=0"
        raise WorkerError(message(what, received=f"exit code {member.exitcode}", fix=fix))

    def close(self) -> None:
        """Stop the workers; those that do not end soon are terminated."""
        self.stop.set()
        for connection in self.connections:
            if select.select([], [connection], [], 0)[1]:  # else it is full of tasks, and `stop` is seen at the next
                with contextlib.suppress(OSError):
                    connection.send(None)
        end = time.monotonic() + _GRACE
        for member in self.members:
            member.join(timeout=max(end - time.monotonic(), 0))
        for stop in ("terminate", "kill"):
            late = [member for member in self.members if member.is_alive()]
            for member in late:
                getattr(member, stop)()
            for member in late:
                member.join(timeout=_GRACE)
        for member in self.members:
            if member.exitcode is not None:
                member.close()
        for connection in self.connections:
            connection.close()
        self.connections, self.members, self.ready = [], [], []
