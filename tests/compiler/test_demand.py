"""What nobody looks at is not computed; the rest is the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from trine import dtypes
from trine.compiler.passes.demand import demand
from trine.core import build as b
from trine.core.graph import Graph, Node, topological_order
from trine.core.interpreter import evaluate

F32 = dtypes.float32
SHAPE = (3, 8, 6)
X = b.input(0, SHAPE, F32)
W = b.input(1, (6, 5), F32)


def last(node: Node) -> Node:
    """The last position, `node[:, -1]`."""
    batch, length, *rest = node.shape
    return b.reshape(b.slice(node, (0, length - 1, *[0 for _ in rest]), node.shape), (batch, *rest))


def linear(x: Node, w: Node) -> Node:
    rows = b.reshape(x, (x.shape[0] * x.shape[1], x.shape[2]))
    return b.reshape(b.dot(rows, w), (*x.shape[:2], w.shape[1]))


def normalized(x: Node) -> Node:
    mean = b.div(b.sum(x, (2,)), b.const(float(x.shape[2]), F32))
    centered = b.sub(x, mean)
    return b.mul(centered, b.rsqrt(b.add(b.sum(b.mul(centered, centered), (2,)), b.const(1e-5, F32))))


def attended(x: Node) -> Node:
    scores = b.dot(x, b.permute(x, (0, 2, 1)))
    weights = b.exp(b.sub(scores, b.max(scores, (2,))))
    return b.dot(b.div(weights, b.sum(weights, (2,))), x)


def check(outputs: list[Node]) -> list[Node]:
    """Return the nodes of the smaller graph, which computes the same."""
    graph = demand(Graph(tuple(outputs), (X, W)))
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(SHAPE, np.float32), rng.standard_normal((6, 5), np.float32)]
    for got, expected in zip(evaluate(list(graph.outputs), arrays), evaluate(outputs, arrays), strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    return topological_order(graph.outputs)


@pytest.mark.parametrize(
    ("function", "largest"),
    [
        (lambda x: b.exp(x), 3 * 6),
        (lambda x: linear(b.tanh(x), W), 3 * 6),
        (lambda x: normalized(b.exp(x)), 3 * 6),
        (lambda x: normalized(linear(normalized(x), W)), 3 * 6),
        (lambda x: b.permute(b.exp(b.permute(x, (1, 0, 2))), (1, 0, 2)), 3 * 6),
        (lambda x: b.exp(b.expand(b.slice(x, (0, 0, 0), (3, 1, 6)), SHAPE)), 3 * 6),
        (attended, 3 * 8),
        (lambda x: b.argmax(b.exp(x), 2), 3 * 6),
    ],
)
def test_only_the_last_position_is_computed(function: Callable[[Node], Node], largest: int) -> None:
    nodes = check([last(function(X))])
    computed = [node for node in nodes if node.op not in ("input", "slice", "reshape", "permute", "expand", "const")]
    assert computed
    assert max(int(np.prod(node.shape)) for node in computed) <= largest


def test_axes_that_are_cut_twice() -> None:
    y = b.slice(linear(b.exp(X), W), (1, 2, 0), (2, 4, 5))
    assert max(int(np.prod(n.shape)) for n in check([b.slice(b.neg(y), (0, 1, 1), (1, 2, 3))]) if n.op in ("exp", "dot")) <= 6


def test_what_is_used_elsewhere_is_computed() -> None:
    y = b.exp(X)
    for outputs in (
        [last(y), y],
        [last(y), b.sum(y, (0, 1, 2))],
        [b.slice(y, (0, 1, 0), SHAPE)],
        [b.slice(y, (0, 0, 0), SHAPE, (1, 4, 1))],
    ):
        graph = Graph(tuple(outputs), (X, W))
        assert demand(graph) is graph


def test_reshapes_across_the_cut() -> None:
    flat = b.reshape(b.exp(X), (144,))
    check([b.slice(flat, (5,), (11,))])
    check([last(b.reshape(b.exp(X), (4, 2, 18)))])
    check([last(b.reshape(b.permute(b.exp(X), (0, 2, 1)), (3, 6, 8)))])


def test_a_part_of_the_whole_and_a_part_of_a_part() -> None:
    y = normalized(b.exp(X))
    check([last(y), b.slice(y, (0, 6, 0), SHAPE)])
    check([last(y), b.slice(b.reshape(y, (24, 6)), (20, 0), (24, 6))])


def test_indices_are_checked_all() -> None:
    index = b.check_index(b.cast(b.exp(X), dtypes.int64), 3)
    graph = demand(Graph((b.neg(last(index)),), (X,)))
    assert [n.shape for n in topological_order(graph.outputs) if n.op == "check_index"] == [SHAPE]
