"""Transformations that a function runs inside of: batching (`vmap`) and forward mode (`jvp`).

The function is recorded on stand-ins: an example out of the batch, a tensor with a tangent. When it returns, one transition adds the
nodes that its results have over the whole batch, or their tangents. What was recorded for the stand-ins only is never computed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from trine.autograd.batching import batch, depends_on
from trine.autograd.forward import PASSED, tangents_of
from trine.core import build as b
from trine.core.graph import Node, context, substitute, topological_order
from trine.errors import ArgumentError, InPlaceError, UnsupportedError, message
from trine.runtime.memory import Buffer
from trine.tensor import recorder
from trine.tensor.alias import share_value
from trine.tensor.recorder import build_nodes, local, record
from trine.tensor.state import State
from trine.tensor.tensor import Tensor


class ObservedExampleError(UnsupportedError, RuntimeError):
    """A value that differs between the examples of a batch was asked for."""


class Level:
    """One transformation.

    Attributes:
        trace: the recording that it is part of; start: number of results when it began.
        pairs: (slot of a stand-in, slot of what it stands for: the batch, the tangent).
    """

    def __init__(self) -> None:
        self.trace = local.trace
        self.start = self.trace.state.end
        self.pairs: list[tuple[int, int]] = []

    def transition(self, key: tuple[Hashable, ...], slots: Sequence[int], make: Callable[[list[Node]], list[Node | None]]) -> list[Any]:
        """Return a tensor for each node that `make` gives for the nodes of `slots`, None where it gives None: one transition."""
        trace = self.trace
        full = (*key, tuple(self.pairs), tuple(slots))
        state = trace.state.find(full)
        if state is None:
            state = self._new_state(full, slots, make)
        trace.state = state
        results: list[Any] = [None] * len(slots)
        for position, (index, meta) in enumerate(zip(state.info, state.metas, strict=True)):
            results[index] = trace.result(state.slot + position, meta)
        return results

    def _new_state(self, key: Hashable, slots: Sequence[int], make: Callable[[list[Node]], list[Node | None]]) -> State:
        trace = self.trace
        nodes = trace.nodes()
        made = build_nodes(trace.state, lambda: make([nodes[s] for s in slots]), (), ())
        found = [(i, n) for i, n in enumerate(made) if n is not None]
        distinct = recorder.distinct(tuple(n for _, n in found), [nodes[s] for pair in self.pairs for s in pair], trace.state.grad_enabled)
        state = trace.advance(key, distinct)
        state.info = tuple(i for i, _ in found)
        return state

    def mapping(self) -> dict[Node, Node]:
        """Return node of each stand-in -> node of what it stands for."""
        nodes = self.trace.nodes()
        return {nodes[a]: nodes[c] for a, c in self.pairs}

    def value_of(self, tensor: Tensor) -> Buffer:
        """Return the memory of a pending tensor while the recording goes on.

        Raises:
            ObservedExampleError: the value differs between the examples of a `vmap`.
        """
        from trine.tensor.foreign import compute_foreign

        node = self.trace.nodes()[tensor._slot]
        for level in local.levels:
            level.check_observed(node)
        return compute_foreign(share_value(tensor))

    def check_observed(self, node: Node) -> None:
        """Raise if a value must not be looked at inside this transformation."""

    def note_write(self, slot: int, value: Tensor) -> None:
        """Look at a write in place of `value` to the tensor of `slot`; raise if it cannot be."""

    def random_words(self, count: int) -> int:
        """Return how many random words an operation takes that takes `count` for one example."""
        return count

    def apply(self, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Apply a custom function: return (results, context), or None if this level does nothing special."""
        return None


