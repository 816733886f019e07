"""Whole compilations: every stage keeps its promises, and the commands compute what the graph says."""

from __future__ import annotations

import numpy as np
import program_reference
import pytest
import random_graphs
from hypothesis import given, settings
from hypothesis import strategies as st

from trine import dtypes
from trine.compiler.passes.verify import verify_program
from trine.compiler.pipeline import compile_graph
from trine.compiler.program import Command
from trine.compiler.target import host_target
from trine.core import build as b
from trine.core.graph import Graph, Node
from trine.core.interpreter import evaluate
from trine.errors import CompileError

F32 = dtypes.float32


def check(graph: Graph, arrays: list[np.ndarray], scalars: list[float] | None = None) -> None:
    with np.errstate(all="ignore"):
        expected = evaluate(graph.outputs, arrays, scalars or [])
    compilation = program_reference.compile_reference(graph)
    for node, want, got in zip(graph.outputs, expected, program_reference.run(compilation, arrays, scalars or []), strict=True):
        finite = np.abs(want[np.isfinite(want)])
        np.testing.assert_allclose(got, want, rtol=4e-4, atol=4e-4 * min(1.0, float(finite.max(initial=0))) + 1e-30, err_msg=repr(node))


@settings(max_examples=250, deadline=None, derandomize=True)
@given(st.integers(0, 1 << 30))
def test_random_graphs(seed: int) -> None:
    case = random_graphs.make(seed)
    check(case.graph, case.arrays, case.scalars)


def test_many_seeds() -> None:
    for seed in range(400):
        case = random_graphs.make(seed)
        check(case.graph, case.arrays, case.scalars)


def test_aliased_inputs_share_memory() -> None:
    x, y = b.input(0, (4, 3), F32), b.input(0, (4, 3), F32)
    graph = Graph((b.add(x, y),), (x,))
    program = compile_graph(graph, host_target())
    assert len(program.inputs) == 1
    check(graph, [np.arange(12, dtype=np.float32).reshape(4, 3)])


def test_output_that_is_an_input_or_stands_twice() -> None:
    x = b.input(0, (4, 3), F32)
    y = b.exp(x)
    t = b.permute(x, (1, 0))
    check(Graph((x, y, y, t, t, x), (x,)), [np.arange(12, dtype=np.float32).reshape(4, 3)])


def test_constant_outputs() -> None:
    c = b.const(2.0, F32)
    check(Graph((c, b.full(3, (2, 2), dtypes.int64), b.iota((3, 4), 1)), ()), [])


def test_unused_positions_have_slots() -> None:
    x = b.input(2, (3,), F32)
    program = compile_graph(Graph((b.neg(x),), (None, None, x, None)), host_target())  # type: ignore[arg-type]
    assert len(program.inputs) == 4
    assert program.outputs[0].slot == 9


def donated(update: Node, p: Node, *rest: Node) -> int:
    """Return the number of commands that compute `update` over `p`."""
    return len(compile_graph(Graph((update, *rest), (p,), ((0, p.attrs[0]),)), host_target()).commands)


def test_donation_in_place_takes_one_command() -> None:
    p = b.input(0, (64,), F32)
    assert donated(b.sub(p, b.mul(p, b.const(0.1, F32))), p) == 1


def test_donation_with_a_later_reader_is_copied_at_the_end() -> None:
    p = b.input(0, (8, 8), F32)
    flipped = b.add(b.permute(p, (1, 0)), b.const(1.0, F32))
    assert donated(flipped, p) == 2
    check(Graph((flipped,), (p,), ((0, 0),)), [np.arange(64, dtype=np.float32).reshape(8, 8)])


def test_readers_of_a_donated_input_run_first() -> None:
    p = b.input(0, (8, 8), F32)
    x = b.input(1, (8, 8), F32)
    update, product = b.mul(p, b.const(0.5, F32)), b.dot(x, p)
    graph = Graph((update, product), (p, x), ((0, 0),))
    compilation = program_reference.compile_reference(graph)
    assert [c.name for c in compilation.program.commands if isinstance(c, Command)] == ["dot", "nest"]
    check(graph, [np.ones((8, 8), np.float32), np.ones((8, 8), np.float32)])


def test_swap_by_donations() -> None:
    p, q = b.input(0, (4,), F32), b.input(1, (4,), F32)
    graph = Graph((b.neg(q), b.neg(p)), (p, q), ((0, 0), (1, 1)))
    check(graph, [np.arange(4, dtype=np.float32), np.arange(4, 8, dtype=np.float32)])


def test_donation_of_an_unchanged_input() -> None:
    p = b.input(0, (4,), F32)
    assert donated(p, p) == 0


def test_checker_finds_overlapping_temporaries() -> None:
    x = b.input(0, (8, 8), F32)
    y = b.dot(b.exp(x), b.tanh(x))
    compilation = program_reference.compile_reference(Graph((y,), (x,)))
    temporaries = {
        o.value for c in compilation.program.commands if isinstance(c, Command) for o in c.operands if o.value.kind == "temporary"
    }
    for value in temporaries:
        value.offset = 0
    first, second = temporaries
    second.shape = (8, 4)
    second.offset = 192
    with pytest.raises(CompileError, match="memory: the checker found a mistake"):
        verify_program(compilation.program)
    assert first.offset == 0
