"""Backward passes: gradients of a recording, of pieces that were flushed before, and through custom functions and hooks.

Gradients of a recording are one transition of the automaton. Where Python must take part (a hook, a custom function, the end of a flushed
fragment) the pass stops, hands the gradient over, and goes on from there, latest results first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from trine.autograd.gradient import Observer, gradient
from trine.core import build
from trine.core.graph import Node, context, substitute, topological_order
from trine.errors import DTypeError, GradientError, ShapeError, message
from trine.tensor.alias import assign, is_leaf, share_value
from trine.tensor.fragment import (
    KEEPS_NOTHING,
    CallPiece,
    Fragment,
    consumed,
    gradient_leaves,
    modified_in_place,
    overwritten_reads,
    second_backward,
    stop_overrides,
)
from trine.tensor.handle import Handle
from trine.tensor.hooks import AfterAccumulation
from trine.tensor.recorder import Trace, flush, local, record, set_grad_enabled
from trine.tensor.state import State

if TYPE_CHECKING:
    from trine.tensor.tensor import Tensor


class Pass:
    """One backward pass.

    Attributes:
        wanted: tensors whose gradients are asked for, by id; None accumulates into the leaves' `grad`. found: their gradients so far.
        seeds: slot of the current recording -> gradient that is to go on from there; seeded: the tensors at these slots.
        waiting: the same for hooked tensors and custom functions, whose turn comes when all later results are done.
        fragments: flushed pieces -> gradients of their outputs.
        trace: the recording that the slots belong to.
        start: where the recording was when the pass began, if it is the plain case of `repeat_backward`.
    """

    def __init__(self, wanted: Sequence[Tensor] | None, retain_graph: bool, create_graph: bool) -> None:
        self.retain_graph = retain_graph
        self.create_graph = create_graph
        self.wanted = None if wanted is None else {id(t): t for t in wanted}
        self.found: dict[int, Tensor] = {}
        self.seeds: dict[int, Tensor] = {}
        self.seeded: dict[int, Any] = {}
        self.waiting: dict[int, Tensor] = {}
        self.fragments: dict[Fragment, dict[int, Tensor]] = {}
        self.visited: set[Fragment] = set()
        self.start: State | None = None
        self._enter(local.trace)

    def _enter(self, trace: Trace) -> None:
        self.trace, self.hooked, self.cuts = trace, trace.hooked, trace.cuts

    def add_root(self, tensor: Tensor, seed: Tensor) -> None:
        """Start from a tensor with its output gradient."""
        self.route(tensor, seed)

    def route(self, tensor: Tensor, seed: Tensor) -> None:
        """Send a gradient to a tensor: into the current recording, a fragment, or the leaf itself."""
        trace = local.trace
        if not tensor._meta.requires_grad:
            return
        if tensor._alias is not None:
            trace.slot_of(tensor)
        if tensor._buffer is None and tensor._trace is trace and not is_leaf(tensor):
            slot = tensor._slot
            target = self.waiting if slot in trace.hooked else self.seeds
            self.seeded[slot] = tensor
            _merge(target, slot, seed)
            if slot not in trace.hooked and self.wanted is not None and id(tensor) in self.wanted:
                self._add_found(tensor, seed)
        else:
            self.deliver(tensor, seed)

    def run(self) -> None:
        """Propagate until no gradient is on its way."""
        while True:
            if local.trace is not self.trace:
                self._follow_flush()
            if self.seeds:
                self._step_recording()
            elif self.waiting:
                slot = max(self.waiting)
                self._step_cut(slot, self.waiting.pop(slot))
            elif self.fragments:
                fragment = max(self.fragments, key=lambda f: f.sequence)
                if fragment.is_segment and self.trace.handles and not self.create_graph and not local.levels:
                    flush()
                    continue
                self._step_fragment(fragment, self.fragments.pop(fragment))
            else:
                break
        if not self.retain_graph:
            for fragment in self.visited:  # only now: a custom function may lead back into a piece
                fragment.release()

    def _follow_flush(self) -> None:
        """A hook or a custom function observed a value: what was recorded is a flushed piece now, and the gradients go on from there."""
        hooked, cuts = self.hooked, self.cuts
        self._enter(local.trace)
        seeds, self.seeds = self.seeds, {}
        waiting, self.waiting = self.waiting, {}
        for slot, value in seeds.items():
            self._enter_fragment(hooked[slot] if slot in hooked else self.seeded[slot], value)
        for slot in sorted(waiting, reverse=True):
            value = waiting[slot]
            if slot in hooked:
                value = run_hooks(hooked[slot], value)
            if slot in cuts:
                self._add_to_fragment(cuts[slot].call.piece, cuts[slot].index, value)
            else:
                self._enter_fragment(hooked[slot], value)

    def _enter_fragment(self, tensor: Any, value: Tensor) -> None:
        if tensor._fragment is None:
            self.deliver(tensor, value)
            return
        fragment, index = tensor._fragment
        self._add_to_fragment(fragment, index, value)

    def _add_to_fragment(self, fragment: Fragment, index: int, value: Tensor) -> None:
        fragment.check(())
        gradients = self.fragments.setdefault(fragment, {})
        _merge(gradients, index, value)

    def deliver(self, tensor: Tensor, value: Tensor) -> None:
        """Give a finished gradient to a tensor outside the current recording's interior."""
        value = run_hooks(tensor, value)
        if self.wanted is not None and id(tensor) in self.wanted:
            self._add_found(tensor, value)
        if tensor._fragment is not None:
            self._add_to_fragment(*tensor._fragment, value)
            if tensor._retains_grad and self.wanted is None:
                accumulate(tensor, value)
        elif self.wanted is None:
            accumulate(tensor, value)

    def _add_found(self, tensor: Tensor, value: Tensor) -> None:
        _merge(self.found, id(tensor), value)

    def _step_recording(self) -> None:
        """Gradients of the seeds with respect to every leaf of the current recording: one transition."""
        trace = local.trace
        seeds, self.seeds = self.seeds, {}
        slots = tuple(sorted(seeds))
        seed_slots = tuple(trace.slot_of(seeds[s]) for s in slots)
        stops = tuple(sorted(s for s in trace.hooked if s not in slots))
        asked: tuple[int, ...] = ()
        if self.wanted is not None:
            asked = tuple(sorted(t._slot for t in self.wanted.values() if t._trace is trace and t._buffer is None and not is_leaf(t)))
        key: tuple[Hashable, ...] = ("backward", slots, seed_slots, stops, asked, self.retain_graph, self.create_graph)
        if local.anomaly is not None:
            key = (*key, local.anomaly.key())
        state = trace.state.find(key)
        if state is None:
            state = _backward_state(trace, key, slots, seed_slots, stops, asked, self.retain_graph, self.create_graph)
        trace.state = state
        if local.anomaly is not None:
            local.anomaly.check(trace)
        elif self.start is not None:
            _remember(self.start, state, trace, slots, self.retain_graph)
        wanted_slots = {t._slot: t for t in self.wanted.values() if t._trace is trace} if self.wanted is not None else {}
        for (slot, position), meta in zip(state.info, state.metas, strict=True):
            value = trace.result(state.slot + position, meta)
            if slot in stops or slot in trace.cuts:
                _merge(self.waiting, slot, value)
            elif slot in asked:
                if slot not in slots:
                    self._add_found(wanted_slots[slot], value)
            else:
                self.deliver(trace.leaf_tensors[slot], value)  # type: ignore[arg-type]

    def _step_cut(self, slot: int, value: Tensor) -> None:
        """A gradient arrived at a hooked tensor or at the result of a custom function."""
        trace = local.trace
        cut = trace.cuts.get(slot)
        tensor = trace.hooked.get(slot)
        if tensor is not None:
            value = self._arrive(tensor, value)
        if cut is None:
            _merge(self.seeds, slot, value)
            return
        gradients = self.fragments.pop(cut.call.piece, {})
        _merge(gradients, cut.index, value)
        for other, its in trace.cuts.items():  # the call's other results that have their gradients: it is called once
            if its.call is cut.call and other in self.waiting:
                arrived = self.waiting.pop(other)
                if other in trace.hooked:
                    arrived = self._arrive(trace.hooked[other], arrived)
                _merge(gradients, its.index, arrived)
        self._step_call(cut.call.piece, gradients)

    def _step_call(self, piece: CallPiece, gradients: dict[int, Tensor]) -> None:
        """Call a custom function's backward with the gradients of its results."""
        piece.check(())
        self.visited.add(piece)
        try:
            parts = piece.call.backward(gradients)
        except Exception as error:
            if piece.call is not None and piece.call.source is not None:
                error.add_note(f"in the backward of {piece.call.name}, which was called at {piece.call.source}")
            raise
        for target, part in parts:
            self.route(target, part)

    def _arrive(self, tensor: Handle, value: Tensor) -> Tensor:
        """Run the hooks of a watched computed tensor, keep its gradient where that is asked for, and return what goes on."""
        value = run_hooks(tensor, value)
        if self.wanted is None:
            if tensor._retains_grad:
                accumulate(tensor, value)
        elif id(tensor) in self.wanted:
            self._add_found(tensor, value)  # type: ignore[arg-type]
        return value

    def _step_fragment(self, fragment: Fragment, gradients: dict[int, Tensor]) -> None:
        """Gradients of a flushed piece: recorded here over its kept values."""
        if isinstance(fragment, CallPiece):
            self._step_call(fragment, gradients)
            return
        spec = fragment.spec
        trace = local.trace
        if spec.stale:
            raise modified_in_place(spec.stale[0])
        indices = tuple(sorted(gradients))
        names = spec.all_read if self.create_graph else spec.read
        fragment.check(names)
        slots, scalars = [], []
        for node in names:
            if node.op == "scalar":
                scalars.append(fragment.scalars[node])
                slots.append(-1 if isinstance(fragment.scalars[node], float) else -2)
            else:
                slots.append(trace.slot_of(fragment.tensor(node)))
        seed_slots = tuple(trace.slot_of(gradients[i]) for i in indices)
        key: tuple[Hashable, ...] = ("fragment", spec, indices, seed_slots, tuple(slots), self.create_graph)
        if local.anomaly is not None:
            key = (*key, local.anomaly.key())
        state = trace.state.find(key)
        if state is None:
            state = _fragment_state(trace, key, fragment, indices, seed_slots, names, slots, self.create_graph)
        trace.state = state
        trace.scalars += scalars
        if local.anomaly is not None:
            local.anomaly.check(trace)
        receivers, origins = fragment.leaf_tensors, fragment.origins
        results = [
            (receivers[leaf], origins[leaf], spec.leaves[leaf], trace.result(state.slot + position, meta))
            for (leaf, position), meta in zip(state.info, state.metas, strict=True)
        ]
        self.visited.add(fragment)
        for receiver, origin, node, value in results:
            if isinstance(receiver, Handle):
                if node in spec.stops:
                    value = self._arrive(receiver, value)
                    if receiver._fragment is not None and isinstance(receiver._fragment[0], CallPiece):
                        self._add_to_fragment(*receiver._fragment, value)
                    else:
                        self._continue_fragment(fragment, node, value)
                elif origin is None:
                    self.route(receiver, value)  # type: ignore[arg-type]
                elif receiver._fragment is origin:
                    self.deliver(receiver, value)  # type: ignore[arg-type]
                else:  # the tensor has been written since: the gradient is that of its former value
                    self._add_to_fragment(origin[0], origin[1], value)
            else:
                self._add_to_fragment(receiver.call.piece, receiver.index, value)

    def _continue_fragment(self, fragment: Fragment, node: Node, value: Tensor) -> None:
        """A hooked tensor inside a flushed piece: go on below it if it is one of the piece's results."""
        for index, output in enumerate(fragment.spec.outputs):
            if output is node:
                gradients = self.fragments.setdefault(fragment, {})
                _merge(gradients, index, value)
                return


