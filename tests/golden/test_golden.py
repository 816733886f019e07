"""The text of every stage of small programs, pinned: a change of the compiler shows here.

After a change that is meant, run ``TRINE_UPDATE_GOLDEN=1 pytest tests/golden`` and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import model_graphs
import program_reference
import pytest

from trine.compiler.explain import format_groups, format_nest
from trine.core.graph import format_graph

HERE = Path(__file__).parent
NAMES = ("softmax", "layer_norm", "cross_entropy", "adam", "mlp", "attention", "dropout")


def text_of(name: str) -> str:
    compilation = program_reference.compile_reference(model_graphs.graph_of(model_graphs.MODELS[name]()))
    nests = [format_nest(nest) for nest in compilation.lowering.nests]
    return "\n\n".join([format_graph(compilation.graph.outputs), format_groups(compilation), *nests]) + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_text(name: str) -> None:
    path = HERE / f"{name}.txt"
    text = text_of(name)
    if os.environ.get("TRINE_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"the compilation of {name} changed; see the top of {Path(__file__).name}"
