"""Flush: run what was recorded, for the results that the program still holds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from trine import engines
from trine.autograd.forward import PASSED
from trine.core.graph import Graph, Node
from trine.tensor import recorder, segments
from trine.tensor.fragment import Fragment, FragmentSpec, consumed, gradient_leaves, is_gradient_leaf
from trine.tensor.handle import Handle
from trine.tensor.recorder import Trace, local, new_trace
from trine.tensor.state import Meta, PlanKey, State, automaton

if TYPE_CHECKING:
    from trine.engines.base import Executable
    from trine.runtime.memory import Buffer


def _baseline() -> int:
    """Reference count of an object that only the list of handles holds, seen from the comprehension of `held_in_python`."""
    probe = [object()]
    return [sys.getrefcount(h) for h in probe][0]


_UNHELD = _baseline()


def held_in_python(values: list[Any]) -> list[Any]:
    """Return the items of a list to which something else refers too."""
    unheld = _UNHELD
    return [value for value in values if sys.getrefcount(value) > unheld]


held: Callable[[list[Any]], list[Any]] = held_in_python
"""`held_in_python`, or a faster function that does the same."""


class PlanEntry:
    """A compiled flush.

    Attributes:
        executable: the plan; its outputs are the distinct values of `slots`, then the residuals.
        slots: the results that it computes; positions: for each the number of its output.
        spec: what to keep for a later backward pass, or None.
        grad_slots: slot of each output of `spec`.
        freed_slots: results whose graph an earlier backward pass consumed.
        grad_index: slot of an output of `spec` -> its number. watched: (slot, node) of residuals that are results too.
        source_slots, leaf_slots: for each `input` source and each leaf of `spec` the slot of its tensor.
    """

    __slots__ = (
        "executable",
        "slots",
        "positions",
        "spec",
        "grad_slots",
        "freed_slots",
        "grad_index",
        "watched",
        "source_slots",
        "leaf_slots",
    )

    def __init__(self, executable: Executable, slots: tuple[int, ...], positions: tuple[int, ...]) -> None:
        self.executable = executable
        self.slots = slots
        self.positions = positions
        self.spec: FragmentSpec | None = None
        self.grad_slots: tuple[int, ...] = ()
        self.freed_slots: frozenset[int] = frozenset()
        self.grad_index: dict[int, int] = {}
        self.watched: tuple[tuple[int, Node], ...] = ()
        self.source_slots: tuple[tuple[Node, int], ...] = ()
        self.leaf_slots: tuple[int, ...] = ()

    def keep(self, trace: Trace, spec: FragmentSpec, grad_slots: Sequence[int]) -> None:
        """Note what a run keeps for a later backward pass."""
        self.spec, self.grad_slots = spec, tuple(grad_slots)
        self.grad_index = {slot: i for i, slot in enumerate(grad_slots)}
        nodes, residuals = trace.nodes(), set(spec.residuals)
        self.watched = tuple((slot, nodes[slot]) for slot in self.slots if nodes[slot] in residuals)
        # by node, not by slot: an operation that changes nothing (a copy to the same dtype) gives another slot to its operand's node
        slot_of = {nodes[slot]: slot for slot in trace.leaf_tensors}
        self.source_slots = tuple((node, slot_of[node]) for node in spec.sources if node.op == "input")
        slot_of |= {nodes[slot]: slot for found in (trace.hooked, trace.cuts) for slot in found}
        self.leaf_slots = tuple(slot_of[node] for node in spec.leaves)


running: set[Trace] = set()
"""Recordings that are being run."""


def flush_trace(trace: Trace) -> None:
    """Run a recording and give its live results their memory; the thread goes on with an empty one.

    Raises:
        TrineError: an error at run time (an index out of range). Tensors that the recording would have written in place keep their old
            values; other results that need what failed are lost and say so when they are read.
    """
    if not trace.handles:
        if trace.leaves or trace.state.parent is not None:
            _close(trace)
        return
    by_slot, stale = _live_handles(trace)
    if not by_slot:
        _close(trace)
        _mark_stale(stale)
        return
    if trace.segment and not trace.is_segment:
        segments.end_loop(trace)
    running.add(trace)  # before the memory of leaves is looked at: from now on no other thread may read it
    donations = _donations(trace, by_slot)
    outputs: list[Buffer] = []
    interrupt: BaseException | None = None
    while True:
        try:
            if not outputs:
                entry = find_plan(trace, tuple(sorted(by_slot)), donations)
                if local.profiler is None:
                    entry.executable.run(trace.leaves, trace.scalars, outputs)
                else:
                    local.profiler.run(entry.executable, trace.leaves, trace.scalars, outputs, trace.state.end)
            if not trace.closed:
                hand_over(trace, entry, by_slot, outputs)
            _close(trace)
            _mark_stale(stale)
            break
        except BaseException as error:
            if isinstance(error, Exception) and not trace.closed:
                from trine.tensor.recovery import abandon

                abandon(trace, by_slot, donations, error)
                _close(trace)
                _mark_stale(stale)
                raise
            if not outputs:  # interrupted before anything was run: the recording stays as it is
                running.discard(trace)
                raise
            interrupt = error  # what has been run is not run again: its results are handed over first
    if interrupt is not None:
        raise interrupt


def _live_handles(trace: Trace) -> tuple[dict[int, list[Handle]], list[Handle]]:
    """Return slot -> tensors that the program still holds, and the views among them (their base is what is computed)."""
    by_slot: dict[int, list[Handle]] = {}
    stale = []
    bases: dict[int, Handle] = {}
    for handle in held(trace.handles):
        if handle._trace is not trace or handle._buffer is not None:
            continue
        group = handle._alias
        if group is not None:
            base = group.base
            if base._trace is trace and base._buffer is None:
                bases[id(base)] = base
            if handle._path or handle._alias_version != group.version:
                stale.append(handle)
                continue
        by_slot.setdefault(handle._slot, []).append(handle)
    for base in bases.values():
        handles = by_slot.setdefault(base._slot, [])
        if not any(handle is base for handle in handles):
            handles.append(base)
    return by_slot, stale


def _donations(trace: Trace, by_slot: dict[int, list[Handle]]) -> tuple[tuple[int, int], ...]:
    """Return (slot, leaf position) pairs: results that are written over the memory of the leaf whose new value they are."""
    if not trace.donors:
        return ()
    found = []
    used = set()
    for slot, handles in by_slot.items():
        for handle in handles:
            position = trace.donors.get(id(handle))
            if position is None or position in used:
                continue
            buffer = trace.leaves[position]
            # held by trace.leaves, `buffer` and the argument of getrefcount; external memory must be written in any case
            if not buffer.readonly and (buffer.external or sys.getrefcount(buffer) <= 3):
                found.append((slot, position))
                used.add(position)
                break
    return tuple(sorted(found))


def find_plan(trace: Trace, slots: tuple[int, ...], donations: tuple[tuple[int, int], ...]) -> PlanEntry:
    """Return the plan of this flush: cached, or a cached one that computes more, or a new one."""
    state = trace.state
    stops = tuple(sorted(trace.hooked)) if trace.hooked else ()
    key: PlanKey = (slots, donations, stops, engines.current_key())
    entry = state.plans.get(key)
    if entry is not None:
        automaton.touch_plan(state, key)
        return entry
    wanted = set(slots)
    for other_key, other in state.plans.items():
        if other_key[1:] == key[1:] and wanted.issubset(other.slots):
            return other
    entry = compile_plan(trace, slots, donations, stops)
    automaton.add_plan(state, key, entry)
    if not trace.segment:
        segments.note_plan(state)
    return entry


def compile_plan(trace: Trace, slots: tuple[int, ...], donations: tuple[tuple[int, int], ...], stop_slots: tuple[int, ...]) -> PlanEntry:
    """Return a new plan that computes `slots` and what later backward passes need of them; gradients stop at `stop_slots`."""
    nodes = trace.nodes()
    number: dict[Node, int] = {}
    positions = tuple(number.setdefault(_value_node(nodes[s]), len(number)) for s in slots)
    freed = trace.state.freed
    grad_slots, freed_slots = [], set()
    stops = frozenset(nodes[s] for s in stop_slots)
    for slot in slots:
        node = nodes[slot]
        if node.requires_grad and not is_gradient_leaf(node):
            if freed and consumed(gradient_leaves([node])[1], freed):
                freed_slots.add(slot)
            else:
                grad_slots.append(slot)
    spec = FragmentSpec([nodes[s] for s in grad_slots], stops, trace.state.overwritten) if grad_slots else None
    position_of = dict(zip(slots, positions, strict=True))
    graph = Graph(
        outputs=(*number, *(spec.residuals if spec is not None else ())),
        inputs=_inputs(nodes, len(trace.leaves)),
        donations=tuple({position_of[s]: p for s, p in donations}.items()),
    )
    entry = PlanEntry(engines.current().compile(graph), slots, positions)
    _use_native_recorder()
    entry.freed_slots = frozenset(freed_slots)
    if spec is not None:
        entry.keep(trace, spec, grad_slots)
    return entry


def prepare() -> None:
    """Load the engine and begin what the first plan would begin."""
    engines.current().prepare()
    _use_native_recorder()


def _use_native_recorder() -> None:
    from trine.tensor import native_recorder  # loaded with the first program

    native_recorder.install()


def graph_of(tensors: Sequence[Handle]) -> Graph | None:
    """Return the graph of what this thread has recorded for some of its pending tensors; None if none is pending."""
    trace = local.trace
    nodes = trace.nodes()
    outputs = dict.fromkeys(_value_node(nodes[t._slot]) for t in tensors if t._trace is trace and t._buffer is None)
    return Graph(tuple(outputs), _inputs(nodes, len(trace.leaves))) if outputs else None


_ENDS = ((), PASSED)
"""The attributes of a `stop_gradient` that is nothing but the end of gradients."""


def _value_node(node: Node) -> Node:
    """Return the node whose value this one has: results that differ only in where gradients end share their memory."""
    while node.op == "stop_gradient" and node.attrs in _ENDS:
        node = node.inputs[0]
    return node


def _inputs(nodes: Sequence[Node], count: int) -> tuple[Node, ...]:
    """Return one `input` node for each leaf position."""
    inputs: list[Any] = [None] * count
    for node in nodes:
        if node.op == "input":
            inputs[node.attrs[0]] = node
    return tuple(inputs)


def hand_over(trace: Trace, entry: PlanEntry, by_slot: dict[int, list[Handle]], outputs: Sequence[Buffer]) -> None:
    """Give the results to their tensors, and keep what a later backward pass needs."""
    fragment = _fragment(trace, entry.spec, entry, outputs) if entry.spec is not None else None
    grad_index = entry.grad_index
    if fragment is not None:
        for slot, node in entry.watched:
            if slot in by_slot:
                fragment.watch(node, by_slot[slot][0])
    for slot, position in zip(entry.slots, entry.positions, strict=True):
        for handle in by_slot.get(slot, ()):
            if slot in grad_index and fragment is not None:
                handle._fragment = (fragment, grad_index[slot])
            elif slot in entry.freed_slots:
                handle._fragment = (CONSUMED, 0)
            elif slot in trace.cuts:
                cut = trace.cuts[slot]
                handle._fragment = (cut.call.piece, cut.index)
            handle._alias = handle._alias  # gives the field a value of its own: it is read often from now on
            handle._buffer = outputs[position]
            handle._trace = None


def _fragment(trace: Trace, spec: FragmentSpec, entry: PlanEntry, outputs: Sequence[Buffer]) -> Fragment:
    tensors: dict[Node, Handle] = {}
    for node, buffer in zip(spec.residuals, outputs[len(outputs) - len(spec.residuals) :], strict=True):
        tensors[node] = concrete(buffer, Meta.of(node.shape, node.dtype))
    leaf_tensors, hooked, cuts = trace.leaf_tensors, trace.hooked, trace.cuts
    for node, slot in entry.source_slots:
        tensors[node] = leaf_tensors[slot]
    scalars = {node: trace.scalars[node.attrs[0]] for node in spec.sources if node.op == "scalar"}
    receivers = [hooked[slot] if slot in hooked else cuts[slot] if slot in cuts else leaf_tensors[slot] for slot in entry.leaf_slots]
    for node, receiver in zip(spec.leaves, receivers, strict=True):
        if node.op == "stop_gradient":
            tensors[node] = receiver if isinstance(receiver, Handle) else _result_of(receiver, tensors[node])
    fragment = Fragment(spec, tensors, scalars, receivers)
    fragment.is_segment = trace.is_segment
    for node in trace.state.overwritten:
        if node.op == "input" and node in fragment.versions:
            fragment.versions[node] = -1  # written after it was read here: its old value is gone
    if local.saved_hooks:
        fragment.pack(local.saved_hooks[-1])
    return fragment


def _result_of(cut: Any, tensor: Handle) -> Handle:
    """Make a tensor the result of a custom function."""
    tensor._meta = Meta.of(tensor._meta.shape, tensor._meta.dtype, True)
    tensor._fragment = (cut.call.piece, cut.index)
    return tensor


def concrete(buffer: Buffer, meta: Meta) -> Handle:
    """Return a tensor with this memory."""
    cls = recorder.tensor_type
    tensor = object.__new__(cls)
    tensor._trace, tensor._slot, tensor._meta, tensor._buffer, tensor._alias = None, -1, meta, buffer, None
    return tensor


class _Consumed(Fragment):
    """Stands for a graph whose values are gone."""

    def __init__(self) -> None:
        self.freed, self.is_segment = True, False
        self.sequence = -1


CONSUMED = _Consumed()


def _mark_stale(views: Sequence[Handle]) -> None:
    for view in views:
        view._trace = None
        view._alias_version = -1


_CLOSED = State(None, (), True, eager=True)
"""The state of a recording that has ended: no operation is found in it."""


def _close(trace: Trace) -> None:
    if local.trace is trace:
        new_trace()
    trace.closed = True
    trace.state = _CLOSED
    # new containers, not cleared ones: a backward pass in progress may still look at the old
    trace.handles, trace.leaves, trace.leaf_tensors = [], [], {}
    trace.hold = trace.handles.append  # the old list goes at once, and with it the results that nobody holds
    trace.cuts, trace.hooked, trace.donors = {}, {}, {}
    running.discard(trace)
