"""Views and in-place writes over functional values.

A group of aliasing tensors has a base value and a version. Each member knows the movement steps that lead from the base to it.
A write through a member goes back along these steps into the base and bumps the version; a member with an older version replays
its steps when it is next read.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from trine.core import build
from trine.core.graph import Node
from trine.errors import InPlaceError, ShapeError, message
from trine.tensor import recorder
from trine.tensor.handle import Handle
from trine.tensor.recorder import WRITE, held_back, local, record

if TYPE_CHECKING:
    from trine.runtime.memory import Buffer
    from trine.tensor.recorder import Trace
    from trine.tensor.tensor import Tensor

Step = tuple[Callable[..., Node], tuple[Any, ...]]


class AliasGroup:
    """Tensors that share memory.

    Attributes:
        base: holds the base value; a handle of its own, so that members and group form no reference cycle.
        version: number of writes so far.
        members: weak references to the members.
        listed_in: the recording that computes the base for its own sake, because it was written there.
    """

    __slots__ = ("base", "version", "members", "listed_in", "limit")

    def __init__(self, tensor: Tensor) -> None:
        self.base = share_value(tensor, is_listed=False)
        self.version = 0
        self.listed_in: Trace | None = None
        self.members: list[weakref.ref[Handle]] = [weakref.ref(tensor)]
        self.limit = 64
        tensor._alias = self
        tensor._alias_version = 0

    def add(self, tensor: Handle, source: Handle) -> None:
        """Add a member made from another one (and, now and then, forget those that are gone)."""
        members = self.members
        if source._version:
            tensor._version = source._version
        if source._counter:
            tensor._counter = source._counter
        members.append(weakref.ref(tensor))
        if len(members) > self.limit:
            self.members = [reference for reference in members if reference() is not None]
            self.limit = max(64, 2 * len(self.members))

    def refresh(self, tensor: Handle) -> None:
        """Bring a stale member's value up to date: replay its steps from the base."""
        with held_back():
            self._replay(tensor)

    def _replay(self, tensor: Handle) -> None:
        value: Handle = self._source(tensor)
        if not tensor._path and value._buffer is not None:  # the base itself
            is_parameter = tensor._meta.requires_grad and not value._meta.requires_grad
            tensor._trace, tensor._buffer, tensor._fragment = None, value._buffer, value._fragment
            tensor._meta = tensor._meta if is_parameter else value._meta
            tensor._alias_version = self.version
            return
        # the view was made where gradients are recorded, wherever it is read
        enabled = recorder.set_grad_enabled(local.grad_enabled or tensor._meta.requires_grad)
        try:
            for builder, attrs in tensor._path:
                value = record(builder, (value,), *attrs)
            is_parameter = tensor._meta.requires_grad and not value._meta.requires_grad
            if is_parameter:
                value = record(gradient_leaf, (value,))
        finally:
            recorder.set_grad_enabled(enabled)
        take_value(tensor, value)
        if is_parameter and tensor._trace is not None:
            local.trace.leaf_tensors[tensor._slot] = tensor
        tensor._alias_version = self.version

    def _source(self, tensor: Handle) -> Handle:
        """Return the handle to replay from: a live member that is the whole base, so that gradients reach it, or the base's own."""
        for reference in self.members:
            member = reference()
            if member is not None and member is not tensor and not member._path and member._alias_version == self.version:
                if member._buffer is not None or member._trace is local.trace:
                    return member
        return self.base

    def is_sole(self, tensor: Handle) -> bool:
        """True if no other member is alive."""
        return not any((m := reference()) is not None and m is not tensor for reference in self.members)

    def write(self, tensor: Tensor, value: Tensor) -> None:
        """Set the base's value through a member; all members become stale (the caller sets this one's value)."""
        steps = tensor._path
        base_value = value if not steps else record(write_through, (self.base, value), steps)
        trace, base = local.trace, self.base
        is_pending = base._buffer is None and base._trace is trace
        take_value(base, base_value)
        if is_pending and self.listed_in is not trace:  # the other members lose their places: the base is computed in its own
            trace.handles.append(base)
        self.listed_in = trace
        self.version += 1
        alive = []
        for reference in self.members:
            member = reference()
            if member is not None:
                alive.append(reference)
                if member is not tensor:
                    _keep_receiver(member)
                    member._trace = None
                    if member._counter == tensor._counter:
                        member._version += 1
        self.members = alive


