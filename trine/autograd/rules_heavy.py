"""Gradient rules of contractions, convolutions and windows. The three convolutions are each other's gradients."""

from __future__ import annotations

import math

from trine.autograd.rules_elementwise import Rule
from trine.core import build as b
from trine.core.graph import Node


def transposed(node: Node) -> Node:
    """Return `node` with its last two axes swapped."""
    rank = len(node.shape)
    return b.permute(node, (*range(rank - 2), rank - 1, rank - 2))


def _rows(node: Node) -> Node:
    """Merge all axes but the last one."""
    shape = node.shape
    return b.reshape(node, (math.prod(shape[:-1]), shape[-1]))


def _dot(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, y = node.inputs
    x_gradient = y_gradient = None
    if x.requires_grad:
        x_gradient = b.sum_to(b.dot(g, b.conj(transposed(y))), x.shape)
    if y.requires_grad:
        shared = math.prod(y.shape[:-2]) == 1 and math.prod(x.shape[:-2]) != 1
        if shared:
            # One matrix for the whole batch: its gradient is one product over all rows.
            y_gradient = b.reshape(b.dot(transposed(_rows(b.conj(x))), _rows(g)), y.shape)
        else:
            y_gradient = b.sum_to(b.dot(b.conj(transposed(x)), g), y.shape)
    return x_gradient, y_gradient


def _conv(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, w = node.inputs
    return (
        b.conv_input_grad(g, w, x.shape, *node.attrs) if x.requires_grad else None,
        b.conv_weight_grad(x, g, w.shape, *node.attrs) if w.requires_grad else None,
    )


def _conv_input_grad(node: Node, g: Node) -> tuple[Node | None, ...]:
    gy, w = node.inputs
    window = node.attrs[1:]
    return (
        b.conv(g, w, *window) if gy.requires_grad else None,
        b.conv_weight_grad(g, gy, w.shape, *window) if w.requires_grad else None,
    )


def _conv_weight_grad(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, gy = node.inputs
    window = node.attrs[1:]
    return (
        b.conv_input_grad(gy, g, x.shape, *window) if x.requires_grad else None,
        b.conv(x, g, *window) if gy.requires_grad else None,
    )


def _window_max(node: Node, g: Node) -> tuple[Node | None, ...]:
    return (b.window_max_grad(node.inputs[0], g, *node.attrs),)


def take_windows(x: Node, index: Node) -> Node:
    """Return the elements of `x` (N, C, \\*spatial) at the flat spatial positions `index` (N, C, \\*windows)."""
    batch = x.shape[:2]
    flat = b.reshape(x, (*batch, math.prod(x.shape[2:])))
    flat_index = b.reshape(index, (*batch, math.prod(index.shape[2:])))
    return b.reshape(b.take_along(flat, flat_index, 2), index.shape)


def _window_max_grad(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, gy = node.inputs
    return None, take_windows(g, b.window_argmax(x, *node.attrs)) if gy.requires_grad else None


def _window_sum(node: Node, g: Node) -> tuple[Node | None, ...]:
    return (b.window_sum_grad(g, node.inputs[0].shape, *node.attrs),)


def _window_sum_grad(node: Node, g: Node) -> tuple[Node | None, ...]:
    return (b.window_sum(g, *node.attrs[1:]),)


HEAVY_RULES: dict[str, Rule] = {
    "dot": _dot,
    "conv": _conv,
    "conv_input_grad": _conv_input_grad,
    "conv_weight_grad": _conv_weight_grad,
    "window_max": _window_max,
    "window_max_grad": _window_max_grad,
    "window_sum": _window_sum,
    "window_sum_grad": _window_sum_grad,
}
