"""What a flush keeps for a later backward pass: a piece of the graph and the values that its gradients need."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trine.autograd.gradient import Overrides, gradient
from trine.core import build
from trine.core.graph import Node, context, topological_order
from trine.errors import GradientError, InPlaceError, message
from trine.tensor.state import Meta

if TYPE_CHECKING:
    from trine.tensor.handle import Handle

RECOMPUTED = frozenset("reshape permute expand slice pad flip cast neg stop_gradient scalar iota const eq ne lt le gt ge".split())
"""Operations that a backward pass repeats rather than keeps: they cost little beside reading their operand."""

KEEPS_NOTHING = frozenset("add sub neg sum reshape permute expand slice pad flip cast concat update".split())
"""Operations whose gradient needs no forward value, so that running it twice is no error."""

_sequence = itertools.count()


def is_gradient_leaf(node: Node) -> bool:
    """True if a gradient ends at this node: a leaf of the recording, a tensor made to require grad, a custom function's result."""
    return node.requires_grad and (node.op == "input" or node.op == "stop_gradient")


def gradient_leaves(outputs: Sequence[Node], stops: frozenset[Node] = frozenset()) -> tuple[list[Node], list[Node]]:
    """Return (leaves, all nodes) that gradients of `outputs` reach; `stops` are leaves, and passed if they are outputs too."""
    leaves, reached = [], []
    seen = set(outputs)
    stack = list(seen)
    while stack:
        node = stack.pop()
        is_stop = node in stops
        if is_stop or is_gradient_leaf(node):
            leaves.append(node)
            if not is_stop or node not in outputs:
                continue
        reached.append(node)
        for operand in node.inputs:
            if operand.requires_grad and operand not in seen:
                seen.add(operand)
                stack.append(operand)
    return leaves, reached


def consumed(reached: Sequence[Node], freed: frozenset[Node]) -> bool:
    """True if a gradient needs a forward value that an earlier backward pass has given up."""
    return any(n in freed and n.op not in KEEPS_NOTHING for n in reached)


class FragmentSpec:
    """The static part of a fragment, made once per plan.

    Attributes:
        outputs: live results that require grad.
        leaves: where their gradients end.
        residuals: computed nodes whose values the gradients need (they become outputs of the plan).
        sources: `input` and `scalar` nodes that the gradients or a recomputation of the outputs need.
        read: the sources and residuals that first-order gradients read. all_read: what those read that can be differentiated again.
        computed_leaves: leaves that were computed: tensors made to require grad, results of custom functions.
        keeps: whether gradients need any forward value (else a backward pass gives nothing up).
        stale: what first-order gradients read although its tensor was written in place.
    """

    __slots__ = ("outputs", "leaves", "residuals", "sources", "stops", "read", "stale", "keeps", "computed_leaves", "all_read")

    def __init__(self, outputs: Sequence[Node], stops: frozenset[Node], overwritten: frozenset[Node] = frozenset()) -> None:
        self.outputs = tuple(outputs)
        self.stops = stops
        leaves, reached = gradient_leaves(outputs, stops)
        self.leaves = tuple(leaves)
        self.keeps = any(n.op not in KEEPS_NOTHING for n in reached)
        enabled, context.grad_enabled = context.grad_enabled, False
        try:
            seeds = [build.input(-1, n.shape, n.dtype, False) for n in outputs]
            gradients = [g for g in gradient(self.outputs, seeds, self.leaves, overrides=stop_overrides(stops, outputs)) if g is not None]
        finally:
            context.grad_enabled = enabled
        forward = topological_order(outputs)
        residuals, needed = _residuals(gradients, set(forward), set(self.leaves), overwritten)
        self.stale = overwritten_reads(gradients, set(forward), overwritten)
        # higher derivatives begin at these anew, though the first ones may not read them
        self.computed_leaves = tuple(n for n in leaves if n.op == "stop_gradient")
        residuals += [n for n in self.computed_leaves if n not in residuals]
        self.residuals = tuple(residuals)
        self.sources = tuple(n for n in forward if n.op in ("input", "scalar"))
        inputs = set(needed)
        self.all_read = (*self.sources, *self.computed_leaves)
        self.read = (*(n for n in self.sources if n.op == "scalar" or n in inputs), *residuals)


