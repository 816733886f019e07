"""Results as a markdown table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rows import ROWS, TRAINING, Bound, Row

BEGIN, END = "<!-- bench:begin", "<!-- bench:end -->"
TOLERANCE = 2e-3  # between the values that frameworks compute
MAX_OTHERS = 0.2  # CPUs that other processes may keep busy during a measurement
Samples = dict[str, list[dict[str, Any]]]


def median(samples: list[dict[str, Any]]) -> float:
    """Return the median of the measurements that succeeded, NaN if there is none."""
    figures = [sample["seconds"] for sample in samples if "error" not in sample]
    return statistics.median(figures) if figures else math.nan


def is_disturbed(sample: dict[str, Any]) -> bool:
    """Return whether other processes took so much of the machine that a figure says little about the contender."""
    return sample.get("others", 0.0) > MAX_OTHERS


def format_seconds(seconds: float) -> str:
    """Return a time with three digits.

    >>> [format_seconds(x) for x in (12.345, 0.012345, 0.0000005)]
    ['12.3 s', '12.3 ms', '0.5 µs']
    """
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    raise ValueError(seconds)


def format_row(row: Row, samples: Samples) -> list[str]:
    """Return a line of the table for each bound of a row."""
    own = [median(found) for name, found in samples.items() if name.startswith("Trine")]
    first = min((figure for figure in own if not math.isnan(figure)), default=math.nan)
    return [_format_bound(row, bound, samples, first, is_first=number == 0) for number, bound in enumerate(row.bounds)]


def _format_bound(row: Row, bound: Bound, samples: Samples, first: float, *, is_first: bool) -> str:
    title = row.title if is_first else ""
    peer_samples = samples.get(bound.peer, []) if bound.peer else []
    peer = median(peer_samples)
    reached, limit, own, other = first / peer if bound.peer else first, "", _show(row, first), ""
    if bound.peer is None:
        shown, limit = f"{reached:.0f} MB", f"{bound.must:.0f} MB" if bound.must is not None else ""
        rest = [name for name in samples if not name.startswith("Trine")]
        other = "; ".join(f"{name}: {median(samples[name]):.0f} MB" for name in rest)
        own = shown
    else:
        shown, limit = f"{reached:.3g}", f"{bound.must:.3g}" if bound.must is not None else ""
        other = f"{bound.peer}: {_show(row, peer)}{_note(row, samples, peer_samples)}"
    is_void = math.isnan(reached) or any(map(is_disturbed, samples.get("Trine", []) + peer_samples))
    verdict = "" if bound.must is None else "-" if is_void else "yes" if reached <= bound.must else "**no**"
    aim = "" if bound.aim is None else f"{bound.aim:.2g}"
    return f"| {title} | {own} | {other} | {shown} | {limit} | {aim} | {verdict} |"


def _show(row: Row, figure: float) -> str:
    return "-" if math.isnan(figure) else format_seconds(figure / row.scale)


def _note(row: Row, samples: Samples, peer_samples: list[dict[str, Any]]) -> str:
    """Return what must be said about a comparison: few measurements, an error, values that differ."""
    notes = []
    if any(map(is_disturbed, samples.get("Trine", []) + peer_samples)):
        notes.append("DISTURBED by other processes, not comparable")
    errors = [sample["error"] for sample in peer_samples if "error" in sample]
    own_rounds, rounds = len(samples.get("Trine", [])), len(peer_samples)
    if errors:
        notes.append(errors[0])
    elif 0 < rounds < min(5, own_rounds):
        notes.append(f"median of {rounds}")
    values = [sample["value"] for sample in samples.get("Trine", [])[:1] + peer_samples[:1] if "value" in sample]
    if row.has_same_values and len(values) == 2 and not math.isclose(*values, rel_tol=TOLERANCE):
        notes.append(f"VALUES DIFFER: {values[0]:.6g} and {values[1]:.6g}")
    return f" ({'; '.join(notes)})" if notes else ""


def format_training(results: dict[str, Any]) -> list[str]:
    """Return a table of the training workloads: the most memory that the processes had resident, what of it came with the steps, and
    how many plans were compiled after the second step (the most of any run).
    """
    lines = []
    for name, title, _ in TRAINING:
        samples = results["samples"].get(name, {})
        found = [samples.get(who, []) for who in ("Trine", "Trine compiled", "PyTorch")]
        peaks = [_median_of(s, lambda sample: sample["peak_mb"], "peak_mb") for s in found]
        growth = [_median_of(s, lambda sample: sample["peak_mb"] - sample["built_mb"], "built_mb") for s in found]
        if not math.isnan(peaks[0]) and not math.isnan(peaks[2]):
            plans = [sample["late_plans"] for s in found[:2] for sample in s if "late_plans" in sample]
            shown = [_megabytes(x) for x in (*peaks, *growth)]
            ratio = max(x for x in peaks[:2] if not math.isnan(x)) / peaks[2]
            lines.append(f"| {title} | {' | '.join(shown[:3])} | {ratio:.2g} | {' | '.join(shown[3:])} | {max(plans, default='-')} |")
    head = "| memory of training | Trine | compiled | PyTorch | ratio | steps: Trine | compiled | PyTorch | plans after step 2 |"
    return ["", head, "|---|---|---|---|---|---|---|---|---|", *lines] if lines else []


def format_first_steps(results: dict[str, Any]) -> list[str]:
    """Return a table of the times from the start of a process to the end of its first training step."""
    lines = []
    for name, title, _ in TRAINING:
        cells = []
        for row in (f"{name}-cold", f"{name}-warm"):
            samples = results["samples"].get(row, {})
            own, compiled, peer = (median(samples.get(who, [])) for who in ("Trine", "Trine compiled", "PyTorch"))
            cells += ["-" if math.isnan(x) else format_seconds(x) for x in (own, compiled, peer)]
            cells.append("-" if math.isnan(own / peer) else f"{own / peer:.2g}")
        if set(cells) != {"-"}:
            lines.append(f"| {title} | {' | '.join(cells)} |")
    head = "| import to the end of the first step | nothing cached: Trine | compiled | PyTorch | ratio"
    head += " | kernels on disk: Trine | compiled | PyTorch | ratio |"
    return ["", head, "|---|---|---|---|---|---|---|---|---|", *lines] if lines else []


def _median_of(samples: list[dict[str, Any]], figure: Callable[[dict[str, Any]], float], key: str) -> float:
    figures = [figure(sample) for sample in samples if key in sample]
    return statistics.median(figures) if figures else math.nan


def _megabytes(figure: float) -> str:
    return "-" if math.isnan(figure) else f"{figure:.0f} MB"


def format_table(results: dict[str, Any]) -> str:
    """Return the table of all rows that were measured, and the machine."""
    lines = ["| measure | Trine | peer | ratio | must | aim | reached |", "|---|---|---|---|---|---|---|"]
    for row in ROWS:
        if row.name in results["samples"] and row.bounds:
            lines += format_row(row, results["samples"][row.name])
    lines += format_training(results) + format_first_steps(results)
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    rounds = max((len(s) for samples in results["samples"].values() for s in samples.values()), default=0)
    where = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, {machine['system']}, Python {machine['python']}"
    )
    return "\n".join([*lines, "", f"{where}; {versions}; medians of {rounds} interleaved rounds, {machine['date']}."])


def update_readme(path: Path, results: dict[str, Any]) -> None:
    """Put the table between the marks of a markdown file."""
    text = path.read_text("utf-8")
    begin = text.index("\n", text.index(BEGIN)) + 1
    end = text.index(END, begin)
    path.write_text(f"{text[:begin]}{format_table(results)}\n{text[end:]}", "utf-8")
