"""Capturing a function: what one call records, and where a replay (`trine.tensor.replay`) finds all that it begins with.

While a function is captured nothing is run, so that all it records is one path of the automaton.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from trine import tree
from trine.errors import UnsupportedError, message
from trine.tensor import execution, recorder
from trine.tensor.handle import Handle
from trine.tensor.recorder import Trace, held_back, local
from trine.tensor.replay import ARGUMENT, GRADIENT, MEMORY, TENSOR, Capture, Constant, Leaf, Reference, Source, Written
from trine.tensor.state import Meta, user_source


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
