"""The worker pool in hostile surroundings: exits, exceptions, forks, signals, many threads. Each case is a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from trine.errors import ArgumentError
from trine.runtime import pool as pool_module
from trine.runtime.pool import WorkerPool, available_cpus, get_num_threads, set_num_threads

ROOT = Path(__file__).resolve().parents[2]

PREAMBLE = """
import os, signal, sys, threading, time
import numpy as np
import runtime_support as support
from trine.runtime.memory import from_array
from trine.runtime.plan import Launch, Plan
from trine.runtime.pool import pool, set_num_threads

support.install()
ADDRESS = support.kernel("mark").address("kernel")

def check(rounds=100, commands=5):
    count = np.zeros(64, np.int64)
    plan = Plan([Launch(ADDRESS, [5, 0, rounds], 64, 1 << 24)] * commands, 1, [])
    for _ in range(5):
        plan.run([from_array(count)])
    assert (count & 0xFFFFFFFF == 5 * commands).all(), count

"""


def start(body: str, **environment: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "runtime")])
    settings = {"TRINE_NUM_THREADS": "2", **environment}
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", PREAMBLE + textwrap.dedent(body)],
        env={**os.environ, "PYTHONPATH": paths, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        out, err = process.communicate(timeout=10)
        raise AssertionError(f"the process hangs:\n{out}\n{err}") from None
    return process.returncode, out, err


def run(body: str, **environment: str) -> tuple[int, str, str]:
    return finish(start(body, **environment))


def test_exit_while_workers_spin_or_sleep() -> None:
    processes = [start("check()"), start("check(); time.sleep(0.05)"), start("check(); set_num_threads(4); check()", TRINE_NUM_THREADS="1")]
    for process in processes:
        assert finish(process) == (0, "", "")


def test_uncaught_exception_and_hard_exits() -> None:
    failing, exiting, hard = start("check(); raise ValueError('boom')"), start("check(); sys.exit(3)"), start("check(); os._exit(4)")
    code, _, err = finish(failing)
    assert code == 1 and "ValueError: boom" in err
    assert finish(exiting)[0] == 3 and finish(hard)[0] == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fork_and_multiprocessing() -> None:
    fork = start(
        """
        import warnings
        warnings.simplefilter("ignore")
        check()
        for _ in range(5):
            child = os.fork()
            if not child:
                assert not pool.is_running
                check()
                assert pool.is_running
                grandchild = os.fork()
                if not grandchild:
                    check()
                    os._exit(0)
                os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            check()
        # a fork while another thread runs plans
        stop = False
        def work():
            while not stop:
                check(1000)
        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(5):
            child = os.fork()
            if not child:
                check()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        stop = True
        thread.join()
        """
    )
    methods = [
        start(
            f"""
            import multiprocessing, warnings
            warnings.simplefilter("ignore")
            if __name__ == "__main__":
                check()
                context = multiprocessing.get_context({method!r})
                processes = [context.Process(target=support.{target}) for _ in range(2)]
                for p in processes: p.start()
                for p in processes: p.join()
                assert [p.exitcode for p in processes] == [0, 0]
                check()
            """
        )
        for method, target in (("fork", "check_in_child"), ("spawn", "check_in_child"))
    ]
    for process in (fork, *methods):
        assert finish(process) == (0, "", "")


def test_interrupt_is_delivered_after_the_plan() -> None:
    process = start(
        """
        check()
        print("ready", flush=True)
        try:
            while True:
                check(20000)
        except KeyboardInterrupt:
            check()
            print("usable")
        """
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert finish(process) == (0, "usable\n", "")


def test_signals_reach_the_main_thread() -> None:
    body = """
        check()
        signal.signal(signal.SIGALRM, lambda *_: print("alarm", flush=True))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        started = time.perf_counter()
        signal.pause()
        assert time.perf_counter() - started < 5
        """
    assert run(body) == (0, "alarm\n", "")


def test_four_threads_and_changing_sizes() -> None:
    body = """
        failures = []
        def work(number):
            try:
                for step in range(40):
                    if number == 0 and step % 4 == 0:
                        set_num_threads(1 + step % 5)
                    check(200)
            except BaseException as error:
                failures.append(error)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for t in threads: t.start()
        for t in threads: t.join()
        assert not failures, failures
        """
    assert run(body) == (0, "", "")


def test_daemon_thread_running_at_exit() -> None:
    body = """
        def work():
            while True:
                check(2000)
        threading.Thread(target=work, daemon=True).start()
        time.sleep(0.2)
        """
    assert run(body) == (0, "", "")


def test_no_futex_and_no_more_threads() -> None:
    naps = start(
        """
        import trine.runtime.pool as module
        module._FUTEX_NUMBERS.clear()
        check()
        time.sleep(0.01)
        check()
        """
    )
    refused = start(
        """
        threading.Thread.start = lambda self: (_ for _ in ()).throw(RuntimeError("can't start new thread"))
        check()
        assert pool.is_running and not pool._threads
        """
    )
    for process in (naps, refused):
        assert finish(process) == (0, "", "")


def test_set_num_threads() -> None:
    before = get_num_threads()
    try:
        set_num_threads(3)
        assert get_num_threads() == 3
        for wrong in (0, -1, 1025, True, "2", 2.0):
            with pytest.raises(ArgumentError, match="from 1 to 1024"):
                set_num_threads(wrong)  # type: ignore[arg-type]
        assert get_num_threads() == 3
    finally:
        set_num_threads(before)


def test_default_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRINE_NUM_THREADS", raising=False)
    assert 1 <= pool_module._default_num_threads() <= available_cpus()
    assert run("assert pool.num_threads == 3", TRINE_NUM_THREADS="3") == (0, "", "")


def test_pool_without_native_code() -> None:
    idle = WorkerPool(2)
    idle.start()
    assert not idle.is_running
    idle.close()
