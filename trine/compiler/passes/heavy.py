"""Heavy primitives: which lowering serves which, and how its operands are handed over."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from trine.compiler.lower.attention import Rows, lower_attention, lower_attention_grad
from trine.compiler.lower.conv import lower_conv, lower_conv_input_grad
from trine.compiler.lower.conv_geometry import ConvAttributes
from trine.compiler.lower.conv_weight import lower_conv_weight_grad
from trine.compiler.lower.dot import Matrix, Packed, lower_dot
from trine.compiler.lower.index import lower_concat, lower_put, lower_put_along, lower_take, lower_take_along, lower_update
from trine.compiler.lower.scan import lower_scan
from trine.compiler.lower.sort import lower_argsort
from trine.compiler.lower.window import WindowAttributes, lower_window
from trine.compiler.nest import LoopNest
from trine.compiler.passes.views import row_major
from trine.compiler.program import Command, Value
from trine.compiler.target import Target
from trine.core.attention_rules import Sizes
from trine.core.attention_rules import sizes as attention_sizes
from trine.core.graph import Node
from trine.dtypes import DType
from trine.shapes import Shape


@dataclass(eq=False, slots=True)
class View:
    """A strided view of a value, in elements; one stride for each axis of `shape` (0 for sizes of 1 or broadcasting).

    `is_shared`: whether several products have this operand.
    """

    value: Value
    offset: int
    strides: tuple[int, ...]
    shape: tuple[int, ...]
    is_shared: bool = False


class Context(Protocol):
    """What a lowering needs of the compilation."""

    target: Target
    threads: int
    packed: Packed
    placed: set[tuple[Node, int]]

    def temporary(self, shape: tuple[int, ...], dtype: DType) -> Value:
        """Return a new row-major temporary."""

    def copied(self, view: View, nodes: tuple[Node, ...]) -> View:
        """Return a row-major copy of a view."""


Lowerer = Callable[[Any, Node, Sequence[View], View], list[Command]]


def _dot(context: Context, node: Node, operands: Sequence[View], output: View, epilogue: LoopNest | None = None) -> list[Command]:
    a, b = operands
    batch, (m, n), k = node.shape[:-2], node.shape[-2:], a.shape[-1]
    return lower_dot(
        *(context.target, batch, m, n, k, _matrix(a), _matrix(b), _matrix(output), node.dtype, epilogue),
        temporaries=context.temporary,
        packed=context.packed,
        threads=context.threads,
        nodes=(node,),
    )


def _matrix(view: View) -> Matrix:
    return Matrix(view.value, view.offset, view.strides[:-2], view.strides[-2], view.strides[-1], view.is_shared)


def _conv(context: Context, node: Node, operands: Sequence[View], output: View, epilogue: LoopNest | None = None) -> list[Command]:
    x, w = operands
    attributes = ConvAttributes(*node.attrs)
    return lower_conv(
        *(context.target, x.value, w.value, output.value, attributes, context.temporary, context.threads),
        epilogue=_channels_innermost(epilogue),
        nodes=(node,),
    )


def _conv_input_grad(
    context: Context, node: Node, operands: Sequence[View], output: View, epilogue: LoopNest | None = None
) -> list[Command]:
    gy, w = operands
    attributes = ConvAttributes(*node.attrs[1:])
    return lower_conv_input_grad(
        *(context.target, gy.value, w.value, output.value, attributes, context.temporary, context.threads),
        epilogue=_channels_innermost(epilogue),
        nodes=(node,),
    )


def _channels_innermost(nest: LoopNest | None) -> LoopNest | None:
    """Return a nest over (N, C, *spatial) as one over (N, *spatial, C)."""
    if nest is None:
        return None
    order = (0, *range(2, len(nest.axes)), 1)
    place = {axis: k for k, axis in enumerate(order)}

    def moved(values: Sequence[int]) -> tuple[int, ...]:
        return tuple([values[axis] for axis in order])

    accesses = [
        replace(access, strides=moved(access.strides), bounds=tuple([(place[axis], low, high) for axis, low, high in access.bounds]))
        for access in nest.accesses
    ]
    instructions = [replace(i, attrs=(moved(i.attrs[0]), *i.attrs[1:])) if i.op == "iota" else i for i in nest.instructions]
    return LoopNest([nest.axes[axis] for axis in order], accesses, instructions, list(nest.stores), nest.nodes)


def _conv_weight_grad(context: Context, node: Node, operands: Sequence[View], output: View) -> list[Command]:
    x, gy = operands
    attrs = ConvAttributes(*node.attrs[1:])
    return lower_conv_weight_grad(context.target, x.value, gy.value, output.value, attrs, context.temporary, context.threads, nodes=(node,))


def _window(context: Context, node: Node, operands: Sequence[View], output: View) -> list[Command]:
    kind = node.op.removeprefix("window_")
    attributes = WindowAttributes(*(node.attrs[1:] if kind == "sum_grad" else node.attrs))
    values = tuple([view.value for view in operands])
    return lower_window(context.target, kind, values, output.value, attributes, context.temporary, context.threads, nodes=(node,))


def _on_arrays(lower: Callable[..., list[Command]]) -> Lowerer:
    """Return the lowerer of a primitive on row-major arrays: (target, operands…, result, attributes…, temporaries, threads, nodes)."""

    def lowerer(context: Context, node: Node, operands: Sequence[View], output: View) -> list[Command]:
        values = [view.value for view in operands]
        return lower(context.target, *values, output.value, *node.attrs, context.temporary, context.threads, nodes=(node,))

    return lowerer


def _scan(context: Context, node: Node, operands: Sequence[View], output: View) -> list[Command]:
    axis, reverse = node.attrs
    x = operands[0].value
    return lower_scan(context.target, node.op, x, output.value, axis, reverse, context.temporary, context.threads, (node,))


def _concat(context: Context, node: Node, operands: Sequence[View], output: View) -> list[Command]:
    values = [view.value for view in operands]
    placed = [number for number in range(len(values)) if (node, number) in context.placed]
    return lower_concat(context.target, values, output.value, node.attrs[0], context.temporary, context.threads, (node,), placed)


def _rows(view: View, per_row: bool = False) -> Rows:
    if per_row:
        return Rows(view.value, view.offset, view.strides[:-1], view.strides[-1])
    return Rows(view.value, view.offset, view.strides[:-2], view.strides[-2], view.strides[-1])


def _adjacent(context: Context, view: View, node: Node) -> View:
    """Return a view whose rows have adjacent elements, copied if need be."""
    return view if view.strides[-1] == 1 or view.shape[-1] == 1 else context.copied(view, (node,))


def _parts(shapes: Sequence[Shape], found: Sizes, value: Value, offset: int = 0) -> list[Rows]:
    """Return where the parts of a packed result lie."""
    parts = []
    for shape in shapes:
        strides = row_major(shape)
        per_row = len(shape) == len(found.batch) + 1
        if not per_row:
            strides = tuple([strides[axis] for axis in found.order])
        parts.append(_rows(View(value, offset, strides, shape), per_row))
        offset += math.prod(shape)
    return parts


def _attention(context: Context, node: Node, operands: Sequence[View], output: View) -> list[Command]:
    query, key, value, *rest = operands
    found = attention_sizes(node.op, node.inputs, node.attrs)
    key, value = _adjacent(context, key, node), _adjacent(context, value, node)
    mask = _rows(rest[0]) if rest else None
    out, lse = _parts(found.results, found, output.value)
    scale, causal, _ = node.attrs
    return lower_attention(context.target, found, _rows(query), _rows(key), _rows(value), mask, out, lse, scale, causal, (node,))


def _attention_grad(context: Context, node: Node, operands: Sequence[View], output: View) -> list[Command]:
    query, key, value, gradient, lse, delta, *rest = operands
    found = attention_sizes(node.op, node.inputs, node.attrs)
    query, gradient = _adjacent(context, query, node), _adjacent(context, gradient, node)
    rows = [*[_rows(x) for x in (query, key, value, gradient)], _rows(lse, True), _rows(delta, True)]
    mask = _rows(rest[0]) if rest else None
    scale, causal, _ = node.attrs
    results = _parts(found.gradients, found, output.value)
    return lower_attention_grad(context.target, found, rows, mask, results, scale, causal, (node,))


# Those that can go on with each tile of their result: (…, result, a nest over the result's axes whose access 0 is the result).
WITH_EPILOGUE: dict[str, Callable[[Any, Node, Sequence[View], View, LoopNest], list[Command]]] = {
    "dot": _dot,
    "conv": _conv,
    "conv_input_grad": _conv_input_grad,
}

LOWERERS: dict[str, Lowerer] = {
    "dot": _dot,
    "conv": _conv,
    "conv_input_grad": _conv_input_grad,
    "conv_weight_grad": _conv_weight_grad,
    **dict.fromkeys(("window_max", "window_sum", "window_argmax", "window_max_grad", "window_sum_grad"), _window),
    "attention": _attention,
    "attention_grad": _attention_grad,
    "take": _on_arrays(lower_take),
    "take_along": _on_arrays(lower_take_along),
    "put": _on_arrays(lower_put),
    "put_along": _on_arrays(lower_put_along),
    "update": _on_arrays(lower_update),
    "concat": _concat,
    **dict.fromkeys(("cumsum", "cumprod", "cummax", "cummin"), _scan),
    "argsort": _on_arrays(lower_argsort),
}
