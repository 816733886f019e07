"""Memory: lifetimes, holes, alignment, aliases."""

from __future__ import annotations

import random

from trine import dtypes
from trine.compiler.passes.memory import ALIGNMENT, place, touched
from trine.compiler.program import Command, Kernel, Operand, Value

KERNEL = Kernel("test", lambda target: "")


def temporary(count: int) -> Value:
    return Value((count,), dtypes.float32, (1,))


def command(reads: list[Value], writes: list[Value]) -> Command:
    return Command(KERNEL, [*[Operand(v) for v in reads], *[Operand(v, 0, "w") for v in writes]], [], 1)


def test_a_chain_needs_two_places() -> None:
    values = [temporary(100) for _ in range(10)]
    commands = [command([], [values[0]]), *[command([a], [b]) for a, b in zip(values, values[1:], strict=False)]]
    assert place(commands, [], [], {}, 0) == 2 * 448
    assert all(v.slot == 4 and v.offset % ALIGNMENT == 0 for v in values)


def test_best_fit_takes_the_smallest_hole() -> None:
    big, wall, small, end, last = temporary(160), temporary(16), temporary(48), temporary(16), temporary(40)
    commands = [command([], [big, wall, small, end]), command([big, small], []), command([wall, end], [last])]
    place(commands, [], [], {}, 0)
    assert last.offset == small.offset


def test_aliases_live_in_their_base() -> None:
    base, other = temporary(64), temporary(64)
    alias = Value((4, 4), dtypes.float32, (4, 1))
    commands = [command([], [base]), command([], [other]), command([alias], [])]
    place(commands, [], [], {alias: (base, 64)}, 0)
    assert (alias.slot, alias.offset) == (4, base.offset + 64)
    assert other.offset != base.offset


def test_live_values_never_overlap() -> None:
    r = random.Random(3)
    for _ in range(50):
        live: list[Value] = []
        commands = []
        for _ in range(60):
            reads = r.sample(live, min(len(live), r.randint(0, 3)))
            new = temporary(r.randint(1, 300))
            commands.append(command(reads, [new]))
            live = [v for v in live if r.random() < 0.8] + [new]
        total = place(commands, [], [], {}, 0)
        spans: dict[Value, list[int]] = {}
        for number, c in enumerate(commands):
            for value, _ in touched(c):
                spans.setdefault(value, [number, number])[1] = number
        for a in spans:
            assert a.offset + a.nbytes <= total
            for b in spans:
                if a is not b and spans[a][0] <= spans[b][1] and spans[b][0] <= spans[a][1]:
                    assert a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset


def test_inputs_and_outputs_have_their_slots() -> None:
    x = Value((3,), dtypes.float32, (1,), "input", 1)
    y = Value((3,), dtypes.float32, (1,), "output", 0)
    place([command([x], [y])], [x], [y], {}, 2)
    assert (x.slot, y.slot) == (6, 7)
