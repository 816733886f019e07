"""Sums of products joined into one product."""

from __future__ import annotations

import numpy as np
import pytest

from trine import dtypes
from trine.compiler.passes.accumulate import accumulate
from trine.core import build
from trine.core.graph import Graph, Node, topological_order
from trine.core.interpreter import evaluate


def make(steps: int, transposed: bool, bias: bool) -> tuple[list[Node], Node]:
    """Return inputs and ``sum_t a_t^T b_t`` (and the sum of b over rows) of a loop."""
    inputs: list[Node] = []
    weight: Node | None = None
    column: Node | None = None
    for t in range(steps):
        rows = 2 + t % 3
        a = build.input(2 * t, (rows, 5) if transposed else (5, rows), dtypes.float64, False)
        b = build.input(2 * t + 1, (rows, 7), dtypes.float64, False)
        inputs += [a, b]
        product = build.dot(build.permute(a, (1, 0)) if transposed else a, b)
        part = build.reshape(build.sum(b, (0,)), (7,))
        weight = product if weight is None else build.add(weight, product)
        column = part if column is None else build.add(column, part)
    assert weight is not None and column is not None
    return inputs, build.add(weight, column) if bias else weight


def count(graph: Graph, op: str) -> int:
    return sum(node.op == op for node in topological_order(graph.outputs))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("steps", [4, 9])
def test_joined(steps: int, transposed: bool, bias: bool) -> None:
    inputs, output = make(steps, transposed, bias)
    graph = Graph((output,), tuple(inputs))
    joined = accumulate(graph)
    assert count(joined, "dot") == 1
    assert count(joined, "sum") == (1 if bias else 0)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(n.shape) for n in inputs]
    (expected,), (received,) = evaluate([output], arrays), evaluate(list(joined.outputs), arrays)
    np.testing.assert_allclose(received, expected, rtol=1e-12, atol=1e-12)


def test_short_sums_stay() -> None:
    inputs, output = make(3, True, False)
    graph = Graph((output,), tuple(inputs))
    assert accumulate(graph) is graph


def test_partial_sums_that_are_results_stay() -> None:
    inputs, output = make(5, True, False)
    before = output.inputs[0]
    graph = Graph((output, before), tuple(inputs))
    joined = accumulate(graph)
    arrays = [np.random.default_rng(1).standard_normal(n.shape) for n in inputs]
    for received, expected in zip(evaluate(list(joined.outputs), arrays), evaluate([output, before], arrays), strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-12, atol=1e-12)


def test_other_terms_are_kept() -> None:
    inputs, output = make(4, True, False)
    extra = build.input(8, (5, 7), dtypes.float64, False)
    total = build.add(extra, output)
    joined = accumulate(Graph((total,), (*inputs, extra)))
    assert count(joined, "dot") == 1
    arrays = [np.random.default_rng(2).standard_normal(n.shape) for n in (*inputs, extra)]
    np.testing.assert_allclose(evaluate(list(joined.outputs), arrays)[0], evaluate([total], arrays)[0], rtol=1e-12, atol=1e-12)


def test_transposed_sums_are_computed_transposed() -> None:
    inputs, output = make(5, True, False)
    joined = accumulate(Graph((build.permute(output, (1, 0)),), tuple(inputs)))
    assert joined.outputs[0].op == "dot"
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(n.shape) for n in inputs]
    (expected,), (received,) = evaluate([output], arrays), evaluate(list(joined.outputs), arrays)
    np.testing.assert_allclose(received, expected.T, rtol=1e-12, atol=1e-12)
