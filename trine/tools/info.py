"""``trine info``: what runs here."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
from typing import Any

import trine
from trine.config import settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command: none."""
    parser.description = "Show the version, the engine, the target, the threads and the caches."


def run(options: argparse.Namespace) -> int:
    """Print the lines of `describe`."""
    rows = describe()
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    return 0


def describe() -> list[tuple[str, str]]:
    """Return (name, value) pairs."""
    from trine.compiler.target import host_target

    return [
        ("trine", trine.__version__),
        ("python", f"{platform.python_version()} on {platform.machine()}, {platform.system()}"),
        ("numpy", _version("numpy")),
        ("llvmlite", _version("llvmlite")),
        ("engine", settings.engine),
        ("target", settings.target or host_target().name),
        ("threads", str(trine.get_num_threads())),
        ("kernel cache", str(settings.cache_dir or "off")),
        *((f"cache {name}", _format(value)) for name, value in trine.cache_info().items()),
    ]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _format(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
