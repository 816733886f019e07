"""The table of contents of the compiler: from a graph to a program."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from trine import config, dtypes
from trine.compiler import explain
from trine.compiler.lower.loop import unsupported
from trine.compiler.passes import verify
from trine.compiler.passes.accumulate import accumulate
from trine.compiler.passes.assemble import assemble
from trine.compiler.passes.commands import Lowering
from trine.compiler.passes.demand import demand
from trine.compiler.passes.donate import copy_donations
from trine.compiler.passes.fuse import fuse
from trine.compiler.passes.layout import channels_last_nodes
from trine.compiler.passes.memory import place
from trine.compiler.passes.prepare import prepare
from trine.compiler.passes.schedule import schedule
from trine.compiler.passes.simplify import simplify
from trine.compiler.passes.stack import stack
from trine.compiler.passes.stages import Compilation
from trine.compiler.passes.tables import REDUCTIONS
from trine.compiler.program import Command, Preparation, Program, Value
from trine.compiler.target import Target
from trine.core.graph import Graph, Node, topological_order


def compile_graph(graph: Graph, target: Target, threads: int = 1) -> Program:
    """Return the program that computes a graph.

    Args:
        graph: outputs, inputs and donations. The arrays of inputs and outputs are row-major.
        target: what the kernels are for.
        threads: number of threads that will run it; results do not depend on it.
    """
    debug = config.settings.debug
    with collector_paused():
        compilation = compile_stages(graph, target, threads, explain_decisions=debug >= 2, check=debug >= 1)
    if debug:
        explain.print_stages(compilation, debug)
    return compilation.program


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the cyclic garbage collector from walking the whole heap time and again while thousands of small objects are made."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def compile_stages(graph: Graph, target: Target, threads: int = 1, *, explain_decisions: bool = False, check: bool = False) -> Compilation:
    """As `compile_graph`, keeping what every stage made; `check` runs the checkers."""
    graph = simplify(graph)
    smaller = demand(graph)
    if smaller is not graph:
        graph = simplify(smaller)
    graph = stack(accumulate(assemble(graph)))
    order = topological_order(graph.outputs)
    plan = fuse(order, graph.outputs, _has_no_instruction, explain_decisions)
    groups = schedule(plan, graph)
    lowering = Lowering(graph, plan, channels_last_nodes(order, set(graph.outputs)), target, threads)
    lowering.run(groups)
    copy_donations(lowering)
    preparation = prepare(lowering)
    num_inputs = _num_inputs(graph, order)
    arena = place(lowering.commands, lowering.inputs.values(), lowering.outputs, lowering.aliases, num_inputs)
    program = _program(lowering, num_inputs, arena, preparation)
    compilation = Compilation(graph, order, plan, groups, lowering, program)
    if check:
        verify.verify(compilation)
    return compilation


def _has_no_instruction(node: Node) -> bool:
    """Return whether a node of an elementwise, reducing or source primitive has no loop instruction."""
    op = node.op
    dtype = node.inputs[-1].dtype if node.inputs and op != "random_bits" else node.dtype
    if op in REDUCTIONS:
        return dtype.is_complex
    return unsupported(op, dtype) or node.dtype.is_complex


def _num_inputs(graph: Graph, order: Sequence[Node]) -> int:
    count = len(graph.inputs)
    for node in order:
        if node.op == "input":
            count = max(count, node.attrs[0] + 1)
    return count


def _program(lowering: Lowering, num_inputs: int, arena: int, preparation: Preparation) -> Program:
    unused = Value((), dtypes.bool_, (), "input")
    inputs = [lowering.inputs.get(i, unused) for i in range(num_inputs)]
    scratch = max([command.scratch for command in lowering.commands if isinstance(command, Command)], default=0)
    return Program(lowering.commands, inputs, lowering.outputs, arena, scratch, lowering.status_nodes, preparation)
