"""Measures Trine against its peers and prints a table: `make bench`, or `bench.py --only NAME,NAME --rounds N --quick`.

Every measurement runs in a process of its own. In each round the contenders of a row follow one another, so that all see the same
machine; a row's ratio is that of the medians over the rounds. Contenders that take very long run in fewer rounds, and the table says so.
One measurement at a time on a machine: each holds a lock.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rows import ROWS, Contender, Row
from table import format_table, is_disturbed, update_readme

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LIMIT_SECONDS = 600
# framework (environment, module fw_NAME) -> the distribution that it is
DISTRIBUTIONS = {"trine": "trine", "torch": "torch", "jax": "jax", "tf": "tensorflow-cpu", "ort": "onnxruntime"}
Results = dict[str, Any]


class Bench:
    """Runs contenders and keeps what they measured.

    Args:
        pythons: framework -> interpreter. threads: for every framework. budget: seconds of a steady measurement.
    """

    def __init__(self, pythons: dict[str, str], threads: int, budget: float) -> None:
        self.pythons, self.threads, self.budget = pythons, threads, budget
        self.samples: dict[str, dict[str, list[dict[str, Any]]]] = {}
        self.scratch = Path(tempfile.mkdtemp(prefix="trine-bench-"))

    def run_row(self, row: Row, number: int, is_quick: bool) -> None:
        """Measure each contender of a row once, in order."""
        for contender in row.contenders:
            if number >= contender.max_rounds or (is_quick and contender.is_slow):
                continue
            if contender.is_warm and number == 0:
                self.measure(contender, row.name)
            result = self.measure(contender, f"{row.name}-{number}")
            if contender.has_helpers:
                result.pop("others", None)
            self.samples.setdefault(row.name, {}).setdefault(contender.name, []).append(result)
            shown = result.get("error") or contender.unit.format(result["seconds"])
            note = f"  (others used {result['others']} CPUs)" if is_disturbed(result) else ""
            print(f"  round {number + 1}  {row.name:<10} {contender.name:<14} {shown}{note}", flush=True)

    def measure(self, contender: Contender, scratch_name: str) -> dict[str, Any]:
        """Return what one process measured: {"seconds", "value", "others"}, or {"error"}."""
        if contender.mode == "size":
            return {"seconds": installed_megabytes(self.pythons[contender.framework])}
        # a contender that starts cold gets an empty cache; a warm one finds what the cold one of the same round left
        cache = self.scratch / contender.cache.format(scratch_name)
        if contender.is_cold:
            shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True, exist_ok=True)
        command = [self.pythons[contender.framework], str(HERE / "child.py"), contender.mode, contender.framework]
        command += [contender.variant, contender.workload, str(self.budget)]
        try:
            done = subprocess.run(command, env=self.environment(cache), capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return {"error": f"no result within {LIMIT_SECONDS} s"}
        except OSError as error:
            return {"error": f"{error}; run: make bench-peers"}
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or not lines:
            return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:300]}
        result: dict[str, Any] = json.loads(lines[-1])
        return result

    def environment(self, cache: Path) -> dict[str, str]:
        """Return the environment of a child: settings of this session do not reach it, caches are where the row wants them."""
        kept = {key: text for key, text in os.environ.items() if not key.startswith(("TRINE_", "TORCH", "JAX", "XLA", "TF_", "PYTHONPATH"))}
        threads = str(self.threads)
        return kept | {
            "BENCH_THREADS": threads,
            "TRINE_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            "TRINE_CACHE_DIR": str(cache / "trine"),
            "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONWARNINGS": "ignore",
        }


def installed_megabytes(python: str) -> float:
    """Return the size in MB of all that an environment has installed, pip and setuptools aside."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    aside = ("pip", "setuptools", "_distutils_hack", "distutils-precedence", "pkg_resources")
    parts = [part for part in folder.iterdir() if not part.name.startswith(aside)]
    files = (file for part in parts for file in (part.rglob("*") if part.is_dir() else [part]))
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink()) / 1e6


@contextlib.contextmanager
def machine_lock() -> Iterator[None]:
    """Hold the lock that keeps two measurements from disturbing each other."""
    path = Path(tempfile.gettempdir()) / f"trine-bench-{os.getuid()}.lock"
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another measurement to end ...", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def describe_machine(threads: int) -> dict[str, str]:
    """Return what the figures depend on."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        names = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": model,
        "cores": str(cores),
        "threads": str(threads),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }


def package_versions(pythons: dict[str, str]) -> dict[str, str]:
    """Return the version of each framework in its environment."""
    versions = {}
    for name, python in pythons.items():
        code = f"import importlib.metadata as m; print(m.version({DISTRIBUTIONS.get(name, name)!r}))"
        try:
            done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        except OSError:
            continue
        if done.returncode == 0:
            versions[name] = done.stdout.strip()
    return versions


def write_results(path: Path, results: Results) -> None:
    """Write the results whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        json.dump(results, file, indent=1)
    os.replace(temporary, path)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"rows, separated by commas, of: {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each contender (default 5)")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds of each steady measurement (default 1)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="for every framework (default: the cores)")
    parser.add_argument("--quick", action="store_true", help="one short round, without the contenders that take minutes")
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=PATH", help="interpreter of a framework (default: .venv-bench/NAME)"
    )
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    parser.add_argument("--update-readme", action="store_true", help="measure nothing; put the table of the results into README.md")
    return parser.parse_args()


def put_into_readme(results: Results) -> int:
    """Put the table into README.md, unless other processes took part in what was measured."""
    disturbed = [
        f"{row}: {name}" for row, samples in results["samples"].items() for name, s in samples.items() if any(map(is_disturbed, s))
    ]
    if disturbed:
        print(
            f"Not written: other processes were busy while these were measured; measure again.\n  {', '.join(disturbed)}", file=sys.stderr
        )
        return 1
    update_readme(ROOT / "README.md", results)
    return 0


def main() -> int:
    options = parse_options()
    if options.update_readme:
        return put_into_readme(json.loads(options.output.read_text()))
    pythons = {name: str(ROOT / ".venv-bench" / name / "bin" / "python") for name in DISTRIBUTIONS}
    pythons |= dict(text.split("=", 1) for text in options.python)
    chosen = options.only.split(",") if options.only else [row.name for row in ROWS]
    unknown = set(chosen) - {row.name for row in ROWS}
    if unknown:
        print(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in ROWS)}", file=sys.stderr)
        return 2
    bench = Bench(pythons, options.threads, 0.3 if options.quick else options.budget)
    results: Results = {"machine": describe_machine(options.threads), "versions": package_versions(pythons), "samples": bench.samples}
    print(f"{results['machine']['processor']}, {options.threads} threads; {results['versions']}")
    try:
        for number in range(1 if options.quick else options.rounds):
            for row in ROWS:
                if row.name in chosen:
                    with machine_lock():
                        bench.run_row(row, number, options.quick)
                    write_results(options.output, results)
    except KeyboardInterrupt:
        print("\nInterrupted; this is what was measured so far.")
    finally:
        shutil.rmtree(bench.scratch, ignore_errors=True)
    print()
    print(format_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