class VmapLevel(Level):
    """A batch.

    Attributes:
        size: of the batch. randomness: "error", "different" or "same".
    """

    def __init__(self, size: int, randomness: str) -> None:
        super().__init__()
        self.size = size
        self.randomness = randomness

    def example(self, batched: Tensor) -> Tensor:
        """Return the stand-in for one example of a tensor whose first axis is the batch."""
        slot = self.trace.slot_of(batched)
        example: Tensor = record(_example, (batched,))
        self.pairs.append((example._slot, slot))
        return example

    def batched(self, tensors: Sequence[Tensor]) -> list[Any]:
        """Return each tensor over the whole batch (first axis), None where it is the same for all examples."""
        slots = [self.trace.slot_of(t) for t in tensors]
        return self.transition(("vmap", self.size, self.randomness), slots, self._batch)

    def _batch(self, nodes: list[Node]) -> list[Node | None]:
        is_random = None
        if self.randomness == "different":
            outside = set(topological_order(self.trace.nodes()[: self.start]))
            is_random = lambda node: node not in outside  # noqa: E731 - closes over the set
        return batch(nodes, self.mapping(), self.size, is_random)

    def check_observed(self, node: Node) -> None:
        """Raise if the value differs between the examples."""
        if depends_on([node], self.mapping()):
            raise ObservedExampleError(
                message(
                    "vmap: a value that differs between the examples was asked for (item, bool, numpy, a mask as an index, print)",
                    received=f"a {node.dtype.name} tensor of shape {node.shape} inside of vmap",
                    expected="operations on tensors only: trine.where instead of `if`",
                    where=node.source,
                )
            )

    def note_write(self, slot: int, value: Tensor) -> None:
        """Raise if a value that differs between the examples is written to a tensor from outside, which has room for one."""
        node = self.trace.nodes()[slot]
        if (slot < self.start or node.op == "input") and depends_on([self.trace.nodes()[self.trace.slot_of(value)]], self.mapping()):
            raise InPlaceError(
                message(
                    "vmap: in-place write to a tensor from outside that is not batched",
                    received=f"values that differ between the examples, for a tensor of shape {node.shape}",
                    fix="use the out-of-place operation, or pass the tensor as an argument that is mapped over",
                )
            )

    def random_words(self, count: int) -> int:
        """Raise if random numbers are not allowed; each example has its own in mode "different"."""
        if self.randomness == "error":
            fix = 'vmap(…, randomness="different") or randomness="same"'
            raise RandomnessError(message("vmap: random operation in randomness mode 'error'", received="a random operation", fix=fix))
        return count * self.size if self.randomness == "different" else count

    def apply(self, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Let a custom function's own `vmap` do the batch."""
        from trine.tensor.function_batching import apply_vmap

        return None if cls.vmap is None else apply_vmap(self, cls, args, kwargs)


class RandomnessError(ArgumentError, RuntimeError):
    """A random operation inside of a `vmap` that does not say what is random."""


class JvpLevel(Level):
    """Tensors with tangents."""

    def dual(self, primal: Tensor, tangent: Tensor) -> Tensor:
        """Return a tensor with the value of `primal` whose tangent is `tangent`."""
        dual: Tensor = record(standing_for, (primal,))
        self.pairs.append((dual._slot, self.trace.slot_of(tangent)))
        return dual

    def tangents(self, tensors: Sequence[Tensor]) -> list[Any]:
        """Return the tangents, None where they are zero because nothing with a tangent was used."""
        slots = [self.trace.slot_of(t) for t in tensors]
        passing = tuple(sorted(slot for slot in self.trace.cuts if slot >= self.start))
        return self.transition(("jvp", passing), slots, lambda nodes: self._tangents(nodes, passing))

    def _tangents(self, nodes: list[Node], passing: tuple[int, ...]) -> list[Node | None]:
        known = self.trace.nodes()
        found = tangents_of(nodes, self.mapping(), frozenset(known[s] for s in passing))
        # leaves of a gradient that was taken inside: tangents do not need it
        inside = {n: n.inputs[0] for n in known[self.start :] if n.op == "stop_gradient" and n.attrs == PASSED and n.requires_grad}
        return substitute(found, inside) if inside else found

    def apply(self, cls: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Let a custom function's own `jvp` give the tangents."""
        from trine.tensor.function_batching import apply_jvp

        return None if cls.jvp is None else apply_jvp(self, cls, args, kwargs)


class outside_of:
    """Context manager that takes a level, which is the innermost one, off for a while."""

    def __init__(self, level: Level) -> None:
        self.level = level

    def __enter__(self) -> None:
        local.levels.pop()

    def __exit__(self, *_: object) -> None:
        local.levels.append(self.level)


def _example(node: Node) -> Node:
    shape = node.shape[1:]
    if node.shape[0] == 0:
        return b.full(0, shape, node.dtype)
    first = b.slice(node, (0,) * len(node.shape), (1, *shape))
    return Node("reshape", (first,), (shape,), shape, node.dtype, first.requires_grad, node.source)


def standing_for(node: Node) -> Node:
    """Return a node of its own with the same value, through which gradients flow."""
    return Node("reshape", (node,), (node.shape,), node.shape, node.dtype, context.grad_enabled and node.requires_grad, node.source)
