"""The graph: immutable nodes, each one application of a primitive."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from trine.dtypes import DType


class BuildContext(threading.local):
    """What new nodes of this thread inherit: the user's source line and whether gradients flow.

    `source` is a string such as ``"train.py:31 in step"`` or None; `grad_enabled` is False inside ``no_grad``.
    """

    source: str | None = None
    grad_enabled: bool = True


context = BuildContext()


class Node:
    """One application of a primitive.

    Attributes:
        op: name of the primitive (a key of `trine.core.primitives.PRIMITIVES`).
        inputs: operand nodes.
        attrs: static attributes, in the order of the primitive's row; hashable.
        shape: shape of the result, a tuple of int.
        dtype: dtype of the result.
        requires_grad: True if gradients flow through this node.
        source: the user's line that recorded it, or None.
    """

    __slots__ = ("op", "inputs", "attrs", "shape", "dtype", "requires_grad", "source")

    def __init__(
        self,
        op: str,
        inputs: tuple[Node, ...],
        attrs: tuple[Any, ...],
        shape: tuple[int, ...],
        dtype: DType,
        requires_grad: bool = False,
        source: str | None = None,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.shape = shape
        self.dtype = dtype
        self.requires_grad = requires_grad
        self.source = source

    def __repr__(self) -> str:
        return f"Node({self.op}{list(self.attrs) if self.attrs else ''}, shape={self.shape}, dtype={self.dtype.name})"


def topological_order(outputs: Iterable[Node]) -> list[Node]:
    """Return every node that the outputs depend on, operands before users, each once (iterative: depth is not bounded)."""
    order: list[Node] = []
    seen: set[Node] = set()
    for output in outputs:
        if output in seen:
            continue
        seen.add(output)
        stack: list[tuple[Node, Iterator[Node]]] = [(output, iter(output.inputs))]
        while stack:
            node, operands = stack[-1]
            for operand in operands:
                if operand not in seen:
                    seen.add(operand)
                    stack.append((operand, iter(operand.inputs)))
                    break
            else:
                order.append(node)
                stack.pop()
    return order


def substitute(outputs: Sequence[Node | None], mapping: dict[Node, Node]) -> list[Node | None]:
    """Return the outputs with nodes replaced as `mapping` says (extended with every node that had to be remade)."""
    for root in outputs:
        if root is None or root in mapping:
            continue
        stack = [root]
        while stack:
            node = stack[-1]
            if node in mapping:
                stack.pop()
                continue
            missing = [i for i in node.inputs if i not in mapping]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            operands = tuple(mapping[i] for i in node.inputs)
            if all(a is b for a, b in zip(operands, node.inputs, strict=True)):
                mapping[node] = node
            else:
                requires_grad = context.grad_enabled and node.requires_grad and any(o.requires_grad for o in operands)
                mapping[node] = Node(node.op, operands, node.attrs, node.shape, node.dtype, requires_grad, node.source)
    return [None if o is None else mapping[o] for o in outputs]


def format_graph(outputs: Sequence[Node]) -> str:
    """Return the graph as text, one node a line: ``%3 = add(%1, %2) : float32[4, 5]  # model.py:12``."""
    number: dict[Node, int] = {}
    lines = []
    for node in topological_order(outputs):
        number[node] = len(number)
        operands = ", ".join(f"%{number[i]}" for i in node.inputs)
        attrs = "".join(f" {a!r}" for a in node.attrs)
        where = f"  # {node.source}" if node.source else ""
        lines.append(f"%{number[node]} = {node.op}({operands}){attrs} : {node.dtype.name}{list(node.shape)}{where}")
    lines.append("return " + ", ".join(f"%{number[o]}" for o in outputs))
    return "\n".join(lines)


class Graph:
    """What an engine compiles.

    Attributes:
        outputs: nodes to compute; their values are delivered in this order, row-major.
        inputs: `input` nodes by position (None where a position is not used).
        donations: (output number, input position) pairs: that output is written over that input's memory.
    """

    __slots__ = ("outputs", "inputs", "donations")

    def __init__(self, outputs: tuple[Node, ...], inputs: tuple[Node | None, ...], donations: tuple[tuple[int, int], ...] = ()) -> None:
        self.outputs = outputs
        self.inputs = inputs
        self.donations = donations
