"""Simplification: what disappears, and what must not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from trine import dtypes
from trine.compiler.passes.simplify import simplify
from trine.core import build as b
from trine.core.graph import Graph, Node, topological_order
from trine.core.interpreter import evaluate

F32 = dtypes.float32
X = b.input(0, (3, 4), F32)
C: Callable[[float], Node] = lambda value: b.const(value, F32)  # noqa: E731


def simplified(node: Node) -> Node:
    return simplify(Graph((node,), (X,))).outputs[0]


@pytest.mark.parametrize(
    "node",
    [
        b.mul(X, C(1.0)),
        b.div(X, C(1.0)),
        b.add(X, C(-0.0)),
        b.sub(X, C(0.0)),
        b.neg(b.neg(X)),
        b.stop_gradient(X),
        b.cast(b.cast(X, dtypes.float64), F32),
        b.permute(b.permute(X, (1, 0)), (1, 0)),
        b.reshape(b.reshape(X, (12,)), (3, 4)),
        b.flip(b.flip(X, (0,)), (0,)),
        b.slice(X, (0, 0), (3, 4)),
        b.where(b.const(True, dtypes.bool_), X, b.exp(X)),
        b.where(b.lt(X, X), X, X),
        b.pow(X, C(1.0)),
    ],
)
def test_nothing_is_left(node: Node) -> None:
    assert simplified(node) is X


@pytest.mark.parametrize(
    "node", [b.add(X, C(0.0)), b.sub(X, C(-0.0)), b.mul(X, C(0.0)), b.cast(b.cast(X, dtypes.float16), F32), b.sub(X, X)]
)
def test_what_changes_bits_stays(node: Node) -> None:
    assert simplified(node).op == node.op


def test_common_subexpressions_become_one() -> None:
    graph = simplify(Graph((b.exp(b.add(X, C(2.0))), b.exp(b.add(X, C(2.0)))), (X,)))
    assert graph.outputs[0] is graph.outputs[1]


def test_zeros_of_both_signs_and_dtypes_stay_apart() -> None:
    zeros = [C(0.0), C(-0.0), b.const(0, dtypes.int64), b.const(False, dtypes.bool_)]
    assert len(set(simplify(Graph(tuple(zeros), ())).outputs)) == 4


def test_constants_fold() -> None:
    node = simplified(b.add(X, b.mul(C(2.0), b.add(C(1.0), C(0.5)))))
    assert node.inputs[1].attrs == (3.0,)


def test_movement_of_constants_is_an_expand() -> None:
    full = b.full(7.0, (2, 3), F32)
    for node in (
        b.permute(full, (1, 0)),
        b.reshape(full, (6,)),
        b.slice(full, (0, 1), (2, 3)),
        b.flip(full, (0,)),
        b.pad(full, (1, 0), (0, 0), 7.0),
    ):
        result = simplified(node)
        assert result.op == "expand" and result.inputs[0].op == "const" and result.shape == node.shape


def test_operands_need_no_expand() -> None:
    bias = b.input(1, (4,), F32)
    node = simplified(b.add(X, b.expand(bias, (3, 4))))
    assert node.inputs == (X, bias)


def test_sum_of_equal_elements_is_a_product() -> None:
    x = b.input(0, (4,), F32)
    node = b.sum(b.expand(x, (5, 4)), (0,))
    result = simplified(node)
    assert [n.op for n in topological_order([result])] == ["input", "const", "mul", "expand"]
    np.testing.assert_allclose(evaluate([result], [np.arange(4, dtype=np.float32)])[0], [[0, 5, 10, 15]])


def test_sums_over_axes_of_size_one_and_of_sums() -> None:
    x = b.input(0, (3, 1, 4), F32)
    assert simplified(b.sum(x, (1,))) is x
    assert simplified(b.sum(b.sum(x, (2,)), (0,))).attrs == ((0, 2),)


def test_checked_indices_are_not_folded() -> None:
    node = b.check_index(b.const(9, dtypes.int64), 3)
    assert simplified(node) is node


def test_one_hot_indexing() -> None:
    index = b.input(1, (3, 1), dtypes.int64)
    taken = b.take_along(b.exp(X), index, 1)
    put = b.put_along(b.full(0.0, (3, 4), F32), index, b.input(2, (3, 1), F32), 1, "add")
    graph = simplify(Graph((taken, put), ()))
    assert [n.op for n in graph.outputs] == ["sum", "where"]
    arrays = [np.arange(12, dtype=np.float32).reshape(3, 4), np.array([[0], [3], [2]]), np.ones((3, 1), np.float32)]
    for before, after in zip(evaluate([taken, put], arrays), evaluate(graph.outputs, arrays), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_transposed_product_is_computed_transposed() -> None:
    y = b.input(1, (2, 4, 5), F32)
    x = b.input(2, (2, 3, 4), F32)
    node = b.permute(b.dot(x, y), (0, 2, 1))
    new = simplified(node)
    assert new.op == "dot" and new.shape == (2, 5, 3)
    rng = np.random.default_rng(0)
    arrays = [np.zeros((3, 4), np.float32), rng.standard_normal((2, 4, 5), np.float32), rng.standard_normal((2, 3, 4), np.float32)]
    np.testing.assert_allclose(evaluate([new], arrays)[0], evaluate([node], arrays)[0], rtol=1e-5)
    # A product that is used otherwise too is computed once.
    product = b.dot(x, y)
    graph = simplify(Graph((b.permute(product, (0, 2, 1)), product), ()))
    assert [n.op for n in graph.outputs] == ["permute", "dot"]
    assert simplified(b.permute(b.dot(x, y), (2, 0, 1))).op == "permute"


def test_sources_are_kept() -> None:
    x = Node("neg", (X,), (), X.shape, F32, False, "train.py:7")
    assert simplified(b.exp(b.mul(x, C(1.0)))).inputs[0].source == "train.py:7"


def test_unchanged_graphs_keep_their_nodes() -> None:
    node = b.exp(b.add(X, X))
    assert simplified(node) is node