def share_value(tensor: Handle, *, is_listed: bool = True) -> Tensor:
    """Return a new handle with the same value (and no alias group).

    Args:
        is_listed: whether its value is computed when the recording runs, if the handle lives then; the base of a group is computed where
            a member lives.
    """
    cls = recorder.tensor_type
    other = object.__new__(cls)
    other._trace, other._slot, other._meta = tensor._trace, tensor._slot if tensor._trace is not None else -1, tensor._meta
    other._buffer, other._alias = tensor._buffer, None
    other._fragment = tensor._fragment
    if is_listed and other._buffer is None and other._trace is not None:
        other._trace.handles.append(other)
    return other  # type: ignore[return-value]


def take_value(tensor: Handle, value: Handle) -> None:
    """Make `value`'s value the value of `tensor`: a pending result of the current recording.

    To be called where nothing is run (`held_back`).
    """
    if value._buffer is not None:
        _take_memory(tensor, value._buffer, value)
        return
    trace = local.trace
    slot = value._slot if value._trace is trace else trace.slot_of(value)
    was_listed = tensor._buffer is None and tensor._trace is trace
    if tensor._buffer is not None and tensor._trace is trace and id(tensor) not in trace.donors:
        position = trace._positions.get(id(tensor._buffer))
        if position is not None:  # else another thread has computed this value
            trace.donors[id(tensor)] = position
            old = _keep_receiver(tensor)
            if old is not None:
                trace.donors[id(old)] = position
                old._buffer = None
    tensor._trace, tensor._slot, tensor._meta = trace, slot, value._meta
    tensor._buffer = None
    tensor._fragment = None
    if not was_listed:
        trace.handles.append(tensor)


def _take_memory(tensor: Handle, memory: Buffer, value: Handle) -> None:
    """The same for a value that is there already."""
    _keep_receiver(tensor)
    before = tensor._buffer
    if before is not None and before.external and not before.readonly:
        np.copyto(np.asarray(before), np.asarray(memory))
        memory = before
    tensor._trace, tensor._slot, tensor._meta, tensor._buffer, tensor._fragment = None, -1, value._meta, memory, value._fragment


def _keep_receiver(tensor: Handle) -> Handle | None:
    """Let the gradient of a computed leaf's old value go where that value came from, although the tensor gets another value."""
    trace = local.trace
    if tensor._trace is not trace or tensor._fragment is None or trace.leaf_tensors.get(tensor._slot) is not tensor:
        return None
    old = share_value(tensor)
    trace.leaf_tensors[tensor._slot] = old
    return old


VIEW_INVERSES: dict[Callable[..., Node], Callable[..., Node]] = {}
"""View builder -> ``inverse(source, value, *attributes)``: the source with `value` written, for views that are no chain of movements."""


def whole_of(tensor: Tensor) -> Tensor:
    """Return a tensor that shows all of the memory that a tensor is a view of."""
    group = tensor._alias
    if group is None or not tensor._path:
        return tensor
    source = group._source(tensor)
    if source._alias is group:
        return source  # type: ignore[return-value]
    whole = share_value(source)
    group.add(whole, tensor)
    whole._alias, whole._alias_version = group, group.version
    return whole


