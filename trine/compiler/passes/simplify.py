"""Simplification: one sweep from the inputs to the results, with a table of rules by primitive.

Equal nodes become one; constants fold; what changes no bit of any result disappears (x * 1, but not x + 0, which turns -0 into 0). Where
the order of a sum changes (a sum of a sum, a sum of equal elements) the last bits of the result may differ from the graph as recorded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from trine import dtypes
from trine.compiler.passes.tables import KIND
from trine.core.graph import Graph, Node, topological_order
from trine.dtypes import DType

Shape = tuple[int, ...]
# A rule gets the sweep and a node with simplified operands; it returns a simpler node, or None.
Rule = Callable[["Simplifier", Node], Node | None]


def simplify(graph: Graph) -> Graph:
    """Return an equivalent graph; nodes that stay as they are are the same objects."""
    order = topological_order(graph.outputs)
    sweep = Simplifier()
    sweep.num_users.update([operand for node in order for operand in node.inputs])
    sweep.num_users.update(graph.outputs)
    new = sweep.new
    visit = sweep.visit
    for node in order:
        new[node] = visit(node)
    return Graph(tuple([new[node] for node in graph.outputs]), graph.inputs, graph.donations)


class Simplifier:
    """The state of a sweep: what each old node became, how often it is used, and the nodes known by what they compute."""

    def __init__(self) -> None:
        self.new: dict[Node, Node] = {}
        self.num_users: Counter[Node] = Counter()
        self.known: dict[Any, Node] = {}

    def visit(self, node: Node) -> Node:
        """Return what a node of the graph becomes."""
        inputs = node.inputs
        if inputs:
            new = self.new
            replaced = tuple([new[i] for i in inputs])
            if node.op == "permute" and replaced[0].op == "dot" and self.num_users[inputs[0]] == 1:
                transposed = _transposed_product(self, node, replaced[0])
                if transposed is not None:
                    return transposed
            if replaced != inputs:
                node = Node(node.op, replaced, node.attrs, node.shape, node.dtype, False, node.source)
        return self.canonical(node)

    def canonical(self, node: Node) -> Node:
        """Return the node that stands for all nodes with the same operands and attributes, simplified."""
        op = node.op
        attrs = node.attrs
        if op in _BY_TEXT:
            attrs = repr(attrs)  # type: ignore[assignment]
        key = (op, node.inputs, attrs, node.dtype)
        known = self.known.get(key)
        if known is not None and known.shape == node.shape:
            return known
        rule = RULES.get(op)
        if rule is not None:
            simpler = rule(self, node)
            if simpler is not None:
                self.known[key] = simpler
                return simpler
        self.known[key] = node
        return node

    def make(self, like: Node, op: str, inputs: tuple[Node, ...], attrs: tuple[Any, ...], shape: Shape, dtype: DType | None = None) -> Node:
        """Return a simplified new node with the source line of `like` (and its dtype)."""
        return self.canonical(Node(op, inputs, attrs, shape, dtype or like.dtype, False, like.source))

    def expanded(self, like: Node, x: Node, shape: Shape) -> Node:
        """Return x broadcast to a shape."""
        return x if x.shape == shape else self.make(like, "expand", (x,), (shape,), shape)

    def const(self, like: Node, value: float | int | bool, dtype: DType) -> Node:
        """Return a 0-d constant."""
        return self.make(like, "const", (), (value,), (), dtype)


# Primitives with numbers among their attributes: 0.0 and -0.0, 1 and True are equal as keys but not the same.
_BY_TEXT = frozenset({"const", "pad"})
_FOLDABLE = frozenset({dtypes.bool_, dtypes.float32, dtypes.float64, dtypes.int64, dtypes.int32, dtypes.int16, dtypes.int8, dtypes.uint8})


# --- elementwise --------------------------------------------------------------------------------------------------------------------


def _elementwise(sweep: Simplifier, node: Node) -> Node | None:
    """Operands that are broadcast anyway need no expand; constants fold; then the primitive's own rule."""
    inputs = node.inputs
    constant = True
    for operand in inputs:
        if operand.op == "expand":
            return _without_expands(sweep, node) or _own_rule(sweep, node)
        if operand.op != "const":
            constant = False
    if constant and node.op != "check_index" and node.dtype in _FOLDABLE and all([i.dtype in _FOLDABLE for i in inputs]):
        return _fold(sweep, node)
    return _own_rule(sweep, node)


def _own_rule(sweep: Simplifier, node: Node) -> Node | None:
    rule = _OWN.get(node.op)
    return rule(sweep, node) if rule is not None else None