def repeat_backward(tensor: Any, retain_graph: bool) -> bool:
    """Do what `run_backward` does for one tensor without a seed, if that is known here: one transition instead of three.

    Returns False, with nothing done, if it is not.
    """
    trace = local.trace
    if tensor._trace is not trace or not tensor._meta.requires_grad or trace.hooked or trace.cuts or local.anomaly is not None:
        return False
    state = trace.state.find((_REPEAT, tensor._slot, retain_graph))
    if state is None:
        return False
    leaves: list[Any] = [trace.leaf_tensors.get(slot) for slot, _ in state.info]
    for leaf in leaves:
        if leaf is None:
            return False
        hooks, fragment = leaf._hooks, leaf._fragment
        if hooks or fragment is not None:
            return False
        leaf._hooks, leaf._fragment = hooks, fragment  # values of their own are read faster the next time
    enabled, in_pass = local.grad_enabled, local.in_pass
    try:
        local.in_pass = True
        local.grad_enabled, trace.state = False, state  # together, as in `set_grad_enabled`
        slot = state.slot
        for leaf, (_, position), meta in zip(leaves, state.info, state.metas, strict=True):
            accumulate(leaf, trace.result(slot + position, meta))
    finally:
        local.in_pass = in_pass
        set_grad_enabled(enabled)
    return True


