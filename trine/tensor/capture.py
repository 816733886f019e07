"""Capturing a function: the recording that one call makes, and replaying it without Python.

While a function is captured nothing is run, so that all it records is one path of the automaton. A replay goes to the end of that path
at once: it fills in the tensors that the path begins with, the run-time scalars, and hands the results to whom they belong.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from trine import engines, tree
from trine.errors import UnsupportedError, message
from trine.tensor import execution, recorder
from trine.tensor.handle import Handle
from trine.tensor.recorder import Trace, held_back, local
from trine.tensor.state import Meta, State, user_source

Reference = Callable[[], Any]  # a weak one


class Capturing:
    """A capture in progress (`local.capture`).

    Attributes:
        reason: why it cannot be replayed, or "". is_strict: whether that is an error at the line that is the reason.
        draws: (generator, words, seed, offset) of random numbers, in order.
        optimizers: steps of optimizers: objects with `coefficients` and `again()`, which takes the step on and returns the next ones.
        touched: id -> (tensor, gradient before) of gradients that were set or cleared; accumulated: ids of those first accumulated into.
    """

    def __init__(self, is_strict: bool) -> None:
        self.is_strict = is_strict
        self.reason = ""
        self.draws: list[tuple[Any, int, int, int]] = []
        self.optimizers: list[Any] = []
        self.touched: dict[int, tuple[Handle, Any]] = {}
        self.accumulated: set[int] = set()

    def give_up(self, reason: str) -> None:
        """Note why the function cannot be replayed.

        Raises:
            UnsupportedError: if that is an error.
        """
        where = user_source()
        self.reason = self.reason or f"{reason} ({where or 'unknown line'})"
        if self.is_strict:
            fix = "compile without fullgraph=True, or move this line out of the function"
            raise UnsupportedError(message("compile: the function cannot be captured as a whole", received=reason, fix=fix, where=where))

    def touch(self, tensor: Handle, *, accumulates: bool = False) -> None:
        """Note that a gradient is about to be set, cleared or added to."""
        if id(tensor) not in self.touched:
            self.touched[id(tensor)] = (tensor, tensor._grad)
            if accumulates:
                self.accumulated.add(id(tensor))


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

    def replay(self, arguments: Sequence[Any]) -> Any:
        """Do what the call did, for other arguments; return the result, or `IMPOSSIBLE` with nothing done. Nothing must be pending."""
        for reference, had in self.had_gradients:
            tensor = reference()
            if tensor is None or (tensor._grad is not None) is not had:
                return IMPOSSIBLE
        memories: list[Any] = [None] * self.num_memories
        found = []
        for _, position, meta, (kind, of) in self.leaves:
            if kind == ARGUMENT:
                tensor = arguments[of]
            elif kind == TENSOR:
                tensor = of()
            else:
                tensor = Source(kind, of).find(arguments)
            if tensor is None or tensor._meta is not meta or tensor._hooks:
                return IMPOSSIBLE
            buffer, group = tensor._buffer, tensor._alias
            if buffer is None or (group is not None and tensor._alias_version != group.version):
                return IMPOSSIBLE
            known = memories[position]
            if known is None:
                memories[position] = buffer
            elif known is not buffer:
                return IMPOSSIBLE
            found.append(tensor)
        if len(set(map(id, memories))) != self.num_memories:
            return IMPOSSIBLE
        targets = [w.source.find(arguments) for w in self.written]
        if not all(map(_leaves_group, targets)):
            return IMPOSSIBLE
        scalars = self.scalars
        if self.optimizers or self.draws:
            scalars = scalars.copy()
            for place, number, step in self.optimizers:
                values = step.again()
                if values is None:
                    return IMPOSSIBLE
                scalars[place : place + number] = values
            for place, generator, words in self.draws:
                scalars[place : place + 2] = (generator.seed_operand, generator.reserve(words))
        new = self._run(targets, memories, scalars)
        if new is None:
            buffer = known = None  # memory that nobody else holds is written in place
            self._enter(local.trace, found, memories, scalars)
            memories.clear()
            new = self._hand_out(local.trace, targets)
            recorder.flush()
        returned = [new[r[0]] if type(r) is tuple else r.find(arguments) if type(r) is Source else r.value for r in self.results]
        return returned[0] if self.structure.kind is None else tree.unflatten(self.structure, returned)

    def _run(self, targets: list[Any], memories: list[Any], scalars: list[float | int]) -> dict[int, Any] | None:
        """Run a known plan, without a recording, and hand out its results; None where that is not possible."""
        donations = []
        for (slot, _, _, position), tensor in zip(self.written, targets, strict=True):
            if position >= 0:
                buffer = tensor._buffer
                # held by the tensor, `memories`, `buffer` and the argument of getrefcount
                if not buffer.readonly and (buffer.external or sys.getrefcount(buffer) <= 4):
                    donations.append((slot, position))
        plan = self.plan
        if plan is None or plan.donations != donations or plan.engine != engines.current_key():
            plan = self.plan = self._find_plan(donations)
        if plan is None or local.profiler is not None:
            return None
        outputs: list[Any] = []
        interrupt: BaseException | None = None
        try:
            plan.executable.run(memories, scalars, outputs)
        except BaseException as error:  # what has been run is handed over before an interrupt goes on
            if isinstance(error, Exception) or not outputs:
                raise
            interrupt = error
        for position, (_, meta, _, _), tensor in zip(plan.written, self.written, targets, strict=True):
            tensor._trace, tensor._slot, tensor._meta, tensor._fragment = None, -1, meta, None
            tensor._buffer = outputs[position]
            tensor._version += 1
        new = {slot: execution.concrete(outputs[position], meta) for slot, position, meta in plan.new}
        if self.gradients:
            self._set_gradients(new)
        if interrupt is not None:
            raise interrupt
        return new

    def _find_plan(self, donations: list[tuple[int, int]]) -> KnownPlan | None:
        engine = engines.current_key()
        entry = self.end.plans.get((self.slots, tuple(sorted(donations)), (), engine))
        if entry is None or entry.spec is not None or entry.freed_slots:
            return None
        value_of = dict(zip(entry.slots, entry.positions, strict=True))
        new = [(slot, value_of[slot], meta) for slot, meta in self.metas.items()]
        return KnownPlan(donations, engine, entry.executable, [value_of[w.slot] for w in self.written], new)

    def _enter(self, trace: Trace, found: list[Any], memories: list[Any], scalars: list[float | int]) -> None:
        """Fill an empty recording with what it begins with."""
        leaf_tensors = trace.leaf_tensors
        for (slot, _, _, _), tensor in zip(self.leaves, found, strict=True):
            leaf_tensors[slot] = tensor
            tensor._trace, tensor._slot = trace, slot
        trace.leaves += memories
        trace._positions.update({id(buffer): i for i, buffer in enumerate(memories)})
        trace.scalars += scalars
        trace.state = self.end

    def _hand_out(self, trace: Trace, targets: list[Any]) -> dict[int, Any]:
        """Give written tensors and gradients their places in the recording; return slot -> new tensor of the results."""
        for (slot, meta, _, position), tensor in zip(self.written, targets, strict=True):
            if position >= 0:
                trace.donors[id(tensor)] = position
            tensor._trace, tensor._slot, tensor._meta, tensor._buffer, tensor._fragment = trace, slot, meta, None, None
            tensor._version += 1
            trace.hold(tensor)
        for slot, number in self.later_leaves.items():
            trace.leaf_tensors[slot] = targets[number]
        new = {slot: trace.result(slot, meta) for slot, meta in self.metas.items()}
        self._set_gradients(new)
        return new

    def _set_gradients(self, new: dict[int, Any]) -> None:
        for reference, slot in self.gradients:
            tensor = reference()
            if tensor is not None:
                tensor._grad = new[slot] if slot >= 0 else None


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


def capture(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], arguments: Sequence[Any], is_strict: bool) -> tuple[Any, Any]:
    """Call a function; return its result, and its Capture or the reason why there is none (text).

    Args:
        function, args, kwargs: the call. arguments: its arguments' leaves, in order.
        is_strict: raise where it cannot be captured.
    """
    recorder.flush()
    trace, enabled = local.trace, local.grad_enabled
    local.capture = capturing = Capturing(is_strict)
    try:
        with held_back():
            result = function(*args, **kwargs)
    finally:
        local.capture = None
    if local.trace is not trace or trace.closed or capturing.reason:
        recorder.flush()
        return result, capturing.reason or "what it recorded was run before it ended"
    if local.grad_enabled is not enabled:
        return result, "it ends in another gradient mode than it began"
    try:
        found: Any = _Finder(trace, capturing, arguments).capture(result)
    except Unsuitable as error:
        found = str(error)
    recorder.flush()
    if isinstance(found, Capture) and not found.is_alive():
        found = "it uses a tensor that ended inside"
    return result, found


class Unsuitable(Exception):
    """A call that cannot be replayed; the text says why."""


class _Finder:
    """Finds out what a call began with and what it changed."""

    def __init__(self, trace: Trace, capturing: Capturing, arguments: Sequence[Any]) -> None:
        if trace.hooked or trace.cuts:
            raise Unsuitable("gradient hooks or custom functions take part")
        self.trace = trace
        self.capturing = capturing
        self.nodes = trace.nodes()
        self.leaf_ids = {id(t) for t in trace.leaf_tensors.values()}
        self.living = {id(handle) for handle in execution.held(trace.handles)}
        self.numbers = {id(t): i for i, t in reversed(list(enumerate(arguments))) if isinstance(t, Handle)}
        self.base_of = {id(t._buffer): t for t in trace.leaf_tensors.values() if t._meta.requires_grad and t._buffer is not None}
        self.gradient_of = {id(t._grad): t for t in trace.leaf_tensors.values() if t._grad is not None}

    def source(self, tensor: Any) -> Source:
        """Return where a replay finds a tensor that the call began with."""
        number = self.numbers.get(id(tensor))
        if number is not None:
            return Source(ARGUMENT, number)
        owner = self.gradient_of.get(id(tensor))
        if owner is not None:
            return Source(GRADIENT, weakref.ref(owner))
        if tensor._fragment is not None:
            raise Unsuitable("it uses a computed tensor that requires grad and is no argument")
        base = self.base_of.get(id(tensor._buffer))
        if base is not None and base is not tensor and base._meta.shape == tensor._meta.shape and not tensor._meta.requires_grad:
            return self.source(base) if base._meta is tensor._meta else Source(MEMORY, weakref.ref(base))
        return Source(TENSOR, weakref.ref(tensor))

    def capture(self, result: Any) -> Capture:
        """Return the capture. Raises Unsuitable."""
        trace = self.trace
        leaves = []
        for slot, tensor in trace.leaf_tensors.items():
            node = self.nodes[slot]
            if tensor._hooks:
                raise Unsuitable("a tensor that it uses has gradient hooks")
            if node.op == "input":
                meta = Meta.of(node.shape, node.dtype, node.requires_grad)
                leaves.append(Leaf(slot, node.attrs[0], meta, self.source(tensor)))
                tensor._hooks, tensor._alias = tensor._hooks, tensor._alias  # values of their own are read faster
        written, later = self._written()
        values, structure = tree.flatten(result)
        results = [self._result(value) for value in values]
        gradients, had = self._gradients()
        metas = {r[0]: r[1] for r in results if type(r) is tuple}
        metas |= {slot: Meta.of(self.nodes[slot].shape, self.nodes[slot].dtype) for _, slot in gradients if slot >= 0}
        self._check_nothing_else_lives(values)
        scalars = list(trace.scalars)
        draws, place = [], 0
        for generator, words, seed, offset in self.capturing.draws:
            place = _find_pair(scalars, seed, offset, place)
            if place >= 0:
                draws.append((place, generator, words))
        optimizers, place = [], 0
        for step in self.capturing.optimizers:
            number = len(step.coefficients)
            place = _find_run(scalars, step.coefficients, place)
            optimizers.append((place, number, step))
            place += number
        return Capture(
            *(trace.state, leaves, len(trace.leaves), written, later, scalars, draws, optimizers, gradients, had),
            *(structure, results, metas),
        )

    def _written(self) -> tuple[list[Written], dict[int, int]]:
        trace = self.trace
        written: list[Written] = []
        number: dict[int, int] = {}
        for tensor in dict.fromkeys(trace.leaf_tensors.values()):
            if tensor._trace is trace and tensor._buffer is None and tensor._slot >= 0 and id(tensor) not in number:
                if tensor._alias is not None and self._has_living_relatives(tensor):
                    raise Unsuitable("it writes to a tensor that shares memory with another one")
                number[id(tensor)] = len(written)
                written.append(Written(tensor._slot, tensor._meta, self.source(tensor), trace.donors.get(id(tensor), -1)))
        later = {slot: number[id(t)] for slot, t in trace.leaf_tensors.items() if self.nodes[slot].op != "input" and id(t) in number}
        return written, later

    def _result(self, value: Any) -> Any:
        if not isinstance(value, Handle):
            return Constant(value)
        if id(value) in self.numbers or id(value) in self.leaf_ids:
            return self.source(value)
        if value._trace is not self.trace or value._buffer is not None:
            raise Unsuitable("it returns a tensor that it did not compute")
        if value._alias is not None and self._has_living_relatives(value):
            raise Unsuitable("it returns a view of a tensor that lives on")
        return (value._slot, value._meta)

    def _has_living_relatives(self, tensor: Any) -> bool:
        """Return whether another tensor that shares this one's memory will be there after the call."""
        others = [member for reference in tensor._alias.members if (member := reference()) is not None and member is not tensor]
        return any(id(member) in self.living or id(member) in self.numbers or member._trace is not self.trace for member in others)

    def _gradients(self) -> tuple[list[tuple[Reference, int]], list[tuple[Reference, bool]]]:
        found: list[tuple[Reference, int]] = []
        had: list[tuple[Reference, bool]] = []
        for key, (tensor, before) in self.capturing.touched.items():
            gradient = tensor._grad
            if key in self.capturing.accumulated:
                had.append((weakref.ref(tensor), before is not None))
            if gradient is None:
                found.append((weakref.ref(tensor), -1))
            elif gradient._trace is self.trace and gradient._buffer is None and id(gradient) not in self.leaf_ids:
                found.append((weakref.ref(tensor), gradient._slot))
            elif gradient is not before:
                raise Unsuitable("it makes a tensor the gradient of another one")
        return found, had

    def _check_nothing_else_lives(self, values: Sequence[Any]) -> None:
        """Raise if the program keeps a result that is neither returned nor written where it belongs: a replay could not give it anew."""
        gradients = {id(t._grad) for t, _ in self.capturing.touched.values()}
        bases = {id(v._alias.base) for v in values if isinstance(v, Handle) and v._alias is not None}
        expected = {id(v) for v in values} | bases | self.leaf_ids | gradients
        for handle in execution.held(self.trace.handles):
            if id(handle) not in expected and handle._trace is self.trace and handle._buffer is None:
                raise Unsuitable("a tensor that it computed is kept elsewhere than in what it returns")


def _find_pair(scalars: Sequence[float | int], first: int, second: int, start: int) -> int:
    for place in range(start, len(scalars) - 1):
        if scalars[place] == first and scalars[place + 1] == second:
            return place
    return -1


def _find_run(scalars: Sequence[float | int], values: Sequence[float], start: int) -> int:
    wanted = list(values)
    for place in range(start, len(scalars) - len(wanted) + 1):
        if list(scalars[place : place + len(wanted)]) == wanted:
            return place
    raise Unsuitable("the coefficients of an optimizer were not found")
