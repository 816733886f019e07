"""Making nodes: the general path, which every builder may take, and the factories of the fast ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine.core.dtype_rules import Same
from trine.core.graph import Node, context
from trine.core.primitives import PRIMITIVES
from trine.dtypes import DType
from trine.errors import ArgumentError, message
from trine.shapes import broadcast, check_bytes

Unary = Callable[[Node], Node]
Binary = Callable[[Node, Node], Node]


def make(op: str, inputs: tuple[Node, ...], attrs: tuple[Any, ...] = ()) -> Node:
    """Return a node of any primitive but the sources, by the rules of its row; `attrs` are in canonical form.

    Raises:
        TrineError: a rule of the row does not hold.
    """
    row = PRIMITIVES[op]
    for operand in inputs:
        if type(operand) is not Node:
            raise ArgumentError(message(f"{op}: an operand is not a node", received=repr(operand), expected="a Node"))
    if row.num_operands not in (None, len(inputs)):
        raise ArgumentError(message(f"{op}: wrong number of operands", received=len(inputs), expected=row.num_operands))
    dtype = row.dtype_rule(op, inputs, attrs)
    shape = row.shape_rule(op, inputs, attrs)
    requires_grad = (
        dtype.is_differentiable and row.is_differentiable and context.grad_enabled and any([operand.requires_grad for operand in inputs])
    )
    return Node(op, inputs, attrs, shape, dtype, requires_grad, context.source)


def derived(op: str, x: Node, attrs: tuple[Any, ...], shape: tuple[int, ...]) -> Node:
    """Return a node of one operand that keeps its dtype, without checks."""
    return Node(op, (x,), attrs, shape, x.dtype, x.requires_grad and context.grad_enabled, context.source)


def unary(op: str) -> Unary:
    """Return the builder of a unary primitive that keeps shape and dtype."""
    row = PRIMITIVES[op]
    rule = row.dtype_rule
    accepts = rule.accepts if isinstance(rule, Same) and rule.result is None and not rule.real else ""

    def builder(x: Node) -> Node:
        dtype = x.dtype
        if dtype.code not in accepts:
            return make(op, (x,))
        requires_grad = x.requires_grad and dtype.is_differentiable and context.grad_enabled
        return Node(op, (x,), (), x.shape, dtype, requires_grad, context.source)

    builder.__name__ = op
    builder.__doc__ = f"Return the node `{op}`; see docs/architecture.md, section 3."
    return builder


def binary(op: str) -> Binary:
    """Return the builder of a binary primitive: same dtype, implicit broadcasting."""
    row = PRIMITIVES[op]
    rule = row.dtype_rule
    if not isinstance(rule, Same):
        raise ArgumentError(message(f"{op}: not a binary primitive", received=op, expected="a row of the binary family"))
    accepts, result, differentiable = rule.accepts, rule.result, row.is_differentiable

    def builder(a: Node, b: Node) -> Node:
        dtype: DType = a.dtype
        if dtype is not b.dtype or dtype.code not in accepts:
            return make(op, (a, b))
        shape = a.shape
        if shape != b.shape:
            shape = broadcast_result(op, shape, b.shape, dtype.itemsize)
        if result is not None:
            return Node(op, (a, b), (), shape, result, False, context.source)
        requires_grad = (a.requires_grad or b.requires_grad) and differentiable and context.grad_enabled
        return Node(op, (a, b), (), shape, dtype, requires_grad, context.source)

    builder.__name__ = op
    builder.__doc__ = f"Return the node `{op}`; see docs/architecture.md, section 3."
    return builder


def broadcast_result(op: str, a: tuple[int, ...], b: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the broadcast of two different shapes."""
    if not b:
        return a
    if not a:
        return b
    shape = broadcast(op, a, b)
    return shape if shape in (a, b) else check_bytes(op, shape, itemsize)