_REPEAT = "repeat backward"


def _remember(start: State, state: State, trace: Trace, slots: tuple[int, ...], retain_graph: bool) -> None:
    """Add the transition of `repeat_backward`: over the change of the gradient mode, the seed of ones and the gradients."""
    before = state.parent.parent if state.parent is not None else None
    if before is not None and start.grad_enabled:
        before = before.parent
    if before is start and not trace.hooked and not trace.cuts:
        dict.__setitem__(start.next, (_REPEAT, *slots, retain_graph), state)


def _backward_state(
    trace: Trace,
    key: Hashable,
    slots: tuple[int, ...],
    seed_slots: tuple[int, ...],
    stop_slots: tuple[int, ...],
    asked: tuple[int, ...],
    retain_graph: bool,
    create_graph: bool,
) -> State:
    """Differentiate the recording: the State after the backward step, with info = (slot of a leaf, result number) pairs."""
    nodes = trace.nodes()
    before = trace.state
    outputs = [nodes[s] for s in slots]
    stops = frozenset(nodes[s] for s in stop_slots)
    leaves, reached = gradient_leaves(outputs, stops)
    if before.freed and consumed(reached, before.freed):
        raise second_backward()
    slot_of: dict[Node, int] = {}
    for slot, node in enumerate(nodes):
        slot_of.setdefault(node, slot)
    targets = [*leaves, *(nodes[s] for s in asked)]
    target_slots = [*(slot_of[n] for n in leaves), *asked]
    found = _with_mode(
        create_graph,
        lambda: gradient(outputs, [nodes[s] for s in seed_slots], targets, stop_overrides(stops, outputs), observe=_observer()),
    )
    if before.overwritten:
        stale = overwritten_reads([g for g in found if g is not None], set(topological_order(outputs)), before.overwritten)
        if stale:
            raise modified_in_place(stale[0])
    results = [(slot, g) for slot, g in zip(target_slots, found, strict=True) if g is not None]
    state = trace.advance(key, tuple(g for _, g in results))
    state.info = tuple((slot, i) for i, (slot, _) in enumerate(results))
    if not (retain_graph or create_graph):
        state.freed = state.freed | frozenset(n for n in reached if n.op not in KEEPS_NOTHING)
    return state


