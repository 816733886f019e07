"""Replaying a captured call: what it recorded, for other arguments, without Python.

A replay goes to the end of the path that the call recorded at once: it finds the tensors that the path begins with, fills in the run-time
scalars, runs the plan, and hands the results to whom they belong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from trine import engines, tree
from trine.tensor import execution, recorder
from trine.tensor.recorder import Trace, local
from trine.tensor.state import Meta, State

Reference = Callable[[], Any]  # a weak one


ARGUMENT, TENSOR, GRADIENT, MEMORY = range(4)


class Source(NamedTuple):
    """Where a replay finds a tensor: kind ARGUMENT (number), TENSOR (what a weak reference names), GRADIENT (of that), or MEMORY (of that,
    as a tensor that does not require grad)."""

    kind: int
    of: Any

    def find(self, arguments: Sequence[Any]) -> Any:
        """Return the tensor, or None."""
        if self.kind == ARGUMENT:
            return arguments[self.of]
        tensor = self.of()
        if tensor is None or self.kind == TENSOR:
            return tensor
        if self.kind == GRADIENT:
            return tensor._grad
        meta = tensor._meta
        return None if tensor._buffer is None else execution.concrete(tensor._buffer, Meta.of(meta.shape, meta.dtype))


class Leaf(NamedTuple):
    """A tensor that the path begins with: its slot, its place among the memories, what it must be, and where it is found."""

    slot: int
    position: int
    meta: Meta
    source: Source


class Written(NamedTuple):
    """A tensor that gets another value: its slot at the end, its new Meta, where it is found, and its memory's place (or -1)."""

    slot: int
    meta: Meta
    source: Source
    position: int


class KnownPlan(NamedTuple):
    """A plan that replays run at once: for which donations and engine, and which outputs are the written tensors and the new ones."""

    donations: list[tuple[int, int]]
    engine: Any
    executable: Any
    written: list[int]
    new: list[tuple[int, int, Meta]]


IMPOSSIBLE = object()
"""What `Capture.replay` returns when it could not be done."""


