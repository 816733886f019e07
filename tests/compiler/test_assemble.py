"""Sums of padded pieces become concatenations."""

from __future__ import annotations

import numpy as np
import pytest

from trine import dtypes
from trine.compiler.passes.assemble import assemble
from trine.core import build as b
from trine.core.graph import Graph, Node, topological_order
from trine.core.interpreter import evaluate


def total(nodes: list[Node]) -> Node:
    result = nodes[0]
    for node in nodes[1:]:
        result = b.add(result, node)
    return result


def piece(x: Node, axis: int, low: int, size: int, value: float = 0) -> Node:
    before = [low if a == axis else 0 for a in range(len(x.shape))]
    after = [size - low - x.shape[axis] if a == axis else 0 for a in range(len(x.shape))]
    return b.pad(x, before, after, value)


def inputs(*shapes: tuple[int, ...]) -> list[Node]:
    return [b.input(i, shape, dtypes.float32) for i, shape in enumerate(shapes)]


def check(output: Node, leaves: list[Node], concats: int, pads: int) -> None:
    graph = assemble(Graph((output,), tuple(leaves)))
    ops = [node.op for node in topological_order(graph.outputs)]
    assert (ops.count("concat"), ops.count("pad")) == (concats, pads)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(x.shape, np.float32) for x in leaves]
    np.testing.assert_allclose(evaluate(list(graph.outputs), arrays)[0], evaluate([output], arrays)[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_pieces_in_any_order_and_with_gaps(axis: int) -> None:
    leaves = inputs(*[(2, 2)] * 4)
    order = [3, 0, 2, 1]
    check(total([piece(leaves[i], axis, 2 * i, 8) for i in order]), leaves, 1, 0)
    check(total([piece(leaves[i], axis, 1 + 3 * i, 13) for i in order]), leaves, 1, 0)


def test_other_terms_and_overlapping_pieces_are_added() -> None:
    x, y, z, other = inputs((3, 4), (3, 4), (3, 4), (3, 8))
    check(total([piece(x, 1, 0, 8), other, piece(y, 1, 4, 8)]), [x, y, z, other], 1, 0)
    check(total([piece(x, 1, 0, 8), piece(y, 1, 4, 8), piece(z, 1, 2, 8)]), [x, y, z, other], 1, 1)


def test_pieces_along_two_axes() -> None:
    leaves = inputs((2, 6), (2, 6), (4, 3), (4, 3))
    x, y, z, w = leaves
    check(total([piece(x, 0, 0, 4), piece(z, 1, 0, 6), piece(y, 0, 2, 4), piece(w, 1, 3, 6)]), leaves, 2, 0)


def test_what_stays() -> None:
    x, y = inputs((2, 2), (2, 2))
    for output in (
        b.add(piece(x, 0, 0, 90), piece(y, 0, 50, 90)),  # mostly zeros
        b.add(piece(x, 0, 0, 4, 1.0), piece(y, 0, 2, 4)),  # not padded with zeros
        b.add(piece(x, 0, 0, 4), b.expand(b.const(1.0, dtypes.float32), (4, 2))),  # a single piece
    ):
        graph = Graph((output,), (x, y))
        assert assemble(graph) is graph


def test_a_sum_that_is_also_a_result_stays_one() -> None:
    x, y, z = inputs((2, 2), (2, 2), (2, 2))
    inner = b.add(piece(x, 0, 0, 6), piece(y, 0, 2, 6))
    graph = assemble(Graph((inner, b.add(inner, piece(z, 0, 4, 6))), (x, y, z)))
    assert [node.op for node in graph.outputs] == ["concat", "add"]
