"""Loops whose length keeps changing: their recordings are cut into segments of a fixed number of passes.

A recording of every length is a program of its own, and planning grows with the sum of all lengths. When programs that begin alike keep
coming with other lengths, and what they share is a loop, the recording is run after a few passes of that loop, and again after as many
more: all lengths then share the plans of their segments. A backward pass runs its part of each segment on its own in the same way.
"""

from __future__ import annotations

from trine.tensor.state import State

SEGMENT_RESULTS = 40
"""A segment has at least so many results."""

_MIN_PASSES = 4
_NUM_LENGTHS = 4  # so many lengths of a loop are planned as a whole
_LONGEST_PASS = 64


def note_plan(state: State) -> None:
    """Take note of a recording that had to be planned; mark the State where later ones like it are cut."""
    path = _results(state)
    if len(path) < 2 * SEGMENT_RESULTS:
        return
    start, period, passes = _loop(path)
    length = period * max(_MIN_PASSES, -(-SEGMENT_RESULTS // period)) if period else 0
    if not period or start + length >= len(path):
        return
    state = path[start + length - 1]
    state.lengths = state.lengths | {passes}
    if len(state.lengths) >= _NUM_LENGTHS:
        cut_after(state, length)


def cut_after(state: State, length: int) -> None:
    """Let recordings end in this State, and those that follow them after `length` more results."""
    state.segment = length
    state.next.clear()


def ends_segment(state: State, length: int) -> bool:
    """True if a recording has as many results as a segment, its leaves not counted."""
    return state.end >= length and len(_results(state)) == length


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
    kinds = [numbers.setdefault(tuple((n.op, n.shape, n.dtype) for n in s.nodes), len(numbers)) for s in path]
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
