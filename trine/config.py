"""Settings: the TRINE_* environment variables, read once and checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from trine.errors import ArgumentError, message


def default_cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of the kernel cache: ``$XDG_CACHE_HOME/trine`` or ``~/.cache/trine``."""
    base = environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path(os.path.expanduser("~")) / ".cache") / "trine"


def default_num_threads() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(slots=True)
class Settings:
    """The settings of a process.

    Attributes:
        eager: execute each operation at once instead of recording it (TRINE_EAGER).
        debug: 0 nothing, 1 plans, 2 fusion decisions, 3 loop nests and LLVM IR, 4 assembly (TRINE_DEBUG).
        target: force a target of the compiler; None takes the best that the host supports (TRINE_TARGET).
        engine: "native" or "numpy" (TRINE_ENGINE).
        num_threads: size of the worker pool, the calling thread included (TRINE_NUM_THREADS).
        cache_dir: directory of compiled kernels; None switches the disk cache off (TRINE_CACHE_DIR, empty for off).
        cache_mb: bound of that directory in MB (TRINE_CACHE_MB).
        max_records: a recording longer than this is flushed (TRINE_MAX_RECORDS).
        native_recorder: record known operations in native code where the interpreter allows it (TRINE_NATIVE_RECORDER).
    """

    eager: bool
    debug: int
    target: str | None
    engine: str
    num_threads: int
    cache_dir: Path | None
    cache_mb: int
    max_records: int
    native_recorder: bool

    def replace(self, **changes: Any) -> Settings:
        """Return a copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: how its text is read, and what it must be."""

    name: str
    parse: Callable[[str], Any]
    expected: str
    default: Callable[[], Any]


def _flag(text: str) -> bool:
    return {"0": False, "false": False, "off": False, "no": False, "1": True, "true": True, "on": True, "yes": True}[text.lower()]


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return parse


def _choice(*names: str) -> Callable[[str], str]:
    return lambda text: {name: name for name in names}[text.lower()]


VARIABLES: dict[str, Variable] = {
    "eager": Variable("TRINE_EAGER", _flag, "0 or 1", lambda: False),
    "debug": Variable("TRINE_DEBUG", _integer(0, 4), "an integer from 0 to 4", lambda: 0),
    "target": Variable("TRINE_TARGET", _choice("avx512", "avx2", "generic"), "avx512, avx2 or generic", lambda: None),
    "engine": Variable("TRINE_ENGINE", _choice("native", "numpy"), "native or numpy", lambda: "native"),
    "num_threads": Variable("TRINE_NUM_THREADS", _integer(1, 1024), "an integer from 1 to 1024", default_num_threads),
    "cache_dir": Variable("TRINE_CACHE_DIR", lambda text: Path(text).expanduser(), "a directory", default_cache_dir),
    "cache_mb": Variable("TRINE_CACHE_MB", _integer(0, 1 << 20), "a number of megabytes from 0 to 1048576", lambda: 512),
    "max_records": Variable("TRINE_MAX_RECORDS", _integer(1, 1 << 24), "an integer from 1 to 16777216", lambda: 2000),
    "native_recorder": Variable("TRINE_NATIVE_RECORDER", _flag, "0 or 1", lambda: True),
}


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings that an environment asks for. An empty variable counts as unset, save TRINE_CACHE_DIR, which it switches off.

    Raises:
        ArgumentError: a variable has an impossible value; the message names it.
    """
    values: dict[str, Any] = {}
    for field in fields(Settings):
        variable = VARIABLES[field.name]
        text = environ.get(variable.name)
        if field.name == "cache_dir" and text == "":
            values[field.name] = None
        elif text is None or not text.strip():
            values[field.name] = variable.default()
        else:
            values[field.name] = _parse(variable, text.strip())
    return Settings(**values)


def _parse(variable: Variable, text: str) -> Any:
    try:
        return variable.parse(text)
    except (KeyError, ValueError):
        raise ArgumentError(
            message(
                f"settings: the environment variable {variable.name} has an impossible value",
                received=repr(text),
                expected=variable.expected,
                fix=f"correct it or unset {variable.name}",
            )
        ) from None


settings: Settings = read_settings()
