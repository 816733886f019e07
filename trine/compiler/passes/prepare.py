"""Preparation: commands that only change the form of inputs (packed weights) come first, and their results outlive a run.

Such results go to memory of their own, which the plan keeps: while the inputs stay what they were, later runs begin after them.
"""

from __future__ import annotations

from collections.abc import Collection

from trine.compiler.passes.commands import Lowering
from trine.compiler.passes.memory import ALIGNMENT, touched
from trine.compiler.program import Command, Preparation, Value


def prepare(lowering: Lowering) -> Preparation:
    """Move the commands that prepare inputs to the front, and give their results places in the memory of the preparation."""
    written = {position for _, position in lowering.graph.donations}
    first, rest, positions = [], [], set()
    offset = 0
    for command in lowering.commands:
        if not isinstance(command, Command) or not command.is_preparation:
            rest.append(command)
            continue
        sources = {lowering.base(value) for value, access in touched(command) if access == "r"}
        results = [value for value, access in touched(command) if access != "r"]
        if not all([_is_lasting(value, written) for value in sources]):
            rest.append(command)
            continue
        first.append(command)
        positions.update([value.position for value in sources])
        for value in results:
            value.kind, value.offset = "prepared", offset
            offset += -(-value.nbytes // ALIGNMENT) * ALIGNMENT
    lowering.commands[:] = [*first, *rest]
    return Preparation(len(first), offset, tuple(sorted(positions)))


def _is_lasting(value: Value, written: Collection[int]) -> bool:
    return value.kind == "input" and value.position not in written
