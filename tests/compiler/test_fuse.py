"""Fusion: how many commands real programs take, and that they compute the right thing."""

from __future__ import annotations

import model_graphs
import numpy as np
import program_reference
import pytest

from trine import dtypes
from trine.compiler.passes.fuse import MAX_INSTRUCTIONS
from trine.compiler.passes.groups import Group
from trine.core import build as b
from trine.core.graph import Graph, Node, topological_order
from trine.core.interpreter import evaluate

F32 = dtypes.float32
# Groups of each program: (nests, heavy primitives).
GROUPS = {
    **{"softmax": (1, 0), "softmax_backward": (1, 0), "layer_norm": (1, 0), "layer_norm_training": (3, 0), "cross_entropy": (3, 0)},
    **{"adam": (4, 0), "mlp": (3, 5), "rnn": (2, 14), "batch_norm": (8, 3), "attention": (1, 6), "gelu": (1, 0), "dropout": (1, 0)},
    "conv_net": (8, 12),
}


def groups_of(*outputs: Node) -> list[Group]:
    positions = {n.attrs[0]: n for n in topological_order(outputs) if n.op == "input"}
    graph = Graph(tuple(outputs), tuple(positions[k] for k in sorted(positions)))
    return program_reference.compile_reference(graph).schedule


@pytest.mark.parametrize("name", model_graphs.MODELS)
def test_groups_of_programs(name: str) -> None:
    graph = model_graphs.graph_of(model_graphs.MODELS[name]())
    arrays = model_graphs.arrays_of(graph)
    compilation = program_reference.compile_reference(graph)
    nests = [g for g in compilation.schedule if g.node is None]
    assert (len(nests), len(compilation.schedule) - len(nests)) == GROUPS[name]
    with np.errstate(all="ignore"):
        expected = evaluate(graph.outputs, arrays, model_graphs.SCALARS)
    for want, got in zip(expected, program_reference.run(compilation, arrays, model_graphs.SCALARS), strict=True):
        np.testing.assert_allclose(got, want, rtol=3e-3, atol=3e-3)


def test_cheap_producers_are_evaluated_again_and_expensive_ones_stored() -> None:
    x = b.input(0, (8, 8), F32)
    cheap, dear = b.neg(x), b.exp(x)
    assert [len(g.roots) for g in groups_of(b.sum(cheap, (0,)), b.dot(x, x), b.cumsum(b.add(cheap, x), 0)) if g.node is None] == [1, 1]
    stored = [root.op for g in groups_of(b.sum(dear, (0,)), b.cumsum(b.add(dear, x), 0)) for root in g.roots]
    assert stored.count("exp") == 1


def test_several_results_of_one_pass() -> None:
    x, y = b.input(0, (40, 7), F32), b.input(1, (40, 7), F32)
    z = b.tanh(b.mul(x, y))
    (group,) = groups_of(z, b.exp(z), b.mul(z, z), b.lt(z, x))
    assert len(group.roots) == 4


def test_long_chains_are_cut_into_equal_pieces() -> None:
    x = b.input(0, (1000,), F32)
    for _ in range(4 * MAX_INSTRUCTIONS):
        x = b.add(b.neg(x), b.const(1.5, F32))
    counts = [g.count for g in groups_of(x)]
    assert sum(counts) == 8 * MAX_INSTRUCTIONS and set(counts) == {MAX_INSTRUCTIONS}


def test_column_sums_that_share_an_array() -> None:
    g, x = b.input(0, (64, 30), F32), b.input(1, (64, 30), F32)
    (group,) = groups_of(b.sum(g, (0,)), b.sum(b.mul(g, x), (0,)))
    assert len(group.roots) == 2 and not group.trailing


def test_full_reductions_do_not_serialise_large_maps() -> None:
    x = b.input(0, (1000, 1000), F32)
    y = b.exp(x)
    assert len(groups_of(b.sum(y, (0, 1)), b.mul(y, x))) == 2


def test_dependent_groups_stay_apart() -> None:
    x = b.input(0, (16, 16), F32)
    y = b.exp(x)
    z = b.dot(y, x)
    groups = groups_of(b.add(z, y), y)
    assert [g.node.op if g.node else "nest" for g in groups] == ["nest", "dot"]


def test_padding_reads_what_is_stored() -> None:
    x = b.input(0, (5, 6), F32)
    assert len(groups_of(b.exp(b.pad(x, (1, 1), (1, 1), 2.0)))) == 1
    assert len(groups_of(b.pad(b.exp(x), (1, 1), (1, 1), 0.0))) == 2


def test_transposed_operands_of_products_are_not_copied() -> None:
    x, w = b.input(0, (4, 5, 6), F32), b.input(1, (3, 5), F32)
    left = b.slice(b.permute(x, (0, 2, 1)), (1, 0, 0), (3, 6, 5))
    right = b.expand(b.reshape(b.permute(w, (1, 0)), (1, 5, 3)), (2, 5, 3))
    assert len(groups_of(b.dot(left, right))) == 1


def test_a_product_writes_its_transpose() -> None:
    x, w = b.input(0, (4, 5), F32), b.input(1, (5, 3), F32)
    assert len(groups_of(b.permute(b.dot(x, w), (1, 0)))) == 1


def test_what_follows_a_product_is_computed_on_its_tiles() -> None:
    x, w, bias = b.input(0, (4, 5), F32), b.input(1, (5, 3), F32), b.input(2, (3,), F32)
    z = b.add(b.dot(x, w), bias)
    (group,) = groups_of(b.tanh(z), b.lt(z, bias))
    assert group.node is not None and group.node.op == "dot" and len(group.roots) == 2
    assert len(groups_of(b.lt(b.dot(x, w), bias))) == 2  # nothing is stored where the product could lie


def test_a_row_kernel_whose_reduction_is_stored_elsewhere() -> None:
    x = b.input(0, (64, 32), F32)
    total = b.sum(x, (1,))
    scaled = b.mul(x, b.sqrt(total))
    other = b.mul(b.cumsum(total, 0), b.rsqrt(total))
    outputs = (scaled, other, b.mul(x, other))
    arrays = [np.random.default_rng(1).uniform(0.5, 1.0, (64, 32)).astype(np.float32)]
    compilation = program_reference.compile_reference(Graph(outputs, (x,)))
    for want, got in zip(evaluate(outputs, arrays), program_reference.run(compilation, arrays), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)
