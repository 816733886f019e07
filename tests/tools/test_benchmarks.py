"""The benchmark's table: ratios, verdicts, and what must not be quoted."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import table

    yield table
    for name in ("table", "rows"):
        sys.modules.pop(name, None)


def make_results(**samples: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    machine = dict.fromkeys(("processor", "cores", "threads", "system", "python", "date"), "?")
    return {"machine": machine, "versions": {"trine": "0"}, "samples": samples}


def samples(*seconds: float, **more: Any) -> list[dict[str, Any]]:
    return [{"seconds": s, "value": 1.0, "others": 0.0} | more for s in seconds]


def test_a_ratio_is_that_of_medians(table: ModuleType) -> None:
    lines = table.format_table(make_results(matmul={"Trine": samples(0.01, 0.02, 9.0), "PyTorch": samples(0.04, 0.04, 0.05)}))
    assert "| 20 ms | PyTorch: 40 ms | 0.5 | 1.1 | 0.95 | yes |" in lines


def test_what_is_not_reached_is_said(table: ModuleType) -> None:
    lines = table.format_table(make_results(matmul={"Trine": samples(0.1), "PyTorch": samples(0.05)}))
    assert "| 2 | 1.1 | 0.95 | **no** |" in lines


def test_a_disturbed_measurement_has_no_verdict(table: ModuleType) -> None:
    lines = table.format_table(make_results(matmul={"Trine": samples(0.01), "PyTorch": samples(0.05, others=0.9)}))
    assert "DISTURBED" in lines and "| yes |" not in lines


def test_errors_and_other_values_are_shown(table: ModuleType) -> None:
    lines = table.format_table(make_results(matmul={"Trine": samples(0.01), "PyTorch": [{"error": "no such file"}]}))
    assert "no such file" in lines and "| - |" in lines
    lines = table.format_table(make_results(matmul={"Trine": samples(0.01), "PyTorch": samples(0.01, value=2.0)}))
    assert "VALUES DIFFER" in lines


def test_the_readme_has_a_place_for_the_table(table: ModuleType, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text((Path(BENCHMARKS).parent / "README.md").read_text("utf-8"), "utf-8")
    results = make_results(matmul={"Trine": samples(0.01), "PyTorch": samples(0.05)})
    for _ in range(2):
        table.update_readme(readme, results)
    assert readme.read_text("utf-8").count("| measure | Trine |") == 1
    assert "## Limits" in readme.read_text("utf-8")


def test_the_fastest_of_our_ways_stands_in_the_table(table: ModuleType) -> None:
    found = {"Trine": samples(0.03), "Trine compiled": samples(0.02), "PyTorch": samples(0.04)}
    lines = table.format_table(make_results(W2=found))
    assert "| 20 ms | PyTorch: 40 ms | 0.5 | 0.95 | 0.85 | yes |" in lines


def test_memory_of_the_worse_of_our_ways_is_compared(table: ModuleType) -> None:
    found = {
        "Trine": samples(0.03, peak_mb=100.0, built_mb=80.0, late_plans=0),
        "Trine compiled": samples(0.02, peak_mb=200.0, built_mb=90.0, late_plans=2),
        "PyTorch": samples(0.04, peak_mb=400.0, built_mb=300.0, late_plans=0),
    }
    lines = table.format_table(make_results(W2=found))
    assert "| 100 MB | 200 MB | 400 MB | 0.5 | 20 MB | 110 MB | 100 MB | 2 |" in lines


def test_first_steps_have_a_table_of_their_own(table: ModuleType) -> None:
    cold = {"Trine": samples(1.0), "Trine compiled": samples(1.1), "PyTorch": samples(4.0)}
    warm = {"Trine": samples(0.5), "PyTorch": samples(4.0)}
    lines = table.format_table({**make_results(), "samples": {"W1-cold": cold, "W1-warm": warm}})
    assert "| 1 s | 1.1 s | 4 s | 0.25 | 500 ms | - | 4 s | 0.12 |" in lines


def test_every_contender_has_a_program(table: ModuleType) -> None:
    from rows import ROWS

    for row in ROWS:
        for contender in row.contenders:
            if contender.workload != "-":
                text = (Path(BENCHMARKS) / f"fw_{contender.framework}.py").read_text("utf-8")
                assert f'"{contender.variant}"' in text, contender
        assert {bound.peer for bound in row.bounds} <= {None, *(contender.name for contender in row.contenders)}
