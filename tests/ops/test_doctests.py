"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from trine import ops

MODULES = sorted(module.name for module in pkgutil.iter_modules(ops.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(f"trine.ops.{name}")
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_every_public_function_has_an_example() -> None:
    missing = [name for name in ops.__all__ if ">>> " not in (getattr(ops, name).__doc__ or "")]
    assert missing == []