def write_through(base: Node, value: Node, steps: tuple[Step, ...]) -> Node:
    """Return the base with the region that the steps lead to replaced by `value`."""
    values = [base]
    for builder, attrs in steps[:-1]:
        values.append(builder(values[-1], *attrs))
    for source, (builder, attrs) in zip(reversed(values), reversed(steps), strict=True):
        inverse = VIEW_INVERSES.get(builder)
        value = _invert(builder(source, *attrs), source, value) if inverse is None else inverse(source, value, *attrs)
    return value


def _invert(result: Node, source: Node, value: Node) -> Node:
    """Return `source` with the elements that the movement chain `result` shows replaced by `value`."""
    chain = []
    node = result
    while node is not source:
        chain.append(node)
        node = node.inputs[0]
    sources = [*(n.inputs[0] for n in chain)]
    for node, below in zip(chain, sources, strict=True):
        value = _INVERSES[node.op](node, below, value)
    return value


def _invert_slice(node: Node, below: Node, value: Node) -> Node:
    start, _, step = node.attrs
    return build.update(below, value, start, step)


def _invert_permute(node: Node, below: Node, value: Node) -> Node:
    (axes,) = node.attrs
    inverse = [0] * len(axes)
    for position, axis in enumerate(axes):
        inverse[axis] = position
    return build.permute(value, tuple(inverse))


def _invert_expand(node: Node, below: Node, value: Node) -> Node:
    raise InPlaceError(
        message(
            "in-place write to an expanded tensor",
            received=f"a view of shape {node.shape} of memory of shape {below.shape}: several elements share one place",
            fix="clone() the tensor before writing to it",
        )
    )


_INVERSES: dict[str, Callable[[Node, Node, Node], Node]] = {
    "slice": _invert_slice,
    "permute": _invert_permute,
    "reshape": lambda node, below, value: build.reshape(value, below.shape),
    "flip": lambda node, below, value: build.flip(value, *node.attrs),
    "expand": _invert_expand,
    "stop_gradient": lambda node, below, value: value,
    "bitcast": lambda node, below, value: build.bitcast(value, below.dtype),
}


def assign(tensor: Tensor, value: Tensor) -> Tensor:
    """Write `value` into `tensor` in place (same shape and dtype) and return `tensor`.

    Raises:
        InPlaceError: if `tensor` is a leaf that requires grad, or a view of one, while gradients are recorded, or an expanded view.
        ShapeError: if the shape or dtype differs.
    """
    with held_back():
        external = _assign(tensor, value)
    if (external or local.eager) and not local.in_pass:
        recorder.flush()
    return tensor


def _assign(tensor: Tensor, value: Tensor) -> bool:
    """Do the write; return whether somebody outside sees the memory."""
    meta, new = tensor._meta, value._meta
    if meta is not new and (meta.shape != new.shape or meta.dtype is not new.dtype):
        received = f"a value of shape {new.shape} and dtype {new.dtype.name}"
        expected = f"shape {meta.shape} and dtype {meta.dtype.name}"
        raise ShapeError(message("in-place write: the result does not fit the tensor", received=received, expected=expected))
    if local.grad_enabled and meta.requires_grad:
        _check_leaf(tensor)
    _leave_group(tensor)
    group = tensor._alias
    trace = local.trace
    if tensor._trace is trace or tensor._buffer is not None:
        slot = tensor._slot if tensor._trace is trace else trace.slot_of(tensor)
        for level in local.levels:
            level.note_write(slot, value)
        _mark_overwritten(slot)
    external = is_external(tensor)
    if meta.requires_grad and not new.requires_grad:
        stays_computed = local.grad_enabled and not is_leaf(tensor)
        value = record(_overwritten, (tensor, value)) if stays_computed else record(gradient_leaf, (value,))
    if group is not None:
        local.trace.slot_of(group.base)
        external = external or is_external(group.base)
        group.write(tensor, value)
    take_value(tensor, value)
    if group is not None:
        # memory that somebody outside may write is read again the next time
        is_copy = external and bool(tensor._path) and tensor._buffer is not None
        tensor._alias_version = -1 if is_copy else group.version
    if value._meta.requires_grad and not new.requires_grad and not stays_computed and tensor._trace is not None:
        local.trace.leaf_tensors[tensor._slot] = tensor
    tensor._version += 1
    return external


