"""Memory: where each value lives. Temporaries share the arena by lifetime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from trine.compiler.program import Command, HostCommand, Value

ALIGNMENT = 64
ARENA_SLOT = 4
FIRST_SLOT = 5

AnyCommand = Command | HostCommand


def touched(command: AnyCommand) -> list[tuple[Value, str]]:
    """Return the values of a command and how it uses them ("r", "w" or "rw")."""
    if isinstance(command, Command):
        return [(operand.value, operand.access) for operand in command.operands]
    return [*((value, "r") for value in command.inputs), (command.output, "w")]


def place(
    commands: Sequence[AnyCommand],
    inputs: Iterable[Value],
    outputs: Sequence[Value],
    aliases: Mapping[Value, tuple[Value, int]],
    num_inputs: int,
) -> int:
    """Give every value a slot and an offset; return the bytes of the arena.

    Args:
        commands: in order.
        inputs, outputs: their `position` decides the slot.
        aliases: a value that lies inside another one: (the other, byte offset).
        num_inputs: number of input slots.
    """
    for value in inputs:
        value.slot = FIRST_SLOT + value.position
    for value in outputs:
        value.slot = FIRST_SLOT + num_inputs + value.position
    first: dict[Value, int] = {}
    last: dict[Value, int] = {}
    for number, command in enumerate(commands):
        for value, _ in touched(command):
            while value in aliases:
                value = aliases[value][0]
            if value.kind == "prepared":
                value.slot = FIRST_SLOT + num_inputs + len(outputs)
            if value.kind == "temporary":
                if value not in first:
                    first[value] = number
                last[value] = number
    total = _pack(first, last, len(commands))
    for alias in aliases:
        base, offset = alias, 0
        while base in aliases:
            base, step = aliases[base]
            offset += step
        alias.slot, alias.offset = base.slot, base.offset + offset
    return total


def _pack(first: dict[Value, int], last: dict[Value, int], count: int) -> int:
    """Assign arena offsets: best fit over the holes that dead values leave."""
    dying: list[list[Value]] = [[] for _ in range(count)]
    for value, number in last.items():
        dying[number].append(value)
    holes: list[tuple[int, int]] = []  # (offset, size), by offset, never adjacent
    top = peak = 0
    number = -1
    for value, start in first.items():
        while number < start - 1:
            number += 1
            for dead in dying[number]:
                top = _release(holes, dead.offset, _rounded(dead), top)
        size = _rounded(value)
        value.slot = ARENA_SLOT
        best = -1
        for k, (_, room) in enumerate(holes):
            if room >= size and (best < 0 or room < holes[best][1]):
                best = k
        if best < 0:
            value.offset = top
            top += size
            peak = max(peak, top)
        else:
            offset, room = holes[best]
            value.offset = offset
            if room == size:
                del holes[best]
            else:
                holes[best] = (offset + size, room - size)
    return peak


def _rounded(value: Value) -> int:
    return max(-(-value.nbytes // ALIGNMENT), 1) * ALIGNMENT


def _release(holes: list[tuple[int, int]], offset: int, size: int, top: int) -> int:
    """Give a range back; return the new end of the used memory."""
    low, high = 0, len(holes)
    while low < high:
        middle = (low + high) // 2
        if holes[middle][0] < offset:
            low = middle + 1
        else:
            high = middle
    if low < len(holes) and offset + size == holes[low][0]:
        size += holes[low][1]
        del holes[low]
    if low and holes[low - 1][0] + holes[low - 1][1] == offset:
        offset, size = holes[low - 1][0], holes[low - 1][1] + size
        low -= 1
        del holes[low]
    if offset + size == top:
        return offset
    holes.insert(low, (offset, size))
    return top