def _without_expands(sweep: Simplifier, node: Node) -> Node | None:
    shape = node.shape
    stripped = tuple([i.inputs[0] if i.op == "expand" else i for i in node.inputs])
    inner = np.broadcast_shapes(*[i.shape for i in stripped])
    result = sweep.make(node, node.op, stripped, node.attrs, inner)
    return sweep.expanded(node, result, shape)


def _fold(sweep: Simplifier, node: Node) -> Node | None:
    from trine.core.reference import apply

    operands = [np.array(i.attrs[0], i.dtype.numpy) for i in node.inputs]
    with np.errstate(all="ignore"):
        value = apply(node, *operands)
    return sweep.const(node, np.asarray(value, node.dtype.numpy).item(), node.dtype)


def _is_const(node: Node, *values: float) -> bool:
    """Return whether a node is a real constant with one of these values and, for zeros, the same sign."""
    if node.op != "const" or node.dtype.is_complex:  # x * (1 + 0j) is not x where a part is infinite
        return False
    value = node.attrs[0]
    return any([value == v and math.copysign(1, value) == math.copysign(1, v) for v in values])


def _same_shape(sweep: Simplifier, node: Node, x: Node) -> Node:
    return sweep.expanded(node, x, node.shape)


def _add(sweep: Simplifier, node: Node) -> Node | None:
    for x, y in (node.inputs, node.inputs[::-1]):
        if y.op == "const" and (_is_const(y, -0.0) if node.dtype.code in "fc" else y.attrs[0] == 0) and node.dtype.code != "c":
            return _same_shape(sweep, node, x)
    return None


def _sub(sweep: Simplifier, node: Node) -> Node | None:
    x, y = node.inputs
    if y.op == "const" and node.dtype.code != "c" and _is_const(y, 0):
        return _same_shape(sweep, node, x)
    return None


def _mul(sweep: Simplifier, node: Node) -> Node | None:
    for x, y in (node.inputs, node.inputs[::-1]):
        if y.op == "const" and node.dtype.code != "c" and y.attrs[0] == 1:
            return _same_shape(sweep, node, x)
    return None


def _div(sweep: Simplifier, node: Node) -> Node | None:
    x, y = node.inputs
    if y.op != "const" or node.dtype.code == "c":
        return None
    value = y.attrs[0]
    if value == 1:
        return _same_shape(sweep, node, x)
    if node.dtype in (dtypes.float32, dtypes.float64) and math.isfinite(value) and value != 0 and abs(math.frexp(value)[0]) == 0.5:
        exponent = abs(math.frexp(value)[1])
        if exponent < 100:  # a power of two whose reciprocal is exact
            return sweep.make(node, "mul", (x, sweep.const(node, 1 / value, node.dtype)), (), node.shape)
    return None


def _pow(sweep: Simplifier, node: Node) -> Node | None:
    x, y = node.inputs
    if y.op != "const" or node.dtype not in (dtypes.float32, dtypes.float64):
        return None
    value = y.attrs[0]
    if value == 1:
        return _same_shape(sweep, node, x)
    if value == 2:
        return sweep.expanded(node, sweep.make(node, "mul", (x, x), (), x.shape), node.shape)
    if value == -1:
        return sweep.expanded(node, sweep.make(node, "reciprocal", (x,), (), x.shape), node.shape)
    return None


def _involution(sweep: Simplifier, node: Node) -> Node | None:
    inner = node.inputs[0]
    return inner.inputs[0] if inner.op == node.op else None


def _cast(sweep: Simplifier, node: Node) -> Node | None:
    x = node.inputs[0]
    if x.dtype is node.dtype:
        return x
    if x.op == "cast" and _is_lossless(x.inputs[0].dtype, x.dtype):
        original = x.inputs[0]
        if original.dtype is node.dtype:
            return original
        if x.dtype.code == node.dtype.code or (x.dtype.code in "iu" and node.dtype.code == "f"):
            return sweep.make(node, "cast", (original,), node.attrs, node.shape)
    return None


def _is_lossless(a: DType, b: DType) -> bool:
    """Return whether every value of dtype a is one of dtype b."""
    if a.code == "b":
        return True
    if a.code in "iu" and b.code in "iu":
        return b.itemsize > a.itemsize and (b.code == "i" or a.code == "u")
    if a.code == "f" and b.code == "f":
        return b.itemsize > a.itemsize
    return False


def _where(sweep: Simplifier, node: Node) -> Node | None:
    condition, a, b = node.inputs
    if condition.op == "const":
        return _same_shape(sweep, node, a if condition.attrs[0] else b)
    if a is b:
        return _same_shape(sweep, node, a)
    return None


