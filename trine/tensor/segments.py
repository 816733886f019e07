"""Loops whose length keeps changing: their recordings are cut into segments of a fixed number of passes.

A recording of every length is a program of its own, and planning grows with the sum of all lengths. When a loop comes again with another
length, its recording is run after a few passes, and again after as many more: all lengths then share the plans of their segments. A
backward pass runs its part of each segment on its own in the same way. A loop that settles on a few lengths is planned as a whole again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

from trine.tensor.state import State, automaton

if TYPE_CHECKING:
    from trine.tensor.recorder import Trace

SEGMENT_RESULTS = 40
"""A segment has at least so many results."""

SETTLED = 16
"""So many recordings of a loop in a row, of at most `SETTLED_LENGTHS` lengths, and it is planned as a whole again."""

SETTLED_LENGTHS = 4

_MIN_PASSES = 4
_LONGEST_PASS = 64
_MAX_LOOPS = 1024


class Loop:
    """A loop, by what one pass computes.

    Attributes:
        lengths: numbers of passes that were planned as a whole. limit: it is cut when there are more of them.
    """

    __slots__ = ("lengths", "limit")

    def __init__(self) -> None:
        self.lengths: set[int] = set()
        self.limit = 1


class Cut:
    """Where recordings of a loop are cut first.

    Attributes:
        loop: which. totals: how many results the last recordings had in all.
    """

    __slots__ = ("loop", "totals")

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.totals: deque[int] = deque(maxlen=SETTLED)


def note_plan(state: State) -> None:
    """Take note of a recording that had to be planned; mark the State where later ones like it are cut."""
    path = _results(state)
    if len(path) < 2 * SEGMENT_RESULTS:
        return
    start, period, passes = _loop(path)
    length = period * max(_MIN_PASSES, -(-SEGMENT_RESULTS // period)) if period else 0
    if not period or start + length >= len(path):
        return
    if len(automaton.loops) >= _MAX_LOOPS:
        automaton.loops.clear()
    loop = automaton.loops.setdefault(tuple(map(_kind, path[start : start + period])), Loop())
    loop.lengths.add(passes)
    if len(loop.lengths) > loop.limit:
        head = path[start + length - 1]
        head.cut = Cut(loop)
        cut_after(head, length)


def cut_after(state: State, length: int) -> None:
    """Let recordings end in this State, and those that follow them after `length` more results."""
    state.segment = length
    state.next.clear()


def ends_segment(state: State, length: int) -> bool:
    """True if a recording has as many results as a segment, its leaves not counted."""
    return state.end >= length and len(_results(state)) == length


def end_loop(trace: Trace) -> None:
    """Take note of the last recording of a loop that was cut; cut it no longer if its length has settled."""
    head = trace.head
    cut = head.cut if head is not None else None
    if head is None or cut is None:
        return
    cut.totals.append(trace.before + trace.state.end)
    if len(cut.totals) == SETTLED and len(set(cut.totals)) <= SETTLED_LENGTHS:
        head.segment, head.cut = 0, None
        head.next.clear()
        cut.loop.limit = SETTLED_LENGTHS
        cut.loop.lengths.clear()


def _kind(state: State) -> Hashable:
    """Return what a State computed, its operands aside."""
    return tuple([(n.op, n.shape, n.dtype) for n in state.nodes])


def _results(state: State) -> list[State]:
    """Return the States of a path that computed something, first to last."""
    path = []
    current: State | None = state
    while current is not None:
        if current.nodes and current.nodes[0].op != "input":
            path.append(current)
        current = current.parent
    path.reverse()
    return path


def _loop(path: list[State]) -> tuple[int, int, int]:
    """Return (start, period, passes) of the first loop in a path: the same operations again and again; zeros if there is none."""
    numbers: dict[object, int] = {}
    kinds = [numbers.setdefault(_kind(state), len(numbers)) for state in path]
    for period in range(1, _LONGEST_PASS + 1):
        needed, run = max(2 * period, SEGMENT_RESULTS - period), 0
        for i in range(period, min(len(kinds), 4 * (SEGMENT_RESULTS + _LONGEST_PASS))):
            run = run + 1 if kinds[i] == kinds[i - period] else 0
            if run >= needed:
                end = i + 1
                while end < len(kinds) and kinds[end] == kinds[end - period]:
                    end += 1
                start = i + 1 - run - period
                return start, period, (end - start) // period
    return 0, 0, 0
