"""The public names, pinned: a name that appears or goes is a decision, made in `namespace.txt`.

`python tests/structure/test_namespace.py` writes that file anew.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PINNED = Path(__file__).with_name("namespace.txt")
MODULES = """trine trine.fft trine.linalg trine.masked trine.signal.windows
trine.nn trine.nn.functional trine.nn.init trine.optim trine.serialization
trine.utils trine.utils.checkpoint trine.utils.data trine.func trine.nn.utils.rnn
trine.nn.utils trine.nn.utils.parametrize trine.nn.utils.parametrizations trine.nn.utils.prune
trine.backends trine.distributed trine.fx trine.hub trine.jit trine.nn.parallel trine.testing trine.version""".split()


def public_names(name: str) -> list[str]:
    module = importlib.import_module(name)
    return sorted(set(module.__all__))


def pinned_names() -> dict[str, list[str]]:
    """Return module -> names; a line of the file is a module and one of its names."""
    found: dict[str, list[str]] = {}
    for line in PINNED.read_text().splitlines():
        if line:
            module, name = line.split(": ", 1)
            found.setdefault(module, []).append(name)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_the_pinned_ones(name: str) -> None:
    found, pinned = set(public_names(name)), set(pinned_names()[name])
    assert found == pinned, f"{name}: new {sorted(found - pinned)}, gone {sorted(pinned - found)}; decide, then write {PINNED.name} anew"


def members(owner: Any) -> list[tuple[str, Any]]:
    """Public methods and properties that a class of Trine has by itself or inherits within Trine."""
    return [
        (name, value)
        for cls in inspect.getmro(owner)
        if cls.__module__.split(".")[0] == "trine"
        for name, value in vars(cls).items()
        if not name.startswith("_") and (inspect.isroutine(value) or isinstance(value, property))
    ]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    missing = []
    for public in public_names(name):
        value = getattr(module, public)
        if isinstance(value, ModuleType) or not callable(value):
            continue
        if not (value.__doc__ or "").strip():
            missing.append(public)
        if inspect.isclass(value) and (value.__module__ or "").startswith("trine"):
            missing += [f"{public}.{member}" for member, _ in members(value) if not (inspect.getdoc(getattr(value, member)) or "").strip()]
    assert not missing, f"{name}: without a docstring: {missing}"


def test_star_import_gives_the_public_names() -> None:
    for name in ("trine.nn", "trine.optim", "trine.utils.data"):
        space: dict[str, Any] = {}
        exec(f"from {name} import *", space)
        assert set(public_names(name)) <= set(space)


def test_a_wrong_name_is_an_attribute_error() -> None:
    for name in MODULES:
        with pytest.raises(AttributeError, match="no_such_name"):
            _ = importlib.import_module(name).no_such_name


if __name__ == "__main__":
    PINNED.write_text("".join(f"{name}: {public}\n" for name in MODULES for public in public_names(name)))
