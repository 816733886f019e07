"""Text forms of every stage, and what TRINE_DEBUG prints: 1 plans, 2 graphs and fusion decisions too, 3 loop nests too.

(LLVM IR, from 3 on, and assembly, at 4, are printed as kernels are compiled: `trine.compiler.compile`.)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trine.compiler.nest import Access, Instruction, LoopNest
from trine.compiler.passes.groups import Group
from trine.compiler.passes.stages import Compilation
from trine.compiler.program import Command, HostCommand, Program, Value
from trine.core.graph import Node, format_graph


def print_stages(compilation: Compilation, debug: int) -> None:
    """Print to the standard error stream what a debug level asks for."""
    parts = []
    if debug >= 2:
        parts += [format_graph(compilation.graph.outputs), format_groups(compilation)]
    if debug >= 3:
        parts += [format_nest(nest) for nest in compilation.lowering.nests]
    parts += [format_program(compilation.program), *format_fallbacks(compilation)]
    print("\n".join(parts), file=sys.stderr)


def format_fallbacks(compilation: Compilation) -> list[str]:
    """Return a line for everything that runs on the host, and why."""
    return [f"on the host: {', '.join(n.op for n in nodes)}: {reason.splitlines()[0]}" for nodes, reason in compilation.lowering.fallbacks]


def format_groups(compilation: Compilation) -> str:
    """Return the groups in order, what each stores, and why things were not fused."""
    number = {node: k for k, node in enumerate(compilation.order)}
    lines = []
    for position, group in enumerate(compilation.schedule):
        lines.append(f"group {position}: {_group_head(group)}")
        if group.node is not None:
            sources = ", ".join(_name(port.source, number) for port in compilation.plan.ports[group])
            lines.append(f"  %{number[group.node]} = {group.node.op}({sources})")
            continue
        for node, index, operands in reversed(group.entries):
            what = "load" if operands is None else node.op
            stored = "  stored" if node in group.roots and group.roots[node] is index else ""
            lines.append(f"  %{number[node]} {what} {index}{stored}")
    lines += [f"not fused: {decision}" for decision in compilation.plan.decisions]
    return "\n".join(lines)


def _group_head(group: Group) -> str:
    if group.node is not None:
        return group.node.op
    axes = [f"{extent}{' reduced' if k in group.reduced else ''}" for k, extent in enumerate(group.extents)]
    return f"nest [{', '.join(axes)}], {group.count} instructions"


def _name(node: Node | None, number: dict[Node, int]) -> str:
    return "?" if node is None else f"%{number[node]}"


def format_nest(nest: LoopNest) -> str:
    """Return a loop nest as text."""
    axes = ", ".join(f"i{k} < {axis.extent}{' reduced' if axis.reduced else ''}" for k, axis in enumerate(nest.axes))
    lines = [f"nest {axes}"]
    values: dict[Value, str] = {}
    for k, access in enumerate(nest.accesses):
        lines.append(f"  access {k}: {_format_access(access, values)}")
    for k, instruction in enumerate(nest.instructions):
        lines.append(f"  %{k} = {_format_instruction(instruction)}")
    lines += [f"  store %{instruction} to access {access}" for instruction, access in nest.stores]
    return "\n".join(lines)


def _format_access(access: Access, values: dict[Value, str]) -> str:
    value = access.value
    name = f"{value.kind} {value.position}" if value.position >= 0 else values.setdefault(value, f"temporary {chr(97 + len(values) % 26)}")
    parts = [f"{s}*i{k}" if s != 1 else f"i{k}" for k, s in enumerate(access.strides) if s]
    walk = " + ".join([*parts, str(access.offset)] if access.offset else parts)
    bounds = "".join(f" where {low} <= i{axis} < {high} else {access.fill!r}" for axis, low, high in access.bounds)
    return f"{name} {value.dtype.name}{list(value.shape)} at {walk or '0'}{bounds}"


def _format_instruction(instruction: Instruction) -> str:
    args = ", ".join(f"%{a}" for a in instruction.args)
    attrs = " ".join(getattr(a, "name", None) or repr(a) for a in instruction.attrs)
    row = " (row)" if instruction.row else ""
    return f"{instruction.op}({args}) {attrs}".rstrip() + f" : {instruction.dtype.name}{row}"


def format_program(program: Program) -> str:
    """Return a program as text, one command a line."""
    lines = [f"program: {len(program.commands)} commands, arena {program.arena_bytes} bytes, scratch {program.scratch_bytes} bytes"]
    for number, command in enumerate(program.commands):
        lines.append(f"  {number}: {_format_command(command)}")
    return "\n".join(lines)


def _format_command(command: Command | HostCommand) -> str:
    if isinstance(command, HostCommand):
        operands = ", ".join(_place(value) for value in command.inputs)
        return f"host {command.node.op} {operands} -> {_place(command.output)}{_sources((command.node,))}"
    reads = ", ".join(_place(o.value) for o in command.operands if o.access == "r")
    writes = ", ".join(_place(o.value) for o in command.operands if o.access != "r")
    ops = " ".join(node.op for node in command.nodes[:12]) + (" …" if len(command.nodes) > 12 else "")
    return f"{command.name} units={command.units} cost={command.cost} {reads} -> {writes} [{ops}]{_sources(command.nodes)}"


def _place(value: Value) -> str:
    letter = {"input": "in", "output": "out", "temporary": "t", "scalar": "s"}[value.kind]
    return f"{letter}{value.position if value.position >= 0 else '@' + str(value.offset)}"


def _sources(nodes: Sequence[Node]) -> str:
    lines = sorted({node.source for node in nodes if node.source})
    return "  # " + ", ".join(lines) if lines else ""
