"""Donations: an output that is written over an input goes there directly where nobody reads the input later, else by a copy at the end."""

from __future__ import annotations

from trine.compiler.passes.commands import Lowering
from trine.compiler.passes.memory import AnyCommand, touched
from trine.compiler.program import Command, HostCommand, Operand, Value


def copy_donations(lowering: Lowering) -> None:
    """Redirect the outputs that cannot be written in place to temporaries, and add the copies."""
    donations = lowering.graph.donations
    if not donations:
        return
    readers: dict[Value, list[int]] = {}
    writers: dict[Value, list[int]] = {}
    for number, command in enumerate(lowering.commands):
        for value, access in touched(command):
            value = lowering.base(value)
            if value.kind == "input":
                readers.setdefault(value, []).append(number)
            elif value.kind == "output" and access != "r":
                writers.setdefault(value, []).append(number)
    for position, source in donations:
        output = lowering.outputs[position]
        memory = lowering.inputs.get(source)
        if memory is not None and not _is_direct(lowering, memory, output, readers.get(memory, []), writers.get(output, [])):
            _through_temporary(lowering, output)


def _is_direct(lowering: Lowering, memory: Value, output: Value, reads: list[int], writes: list[int]) -> bool:
    """Return whether every read of the input comes before the output is written, or at the same positions in one pass."""
    if not reads or not writes:
        return True
    first = writes[0]
    return all([number < first or (number == first and (memory, output) in lowering.in_place) for number in reads])


def _through_temporary(lowering: Lowering, output: Value) -> None:
    temporary = lowering.temporary(output.shape, output.dtype)
    for command in lowering.commands:
        _replace(command, output, temporary)
    for alias, (base, offset) in list(lowering.aliases.items()):
        if base is output:
            lowering.aliases[alias] = (temporary, offset)
    lowering.commands += lowering.copy(temporary, output, (lowering.graph.outputs[output.position],))


def _replace(command: AnyCommand, old: Value, new: Value) -> None:
    if isinstance(command, Command):
        for k, operand in enumerate(command.operands):
            if operand.value is old:
                command.operands[k] = Operand(new, operand.offset, operand.access)
    else:
        _replace_host(command, old, new)


def _replace_host(command: HostCommand, old: Value, new: Value) -> None:
    command.inputs = [new if value is old else value for value in command.inputs]
    if command.output is old:
        command.output = new
