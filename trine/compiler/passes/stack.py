"""Products with the same right operand become one product: what a loop multiplies with one weight at every step.

``a1 @ b``, ``a2 @ b``, … are rows of ``[a1; a2; …] @ b``. One product of many rows packs the weight once and runs on all threads; products
of a few rows do neither.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from trine.core import build
from trine.core.graph import Graph, Node, context, topological_order

MIN_PRODUCTS = 4
MAX_ROWS = 64  # a product of more rows is efficient by itself, and stacking its operand would cost memory


def stack(graph: Graph) -> Graph:
    """Return the graph with products of one right operand stacked; the same object if there are none."""
    order = topological_order(graph.outputs)
    groups = _groups(order)
    if not groups:
        return graph
    new: dict[Node, Node] = {}
    for root in graph.outputs:
        _rebuild(root, groups, new)
    return Graph(tuple([new[node] for node in graph.outputs]), graph.inputs, graph.donations)


def _groups(order: Sequence[Node]) -> dict[Node, list[Node]]:
    """Return for each product that is to be stacked all members of its stack."""
    # Products with equally many products before them do not depend on one another, and neither do whole stacks of them.
    depth: dict[Node, int] = {}
    found: dict[Hashable, list[Node]] = {}
    for node in order:
        before = max([depth[operand] for operand in node.inputs], default=0)
        depth[node] = before + (node.op == "dot")
        if node.op == "dot":
            a, b = node.inputs
            if len(a.shape) == len(b.shape) == 2 and 0 < a.shape[0] <= MAX_ROWS:
                found.setdefault((b, a.shape, before), []).append(node)
    return {node: members for members in found.values() if len(members) >= MIN_PRODUCTS for node in members}


def _rebuild(root: Node, groups: dict[Node, list[Node]], new: dict[Node, Node]) -> None:
    """Enter the new node of `root`, and of all it depends on, into `new`."""
    pending = [root]
    while pending:
        node = pending[-1]
        if node in new:
            pending.pop()
            continue
        members = groups.get(node)
        needed = node.inputs if members is None else (node.inputs[1], *[member.inputs[0] for member in members])
        missing = [operand for operand in needed if operand not in new]
        if missing:
            pending += missing
            continue
        pending.pop()
        if members is not None:
            _stacked(members, new)
            continue
        inputs = tuple([new[operand] for operand in node.inputs])
        new[node] = node if inputs == node.inputs else Node(node.op, inputs, node.attrs, node.shape, node.dtype, False, node.source)


def _stacked(members: Sequence[Node], new: dict[Node, Node]) -> None:
    """Enter one product for all members, and each member as its rows."""
    before, context.source = context.source, members[0].source
    try:
        product = build.dot(build.concat(tuple([new[member.inputs[0]] for member in members]), 0), new[members[0].inputs[1]])
        rows, columns = members[0].shape
        for number, member in enumerate(members):
            new[member] = build.slice(product, (number * rows, 0), ((number + 1) * rows, columns), (1, 1))
    finally:
        context.source = before
