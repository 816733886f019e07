"""The command line: commands, help, exit status."""

import subprocess
import sys
from pathlib import Path

import pytest

import trine
from trine.errors import TrineError
from trine.tools import cli, info


def test_info_names_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    printed = capsys.readouterr().out
    for name in ("trine", "engine", "target", "threads", "kernel cache"):
        assert name in printed
    assert trine.__version__ in printed


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "trine", "info"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"trine           {trine.__version__}" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["nothing"]])
def test_a_missing_or_unknown_command_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: trine" in capsys.readouterr().err


def test_expected_errors_are_printed_without_a_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def failing() -> list[tuple[str, str]]:
        raise TrineError("no such thing")

    monkeypatch.setattr(info, "describe", failing)
    assert cli.main(["info"]) == 2
    assert capsys.readouterr().err == "trine: no such thing\n"


def test_explain_shows_plans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys, trine\nx = trine.ones(3) * 2\nprint(x.sum().item(), sys.argv[1])\n")
    assert cli.main(["explain", "--show", "fusion", str(program), "argument"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "6.0 argument\n"
    assert "program:" in shown.err and "program.py:2" in shown.err and "group" in shown.err
    assert cli.main(["explain", str(tmp_path / "missing.py")]) == 2
