"""Checkers: each stage's data keeps its promises. They run in the tests and with TRINE_DEBUG of 1 or more."""

from __future__ import annotations

from collections.abc import Sequence

from trine.compiler.nest import LoopNest
from trine.compiler.passes.fuse import FusionPlan
from trine.compiler.passes.groups import Group
from trine.compiler.passes.memory import touched
from trine.compiler.passes.stages import Compilation
from trine.compiler.program import Program, Value
from trine.core.graph import Graph, Node
from trine.errors import CompileError, message


def _fail(stage: str, what: str) -> None:
    raise CompileError(message(f"{stage}: the checker found a mistake", received=what, fix="report it with the program that shows it"))


def verify(compilation: Compilation) -> None:
    """Check every stage of a compilation.

    Raises:
        CompileError: a checker found a mistake of the compiler.
    """
    verify_graph(compilation.graph, compilation.order)
    verify_order(compilation.plan, compilation.schedule)
    for nest in compilation.lowering.nests:
        verify_nest(nest)
    verify_program(compilation.program)


def verify_graph(graph: Graph, order: Sequence[Node]) -> None:
    """Check that every node comes after its operands, and that outputs and donations exist and agree."""
    seen: set[Node] = set()
    for node in order:
        for operand in node.inputs:
            if operand not in seen:
                _fail("graph", f"{node} stands before its operand {operand}")
        seen.add(node)
    for output in graph.outputs:
        if output not in seen:
            _fail("graph", f"output {output} is missing")
    positions = {node.attrs[0]: node for node in seen if node.op == "input"}
    for output_number, position in graph.donations:
        if not 0 <= output_number < len(graph.outputs):
            _fail("graph", f"donation to output {output_number} of {len(graph.outputs)}")
        source, target = positions.get(position), graph.outputs[output_number]
        if source is not None and (source.shape, source.dtype) != (target.shape, target.dtype):
            _fail("graph", f"donation of {source} to {target}")


def verify_order(plan: FusionPlan, order: Sequence[Group]) -> None:
    """Check that every group comes after those that store what it reads, and that all are there."""
    if len(order) != len(plan.groups) or set(order) != set(plan.groups):
        _fail("schedule", f"{len(order)} of {len(plan.groups)} groups")
    done: set[Node] = set()
    for group in order:
        reads = [entry[0] for entry in group.entries if entry[2] is None]
        if group.node is not None:
            reads += [port.source for port in plan.ports[group] if port.source is not None]
        for read in reads:
            if read is not group.node and read.op != "input" and read not in done:
                _fail("schedule", f"{read} is read before it is stored")
        done.update(group.roots)
        if group.node is not None:
            done.add(group.node)
        if group.node in plan.views:
            done.add(plan.views[group.node][0])


def verify_nest(nest: LoopNest) -> None:
    """Check ranks, operand numbers, row levels and that no access leaves its array."""
    rank = len(nest.axes)
    reduced = [k for k, axis in enumerate(nest.axes) if axis.reduced]
    for number, instruction in enumerate(nest.instructions):
        if any(not 0 <= a < number for a in instruction.args):
            _fail("nest", f"instruction {number} ({instruction.op}) uses {instruction.args}")
        from_rows = instruction.op in ("reduce", "load", "iota") or all(nest.instructions[a].row for a in instruction.args)
        if instruction.row and not from_rows:
            _fail("nest", f"row instruction {number} ({instruction.op}) of a full operand")
        if instruction.op == "load" and nest.accesses[instruction.attrs[0]].value.dtype is not instruction.dtype:
            _fail("nest", f"load {number} of another dtype")
    stored = set()
    for number, access_number in nest.stores:
        access = nest.accesses[access_number]
        stored.add(access_number)
        if nest.instructions[number].row and any(access.strides[k] for k in reduced):
            _fail("nest", f"row value {number} is stored along a reduced axis")
        if nest.instructions[number].dtype is not access.value.dtype:
            _fail("nest", f"store of {nest.instructions[number].dtype.name} to {access.value.dtype.name}")
    if any(axis.extent == 0 for axis in nest.axes):
        return
    for access in nest.accesses:
        if len(access.strides) != rank:
            _fail("nest", f"an access with {len(access.strides)} strides in a nest of {rank} axes")
        _check_bounds(nest, access.value, access.offset, access.strides, access.bounds)


def _check_bounds(nest: LoopNest, value: Value, offset: int, strides: tuple[int, ...], bounds: tuple[tuple[int, int, int], ...]) -> None:
    low = high = offset
    within = {axis: (first, last) for axis, first, last in bounds}
    for k, stride in enumerate(strides):
        first, last = within.get(k, (0, nest.axes[k].extent))
        if first >= last:
            return
        ends = (stride * first, stride * (last - 1))
        low += min(ends)
        high += max(ends)
    count = value.nbytes // value.dtype.itemsize
    if low < 0 or high >= count:
        _fail("nest", f"elements {low} to {high} of an array of {count}")


def verify_program(program: Program) -> None:
    """Check that every value has a place, is written before it is read, and that live temporaries do not overlap."""
    uses = [touched(command) for command in program.commands]
    for values in uses:
        for value, _ in values:
            if value.slot < 0:
                _fail("memory", f"{value.kind} of shape {value.shape} has no place")
            if value.slot == 4:
                if value.offset + value.nbytes > program.arena_bytes:
                    _fail("memory", f"{value.nbytes} bytes at {value.offset} of an arena of {program.arena_bytes}")
    owner: list[tuple[int, int, Value, int]] = []
    final: dict[Value, int] = {}
    for number, values in enumerate(uses):
        for value, _ in values:
            final[value] = number
    for number, values in enumerate(uses):
        owner = [entry for entry in owner if entry[3] >= number]
        for value, _ in values:
            if value.slot != 4 or any(entry[2] is value for entry in owner):
                continue
            begin, end = value.offset, value.offset + value.nbytes
            for other_begin, other_end, other, _ in owner:
                if begin < other_end and other_begin < end and (begin, end) != (other_begin, other_end) and not _is_view(value, other):
                    _fail("memory", f"live values overlap at {begin}")
            owner.append((begin, end, value, final[value]))


def _is_view(a: Value, b: Value) -> bool:
    """Return whether one lies inside the other, as an alias does."""
    (small, large) = (a, b) if a.nbytes <= b.nbytes else (b, a)
    return large.offset <= small.offset and small.offset + small.nbytes <= large.offset + large.nbytes
