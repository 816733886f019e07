"""Gradient rules of movement, concatenation, updates and indexing: each one is the inverse movement."""

from __future__ import annotations

from trine import dtypes
from trine.autograd.rules_elementwise import Rule
from trine.core import build as b
from trine.core.graph import Node


def _reshape(node: Node, g: Node) -> tuple[Node | None, ...]:
    return (b.reshape(g, node.inputs[0].shape),)


def _permute(node: Node, g: Node) -> tuple[Node | None, ...]:
    axes = node.attrs[0]
    inverse = [0] * len(axes)
    for position, axis in enumerate(axes):
        inverse[axis] = position
    return (b.permute(g, tuple(inverse)),)


def _expand(node: Node, g: Node) -> tuple[Node | None, ...]:
    return (b.sum_to(g, node.inputs[0].shape),)


def _pad(node: Node, g: Node) -> tuple[Node | None, ...]:
    low = node.attrs[0]
    shape = node.inputs[0].shape
    stop = tuple(begin + size for begin, size in zip(low, shape, strict=True))
    return (b.slice(g, low, stop, (1,) * len(shape)),)


def _slice(node: Node, g: Node) -> tuple[Node | None, ...]:
    x = node.inputs[0]
    start, _, step = node.attrs
    if all(s == 1 for s in step):
        high = tuple(size - begin - taken for size, begin, taken in zip(x.shape, start, node.shape, strict=True))
        return (b.pad(g, start, high, 0),)
    return (b.update(b.zeros_like(x), g, start, step),)


def _flip(node: Node, g: Node) -> tuple[Node | None, ...]:
    return (b.flip(g, node.attrs[0]),)


def _concat(node: Node, g: Node) -> tuple[Node | None, ...]:
    axis = node.attrs[0]
    rank = len(node.shape)
    gradients: list[Node | None] = []
    begin = 0
    for operand in node.inputs:
        end = begin + operand.shape[axis]
        if operand.requires_grad:
            start, stop = [0] * rank, list(node.shape)
            start[axis], stop[axis] = begin, end
            gradients.append(b.slice(g, tuple(start), tuple(stop), (1,) * rank))
        else:
            gradients.append(None)
        begin = end
    return tuple(gradients)


def box_stop(start: tuple[int, ...], shape: tuple[int, ...], step: tuple[int, ...]) -> tuple[int, ...]:
    """Return the end of the strided box of `shape` elements that begins at `start`."""
    return tuple(begin + (size - 1) * s + 1 if size else begin for begin, size, s in zip(start, shape, step, strict=True))


def _update(node: Node, g: Node) -> tuple[Node | None, ...]:
    base, value = node.inputs
    start, step = node.attrs
    return (
        b.update(g, b.zeros_like(value), start, step) if base.requires_grad else None,
        b.slice(g, start, box_stop(start, value.shape, step), step) if value.requires_grad else None,
    )


def _take(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, index = node.inputs
    return b.put(b.zeros_like(x), index, g, node.attrs[0], "add"), None


def _take_along(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, index = node.inputs
    return b.put_along(b.zeros_like(x), index, g, node.attrs[0], "add"), None


def _scatter(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, index, value = node.inputs
    axis, mode = node.attrs
    put, take = (b.put, b.take) if node.op == "put" else (b.put_along, b.take_along)
    if mode in ("max", "min"):
        # The elements that equal the result share its gradient evenly.
        kept = b.cast(b.eq(x, node), g.dtype)
        chosen = b.cast(b.eq(value, take(node, index, axis)), g.dtype)
        share = b.div(g, put(kept, index, chosen, axis, "add"))
        return b.mul(share, kept), None, b.mul(take(share, index, axis), chosen)
    if mode == "mul":
        return _scatter_product(node, g)
    base_gradient = value_gradient = None
    if x.requires_grad:
        base_gradient = g if mode == "add" else put(g, index, b.zeros_like(value), axis, "set")
    if value.requires_grad:
        value_gradient = take(g, index, axis)
    return base_gradient, None, value_gradient


def _scatter_product(node: Node, g: Node) -> tuple[Node | None, ...]:
    """Each factor's gradient is the product of the others: without the factor where no other is zero, zero where another one is."""
    x, index, value = node.inputs
    axis = node.attrs[0]
    put, take = (b.put, b.take) if node.op == "put" else (b.put_along, b.take_along)
    zero, one = b.const(0, x.dtype), b.const(1, x.dtype)
    x_zero, value_zero = b.eq(x, zero), b.eq(value, zero)
    product = put(b.where(x_zero, one, x), index, b.where(value_zero, one, value), axis, "mul")
    zeros = put(b.cast(x_zero, dtypes.int64), index, b.cast(value_zero, dtypes.int64), axis, "add")

    def others(factor: Node, is_zero: Node, product: Node, zeros: Node) -> Node:
        alone = b.eq(zeros, b.cast(is_zero, dtypes.int64))
        rest = b.div(product, b.where(is_zero, one, factor))
        rest = b.where(alone, rest, zero)
        return b.conj(rest) if rest.dtype.is_complex else rest

    return (
        b.mul(g, others(x, x_zero, product, zeros)) if x.requires_grad else None,
        None,
        b.mul(take(g, index, axis), others(value, value_zero, take(product, index, axis), take(zeros, index, axis)))
        if value.requires_grad
        else None,
    )


MOVEMENT_RULES: dict[str, Rule] = {
    "reshape": _reshape,
    "permute": _permute,
    "expand": _expand,
    "pad": _pad,
    "slice": _slice,
    "flip": _flip,
    "concat": _concat,
    "update": _update,
    "take": _take,
    "take_along": _take_along,
    "put": _scatter,
    "put_along": _scatter,
}