def _fragment_state(
    trace: Trace,
    key: Hashable,
    fragment: Fragment,
    indices: tuple[int, ...],
    seed_slots: tuple[int, ...],
    names: Sequence[Node],
    slots: Sequence[int],
    create_graph: bool,
) -> State:
    spec = fragment.spec
    nodes = trace.nodes()
    position = len(trace.scalars)
    mapping: dict[Node, Node] = {}
    for node, slot in zip(names, slots, strict=True):
        if slot >= 0:
            mapping[node] = nodes[slot]
        else:
            mapping[node] = build.scalar(position, node.dtype)
            position += 1
    seeds = [nodes[s] for s in seed_slots]

    def differentiate() -> list[Node | None]:
        outputs = [spec.outputs[i] for i in indices]
        # a hooked result that is a leaf of this piece is entered from above here, so it does not stop its own gradient
        stops = frozenset(n for n in spec.stops if n not in outputs)
        found = gradient(outputs, seeds, spec.leaves, stop_overrides(stops, outputs), observe=_observer())
        mapping.update({s: s for s in seeds})
        found = [None if n in outputs else g for n, g in zip(spec.leaves, found, strict=True)]
        if local.anomaly is not None:
            local.anomaly.observed = [(n, i, substitute([g], mapping)[0]) for n, i, g in local.anomaly.observed]
        return substitute(found, mapping)

    found = _with_mode(create_graph, differentiate)
    results = [(i, g) for i, g in enumerate(found) if g is not None]
    state = trace.advance(key, tuple(g for _, g in results))
    state.info = tuple((leaf, i) for i, (leaf, _) in enumerate(results))
    return state


