"""After a recording failed while it ran: what still has a value, and what says that it has none."""

from __future__ import annotations

from collections.abc import Sequence

from trine.core.graph import Node
from trine.errors import message
from trine.tensor import execution
from trine.tensor.handle import Handle
from trine.tensor.recorder import Trace

_MAX_GROUPS = 32


def abandon(trace: Trace, by_slot: dict[int, list[Handle]], donations: Sequence[tuple[int, int]], error: BaseException) -> None:
    """Give tensors that were written in place their old memory back, compute the results that do not need what failed,
    and mark the others as lost.
    """
    what = "this tensor has no value: the recording that would have computed it failed"
    reason = message(what, received=f"{type(error).__name__}: {error}")
    pending: dict[int, list[Handle]] = {}
    for slot, handles in by_slot.items():
        for handle in handles:
            position = trace.donors.get(id(handle))
            if position is not None:
                handle._buffer = trace.leaves[position]
                handle._trace = None
            else:
                pending.setdefault(slot, []).append(handle)
    for slots in _groups(trace, pending, {position for _, position in donations}):
        try:
            entry = execution.compile_plan(trace, slots, (), tuple(sorted(trace.hooked)))
            outputs = entry.executable.run(trace.leaves, trace.scalars)
            execution.hand_over(trace, entry, {s: pending.pop(s) for s in slots}, outputs)
        except Exception:  # noqa: S112 - these are lost as well, for the reason that is known
            continue
    for handles in pending.values():
        for handle in handles:
            handle._trace = None
            handle._lost = reason


def _groups(trace: Trace, slots: dict[int, list[Handle]], overwritten: set[int]) -> list[tuple[int, ...]]:
    """Return the slots that may be tried again, in groups that pass or fail together: those that check the same indices.

    What reads a leaf that may have been written over already is left out.
    """
    nodes = trace.nodes()
    needs: dict[Node, frozenset[Node]] = {}
    groups: dict[frozenset[Node], list[int]] = {}
    for slot in sorted(slots):
        sources = _sources(nodes[slot], needs)
        if not any(n.op == "input" and n.attrs[0] in overwritten for n in sources):
            groups.setdefault(frozenset(n for n in sources if n.op != "input"), []).append(slot)
    return [tuple(group) for group in groups.values()][:_MAX_GROUPS]


_LARGE = 1 << 28
"""Bytes from which on a result may be what there was no memory for."""


def _sources(root: Node, known: dict[Node, frozenset[Node]]) -> frozenset[Node]:
    """Return the inputs, index checks and very large results that a node needs."""
    stack = [root]
    while stack:
        node = stack[-1]
        missing = [i for i in node.inputs if i not in known] if node not in known else []
        if missing:
            stack.extend(missing)
            continue
        stack.pop()
        found: frozenset[Node] = frozenset().union(*[known[i] for i in node.inputs])
        known[node] = found | {node} if node.op in ("input", "check_index") or _nbytes(node) > _LARGE else found
    return known[root]


def _nbytes(node: Node) -> int:
    count = node.dtype.itemsize
    for size in node.shape:
        count *= size
    return count
