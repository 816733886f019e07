"""What runs inside a worker of a DataLoader."""

from __future__ import annotations

import multiprocessing
import queue
import random as python_random
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from trine.data.worker_info import WorkerInfo, local
from trine.runtime import pool, random

Fetch = Callable[[Any], Any]


@dataclass
class Failure:
    """An exception in a worker: its class, and its traceback as text. `number` of -1 in a result: the worker did not start."""

    kind: type[BaseException]
    text: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Describe an exception that is being handled; a class that cannot be pickled is replaced by its first base that can."""
        for kind in type(error).__mro__:
            try:
                ForkingPickler.dumps(kind)
            except Exception:  # noqa: S112 - whatever pickling raises, the next base is tried
                continue
            return cls(kind, traceback.format_exc())
        return cls(Exception, traceback.format_exc())


def serve(
    fetch: Fetch, info: WorkerInfo, init: Callable[[int], None] | None, take: Callable[[], Any], give: Callable[[int, Any], None]
) -> None:
    """A worker's life: fetch what `take` returns, (number, task) pairs, until it returns None, and `give` number and result."""
    local.info = info
    try:
        if init is not None:
            init(info.id)
    except BaseException as error:
        give(-1, Failure.of(error))
        return
    while (item := take()) is not None:
        number, task = item
        try:
            result = fetch(task)
        except BaseException as error:
            result = Failure.of(error)
        give(number, result)


def serve_process(fetch: Fetch, info: WorkerInfo, init: Callable[[int], None] | None, connection: Any, stop: Any) -> None:
    """Serve in a process of its own: tasks and results go through `connection`, and `stop` ends the work early."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's business; it stops the workers
    pool.set_num_threads(1)
    random.manual_seed(info.seed)
    python_random.seed(info.seed)
    np.random.seed(info.seed & 0xFFFFFFFF)
    outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # a thread sends the results: the worker can always take a task, so that it and the main process never wait for each other
    sender = threading.Thread(target=_send, args=(connection, outbox), daemon=True)
    sender.start()

    parent = multiprocessing.parent_process()
    sources = [connection] if parent is None else [connection, parent.sentinel]

    def take() -> Any:
        if connection not in wait(sources):  # the main process is gone
            return None
        item = connection.recv()
        return None if stop.is_set() else item

    def give(number: int, result: Any) -> None:
        try:
            data = ForkingPickler.dumps((number, result))
        except Exception as error:
            data = ForkingPickler.dumps((number, Failure.of(error)))
        outbox.put(data)

    serve(fetch, info, init, take, give)
    outbox.put(None)
    while sender.is_alive() and not stop.is_set():
        sender.join(timeout=0.1)


def _send(connection: Any, outbox: queue.SimpleQueue[Any]) -> None:
    try:
        while (data := outbox.get()) is not None:
            connection.send_bytes(data)
    except OSError:
        return
