"""What nobody looks at is not computed: where only a part of a result is used, its operands are cut instead.

The logits of the last position of a sequence need one row of the last block's products, not all of them. One sweep from the results to the
inputs finds the box of each node that its users read; a second one makes the nodes whose box is at most half of them smaller.

A demand has for each axis a tuple of factors ``(size, low, high)``, slowest first, whose sizes multiply to that of the axis: so a range of
positions keeps its form while batch and positions are one axis, as they are in the products of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from trine.compiler.passes.tables import KIND, REDUCTIONS
from trine.core import build
from trine.core.graph import Graph, Node, context, topological_order

Factor = tuple[int, int, int]
Axis = tuple[Factor, ...]
Demand = tuple[Axis, ...]
# Of at most this share of a node the rest is not computed.
_SHARE = 0.5
_WHOLE_ONLY = frozenset({"check_index", "bitcast"})


def demand(graph: Graph) -> Graph:
    """Return the graph without what is computed and not used; the same object if that is nothing."""
    order = topological_order(graph.outputs)
    if not _is_promising(order, graph.outputs):
        return graph
    demands = _demands(order, graph.outputs)
    if not any([(box := demands[node]) is not None and _shape(box) != node.shape for node in order if KIND[node.op] != "movement"]):
        return graph
    new: dict[Node, Node] = {}
    for node in order:
        before, context.source = context.source, node.source
        try:
            new[node] = _rebuilt(node, demands, new)
        finally:
            context.source = before
    return Graph(tuple([new[node] for node in graph.outputs]), graph.inputs, graph.donations)


def _is_promising(order: Sequence[Node], outputs: Sequence[Node]) -> bool:
    """Return whether of some computed node only a small slice is used."""
    covered: dict[Node, float] = {}
    for node in order:
        if node.op == "slice" and node.inputs[0].op != "input":
            x = node.inputs[0]
            covered[x] = covered.get(x, 0.0) + math.prod(node.shape) / max(math.prod(x.shape), 1)
    small = {x for x, share in covered.items() if share <= _SHARE}.difference(outputs)
    if small:
        for node in order:
            if node.op != "slice":
                small.difference_update(node.inputs)
    return bool(small)


# --- demands ------------------------------------------------------------------------------------------------------------------------


def _whole(shape: Sequence[int]) -> Demand:
    return tuple([((size, 0, size),) for size in shape])


def _extent(axis: Axis) -> int:
    return math.prod([high - low for _, low, high in axis])


def _shape(box: Demand) -> tuple[int, ...]:
    return tuple([_extent(axis) for axis in box])


def _union(a: Demand, b: Demand) -> Demand:
    """Return a demand that covers both."""
    if a == b:
        return a
    axes: list[Axis] = []
    for p, q in zip(a, b, strict=True):
        if [f[0] for f in p] == [f[0] for f in q]:
            axes.append(tuple([(f[0], min(f[1], g[1]), max(f[2], g[2])) for f, g in zip(p, q, strict=True)]))
        else:
            size = math.prod([f[0] for f in p])
            axes.append(((size, 0, size),))
    return tuple(axes)


def _demands(order: Sequence[Node], outputs: Sequence[Node]) -> dict[Node, Demand | None]:
    """Return what is computed of each node, None for all of it."""
    found: dict[Node, Demand | None] = dict.fromkeys(outputs)
    for node in reversed(order):
        box = found[node]
        parts = _needed(node, box) if box is not None else None
        if parts is None or box is None or _SHARE * math.prod(node.shape) < math.prod(_shape(box)):
            found[node] = None
            if node.op != "slice":  # of all others, a whole result takes whole operands
                found.update(dict.fromkeys(node.inputs))
                continue
            parts = _needed(node, _whole(node.shape)) or [_whole(operand.shape) for operand in node.inputs]
        for operand, part in zip(node.inputs, parts, strict=True):
            known = found.get(operand, part)
            found[operand] = None if known is None else _union(known, part)
    return found


def _needed(node: Node, box: Demand) -> list[Demand] | None:
    """Return what a part of a node needs of its operands; None if it is not computed in parts."""
    rule = _RULES.get(node.op)
    parts = [rule(node, number, box) for number in range(len(node.inputs))] if rule is not None else [None]
    found = [part for part in parts if part is not None]
    return found if len(found) == len(parts) else None


# A rule gets a node, the number of an operand, and what is needed of the node; it returns what is needed of the operand, or None
# if the node is not computed in parts of this form.
Rule = Callable[[Node, int, Demand], Demand | None]


def _elementwise(node: Node, number: int, box: Demand) -> Demand:
    shape = node.inputs[number].shape
    lead = len(node.shape) - len(shape)
    return tuple([((1, 0, 1),) if size == 1 else axis for size, axis in zip(shape, box[lead:], strict=True)])


def _reduce(node: Node, number: int, box: Demand) -> Demand:
    axes = node.attrs[0] if type(node.attrs[0]) is tuple else (node.attrs[0],)
    whole = _whole(node.inputs[number].shape)
    return tuple([whole[k] if k in axes else axis for k, axis in enumerate(box)])


def _dot(node: Node, number: int, box: Demand) -> Demand:
    operand = node.inputs[number]
    batch = [((1, 0, 1),) if size == 1 else axis for size, axis in zip(operand.shape[:-2], box, strict=False)]
    whole = _whole(operand.shape)
    return (*batch, box[-2], whole[-1]) if number == 0 else (*batch, whole[-2], box[-1])


def _permute(node: Node, number: int, box: Demand) -> Demand:
    placed = dict(zip(node.attrs[0], box, strict=True))
    return tuple([placed[k] for k in range(len(box))])


def _slice(node: Node, number: int, box: Demand) -> Demand | None:
    start, _, step = node.attrs
    if any([k != 1 for k in step]):
        return None
    axes: list[Axis] = []
    for k, size in enumerate(node.inputs[0].shape):
        if size == node.shape[k]:
            axes.append(box[k])
        elif len(box[k]) == 1:
            ((_, low, high),) = box[k]
            axes.append(((size, start[k] + low, start[k] + high),))
        else:
            return None
    return tuple(axes)


def _reshape(node: Node, number: int, box: Demand) -> Demand | None:
    """Distribute the factors of each group of axes with equal products."""
    old, new = node.inputs[0].shape, node.shape
    if 0 in old:
        return None
    axes: list[Axis] = []
    i = j = 0
    while i < len(old) or j < len(new):
        first, second = i, j
        a = b = 1
        while i < len(old) and (i == first or a < b):
            a, i = a * old[i], i + 1
            while j < len(new) and b < a:
                b, j = b * new[j], j + 1
        if first == i:
            j = len(new)
        factors = [factor for axis in box[second:j] for factor in axis if factor[0] != 1]
        part = _distributed(factors, old[first:i])
        if part is None:
            return None
        axes += part
    return tuple(axes)


def _distributed(factors: Sequence[Factor], sizes: Sequence[int]) -> list[Axis] | None:
    """Return the factors of axes of these sizes, cutting those that are needed whole where axes end; None if that is not possible."""
    pending = list(factors)
    axes: list[Axis] = []
    for size in sizes:
        taken: list[Factor] = []
        rest = size
        while rest > 1:
            if not pending:
                return None
            factor = pending.pop(0)
            if rest % factor[0]:
                is_whole = factor[1] == 0 and factor[2] == factor[0]
                if not is_whole or factor[0] % rest:
                    return None
                pending.insert(0, (factor[0] // rest, 0, factor[0] // rest))
                factor = (rest, 0, rest)
            taken.append(factor)
            rest //= factor[0]
        axes.append(tuple(taken) or ((1, 0, 1),))
    return None if pending else axes


_RULES: dict[str, Rule] = {
    **{op: _elementwise for op, kind in KIND.items() if kind == "elementwise" and op not in _WHOLE_ONLY},
    **dict.fromkeys(REDUCTIONS, _reduce),
    "dot": _dot,
    "permute": _permute,
    "expand": _elementwise,
    "slice": _slice,
    "reshape": _reshape,
}


# --- the smaller graph --------------------------------------------------------------------------------------------------------------


def _rebuilt(node: Node, demands: dict[Node, Demand | None], new: dict[Node, Node]) -> Node:
    """Return the part of a node that is needed."""
    box = demands[node]
    if (box is None or _shape(box) == node.shape) and all([new[x] is x for x in node.inputs]):
        return node
    box = box or _whole(node.shape)
    shape = _shape(box)
    needed = _needed(node, box) or [_whole(operand.shape) for operand in node.inputs]
    parts = list(zip(node.inputs, needed, strict=True))
    inputs = tuple([_cut(new[x], demands[x] or _whole(x.shape), part) for x, part in parts])
    if node.op == "slice" and _RULES["slice"](node, 0, box) is not None:
        return build.reshape(inputs[0], shape)
    attrs = (shape,) if node.op in ("reshape", "expand") else node.attrs
    return Node(node.op, inputs, attrs, shape, node.dtype, False, node.source)


def _cut(x: Node, present: Demand, needed: Demand) -> Node:
    """Return the needed part of a node of which the part `present` is there."""
    shape = _shape(needed)
    if present == needed or shape == x.shape:
        return x
    start, stop, sizes = [], [], []
    for there, part in zip(present, needed, strict=True):
        if len(there) == 1 and len(part) > 1:
            there = tuple([(size, 0, size) for size, _, _ in part])
        for (_, first, last), (_, low, high) in zip(there, part, strict=True):
            sizes.append(last - first)
            start.append(low - first)
            stop.append(high - first)
    return build.reshape(build.slice(build.reshape(x, sizes), start, stop), shape)