def _stop_gradient(sweep: Simplifier, node: Node) -> Node | None:
    """It is its operand, unless it is a barrier: what is computed from a barrier is to be computed again (checkpointing)."""
    return None if "barrier" in node.attrs else node.inputs[0]


# --- movement -----------------------------------------------------------------------------------------------------------------------


def _constant_of(node: Node) -> Node | None:
    """Return the 0-d node that an operand repeats, if it does nothing else."""
    x = node.inputs[0]
    if x.shape == ():
        return x
    if x.op == "expand" and x.inputs[0].shape == ():
        return x.inputs[0]
    return None


def _reshape(sweep: Simplifier, node: Node) -> Node | None:
    x = node.inputs[0]
    if x.shape == node.shape:
        return x
    if x.op == "reshape":
        return sweep.make(node, "reshape", x.inputs, node.attrs, node.shape)
    repeated = _constant_of(node)
    if repeated is not None:
        return sweep.expanded(node, repeated, node.shape)
    return None


def _permute(sweep: Simplifier, node: Node) -> Node | None:
    x = node.inputs[0]
    axes = node.attrs[0]
    if axes == tuple(range(len(axes))):
        return x
    if x.op == "permute":
        inner = x.attrs[0]
        return sweep.make(node, "permute", x.inputs, (tuple([inner[a] for a in axes]),), node.shape)
    repeated = _constant_of(node)
    if repeated is not None:
        return sweep.expanded(node, repeated, node.shape)
    moved = [a for a in axes if x.shape[a] != 1]
    if moved == sorted(moved):
        return sweep.make(node, "reshape", (x,), (node.shape,), node.shape)
    return None


def _transposed_product(sweep: Simplifier, node: Node, product: Node) -> Node | None:
    """The transpose of a product that nobody else uses is the product of the transposes, which is written where it is needed."""
    rank = len(product.shape)
    axes = (*range(rank - 2), rank - 1, rank - 2)
    if node.attrs[0] != axes:
        return None
    b, a = [
        sweep.make(x, "permute", (x,), (axes,), (*x.shape[:-2], x.shape[-1], x.shape[-2])) for x in (product.inputs[1], product.inputs[0])
    ]
    return sweep.make(product, "dot", (b, a), (), node.shape)


def _expand(sweep: Simplifier, node: Node) -> Node | None:
    x = node.inputs[0]
    if x.shape == node.shape:
        return x
    if x.op == "expand":
        return sweep.make(node, "expand", x.inputs, node.attrs, node.shape)
    return None


def _slice(sweep: Simplifier, node: Node) -> Node | None:
    x = node.inputs[0]
    if x.shape == node.shape:
        return x
    repeated = _constant_of(node)
    if repeated is not None:
        return sweep.expanded(node, repeated, node.shape)
    if x.op == "slice":
        (start, stop, step), (first, _, stride) = node.attrs, x.attrs
        begin = tuple([a + b * c for a, b, c in zip(first, start, stride, strict=True)])
        strides = tuple([a * b for a, b in zip(stride, step, strict=True)])
        end = tuple([min(a + b * c, o) for a, b, c, o in zip(first, stop, stride, x.inputs[0].shape, strict=True)])
        return sweep.make(node, "slice", x.inputs, (begin, end, strides), node.shape)
    return None


def _flip(sweep: Simplifier, node: Node) -> Node | None:
    x = node.inputs[0]
    if all([x.shape[a] == 1 for a in node.attrs[0]]):
        return x
    if x.op == "flip" and x.attrs == node.attrs:
        return x.inputs[0]
    repeated = _constant_of(node)
    if repeated is not None:
        return sweep.expanded(node, repeated, node.shape)
    return None


def _pad(sweep: Simplifier, node: Node) -> Node | None:
    x = node.inputs[0]
    if x.shape == node.shape:
        return x
    if 0 in x.shape and 0 not in node.shape:
        return sweep.expanded(node, sweep.const(node, node.attrs[2], node.dtype), node.shape)
    repeated = _constant_of(node)
    if repeated is not None and repeated.op == "const" and repr(repeated.attrs[0]) == repr(node.attrs[2]):
        return sweep.expanded(node, repeated, node.shape)
    return None


# --- reductions ---------------------------------------------------------------------------------------------------------------------