def is_external(tensor: Handle) -> bool:
    """True if somebody outside of Trine may see and write the tensor's memory."""
    return tensor._buffer is not None and tensor._buffer.external


def _leave_group(tensor: Handle) -> None:
    """Forget a group of which this tensor is the base and the only member left."""
    group = tensor._alias
    if group is not None and not tensor._path and tensor._alias_version == group.version and group.is_sole(tensor):
        tensor._alias = None


def gradient_leaf(node: Node) -> Node:
    """Return the same value as a node where gradients end."""
    return Node("stop_gradient", (node,), (), node.shape, node.dtype, True, node.source)


def _overwritten(old: Node, value: Node) -> Node:
    """`value` as a result that depends on `old`, with gradients that are zero."""
    if not old.shape:
        return build.reshape(_overwritten(build.reshape(old, (1,)), build.reshape(value, (1,))), ())
    return build.update(old, value, (0,) * len(old.shape), (1,) * len(old.shape))


def assign_all(tensors: list[Tensor], values: tuple[Tensor, ...]) -> None:
    """Write many values in place at once (an optimizer's step).

    Tensors that require grad get values that are `gradient_leaf` nodes.
    """
    with held_back():
        external = _assign_all(tensors, values)
    if external and not local.in_pass:
        recorder.flush()


def _assign_all(tensors: list[Tensor], values: tuple[Tensor, ...]) -> bool:
    trace = local.trace
    slots = []
    for tensor in tensors:
        _leave_group(tensor)
        if tensor._alias is None and (tensor._trace is trace or tensor._buffer is not None):
            slots.append(tensor._slot if tensor._trace is trace else trace.slot_of(tensor))
    _mark_overwritten(*slots)
    external = False
    for tensor, value in zip(tensors, values, strict=True):
        if tensor._alias is not None:
            external = _assign(tensor, value) or external
            continue
        external = external or is_external(tensor)
        take_value(tensor, value)
        if tensor._meta.requires_grad and tensor._trace is not None:
            trace.leaf_tensors[tensor._slot] = tensor
        tensor._version += 1
    return external


def _mark_overwritten(*slots: int) -> None:
    trace = local.trace
    key = (WRITE, *slots)
    state = trace.state.find(key)
    if state is None:
        nodes = trace.nodes()
        state = trace.advance(key, ())
        state.overwritten = state.overwritten | {nodes[s] for s in slots}
    trace.state = state


def is_leaf(tensor: Handle) -> bool:
    """True if the tensor was not computed by a differentiable operation from others that require grad."""
    if not tensor._meta.requires_grad:
        return True
    if tensor._buffer is not None:
        return tensor._fragment is None
    trace, group = tensor._trace, tensor._alias
    if trace is None and group is not None and tensor._alias_version != group.version:  # written through another tensor
        return not group.base._meta.requires_grad or (not tensor._path and is_leaf(group.base))
    return trace is not None and not trace.closed and tensor._slot in trace.leaf_tensors and tensor._fragment is None


def _check_leaf(tensor: Tensor) -> None:
    group = tensor._alias
    view_of_leaf = group is not None and tensor._path and group.base._meta.requires_grad and is_leaf(group.base)
    if is_leaf(tensor) or view_of_leaf:
        kind = "a view of a leaf tensor" if view_of_leaf else "a leaf tensor"
        raise InPlaceError(
            message(
                f"in-place write to {kind} that requires grad",
                received=f"a tensor of shape {tensor._meta.shape} with requires_grad=True",
                fix="write inside `with trine.no_grad():`, or use the out-of-place operation",
            )
        )