def _observer() -> Observer | None:
    return None if local.anomaly is None else local.anomaly.observe


def _with_mode(enabled: bool, function: Callable[[], Any]) -> Any:
    before, context.grad_enabled = context.grad_enabled, enabled
    try:
        return function()
    finally:
        context.grad_enabled = before


def _ones_like(node: Node) -> Node:
    return build.full(1, node.shape, node.dtype)


def _add(a: Node, b: Node) -> Node:
    return build.add(a, b)


def add(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum of two gradients."""
    return record(_add, (a, b))  # type: ignore[no-any-return]


def _merge(gradients: dict[int, Tensor], key: int, value: Tensor) -> None:
    """Add a gradient to those that are on their way to the same place."""
    before = gradients.get(key)
    gradients[key] = value if before is None else add(before, value)


def accumulate(tensor: Any, value: Tensor) -> None:
    """Add a gradient to `tensor.grad` (in place if there is one already)."""
    if local.capture is not None:
        local.capture.touch(tensor, accumulates=True)
    if tensor._grad is None:
        tensor._grad = share_value(value) if tensor._hooks else value  # a hook may have kept it
    else:
        assign(tensor._grad, add(tensor._grad, value))
    if tensor._hooks and any(type(hook) is AfterAccumulation for hook in tensor._hooks.values()):
        local.accumulated[id(tensor)] = tensor


def run_hooks(tensor: Any, value: Tensor) -> Tensor:
    """Pass a finished gradient through the tensor's hooks."""
    if tensor._hooks:
        for hook in list(tensor._hooks.values()):
            if type(hook) is AfterAccumulation:
                continue
            replacement = hook(value)
            if replacement is not None:
                value = replacement
    return value


def run_backward(
    tensors: Sequence[Tensor],
    seeds: Sequence[Tensor | None],
    wanted: Sequence[Tensor] | None,
    retain_graph: bool,
    create_graph: bool,
) -> dict[int, Tensor]:
    """Propagate gradients from `tensors`; return id of each wanted tensor -> gradient (empty when accumulating).

    Raises:
        GradientError: if a tensor does not require grad, or is not a scalar and has no seed, or its graph was freed.
        InPlaceError: if a value that the gradients need was changed in place.
    """
    enabled, in_pass = local.grad_enabled, local.in_pass
    start = local.trace.state
    try:
        local.in_pass = True
        set_grad_enabled(create_graph)
        run = Pass(wanted, retain_graph, create_graph)
        if wanted is None and not create_graph and len(tensors) == 1 and seeds[0] is None:
            run.start = start
        for tensor, seed in zip(tensors, seeds, strict=True):
            run.add_root(tensor, _check_seed(tensor, seed))
        run._enter(local.trace)
        run.run()
        return run.found
    finally:
        local.in_pass = in_pass
        set_grad_enabled(enabled)


def _check_seed(tensor: Tensor, seed: Tensor | None) -> Tensor:
    meta = tensor._meta
    if not meta.requires_grad:
        raise GradientError(
            message(
                "backward: this tensor does not require grad and has no graph",
                received=f"a {meta.dtype.name} tensor of shape {meta.shape} with requires_grad=False",
                fix="set requires_grad=True on the parameters, and do not compute inside no_grad()",
            )
        )
    if seed is None:
        count = 1
        for size in meta.shape:
            count *= size
        if count != 1:
            raise GradientError(
                message(
                    "backward: grad can be implicitly created only for scalar outputs",
                    received=f"a tensor of shape {meta.shape}",
                    expected="one element",
                    fix="reduce it (loss.sum(), loss.mean()) or pass gradient=",
                )
            )
        return record(_ones_like, (tensor,))  # type: ignore[no-any-return]
    if seed._meta.shape != meta.shape:
        raise ShapeError(message("backward: gradient has the wrong shape", received=seed._meta.shape, expected=meta.shape))
    if seed._meta.dtype is not meta.dtype:
        raise DTypeError(message("backward: gradient has the wrong dtype", received=seed._meta.dtype.name, expected=meta.dtype.name))
    return seed