def _reduce(sweep: Simplifier, node: Node) -> Node | None:
    x = node.inputs[0]
    shape = x.shape
    axes = node.attrs[0]
    kept = tuple([a for a in axes if shape[a] != 1])
    if not kept:
        return x
    if len(kept) < len(axes):
        return sweep.make(node, node.op, (x,), (kept,), node.shape)
    if x.op == node.op:
        # The inner reduction left axes of size 1 behind, so the sets of axes are disjoint.
        return sweep.make(node, node.op, x.inputs, (tuple(sorted({*axes, *x.attrs[0]})),), node.shape)
    return None


def _sum(sweep: Simplifier, node: Node) -> Node | None:
    simpler = _reduce(sweep, node)
    if simpler is not None:
        return simpler
    x = node.inputs[0]
    if x.op != "expand" or node.dtype.is_half or 0 in x.shape:
        return None
    source = x.inputs[0]
    lead = len(x.shape) - len(source.shape)
    padded = (1,) * lead + source.shape
    repeated = [a for a in node.attrs[0] if padded[a] == 1]
    if not repeated:
        return None
    count = 1
    for axis in repeated:
        count *= x.shape[axis]
    rest = tuple([a for a in node.attrs[0] if padded[a] != 1])
    inner_shape = tuple([1 if a in repeated else s for a, s in enumerate(x.shape)])
    y = sweep.expanded(node, source, inner_shape)
    if rest:
        y = sweep.make(node, "sum", (y,), (rest,), node.shape)
    value = float(count) if node.dtype.code == "f" else count
    if node.dtype.code == "c" or (node.dtype.code in "iu" and count >= 1 << (8 * node.dtype.itemsize - 1)):
        return None
    return sweep.make(node, "mul", (y, sweep.const(node, value, node.dtype)), (), node.shape)


def _argument(sweep: Simplifier, node: Node) -> Node | None:
    if node.inputs[0].shape[node.attrs[0]] == 1 and 0 not in node.shape:
        return sweep.expanded(node, sweep.const(node, 0, node.dtype), node.shape)
    return None


# --- indexing -----------------------------------------------------------------------------------------------------------------------

MAX_COMPARED = 1 << 14


def _is_selected(sweep: Simplifier, node: Node, shape: Shape, index: Node) -> Node:
    """Return where the position along the axis is the index, as a bool node of `shape`."""
    axis = node.attrs[0]
    positions = sweep.make(node, "iota", (), (shape, axis), shape, dtypes.int64)
    wide = sweep.make(node, "cast", (index,), (dtypes.int64,), index.shape, dtypes.int64)
    return sweep.make(node, "eq", (positions, wide), (), shape, dtypes.bool_)


def _take_along(sweep: Simplifier, node: Node) -> Node | None:
    """One element per row of a computed array: a sum over the row in the kernel that computes it, instead of storing the array."""
    x, index = node.inputs
    axis = node.attrs[0]
    size = x.shape[axis]
    if index.shape[axis] != 1 or not 1 < size <= MAX_COMPARED or x.dtype.code != "f" or KIND[x.op] != "elementwise" or 0 in x.shape:
        return None
    zero = sweep.const(node, 0.0, x.dtype)
    chosen = sweep.make(node, "where", (_is_selected(sweep, node, x.shape, index), x, zero), (), x.shape)
    return sweep.make(node, "sum", (chosen,), ((axis,),), node.shape)


def _put_along(sweep: Simplifier, node: Node) -> Node | None:
    """One element per row put into a constant array: computed where it is used."""
    x, index, value = node.inputs
    axis, mode = node.attrs
    if x.op != "expand" or x.inputs[0].op != "const" or index.shape[axis] != 1 or 0 in x.shape or x.dtype.code not in "fi":
        return None
    constant = x.inputs[0]
    if mode == "add" and constant.attrs[0] == 0:
        put = sweep.make(node, "add", (constant, value), (), value.shape)
    elif mode == "set":
        put = value
    else:
        return None
    return sweep.make(node, "where", (_is_selected(sweep, node, x.shape, index), put, constant), (), x.shape)


# --- the table ----------------------------------------------------------------------------------------------------------------------

_OWN: dict[str, Rule] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "neg": _involution,
    "logical_not": _involution,
    "bitwise_not": _involution,
    "cast": _cast,
    "where": _where,
}

RULES: dict[str, Rule] = {
    **{op: _elementwise for op, kind in KIND.items() if kind == "elementwise"},
    "stop_gradient": _stop_gradient,
    "reshape": _reshape,
    "permute": _permute,
    "expand": _expand,
    "slice": _slice,
    "flip": _flip,
    "pad": _pad,
    "sum": _sum,
    "prod": _reduce,
    "max": _reduce,
    "min": _reduce,
    "take_along": _take_along,
    "put_along": _put_along,
    "argmax": _argument,
    "argmin": _argument,
}
