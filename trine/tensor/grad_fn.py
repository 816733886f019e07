"""The graph that led to a tensor, as its `grad_fn` shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine.core.graph import Node
from trine.tensor.alias import is_leaf
from trine.tensor.fragment import CallPiece
from trine.tensor.tensor import Tensor

Receiver = Callable[[Node], Any]


class GradFn:
    """Names the operation that computed a tensor, and leads to those that computed its operands.

    Attributes:
        operation: the primitive, or the name of a custom function.
        metadata: a dict for the user.
    """

    def __init__(self, operation: str, operands: tuple[Any, ...] = ()) -> None:
        self.operation = operation
        self.metadata: dict[Any, Any] = {}
        self._operands = operands

    def name(self) -> str:
        """Return the name, such as ``MulBackward0``."""
        if self.operation.isidentifier() and not self.operation.islower():
            return f"{self.operation}Backward"
        return "".join(part.capitalize() for part in self.operation.split("_")) + "Backward0"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """Pairs of what computed each operand that requires grad (None for others) and the number of the result there."""
        return tuple((operand(), 0) for operand in self._operands)

    def __repr__(self) -> str:
        return f"<{self.name()} object>"


class AccumulateGrad(GradFn):
    """The end of a gradient's way: a leaf.

    Attributes:
        variable: the leaf.
    """

    def __init__(self, variable: Tensor) -> None:
        super().__init__("AccumulateGrad")
        self.variable = variable

    def name(self) -> str:
        """Return the name."""
        return "struct torch::autograd::AccumulateGrad"


def _of_node(node: Node, receiver: Receiver) -> Any:
    """Return the function of a node that requires grad, the accumulator of a leaf, or None."""
    if not node.requires_grad:
        return None
    found = receiver(node)
    if isinstance(found, Tensor):
        return AccumulateGrad(found) if is_leaf(found) else grad_fn_of(found)
    if found is not None:
        return _of_call(found.call)
    return GradFn(node.op, tuple(_later(_of_node, operand, receiver) for operand in node.inputs))


def _of_call(call: Any) -> GradFn:
    return GradFn(call.name, tuple(_later(_of_operand, operand) for operand in call.operands))


def _of_operand(operand: Any) -> Any:
    if not isinstance(operand, Tensor) or not operand._meta.requires_grad:
        return None
    return AccumulateGrad(operand) if is_leaf(operand) else grad_fn_of(operand)


def _later(function: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    return lambda: function(*args)


def grad_fn_of(tensor: Tensor) -> GradFn | None:
    """Return what computed a tensor that requires grad, or None for a leaf."""
    if not tensor._meta.requires_grad or is_leaf(tensor):
        return None
    trace = tensor._trace
    if trace is not None and not trace.closed:
        cut = trace.cuts.get(tensor._slot)
        if cut is not None:
            return _of_call(cut.call)
        nodes = trace.nodes()
        receivers = {nodes[slot]: t for found in (trace.leaf_tensors, trace.cuts) for slot, t in found.items()}
        own = nodes[tensor._slot]
        return GradFn(own.op, tuple(_later(_of_node, operand, receivers.get) for operand in own.inputs))
    if tensor._fragment is None:
        return GradFn("unknown")
    fragment, index = tensor._fragment
    if fragment.freed:
        return GradFn("freed")
    if isinstance(fragment, CallPiece):
        return _of_call(fragment.call)
    own = fragment.spec.outputs[index]
    leaves: dict[Node, Any] = dict(zip(fragment.spec.leaves, fragment.leaf_tensors, strict=True))
    return GradFn(own.op, tuple(_later(_of_node, operand, leaves.get) for operand in own.inputs))