def stop_overrides(stops: frozenset[Node], outputs: Sequence[Node]) -> Overrides:
    """Return the gradient overrides that let no gradient pass below `stops` (outputs excepted)."""
    return {n: _no_gradient(len(n.inputs)) for n in stops if n not in outputs}


def _no_gradient(count: int) -> Callable[[Node], Sequence[Node | None]]:
    return lambda gradient: (None,) * count


MOVEMENT = frozenset("reshape permute expand slice flip stop_gradient".split())
"""Operations whose results share memory with their operand."""


def overwritten_reads(gradients: Sequence[Node], forward: set[Node], overwritten: frozenset[Node]) -> list[Node]:
    """Return the forward values that gradients read, directly or through views, and whose tensors were written in place since."""
    found = []
    seen = set(gradients)
    stack = list(seen) if overwritten else []
    while stack:
        node = stack.pop()
        if node in overwritten:
            found.append(node)
        if node in forward and node.op not in MOVEMENT:
            continue
        for operand in node.inputs:
            if operand not in seen:
                seen.add(operand)
                stack.append(operand)
    return found


def _can_repeat(node: Node, overwritten: frozenset[Node]) -> bool:
    """True if a cheap operation can be repeated later: no operand's memory was written in place."""
    stack = [node] if overwritten else []
    while stack:
        current = stack.pop()
        if current in overwritten:
            return False
        if current.op in RECOMPUTED:
            stack.extend(current.inputs)
    return True


def _residuals(
    gradients: Sequence[Node], forward: set[Node], leaves: set[Node], overwritten: frozenset[Node]
) -> tuple[list[Node], list[Node]]:
    """Return the computed forward nodes that the gradients read, and the inputs that they read."""
    found: list[Node] = []
    inputs: list[Node] = []
    seen = set(gradients)
    stack = list(seen)
    while stack:
        node = stack.pop()
        if node in forward:
            if node.op == "input":
                inputs.append(node)
                continue
            if node.op not in RECOMPUTED or (node.op == "stop_gradient" and node in leaves) or not _can_repeat(node, overwritten):
                found.append(node)
                continue
        for operand in node.inputs:
            if operand not in seen:
                seen.add(operand)
                stack.append(operand)
    return found, inputs


