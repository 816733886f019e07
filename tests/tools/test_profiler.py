"""The profiler and `explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import trine
from trine import nn
from trine.errors import ArgumentError


def step() -> None:
    model = nn.Linear(8, 4)
    optimizer = trine.optim.SGD(model.parameters(), lr=0.1)
    loss = model(trine.randn(16, 8)).square().mean()
    loss.backward()
    optimizer.step()


@pytest.fixture(autouse=True)
def native() -> None:
    trine.set_engine("native")


def test_lines_and_operations() -> None:
    with trine.profiler.profile() as profile:
        step()
    assert profile.plans >= 2 and profile.recorded > 0
    assert {op for event in profile.events for op in event.operations} >= {"dot", "mul"}
    lines = profile.table(by="line")
    assert Path(__file__).name in lines and "in step" in lines
    assert "dot" in profile.table(by="operation")
    assert profile.table(by="kernel").count("\n") >= 2


def test_results_are_the_same() -> None:
    x = trine.randn(5, 5)
    expected = (x @ x).exp().tolist()
    with trine.profiler.profile():
        received = (x @ x).exp().tolist()
    assert received == expected


def test_chrome_trace(tmp_path: Path) -> None:
    with trine.profiler.profile() as profile:
        step()
    target = tmp_path / "trace.json"
    profile.export_chrome_trace(target)
    events = json.loads(target.read_text())["traceEvents"]
    assert [e["ph"] for e in events].count("X") == len(profile.events) and [e["ph"] for e in events].count("C") == len(profile.memory)
    assert [p.name for p in tmp_path.iterdir()] == ["trace.json"]


def test_unknown_key() -> None:
    with pytest.raises(ArgumentError, match="by"):
        trine.profiler.profile().table(by="colour")


def test_numpy_engine_is_measured_as_a_whole() -> None:
    trine.set_engine("numpy")
    try:
        with trine.profiler.profile() as profile:
            trine.randn(4).sum().item()
        assert profile.plans == len(profile.events) == 1
    finally:
        trine.set_engine("native")


def test_explain_shows_every_stage_and_the_line() -> None:
    x = trine.randn(4, 8)
    text = trine.explain(lambda x: trine.softmax(x, -1) * 2.0, x)
    for part in ("graph", "groups", "loop nests", "commands", Path(__file__).name):
        assert part in text


def test_explain_of_nothing() -> None:
    with pytest.raises(ArgumentError, match="nothing"):
        trine.explain(lambda: 3)


def test_gradients_belong_to_lines() -> None:
    with trine.profiler.profile() as profile:
        step()
    assert all(event.sources for event in profile.events if "dot" in event.operations)


def test_work_and_memory() -> None:
    a, b = trine.randn(32, 64), trine.randn(64, 16)
    trine.synchronize()
    with trine.profiler.profile() as profile:
        held = (a @ b).exp()
        trine.synchronize()
    assert sum(event.flops for event in profile.events) == 2 * 32 * 64 * 16 + 32 * 16
    assert sum(event.bytes for event in profile.events) >= 4 * (32 * 64 + 64 * 16 + 32 * 16)
    assert profile.peak_bytes >= 4 * (32 * 64 + 64 * 16 + held.numel())
    assert profile.memory_table(5).count("\n") >= 2 and "peak" in profile.memory_table()
    text = profile.roofline(by="kernel", machine=trine.profiler.Machine(1e11, 1e10))
    assert "GFLOP/s" in text and "100 GFLOP/s in matrix products, 10.0 GB/s" in text


def test_measured_machine() -> None:
    machine = trine.profiler.measure_machine()
    assert machine.flops > 0 and machine.bandwidth > 0 and machine is trine.profiler.measure_machine()


def test_schedules_agree_with_pytorch() -> None:
    torch = pytest.importorskip("torch")
    for options in (
        {"wait": 1, "warmup": 1, "active": 2},
        {"wait": 0, "warmup": 1, "active": 1, "repeat": 2},
        {"wait": 2, "warmup": 1, "active": 1, "repeat": 2, "skip_first": 3},
        {"wait": 2, "warmup": 1, "active": 1, "skip_first": 1, "skip_first_wait": 1},
    ):
        ours, theirs = trine.profiler.schedule(**options), torch.profiler.schedule(**options)
        assert [ours(step).name for step in range(14)] == [theirs(step).name for step in range(14)], options
    with pytest.raises(ValueError, match="active"):
        trine.profiler.schedule(wait=0, warmup=0, active=0)


def test_profile_of_a_loop(tmp_path: Path) -> None:
    ready: list[tuple[int, int]] = []

    def on_trace_ready(profile: trine.profiler.profile) -> None:
        trine.profiler.tensorboard_trace_handler(str(tmp_path), "worker")(profile)
        ready.append((profile.step_num, profile.plans))

    activities = [trine.profiler.ProfilerActivity.CPU, trine.profiler.ProfilerActivity.CUDA]
    plan = trine.profiler.schedule(wait=1, warmup=1, active=2, repeat=2)
    x = trine.ones(10)
    with trine.profiler.profile(activities, schedule=plan, on_trace_ready=on_trace_ready, record_shapes=True) as profile:
        for _ in range(10):
            with trine.profiler.record_function("step"):
                (x * 2).exp().sum().item()
            profile.step()
    assert ready == [(4, 2), (8, 2)] and len(list(tmp_path.glob("worker.*.pt.trace.json"))) == 2
    averages = {average.key: average for average in profile.key_averages()}
    assert averages["step"].count == 2 and averages["step"].cpu_time > 0
    assert any("exp" in key for key in averages)
    table = profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=1)
    assert "Self CPU time total" in table and len(table.splitlines()) == 3
    assert profile.key_averages().total_average().count >= 4


def test_profile_without_a_schedule() -> None:
    ready: list[Any] = []
    profile = trine.profiler.profile(on_trace_ready=ready.append)
    profile.start()
    trine.profiler.record_function("named")(lambda: trine.ones(2).exp().sum().item())()
    profile.step()
    profile.stop()
    assert ready == [profile] and profile.plans >= 1 and profile.ranges[0][0] == "named"
    assert trine.profiler.supported_activities() == {trine.profiler.ProfilerActivity.CPU}
