"""The programs in the documents run, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = ["README.md", "docs/guide.md"]
PROGRAMS = [
    (name, block) for name in DOCUMENTS for block in re.findall(r"```python\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)
]


@pytest.mark.parametrize(("name", "program"), PROGRAMS)
def test_programs_run(name: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(program, name, "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out.splitlines()
    right = re.fullmatch(r"(\d+) of 256 right", printed[-1]) if printed else None
    assert right is None or int(right[1]) > 230
    assert "False" not in printed


@pytest.mark.parametrize("name", [*DOCUMENTS, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/architecture.md"])
def test_links_lead_somewhere(name: str) -> None:
    path = ROOT / name
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target
