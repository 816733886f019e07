"""Products of one right operand stacked into one product."""

from __future__ import annotations

import numpy as np
import pytest

from trine import dtypes
from trine.compiler.passes.stack import MAX_ROWS, stack
from trine.core import build
from trine.core.graph import Graph, Node, topological_order
from trine.core.interpreter import evaluate

WIDTH = 5


def recurrent(steps: int, rows: int = 2) -> tuple[Graph, list[np.ndarray]]:
    """Return ``h = x_t @ wx + h @ wh`` over some steps, with all h as outputs, and its inputs' arrays."""
    wx = build.input(0, (3, WIDTH), dtypes.float64, False)
    wh = build.input(1, (WIDTH, WIDTH), dtypes.float64, False)
    inputs = [wx, wh]
    h: Node = build.full(0.5, (rows, WIDTH), dtypes.float64)
    outputs = []
    for t in range(steps):
        x = build.input(2 + t, (rows, 3), dtypes.float64, False)
        inputs.append(x)
        h = build.add(build.dot(x, wx), build.dot(h, wh))
        outputs.append(h)
    rng = np.random.default_rng(0)
    return Graph(tuple(outputs), tuple(inputs)), [rng.standard_normal(n.shape) for n in inputs]


def num_dots(graph: Graph) -> int:
    return sum(node.op == "dot" for node in topological_order(graph.outputs))


@pytest.mark.parametrize(("steps", "expected"), [(4, 5), (9, 10), (3, 6)])
def test_inputs_of_all_steps_are_one_product(steps: int, expected: int) -> None:
    graph, arrays = recurrent(steps)
    stacked = stack(graph)
    assert num_dots(stacked) == expected
    assert (stacked is graph) == (steps < 4)
    for a, b in zip(evaluate(list(graph.outputs), arrays), evaluate(list(stacked.outputs), arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_many_rows_stay() -> None:
    graph, _ = recurrent(6, rows=MAX_ROWS + 1)
    assert stack(graph) is graph


def test_stacks_that_depend_on_one_another() -> None:
    """Two layers: the second one's products need those of the first one; both are stacked, first one first."""
    first = build.input(0, (3, WIDTH), dtypes.float64, False)
    second = build.input(1, (WIDTH, WIDTH), dtypes.float64, False)
    inputs = [first, second]
    outputs = []
    for t in range(5):
        x = build.input(2 + t, (2, 3), dtypes.float64, False)
        inputs.append(x)
        outputs.append(build.dot(build.dot(x, first), second))
    graph = Graph(tuple(outputs), tuple(inputs))
    stacked = stack(graph)
    assert num_dots(stacked) == 2
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal(n.shape) for n in inputs]
    for a, b in zip(evaluate(outputs, arrays), evaluate(list(stacked.outputs), arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
