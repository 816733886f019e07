"""Programs and random graphs: the native engine, on every target, against the NumPy reference."""

from __future__ import annotations

import model_graphs
import numpy as np
import pytest
import random_graphs
from oracle_support import TARGETS, assert_close, check, engine, leaf, run_native

from trine import dtypes, engines
from trine.compiler.target import Target, host_target
from trine.core import build as b
from trine.core.graph import Graph
from trine.core.interpreter import evaluate
from trine.errors import ArgumentError, IndexOutOfRangeError
from trine.runtime.memory import from_array


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("name", model_graphs.MODELS)
def test_programs(name: str, target: Target) -> None:
    graph = model_graphs.graph_of(model_graphs.MODELS[name]())
    arrays = model_graphs.arrays_of(graph)
    expected = evaluate(graph.outputs, arrays, model_graphs.SCALARS)
    for node, want, got in zip(graph.outputs, expected, run_native(graph, arrays, model_graphs.SCALARS, target), strict=True):
        assert_close(node, want, got, 100)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_random_graphs(target: Target) -> None:
    for seed in range(40):
        case = random_graphs.make(seed)
        check(case.graph.outputs, case.arrays, case.scalars, target=target, donations=case.graph.donations, tolerance=20)


@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 33, 100])
def test_row_lengths(rows: int) -> None:
    x = leaf(0, (3, rows))
    array = np.random.default_rng(rows).normal(size=(3, rows)).astype(np.float32)
    check([model_graphs.softmax_node(x), b.sum(x, (0,)), model_graphs.log_softmax_node(b.permute(x, (1, 0)))], [array], tolerance=5)


def test_large_reductions_and_maps() -> None:
    x = leaf(0, (700, 300))
    array = np.random.default_rng(1).uniform(0.5, 1.5, (700, 300)).astype(np.float32)
    check([b.sum(x, (0, 1)), b.sum(x, (0,)), b.max(x, (1,)), b.exp(x), b.argmax(x, 0)], [array], tolerance=5)


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    from trine.runtime import pool

    graph = model_graphs.graph_of(model_graphs.layer_norm_training())
    arrays = model_graphs.arrays_of(graph)
    before = pool.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            pool.set_num_threads(threads)
            results.append([r.tobytes() for r in run_native(graph, arrays)])
    finally:
        pool.set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_an_index_out_of_range_names_the_line() -> None:
    x, i = leaf(0, (4, 3)), leaf(1, (2,), dtypes.int64)
    node = b.take(x, b.check_index(i, 4), 0)
    node.inputs[1].source = "train.py:12 in step"
    executable = engine(host_target()).compile(Graph((node,), (x, i)))
    inputs = [from_array(np.zeros((4, 3), np.float32)), from_array(np.array([1, 4]))]
    with pytest.raises(
        IndexOutOfRangeError, match=r"axis of size 4\n  received: 4\n  expected: an index from -4 to 3\n  at: train.py:12 in step"
    ):
        executable.run(inputs)
    inputs[1] = from_array(np.array([1, -4]))
    assert executable.run(inputs)[0].nbytes == 24


def test_scalars_beyond_those_named_are_ignored() -> None:
    x = leaf(0, (3,))
    executable = engine(host_target()).compile(Graph((b.mul(x, b.cast(b.scalar(1, dtypes.float64), dtypes.float32)),), (x,)))
    (result,) = executable.run([from_array(np.ones(3, np.float32))], [7, 2.5, 3])
    assert result.array(np.float32, (3,)).tolist() == [2.5] * 3


@pytest.mark.parametrize("name", ["native", "numpy"])
def test_engines_write_over_donated_inputs(name: str) -> None:
    p = leaf(0, (4,))
    graph = Graph((b.mul(p, b.const(2.0, dtypes.float32)), b.neg(p)), (p,), ((0, 0),))
    buffer = from_array(np.arange(4, dtype=np.float32))
    doubled, negated = engines.get(name).compile(graph).run([buffer])
    assert doubled is buffer
    assert doubled.array(np.float32, (4,)).tolist() == [0, 2, 4, 6]
    assert negated.array(np.float32, (4,)).tolist() == [0, -1, -2, -3]


def test_unknown_engine() -> None:
    with pytest.raises(ArgumentError, match="engine: no such engine"):
        engines.get("cuda")
    assert engines.names() == ("native", "numpy")
    assert engines.get("native") is engines.get("native")