class Fragment:
    """A piece of the graph after its flush.

    Attributes:
        sequence: order of creation; gradients visit the newest first.
        tensors: for each residual and each `input` source its tensor; versions: their versions at the flush.
        scalars: for each `scalar` source its value.
        leaf_tensors: for each leaf the tensor (or custom function) that receives its gradient; origins: for each of them the (fragment,
            output number) that its value came from at the flush, or None (the tensor may be written, and have another, since).
        watched: for residuals that the program holds too: their tensors and versions.
        freed: True once a backward pass without retain_graph has been here.
        is_segment: whether it is a segment of a loop, whose gradients are a recording of their own.
    """

    __slots__ = (
        "spec",
        "sequence",
        "tensors",
        "versions",
        "scalars",
        "leaf_tensors",
        "origins",
        "watched",
        "freed",
        "is_segment",
        "packed",
        "unpack",
    )

    def __init__(
        self, spec: FragmentSpec, tensors: Mapping[Node, Handle], scalars: Mapping[Node, float | int], leaf_tensors: Sequence[object]
    ) -> None:
        self.spec = spec
        self.sequence = next(_sequence)
        self.tensors = dict(tensors)
        self.versions = {node: tensor._version for node, tensor in tensors.items()}
        self.scalars = dict(scalars)
        self.leaf_tensors = list(leaf_tensors)
        self.origins = [getattr(t, "_fragment", None) for t in leaf_tensors]
        self.watched: dict[Node, tuple[weakref.ref[Handle], int]] = {}
        self.freed = False
        self.is_segment = False
        self.packed: dict[Node, Any] = {}
        self.unpack: Callable[[Any], Any] | None = None

    def pack(self, hooks: tuple[Callable[[Any], Any], Callable[[Any], Any]]) -> None:
        """Let what first-order gradients read pass through the hooks of `saved_tensors_hooks`."""
        pack, self.unpack = hooks
        for node in self.spec.read:
            if node in self.tensors:
                self.packed[node] = pack_detached(pack, self.tensors[node])
        for node in self.spec.residuals:
            self.tensors.pop(node, None)

    def tensor(self, node: Node) -> Handle:
        """Return the tensor of a residual or an `input` source."""
        if self.unpack is not None and node in self.packed:
            return self.unpack(self.packed[node])  # type: ignore[no-any-return]
        return self.tensors[node]

    def watch(self, node: Node, tensor: Handle) -> None:
        """Note that `tensor` has the value of a residual: changing it in place before backward is an error."""
        self.watched[node] = (weakref.ref(tensor), tensor._version)

    def check(self, nodes: Sequence[Node]) -> None:
        """Raise if the fragment was consumed, or a value that it needs was changed in place.

        Raises:
            GradientError, InPlaceError
        """
        if self.freed:
            raise second_backward()
        for node in nodes:
            tensor = self.tensors.get(node)
            if tensor is not None and tensor._version != self.versions[node]:
                raise modified_in_place(node)
            if node in self.watched:
                reference, version = self.watched[node]
                held = reference()
                if held is not None and held._version != version:
                    raise modified_in_place(node)

    def release(self) -> None:
        """Give up the values (backward without retain_graph)."""
        if not self.spec.keeps:
            return
        self.freed = True
        self.tensors.clear()
        self.leaf_tensors.clear()
        self.origins.clear()


def pack_detached(pack: Callable[[Any], Any], tensor: Any) -> Any:
    """Give a value without gradients to a hook; a hook that keeps it as it is keeps the tensor itself, through which gradients go on."""
    from trine.tensor.tensor import from_buffer

    meta, memory = tensor._meta, tensor._buffer
    offered = from_buffer(memory, Meta.of(meta.shape, meta.dtype)) if meta.requires_grad and memory is not None else tensor
    packed = pack(offered)
    return tensor if packed is offered else packed


class CallPiece(Fragment):
    """Stands for one application of a custom function: the gradients of its results meet here, whichever pieces they come from.

    Attributes:
        call: the application. keeps: whether it saved values, which a backward pass gives up.
    """

    __slots__ = ("call", "keeps")

    def __init__(self, call: Any, keeps: bool) -> None:
        self.sequence = next(_sequence)  # between the pieces that it was computed from and those that were computed from it
        self.freed = self.is_segment = False
        self.call = call
        self.keeps = keeps

    def release(self) -> None:
        """Give up the function's saved values."""
        if self.keeps:
            self.freed = True
            self.call.release()


def second_backward() -> GradientError:
    """Return the error of a backward pass over values that were given up."""
    return GradientError(
        message(
            "backward: trying to go through the graph a second time",
            received="a graph whose saved values were freed by an earlier backward or grad call",
            fix="pass retain_graph=True to the earlier call",
        )
    )


def modified_in_place(node: Node) -> InPlaceError:
    """Return the error of a value that backward needs and that was changed in place."""
    return InPlaceError(
        message(
            "one of the variables needed for gradient computation has been modified by an inplace operation",
            received=f"the {node.dtype.name} tensor of shape {node.shape}, result of {node.op}",
            fix="use the out-of-place operation, or clone() the tensor before changing it",
            where=node.source,
        )
    )
