"""Sums of many products become one product: the gradient of a weight that a loop uses at every step.

``a1 @ b1 + a2 @ b2 + …`` is ``[a1 a2 …] @ [b1; b2; …]``, and ``sum(g1) + sum(g2) + …`` over the same axis is the sum of the
concatenation. One long product runs faster than many short ones, and the plan of an unrolled loop is shorter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from trine.compiler.passes.assemble import sum_terms
from trine.core import build
from trine.core.graph import Graph, Node, context, topological_order

MIN_TERMS = 4
MAX_INNER = 512  # a longer product is efficient by itself, and concatenating its operands would cost memory


def accumulate(graph: Graph) -> Graph:
    """Return the graph with long sums of products joined; the same object if there are none."""
    order = topological_order(graph.outputs)
    sums = _sums(order, graph.outputs)
    if not sums:
        return graph
    new: dict[Node, Node] = {}
    concatenated: dict[Hashable, Node] = {}
    for node in order:
        terms = sums.get(node)
        joined = _rebuild(node, [new[term] for term in terms], concatenated) if terms is not None else _transposed(node, sums, new)
        if joined is None:
            inputs = tuple([new[i] for i in node.inputs])
            joined = node if inputs == node.inputs else Node(node.op, inputs, node.attrs, node.shape, node.dtype, False, node.source)
        new[node] = joined
    return Graph(tuple([new[node] for node in graph.outputs]), graph.inputs, graph.donations)


def _transposed(node: Node, sums: dict[Node, list[Node]], new: dict[Node, Node]) -> Node | None:
    """Return the transpose of a joined product as the product of the transposes; None if the node is not one."""
    if node.op != "permute" or node.inputs[0] not in sums or new[node.inputs[0]].op != "dot":
        return None
    b, a = [x.inputs[0] if x.op == "permute" else build.permute(x, (1, 0)) for x in new[node.inputs[0]].inputs[::-1]]
    return build.dot(b, a)


def _sums(order: Sequence[Node], outputs: Sequence[Node]) -> dict[Node, list[Node]]:
    """Return sums with enough terms of one kind: the last addition of each, and its terms."""
    if sum([node.op == "add" for node in order]) < MIN_TERMS - 1:
        return {}
    num_users = Counter([operand for node in order for operand in node.inputs])
    num_users.update(outputs)
    found: dict[Node, list[Node]] = {}
    inner: set[Node] = set()
    for node in reversed(order):
        if node.op != "add" or node in inner or not node.dtype.is_floating_point:
            continue
        terms = sum_terms(node, num_users, inner)
        if len(terms) >= MIN_TERMS and any(n >= MIN_TERMS for n in Counter([k for k in map(_kind, terms) if k is not None]).values()):
            found[node] = terms
    return found


def _kind(term: Node) -> Hashable | None:
    """Return what terms must have in common to be joined, or None."""
    if term.op == "dot" and len(term.shape) == 2 and len(term.inputs[0].shape) == len(term.inputs[1].shape) == 2:
        a, _ = term.inputs
        return ("dot", a.op == "permute") if a.shape[1] <= MAX_INNER else None
    if term.op == "reshape" and term.inputs[0].op == "sum":
        term = term.inputs[0]
    if term.op == "sum" and term.attrs[0] == (0,) and len(term.inputs[0].shape) == 2:
        return "sum"
    return None


def _rebuild(root: Node, terms: Sequence[Node], concatenated: dict[Hashable, Node]) -> Node:
    """Return the sum with the terms of each kind joined."""
    kinds: dict[Hashable, list[Node]] = {}
    rest = []
    for term in terms:
        kind = _kind(term)
        if kind is None:
            rest.append(term)
        else:
            kinds.setdefault(kind, []).append(term)
    before, context.source = context.source, root.source
    try:
        parts = list(rest)
        for kind, members in kinds.items():
            parts += members if len(members) < MIN_TERMS else [_join(kind, members, root.shape, concatenated)]
        total = parts[0]
        for part in parts[1:]:
            total = build.add(total, part)
        return total
    finally:
        context.source = before


def _join(kind: Hashable, members: Sequence[Node], shape: tuple[int, ...], concatenated: dict[Hashable, Node]) -> Node:
    if kind == "sum":
        sums = [m.inputs[0] if m.op == "reshape" else m for m in members]
        return build.reshape(build.sum(_concat([s.inputs[0] for s in sums], 0, concatenated), (0,)), shape)
    right = _concat([m.inputs[1] for m in members], 0, concatenated)
    if kind == ("dot", True):
        left = build.permute(_concat([m.inputs[0].inputs[0] for m in members], 0, concatenated), (1, 0))
    else:
        left = _concat([m.inputs[0] for m in members], 1, concatenated)
    return build.dot(left, right)


def _concat(parts: Sequence[Node], axis: int, concatenated: dict[Hashable, Node]) -> Node:
    key = (*parts, axis)
    found = concatenated.get(key)
    if found is None:
        found = concatenated[key] = build.concat(tuple(parts), axis)
    return found
