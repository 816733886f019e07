"""Tensors and threads, processes and forks."""

from __future__ import annotations

import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import trine
from trine import nn


def in_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=60)


def test_a_pending_tensor_read_by_another_thread() -> None:
    x = trine.tensor([1.0, 2.0])
    y = x * 3
    assert in_thread(y.tolist) == [3.0, 6.0]
    assert (y + 1).tolist() == [4.0, 7.0]
    assert y.tolist() == [3.0, 6.0]


def test_a_pending_tensor_used_by_another_thread() -> None:
    x = trine.tensor([1.0, 2.0])
    y = x * 3
    z = in_thread(lambda: y + 1)
    assert (z * y).tolist() == [12.0, 42.0]


def test_a_result_of_a_thread_that_ended() -> None:
    y = in_thread(lambda: trine.ones(3) * 2 + 1)
    assert y.tolist() == [3.0, 3.0, 3.0]
    view = in_thread(lambda: (trine.arange(6.0) * 2).reshape(2, 3)[1])
    assert view.tolist() == [6.0, 8.0, 10.0]


def test_a_pending_view_met_by_another_thread() -> None:
    x = trine.zeros(4)
    view = x[1:3]
    view.add_(1.0)
    assert in_thread(x.tolist) == [0.0, 1.0, 1.0, 0.0]
    assert in_thread(view.tolist) == [1.0, 1.0]
    assert x.tolist() == [0.0, 1.0, 1.0, 0.0]
    assert view.tolist() == [1.0, 1.0]


def test_gradients_across_threads() -> None:
    w = trine.tensor([1.0, 2.0], requires_grad=True)
    h = w * w
    loss = in_thread(lambda: (h * 2).sum())
    loss.backward()
    assert w.grad.tolist() == [4.0, 8.0]


def test_backward_in_another_thread() -> None:
    w = trine.tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    in_thread(loss.backward)
    assert w.grad.tolist() == [2.0, 4.0]


def test_several_threads_record_at_once() -> None:
    trine.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    inputs = [np.random.default_rng(i).standard_normal((3, 4)).astype(np.float32) for i in range(8)]
    expected = [model(trine.tensor(x)).detach().numpy().copy() for x in inputs]
    failures: list[Any] = []

    def serve(number: int) -> None:
        try:
            for i in range(25):
                k = (number + i) % len(inputs)
                with trine.no_grad():
                    found = model(trine.tensor(inputs[k])).numpy()
                np.testing.assert_array_equal(found, expected[k])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=serve, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


def test_threads_train_models_of_their_own() -> None:
    def train(seed: int) -> list[float]:
        generator = np.random.default_rng(seed)
        w = trine.tensor(generator.standard_normal((4, 1)).astype(np.float32), requires_grad=True)
        optimizer = trine.optim.Adam([w], lr=0.1)
        x = trine.tensor(generator.standard_normal((16, 4)).astype(np.float32))
        losses = []
        for _ in range(10):
            optimizer.zero_grad()
            loss = ((x @ w - 1) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    expected = [train(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(train, range(4))) == expected


def test_modes_belong_to_a_thread() -> None:
    with trine.no_grad():
        assert in_thread(trine.is_grad_enabled) is True
        x = in_thread(lambda: trine.ones(2, requires_grad=True) * 2)
        assert x.requires_grad
    assert trine.is_grad_enabled()


def test_in_place_write_to_a_pending_tensor_of_another_thread() -> None:
    x = trine.tensor([1.0, 2.0])
    y = x * 2

    def write() -> list[float]:
        y.add_(1)
        return y.tolist()

    assert in_thread(write) == [3.0, 5.0]
    assert y.tolist() == [3.0, 5.0]


class Squares:
    """A data set of tensors."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> tuple[trine.Tensor, int]:
        return trine.full((2,), float(i)) * i, i


ignore_fork_warning = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@ignore_fork_warning
@pytest.mark.parametrize("workers", [0, 2])
def test_data_loader(workers: int) -> None:
    loader = trine.utils.data.DataLoader(Squares(), batch_size=4, num_workers=workers)
    w = trine.ones(2, requires_grad=True)
    seen = []
    for x, i in loader:
        (x * w).sum().backward()
        seen += i.tolist()
        np.testing.assert_array_equal(x.numpy()[:, 0], np.square(i.numpy().astype(np.float32)))
    assert sorted(seen) == list(range(8))
    assert w.grad.tolist() == [140.0, 140.0]


def forked(function: Callable[[], Any]) -> int:
    """Run a function in a forked child; return its exit status (0 if it did not raise)."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@needs_fork
@ignore_fork_warning
def test_fork_with_pending_work() -> None:
    x = trine.tensor([1.0, 2.0])
    y = x * 3 + 1
    x.add_(10.0)

    def child() -> None:
        assert y.tolist() == [4.0, 7.0]
        assert x.tolist() == [11.0, 12.0]
        big = trine.ones(512, 512)
        assert (big @ big)[0, 0].item() == 512.0

    assert forked(child) == 0
    assert y.tolist() == [4.0, 7.0]
    assert x.tolist() == [11.0, 12.0]


@needs_fork
@ignore_fork_warning
def test_fork_after_parallel_work() -> None:
    big = trine.ones(512, 512)
    assert (big @ big).sum().item() == 512.0**3

    def child() -> None:
        w = trine.ones(512, 8, requires_grad=True)
        (big @ w).sum().backward()
        assert w.grad[0, 0].item() == 512.0

    assert forked(child) == 0
    assert (big @ big)[0, 0].item() == 512.0


def _square(array: np.ndarray) -> np.ndarray:
    return (trine.tensor(array) ** 2).numpy()


@ignore_fork_warning
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    pending = trine.ones(3) * 2
    with multiprocessing.get_context(method).Pool(1) as pool:
        found = pool.map(_square, [np.arange(3.0), np.ones(2)])
    np.testing.assert_array_equal(found[0], [0, 1, 4])
    assert pending.tolist() == [2.0, 2.0, 2.0]


@needs_fork
@ignore_fork_warning
def test_tensors_are_sent_between_processes() -> None:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child() -> None:
        theirs.send(theirs.recv() * 2)

    process = context.Process(target=child)
    process.start()
    ours.send(trine.arange(3.0) + 1)
    assert ours.recv().tolist() == [2.0, 4.0, 6.0]
    process.join(30)
    assert process.exitcode == 0
