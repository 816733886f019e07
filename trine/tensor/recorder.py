"""Recording operations: one step of the automaton each.

The hot path of an operation is a dict lookup and the making of a handle. Whatever is slower (shape inference, type
promotion, validation, the user's source line) happens on a miss, once for each path of the program.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from trine import config, dtypes
from trine.core import build
from trine.core.graph import Node, context
from trine.errors import ArgumentError, DTypeError, message
from trine.tensor import segments
from trine.tensor.handle import Handle
from trine.tensor.memory_view import contiguous_piece, piece_of
from trine.tensor.state import Meta, State, automaton, max_records, user_source

if TYPE_CHECKING:
    from trine.runtime.memory import Buffer
    from trine.tensor.capture import Capturing
    from trine.tensor.tensor import Tensor

Builder = Callable[..., Any]
LEAF, GRAD_MODE, WRITE, AUTOCAST = "leaf", "grad_mode", "write", "autocast"
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 63) - 1

tensor_type: type[Handle] = Handle
"""The class of the handles that recording makes (`trine.Tensor`, set when that module is loaded)."""


def set_tensor_type(cls: type[Handle]) -> None:
    """Make `cls` the class of recorded results."""
    global tensor_type
    tensor_type = cls


class Trace:
    """A recording: where its thread is in the automaton, and the run-time values of this pass.

    Attributes:
        state: the current State.
        scalars: run-time scalars, in order.
        handles: every tensor whose value was recorded here (kept until the flush, so that liveness is a reference count);
            hold: its append.
        leaves: buffers of the concrete tensors used here; leaf_tensors: slot -> tensor; leaf_nodes: slot -> Node position.
        donors: id of a leaf tensor that was written in place -> position of its old buffer in `leaves`.
        hooked: slot -> tensor with gradient hooks. cuts: slot -> custom function whose backward takes over there.
        segment: results of a segment, if this recording goes on where one ended, else 0; is_segment: whether it was cut as one.
        head: State where the first segment of the loop ended; before: results of the segments before this recording.
    """

    __slots__ = (
        "state",
        "scalars",
        "handles",
        "hold",
        "leaves",
        "leaf_tensors",
        "_positions",
        "donors",
        "hooked",
        "cuts",
        "_nodes",
        "_nodes_state",
        "closed",
        "segment",
        "is_segment",
        "head",
        "before",
    )

    def __init__(self, state: State) -> None:
        self.state = state
        self.scalars: list[float | int] = []
        self.handles: list[Handle] = []
        self.hold = self.handles.append
        self.leaves: list[Buffer] = []
        self.leaf_tensors: dict[int, Handle] = {}
        self._positions: dict[int, int] = {}
        self.donors: dict[int, int] = {}
        self.hooked: dict[int, Handle] = {}
        self.cuts: dict[int, Any] = {}
        self._nodes: list[Node] = []
        self._nodes_state: State | None = None
        self.closed = False
        self.segment = 0
        self.is_segment = False
        self.head: State | None = None
        self.before = 0

    def nodes(self) -> list[Node]:
        """Return the node of every slot so far (extended from where the last call left off)."""
        state: State | None = self.state
        missing = []
        while state is not self._nodes_state and state is not None:
            missing.append(state.nodes)
            state = state.parent
        if state is not self._nodes_state:
            self._nodes = []
        for nodes in reversed(missing):
            self._nodes.extend(nodes)
        self._nodes_state = self.state
        return self._nodes

    def slot_of(self, tensor: Any) -> int:
        """Return the slot of a tensor in this recording, making it a leaf at its first use.

        Raises:
            TypeError: if it is no tensor.
        """
        if not isinstance(tensor, Handle):
            fix = "use trine.tensor(...)"
            raise DTypeError(message("operand", received=type(tensor).__name__, expected="a Tensor or a number", fix=fix))
        group = tensor._alias
        if group is not None and tensor._alias_version != group.version:
            group.refresh(tensor)
            if local.trace is not self:  # the replay ran what was recorded; `record` starts again
                return local.trace.slot_of(tensor)
        if tensor._trace is self:
            return tensor._slot
        buffer = tensor._buffer
        if buffer is None:
            buffer = materialize_elsewhere(tensor)
        return self._leaf(tensor, buffer)

    def _leaf(self, tensor: Handle, buffer: Buffer) -> int:
        position = self._positions.get(id(buffer))
        is_new = position is None
        meta = tensor._meta
        key: Hashable
        if position is None:
            position = len(self.leaves)
            key = (LEAF, meta)
        else:
            key = (LEAF, meta, position)
        state = self.state.find(key)
        if state is None:
            if _end_segment(self):
                return local.trace.slot_of(tensor)
            node = build.input(position, meta.shape, meta.dtype, meta.requires_grad)
            state = self.advance(key, (node,))
        self.state = state  # first: an interrupt may come after a call
        if is_new:
            self.leaves.append(buffer)
            self._positions[id(buffer)] = position
        slot = state.slot
        tensor._trace = self
        tensor._slot = slot
        self.leaf_tensors[slot] = tensor
        return slot

    def advance(self, key: Hashable, nodes: tuple[Node, ...], grad_enabled: bool | None = None) -> State:
        """Add a transition from the current state and return the new State (the trace is not moved)."""
        state = self.state
        following = State(state, nodes, state.grad_enabled if grad_enabled is None else grad_enabled, type(state.next) is not dict)
        automaton.add_state(state, key, following)
        return following

    def result(self, slot: int, meta: Meta) -> Tensor:
        """Return a new tensor for a result of this recording."""
        tensor = object.__new__(tensor_type)
        tensor._trace = self
        tensor._slot = slot
        tensor._meta = meta
        tensor._buffer = tensor._alias = None  # read at every flush: a default of `Handle.__getattr__` would cost more
        self.hold(tensor)
        return tensor  # type: ignore[return-value]


class _Local(threading.local):
    """What each thread records into."""

    def __init__(self) -> None:
        self.grad_enabled = True
        self.is_inference = False
        self.accumulated: dict[int, Any] = {}  # tensors whose `grad` has changed and which have hooks for that, by id
        self.eager = config.settings.eager
        self.profiler: Any = None
        self.in_pass = False  # inside a backward pass nothing is run
        self.capture: Capturing | None = None
        self.levels: list[Any] = []  # transformations (vmap, jvp) that the program is inside of, innermost last
        self.autocast: Any = None  # what lowers the precision of operations (`trine.amp.policy.Mode`)
        self.anomaly: Any = None  # what watches gradients for NaN
        self.saved_hooks: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = []
        self.hooks_refused: str | None = None
        self.trace = Trace(automaton.root(True, self.eager))


local = _Local()


class held_back:
    """Context manager inside which nothing is run: for steps that must see one recording from beginning to end."""

    __slots__ = ("before",)

    def __enter__(self) -> None:
        self.before, local.in_pass = local.in_pass, True

    def __exit__(self, *_: object) -> None:
        local.in_pass = self.before


def new_trace() -> Trace:
    """Give this thread an empty recording."""
    local.trace = trace = Trace(automaton.root(local.grad_enabled, local.eager))
    if local.autocast is not None:
        _change_autocast(trace, local.autocast)
    return trace


def set_autocast(mode: Any) -> Any:
    """Let a mode choose the precision of the operations of this thread (None: the operands' own); return what it was."""
    before = local.autocast
    if mode is not before:
        _change_autocast(local.trace, mode)
    return before


def _change_autocast(trace: Trace, mode: Any) -> None:
    key = (AUTOCAST, mode)
    state = trace.state.find(key) or trace.advance(key, ())
    local.autocast, trace.state = mode, state


def set_grad_enabled(enabled: bool) -> bool:
    """Switch gradient recording for this thread; return what it was."""
    before = local.grad_enabled
    if enabled != before:
        trace = local.trace
        state = trace.state
        if state.parent is None:  # nothing is recorded yet
            state = automaton.root(enabled, type(state.next) is not dict)
        else:
            key = (GRAD_MODE, enabled)
            state = state.find(key) or trace.advance(key, (), enabled)
        local.grad_enabled, trace.state = enabled, state  # together: an interrupt comes only after a call
    return before


def record(builder: Builder, operands: Sequence[Any], *attrs: Any) -> Any:
    """Record one operation and return its result (a tuple if the builder returns a tuple).

    Args:
        builder: module-level function from nodes and attributes to a node or a tuple of nodes; its identity is part of the key.
        operands: tensors, or Python numbers, which become run-time scalars (weakly typed).
        attrs: static attributes; hashable.

    Raises:
        TrineError: whatever the builder raises; the recording stays as it was.
    """
    trace = local.trace
    slots: list[Any] = [builder]
    scalars: list[float | int] | None = None
    for operand in operands:
        if isinstance(operand, Handle):
            slots.append(operand._slot if operand._trace is trace else trace.slot_of(operand))
        else:
            kind = type(operand)
            if kind is not float and kind is not int:
                operand = number(operand)
                kind = type(operand)
            if kind is bool or kind is complex:
                slots.append((kind, operand))
            else:
                if scalars is None:
                    scalars = []
                scalars.append(operand)
                slots.append(kind)
    key = (*slots, *attrs)
    if local.trace is not trace:  # making an operand a leaf ran what was recorded, or the garbage collector did
        return record(builder, operands, *attrs)
    state = trace.state.find(key)
    if state is None:
        if _end_segment(trace):
            return record(builder, operands, *attrs)
        if trace.state.end >= max_records() and not local.in_pass:
            flush()
            return record(builder, operands, *attrs)
        state = _miss(trace, key, builder, slots, attrs)
    if scalars is not None:
        for scalar in scalars:
            if type(scalar) is int and not _INT_MIN <= scalar <= _INT_MAX:
                raise ArgumentError(message("a Python integer does not fit into int64", received=scalar, expected="-2**63 to 2**63 - 1"))
        trace.scalars += scalars
    trace.state = state
    slot = state.slot
    # the first slot is the state's own object: the native recorder compares keys by identity first
    results = tuple(trace.result(slot + i if i else slot, meta) for i, meta in enumerate(state.metas))
    if local.eager and not local.in_pass:
        flush()
    return results[0] if state.info is None else results


def _end_segment(trace: Trace) -> bool:
    """Run the recording if it is cut here as a segment; return whether it was."""
    state, length = trace.state, trace.segment
    if not state.segment and length and segments.ends_segment(state, length):
        segments.cut_after(state, length)
    if not state.segment or local.in_pass or trace is not local.trace:
        return False
    trace.is_segment = True
    try:
        flush()
    except BaseException:
        trace.is_segment = False
        raise
    following = local.trace
    following.segment, following.head, following.before = state.segment, trace.head or state, trace.before + state.end
    return True


def number(value: Any) -> float | int | bool | complex:
    """Return a Python number for a Python or NumPy scalar.

    Raises:
        DTypeError: for anything else.
    """
    if isinstance(value, bool | int | float | complex):
        kind: Any = bool if isinstance(value, bool) else int if isinstance(value, int) else float if isinstance(value, float) else complex
        plain: bool | int | float | complex = kind(value)
        return plain
    if hasattr(value, "item") and hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0:
        return number(value.item())
    what, fix = "operand of a tensor operation", "use trine.as_tensor(...)"
    raise DTypeError(message(what, received=type(value).__name__, expected="a Tensor or a number", fix=fix))


_SCALAR_DTYPES = {float: dtypes.float64, int: dtypes.int64}


def _miss(trace: Trace, key: Hashable, builder: Builder, slots: Sequence[Any], attrs: tuple[Any, ...]) -> State:
    """Build the nodes of an operation that is new on this path, and the State after it."""
    known = trace.nodes()
    position = len(trace.scalars)
    nodes = []
    for slot in slots[1:]:
        if type(slot) is int:
            nodes.append(known[slot])
        elif type(slot) is tuple:
            kind, value = slot
            nodes.append(build.const(value, dtypes.bool_ if kind is bool else dtypes.complex128))
        else:
            nodes.append(build.scalar(position, _SCALAR_DTYPES[slot]))
            position += 1
    results = build_nodes(trace.state, builder, nodes, attrs)
    several = isinstance(results, tuple)
    state = trace.advance(key, distinct(results if several else (results,), nodes, trace.state.grad_enabled))
    state.info = several or None
    return state


def distinct(results: tuple[Node, ...], operands: Sequence[Node], grad_enabled: bool) -> tuple[Node, ...]:
    """Give every result a node of its own: one that is an operand, or comes twice, is a tensor of its own all the same."""
    seen = set(operands)
    distinct = []
    for node in results:
        if node in seen:
            node = Node("reshape", (node,), (node.shape,), node.shape, node.dtype, node.requires_grad and grad_enabled, node.source)
        seen.add(node)
        distinct.append(node)
    return tuple(distinct)


def build_nodes(state: State, builder: Builder, nodes: Sequence[Node], attrs: Sequence[Any]) -> Any:
    """Call a builder with the state's gradient mode and the user's source line as context."""
    source, enabled = context.source, context.grad_enabled
    context.source = user_source()
    context.grad_enabled = state.grad_enabled
    try:
        if local.autocast is not None:
            nodes = local.autocast.operands(builder, nodes, attrs)
        return builder(*nodes, *attrs)
    finally:
        context.source, context.grad_enabled = source, enabled


def record_view(builder: Builder, tensor: Tensor, *attrs: Any) -> Tensor:
    """Record a view: like `record`, and the result shares memory with `tensor` (writes to one are seen in the other).

    `builder` is composed of movement primitives only.
    """
    from trine.tensor.alias import AliasGroup

    group = tensor._alias
    if group is not None and tensor._alias_version != group.version:
        group.refresh(tensor)
    buffer = tensor._buffer
    piece = None
    if buffer is not None and not (tensor._meta.requires_grad and local.grad_enabled) and local.capture is None:
        piece = contiguous_piece(builder, tensor._meta, attrs)
    result: Tensor
    if buffer is not None and piece is not None:
        result = object.__new__(tensor_type)  # type: ignore[assignment]
        result._trace, result._slot, result._meta = None, -1, piece[1]
        result._buffer = piece_of(buffer, *piece)
    else:
        # not run before it is known as a view: what is computed for one is forgotten when the memory changes
        with held_back():
            result = record(builder, (tensor,), *attrs)
    group = tensor._alias
    if group is None:
        group = AliasGroup(tensor)
    result._alias = group
    result._alias_version = group.version
    result._path = (*tensor._path, (builder, attrs))
    group.add(result, tensor)
    if local.eager and not local.in_pass:
        flush()
    return result


def materialize_elsewhere(tensor: Handle) -> Buffer:
    """Return the memory of a tensor that is pending in another recording (another thread's)."""
    from trine.tensor.foreign import compute_foreign

    return compute_foreign(tensor)


def flush() -> None:
    """Run what this thread has recorded (nothing inside of a transformation such as `vmap`: its recording is one piece)."""
    if local.levels:
        return
    from trine.tensor.execution import flush_trace

    if local.capture is not None:
        local.capture.give_up("a value was observed")
    flush_trace(local.trace)
