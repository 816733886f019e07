"""Reverse-mode differentiation, graph to graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from trine.autograd.rules import RULES
from trine.core import build
from trine.core.graph import Node, context
from trine.errors import GradientError

SOURCES = frozenset(("input", "scalar", "const", "iota"))
"""Primitives without operands: a gradient graph may read them again at no cost."""

Hook = Callable[[Node], Node]
Observer = Callable[[Node, Sequence[Node | None]], None]


class Override(NamedTuple):
    """A gradient rule for one node in place of the table's.

    Attributes:
        operands: the nodes that receive gradients instead of the node's own inputs.
        rule: maps the node's gradient to one gradient (or None) per operand.
    """

    operands: tuple[Node, ...]
    rule: Callable[[Node], Sequence[Node | None]]


Overrides = Mapping[Node, Override | Callable[[Node], Sequence[Node | None]]]


def _operands(node: Node, overrides: Overrides) -> tuple[Node, ...]:
    override = overrides.get(node)
    return override.operands if isinstance(override, Override) else node.inputs


def _differentiable_order(outputs: Iterable[Node], overrides: Overrides) -> list[Node]:
    """Return the nodes that gradients can reach from `outputs`, operands before users (iterative)."""
    order: list[Node] = []
    seen: set[Node] = set()
    for output in outputs:
        if output in seen or not output.requires_grad:
            continue
        seen.add(output)
        stack: list[tuple[Node, Iterator[Node]]] = [(output, iter(_operands(output, overrides)))]
        while stack:
            node, operands = stack[-1]
            for operand in operands:
                if operand.requires_grad and operand not in seen:
                    seen.add(operand)
                    below = () if operand.op == "stop_gradient" else _operands(operand, overrides)
                    stack.append((operand, iter(below)))
                    break
            else:
                order.append(node)
                stack.pop()
    return order


def gradient(
    outputs: Sequence[Node],
    output_gradients: Sequence[Node],
    inputs: Sequence[Node],
    overrides: Overrides | None = None,
    hooks: Mapping[Node, Hook] | None = None,
    observe: Observer | None = None,
) -> list[Node | None]:
    """Return the gradients of ``sum(output * output_gradient)`` with respect to `inputs`.

    Args:
        outputs: the nodes to differentiate.
        output_gradients: one node per output, of its shape and dtype.
        inputs: any nodes, sources or intermediate results.
        overrides: gradient rules for single nodes: a function from the node's gradient to one gradient per operand, or an
            `Override` that also names the operands.
        hooks: functions applied to a node's finished gradient before it flows on.
        observe: called with each node on the way and the gradients of its operands.

    Returns:
        One node per input, of its shape and dtype; None where no gradient flows from any output.

    Raises:
        GradientError: a primitive on the way has no gradient rule.
    """
    before = context.source
    try:
        return _gradient(outputs, output_gradients, inputs, overrides or {}, hooks or {}, observe)
    finally:
        context.source = before


def _gradient(
    outputs: Sequence[Node],
    output_gradients: Sequence[Node],
    inputs: Sequence[Node],
    overrides: Overrides,
    hooks: Mapping[Node, Hook],
    observe: Observer | None,
) -> list[Node | None]:
    order = _differentiable_order(outputs, overrides)
    leading = set(inputs)
    for node in order:
        if node not in leading and node.op != "stop_gradient" and not leading.isdisjoint(_operands(node, overrides)):
            leading.add(node)
    gradients: dict[Node, Node] = {}
    add = build.add
    for output, output_gradient in zip(outputs, output_gradients, strict=True):
        if output in leading:
            gradients[output] = add(gradients[output], output_gradient) if output in gradients else output_gradient
    targets = set(inputs)
    for node in reversed(order):
        node_gradient = gradients.get(node)
        if node_gradient is None:
            continue
        context.source = node.source or context.source  # a gradient belongs to the line of what it is the gradient of
        if node in hooks:
            node_gradient = gradients[node] = hooks[node](node_gradient)
        override = overrides.get(node)
        if override is None:
            operands = node.inputs
            if not operands or leading.isdisjoint(operands):
                continue
            if node.op not in RULES:
                raise _no_rule(node)
            operand_gradients: Sequence[Node | None] = RULES[node.op](node, node_gradient)
        elif isinstance(override, Override):
            operands, operand_gradients = override.operands, override.rule(node_gradient)
        else:
            operands, operand_gradients = node.inputs, override(node_gradient)
        if observe is not None:
            observe(node, operand_gradients)
        if node not in targets:
            del gradients[node]
        for operand, contribution in zip(operands, operand_gradients, strict=True):
            if contribution is None or operand not in leading or not operand.requires_grad:
                continue
            previous = gradients.get(operand)
            gradients[operand] = contribution if previous is None else add(previous, contribution)
    return [gradients.get(node) for node in inputs]


def _no_rule(node: Node) -> GradientError:
    where = f" (recorded at {node.source})" if node.source else ""
    return GradientError(
        f"the primitive {node.op!r}{where} has no gradient rule; "
        "detach its operands, or compute it inside a custom autograd Function that defines backward"
    )


def residuals(gradients: Iterable[Node | None], forward: Iterable[Node]) -> list[Node]:
    """Return the forward nodes that a gradient graph reads, without the sources.

    Args:
        gradients: the outputs of the gradient graph.
        forward: every node of the forward graph.

    Returns:
        The forward nodes that would have to be kept (or computed again) if `gradients` ran on their own, in first-use order.
    """
    forward_nodes = set(forward)
    found: dict[Node, None] = {}
    seen: set[Node] = set()
    stack = [node for node in gradients if node is not None]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node not in forward_nodes:
            stack.extend(node.inputs)
        elif node.op not in SOURCES:
            found[node] = None
    return list(found)
