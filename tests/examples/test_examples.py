"""The single-file programs run, and learn something, on little data."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trine.tools import mnist

EXAMPLES = Path(__file__).parents[2] / "examples"
Run = Callable[..., float]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run_example(name: str, *arguments: str) -> float:
        path = str(EXAMPLES / name)
        monkeypatch.setattr(sys, "argv", [path, *arguments])
        return runpy.run_path(path)["main"]()

    return run_example


def test_linear_regression_finds_the_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    loss = run("linear_regression.py", "--steps", "60")
    assert loss < 0.02
    weight = float(capsys.readouterr().out.splitlines()[-1].split("y = ")[1].split()[0])
    assert abs(weight - 2) < 0.05


def test_mnist_learns(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def load_digits(name: str, log: object = None) -> mnist.Digits:
        labels = np.arange(160) % 10
        images = np.zeros((160, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4 + 2 * label : 6 + 2 * label, 4:24] = 255
        return mnist.Digits("small", images[:120], labels[:120], images[120:], labels[120:])

    monkeypatch.setattr(mnist, "load_digits", load_digits)
    assert run("mnist.py", "--epochs", "4", "--batch-size", "20", "--lr", "3e-3") > 0.5
    assert "epoch 4" in capsys.readouterr().out


def test_gpt_learns_and_writes(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.txt"
    text.write_text("to be, or not to be: that is the question.\n" * 40, encoding="utf-8")
    small = ["--batch", "4", "--context", "16", "--width", "32", "--heads", "2", "--layers", "1", "--sample", "20"]
    loss = run("gpt.py", "--text", str(text), "--steps", "40", "--lr", "1e-2", *small)
    printed = capsys.readouterr().out
    assert loss < 2.9
    assert len(printed.split("-" * 60)[1].strip("\n")) >= 15


def test_every_example_has_a_test() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{path.name}"' in tested for path in EXAMPLES.glob("*.py"))
