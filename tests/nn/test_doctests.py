"""The examples in the docstrings of layers run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from trine import nn

MODULES = sorted(module.name for module in pkgutil.walk_packages(nn.__path__, "trine.nn."))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
