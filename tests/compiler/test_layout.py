"""Layouts: channels last between convolutions, row-major at the edges."""

from __future__ import annotations

import model_graphs

from trine import dtypes
from trine.compiler.passes.layout import channels_last_nodes
from trine.compiler.pipeline import compile_stages
from trine.compiler.target import host_target
from trine.core import build as b
from trine.core.graph import Graph, topological_order

F32 = dtypes.float32


def test_convolutions_and_what_follows_have_channels_last() -> None:
    x, w = b.input(0, (2, 3, 8, 8), F32), b.input(1, (4, 3, 3, 3), F32)
    y = b.maximum(b.conv(x, w, 1, 1), b.const(0.0, F32))
    pooled = b.window_max(y, 2, 2)
    order = topological_order([pooled])
    assert channels_last_nodes(order, {pooled}) == {y, y.inputs[0]}


def test_graphs_without_convolutions_have_none() -> None:
    graph = model_graphs.graph_of(model_graphs.attention())
    assert not channels_last_nodes(topological_order(graph.outputs), set())


def test_values_of_a_network() -> None:
    graph = model_graphs.graph_of(model_graphs.conv_net())
    lowering = compile_stages(graph, host_target()).lowering
    assert all(v.strides == v.strides and v.kind == "output" for v in lowering.outputs)
    layouts = {node.op: value.strides for node, value in lowering._values.items() if node.op in ("window_max", "conv")}
    assert all(strides[1] == 1 for strides in layouts.values())


def test_outputs_are_row_major() -> None:
    x, w = b.input(0, (2, 3, 8, 8), F32), b.input(1, (4, 3, 3, 3), F32)
    y = b.conv(x, w, 1, 1)
    lowering = compile_stages(Graph((y, b.exp(y)), (x, w)), host_target()).lowering
    assert [v.strides for v in lowering.outputs] == [(256, 64, 8, 1)] * 2