@dataclass(slots=True)
class Capture:
    """What one call recorded.

    Attributes:
        end: the State at its end. num_memories: distinct memories of the leaves. later_leaves: slots that are leaves of gradients because
            they were written: slot -> number in `written`.
        scalars: run-time scalars; draws: (place, generator, words) of those that are drawn anew;
        optimizers: (place, number, a step of an optimizer) of those that an optimizer computes.
        gradients: (tensor, slot of its new gradient, or -1 for none); had_gradients: (tensor, whether it has to have a gradient); both by
            weak references.
        slots: of all that it computes. plan: what the last replay ran.
        structure, results: what is returned: a slot and Meta for a new tensor, a Source, or a constant. metas: slot -> Meta of new tensors.
    """

    end: State
    leaves: list[Leaf]
    num_memories: int
    written: list[Written]
    later_leaves: dict[int, int]
    scalars: list[float | int]
    draws: list[tuple[int, Any, int]]
    optimizers: list[tuple[int, int, Any]]
    gradients: list[tuple[Reference, int]]
    had_gradients: list[tuple[Reference, bool]]
    structure: tree.Structure
    results: list[Any]
    metas: dict[int, Meta]

    slots: tuple[int, ...] = ()
    plan: KnownPlan | None = None

    def __post_init__(self) -> None:
        self.slots = tuple(sorted({w.slot for w in self.written} | self.metas.keys()))

    def is_alive(self) -> bool:
        """Return whether all that it begins with is still there."""
        return not any(leaf.source.kind != ARGUMENT and leaf.source.of() is None for leaf in self.leaves)

    def replay(self, arguments: Sequence[Any], scalars: list[float | int] | None = None) -> Any:
        """Do what the call did, for other arguments; return the result, or `IMPOSSIBLE` with nothing done. Nothing must be pending.

        Args:
            arguments: the leaves of the call's arguments.
            scalars: what `next_scalars` gave, if that was called already.
        """
        for reference, had in self.had_gradients:
            tensor = reference()
            if tensor is None or (tensor._grad is not None) is not had:
                return IMPOSSIBLE
        memories: list[Any] = [None] * self.num_memories
        found = self._find_leaves(arguments, memories)
        if found is None:
            return IMPOSSIBLE
        targets = [w.source.find(arguments) for w in self.written]
        if not all(map(_leaves_group, targets)):
            return IMPOSSIBLE
        if scalars is None:
            scalars = self.next_scalars() if self.optimizers or self.draws else self.scalars
            if scalars is None:
                return IMPOSSIBLE
        plan = self._plan_for(targets, memories)
        if plan is None:
            new = self._record(found, targets, memories, scalars)
        else:
            new = self._run(plan, targets, memories, scalars)
        returned = [new[r[0]] if type(r) is tuple else r.find(arguments) if type(r) is Source else r.value for r in self.results]
        return returned[0] if self.structure.kind is None else tree.unflatten(self.structure, returned)

    def _find_leaves(self, arguments: Sequence[Any], memories: list[Any]) -> list[Any] | None:
        """Return the tensors that the path begins with and list their memories; None if they are not as they were."""
        found = []
        for _, position, meta, (kind, of) in self.leaves:
            if kind == ARGUMENT:
                tensor = arguments[of]
            elif kind == TENSOR:
                tensor = of()
            else:
                tensor = Source(kind, of).find(arguments)
            if tensor is None or tensor._meta is not meta or tensor._hooks:
                return None
            buffer, group = tensor._buffer, tensor._alias
            if buffer is None or (group is not None and tensor._alias_version != group.version):
                return None
            known = memories[position]
            if known is None:
                memories[position] = buffer
            elif known is not buffer:
                return None
            found.append(tensor)
        return found if len(set(map(id, memories))) == self.num_memories else None

    def next_scalars(self) -> list[float | int] | None:
        """Take random numbers and optimizers a step on and return the run-time scalars; None, with nothing done, if that is impossible."""
        scalars = self.scalars.copy()
        for number, (place, count, step) in enumerate(self.optimizers):
            values = step.again()
            if values is None:
                for _, _, earlier in reversed(self.optimizers[:number]):
                    earlier.back()
                return None
            scalars[place : place + count] = values
        for place, generator, words in self.draws:
            scalars[place : place + 2] = (generator.seed_operand, generator.reserve(words))
        return scalars

    def _plan_for(self, targets: list[Any], memories: list[Any]) -> KnownPlan | None:
        """Return the plan that can be run at once; None if a recording has to find one."""
        donations = []
        for (slot, _, _, position), tensor in zip(self.written, targets, strict=True):
            if position >= 0:
                buffer = tensor._buffer
                # written in place if nobody else holds it: the tensor does, `memories`, `buffer` and the argument of getrefcount
                if not buffer.readonly and (buffer.external or sys.getrefcount(buffer) <= 4):
                    donations.append((slot, position))
        plan = self.plan
        if plan is None or plan.donations != donations or plan.engine != engines.current_key():
            plan = self.plan = self._find_plan(donations)
        return plan if local.profiler is None else None

    def _run(self, plan: KnownPlan, targets: list[Any], memories: list[Any], scalars: list[float | int]) -> dict[int, Any]:
        """Run a plan and hand out its results."""
        outputs: list[Any] = []
        interrupt: BaseException | None = None
        try:
            plan.executable.run(memories, scalars, outputs)
        except BaseException as error:  # what has been run is handed over before an interrupt goes on
            if isinstance(error, Exception) or not outputs:
                raise
            interrupt = error
        new = {slot: execution.concrete(outputs[position], meta) for slot, position, meta in plan.new}
        self._hand_out(targets, [(None, -1, outputs[position]) for position in plan.written], new)
        if interrupt is not None:
            raise interrupt
        return new

    def _record(self, found: list[Any], targets: list[Any], memories: list[Any], scalars: list[float | int]) -> dict[int, Any]:
        """Go to the end of the path in this thread's recording, which is empty, and run it; hand out its results. Takes the `memories`."""
        trace = local.trace
        leaf_tensors = trace.leaf_tensors
        for (slot, _, _, _), tensor in zip(self.leaves, found, strict=True):
            leaf_tensors[slot] = tensor
            tensor._trace, tensor._slot = trace, slot
        for slot, number in self.later_leaves.items():
            leaf_tensors[slot] = targets[number]
        trace.leaves += memories
        trace._positions.update({id(buffer): i for i, buffer in enumerate(memories)})
        memories.clear()
        trace.scalars += scalars
        trace.state = self.end
        for (_, _, _, position), tensor in zip(self.written, targets, strict=True):
            if position >= 0:
                trace.donors[id(tensor)] = position
            trace.hold(tensor)
        new = {slot: trace.result(slot, meta) for slot, meta in self.metas.items()}
        self._hand_out(targets, [(trace, written.slot, None) for written in self.written], new)
        recorder.flush()
        return new

    def _hand_out(self, targets: list[Any], places: list[tuple[Trace | None, int, Any]], new: dict[int, Any]) -> None:
        """Give the written tensors their new values, each a slot of a recording or memory, and tensors their gradients."""
        for (_, meta, _, _), tensor, (trace, slot, buffer) in zip(self.written, targets, places, strict=True):
            tensor._trace, tensor._slot, tensor._meta, tensor._buffer, tensor._fragment = trace, slot, meta, buffer, None
            tensor._version += 1
        for reference, slot in self.gradients:
            tensor = reference()
            if tensor is not None:
                tensor._grad = new[slot] if slot >= 0 else None

    def _find_plan(self, donations: list[tuple[int, int]]) -> KnownPlan | None:
        engine = engines.current_key()
        entry = self.end.plans.get((self.slots, tuple(sorted(donations)), (), engine))
        if entry is None or entry.spec is not None or entry.freed_slots:
            return None
        value_of = dict(zip(entry.slots, entry.positions, strict=True))
        new = [(slot, value_of[slot], meta) for slot, meta in self.metas.items()]
        return KnownPlan(donations, engine, entry.executable, [value_of[w.slot] for w in self.written], new)


def _leaves_group(tensor: Any) -> bool:
    """Let a tensor that is about to be written forget its group; return whether no other tensor shares its memory."""
    group = tensor._alias
    if group is not None:
        if not group.is_sole(tensor):
            return False
        tensor._alias = None
    return True


class Constant(NamedTuple):
    """A value that is returned as it is."""

    value: Any
