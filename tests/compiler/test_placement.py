"""Operands of a concatenation are computed where they end up."""

from __future__ import annotations

import numpy as np
import pytest

from trine import dtypes
from trine.compiler.pipeline import compile_graph
from trine.compiler.program import Command
from trine.compiler.target import host_target
from trine.core import build as b
from trine.core.graph import Graph, Node
from trine.core.interpreter import evaluate
from trine.engines.native import NativeEngine
from trine.runtime.memory import from_array

F32 = dtypes.float32
X, Y = b.input(0, (3, 5), F32), b.input(1, (5, 5), F32)


def check(output: Node, copies: int) -> None:
    graph = Graph((output,), (X, Y))
    program = compile_graph(graph, host_target(), 2)
    assert sum(isinstance(c, Command) and c.name == "concat" for c in program.commands) == copies
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(x.shape, np.float32) for x in (X, Y)]
    (got,) = NativeEngine().compile(graph).run([from_array(array) for array in arrays])
    np.testing.assert_allclose(got.array(np.float32, output.shape), evaluate([output], arrays)[0], rtol=1e-5, atol=1e-5)


def rows(*nodes: Node) -> Node:
    """A concatenation that is not a result itself."""
    return b.dot(b.concat(nodes, 0), Y)


@pytest.mark.parametrize(
    ("output", "copies"),
    [
        (rows(b.exp(X), b.dot(X, Y)), 0),
        (rows(b.exp(X), X), 1),  # an input stays where it is
        (rows(b.exp(X), b.exp(X)), 1),  # one array in two places
        (rows(b.exp(X), b.concat((b.neg(b.exp(X)), b.dot(X, Y)), 0)), 0),
        (b.dot(b.concat((b.exp(X), b.neg(X)), 1), b.concat((b.exp(Y), b.tanh(Y)), 0)), 2),  # columns are no piece of memory
        (rows(b.reshape(b.concat((b.reshape(b.exp(X), (1, 3, 5)), b.reshape(b.tanh(X), (1, 3, 5))), 0), (6, 5))), 0),
        (b.concat((b.exp(X), b.tanh(X)), 0), 2),  # a result, whose memory may still be read as an input
        (b.add(rows(b.exp(X), b.tanh(X)), rows(b.tanh(X), b.exp(X))), 2),  # the same arrays in two orders
    ],
)
def test_where_operands_lie(output: Node, copies: int) -> None:
    check(output, copies)
