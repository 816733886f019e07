"""Sums of zero-padded pieces that do not overlap become concatenations: the gradient of an array that is used slice by slice.

``pad(g1) + pad(g2) + …`` reads every piece for every element of the sum; the concatenation copies each piece once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trine.core import build
from trine.core.graph import Graph, Node, context, topological_order

MIN_PIECES = 2


def assemble(graph: Graph) -> Graph:
    """Return the graph with sums of disjoint pieces assembled; the same object if there are none."""
    order = topological_order(graph.outputs)
    if sum([node.op == "pad" for node in order]) < MIN_PIECES:
        return graph
    sums = _sums(order, graph.outputs)
    if not sums:
        return graph
    new: dict[Node, Node] = {}
    for node in order:
        terms = sums.get(node)
        if terms is not None:
            new[node] = _rebuild(node, terms, new)
            continue
        inputs = tuple([new[i] for i in node.inputs])
        new[node] = node if inputs == node.inputs else Node(node.op, inputs, node.attrs, node.shape, node.dtype, False, node.source)
    return Graph(tuple([new[node] for node in graph.outputs]), graph.inputs, graph.donations)


def _sums(order: Sequence[Node], outputs: Sequence[Node]) -> dict[Node, tuple[list[Node], dict[int, list[Node]]]]:
    """Return sums with pieces to assemble: the last addition of each, its other terms, and the pieces along each axis, in order."""
    num_users = Counter([operand for node in order for operand in node.inputs])
    num_users.update(outputs)
    found = {}
    inner: set[Node] = set()
    for node in reversed(order):
        if node.op == "add" and node not in inner:
            rest, pieces = _divided(sum_terms(node, num_users, inner), node.shape, num_users)
            if pieces:
                found[node] = rest, pieces
    return found


def sum_terms(root: Node, num_users: Counter[Node], inner: set[Node]) -> list[Node]:
    """Return what a chain of additions adds up, in order; `inner` takes the additions below the root."""
    terms, stack = [], [root]
    while stack:
        node = stack.pop()
        is_inner = node.op == "add" and node.shape == root.shape and (node is root or num_users[node] == 1)
        if is_inner:
            inner.add(node)
            stack += reversed(node.inputs)
        else:
            terms.append(node)
    return terms


def _divided(terms: Sequence[Node], shape: tuple[int, ...], num_users: Counter[Node]) -> tuple[list[Node], dict[int, list[Node]]]:
    """Return the terms that stay, and for each axis the pieces that cover at least half of it without overlap, by position."""
    rest: list[Node] = []
    candidates: dict[int, list[Node]] = {}
    for term in terms:
        axes = _padded_axes(term) if num_users[term] == 1 and term.shape == shape else []  # one that broadcasts stays
        if len(axes) == 1:
            candidates.setdefault(axes[0], []).append(term)
        else:
            rest.append(term)
    pieces = {}
    for axis, members in candidates.items():
        members.sort(key=lambda piece: piece.attrs[0][axis])
        chosen: list[Node] = []
        end = covered = 0
        for piece in members:
            low, size = piece.attrs[0][axis], piece.inputs[0].shape[axis]
            if low >= end and size:
                chosen.append(piece)
                end, covered = low + size, covered + size
        if len(chosen) < MIN_PIECES or 2 * covered < chosen[0].shape[axis]:
            rest += members
            continue
        taken = set(chosen)
        rest += [piece for piece in members if piece not in taken]
        pieces[axis] = chosen
    return rest, pieces


def _padded_axes(term: Node) -> list[int]:
    """Return the axes along which a term is padded with zeros."""
    if term.op != "pad" or term.attrs[2] != 0:
        return []
    low, high, _ = term.attrs
    return [axis for axis in range(len(low)) if low[axis] or high[axis]]


def _rebuild(root: Node, terms: tuple[list[Node], dict[int, list[Node]]], new: dict[Node, Node]) -> Node:
    rest, pieces = terms
    before, context.source = context.source, root.source
    try:
        parts = [new[term] for term in rest]
        parts += [_joined(axis, members, root.shape[axis], new) for axis, members in pieces.items()]
        total = parts[0]
        for part in parts[1:]:
            total = build.add(total, part)
        return total
    finally:
        context.source = before


def _joined(axis: int, members: Sequence[Node], size: int, new: dict[Node, Node]) -> Node:
    """Return the concatenation of pieces, with zeros between those that do not meet."""
    parts: list[Node] = []
    end = 0

    def fill(until: int) -> None:
        if until > end:
            shape = (*members[0].shape[:axis], until - end, *members[0].shape[axis + 1 :])
            parts.append(build.full(0, shape, members[0].dtype))

    for piece in members:
        low, inside = piece.attrs[0][axis], piece.inputs[0]
        fill(low)
        parts.append(new[inside])
        end = low + inside.shape[axis]
    fill(size)
    return build.concat(parts, axis)
