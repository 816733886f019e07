"""The examples in the docstrings of what programs call in these modules run."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = """tensor.anomaly tensor.autograd tensor.checkpoint tensor.forward_ad tensor.function tensor.function_names tensor.functional
tensor.graph_hooks tensor.saved tensor.transforms tensor.vmap func func.modules""".split()


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(f"trine.{name}")
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert found.failed == 0 and found.attempted
