"""What TRINE_DEBUG prints."""

from __future__ import annotations

import pytest

from trine import config, dtypes
from trine.compiler.pipeline import compile_graph
from trine.compiler.target import host_target
from trine.core import build as b
from trine.core.graph import Graph, Node

F32 = dtypes.float32


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], debug: int, *outputs: Node) -> str:
    monkeypatch.setattr(config, "settings", config.settings.replace(debug=debug))
    compile_graph(Graph(outputs, ()), host_target())
    return capsys.readouterr().err


def graph() -> Node:
    x = b.input(0, (8, 6), F32)
    e = b.exp(b.pad(x, (1, 0), (0, 0), 0.5))
    e.source = "train.py:4 in step"
    return b.div(b.cumsum(e, 0), b.sum(e, (0,)))


def test_nothing_by_default(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(monkeypatch, capsys, 0, graph()) == ""


def test_plans(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(monkeypatch, capsys, 1, graph())
    assert text.startswith("program: ") and "cumsum" in text and "in0 -> t@" in text and "# train.py:4 in step" in text
    assert "group 0" not in text


def test_fusion_decisions(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(monkeypatch, capsys, 2, graph())
    assert "return %" in text and "group 0: nest [9, 6], 1 instructions" in text
    x = b.input(0, (8, 6), F32)
    assert "not fused: exp (8, 6): not fused, its user pads it" in printed(monkeypatch, capsys, 2, b.pad(b.exp(x), (1, 1), (0, 0), 0.0))


def test_nests(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(monkeypatch, capsys, 3, graph())
    assert "nest i0 < 9, i1 < 6" in text
    assert "access 0: input 0 float32[8, 6] at 6*i0 + i1 + -6 where 1 <= i0 < 9 else 0.5" in text
    assert "%1 = exp(%0) : float32" in text


def test_host_commands_say_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    x = b.input(0, (2, 2), dtypes.complex64)
    text = printed(monkeypatch, capsys, 1, b.dot(x, x))
    assert "host dot in0, in0 -> out0" in text and "on the host: dot: dot: no native kernel for complex numbers" in text
