"""Gradient rules of reductions and scans."""

from __future__ import annotations

import math

from trine import dtypes
from trine.autograd.rules_elementwise import Rule, number
from trine.core import build as b
from trine.core.graph import Node


def _sum(node: Node, g: Node) -> tuple[Node | None, ...]:
    return (b.expand(g, node.inputs[0].shape),)


def _extremum(node: Node, g: Node) -> tuple[Node | None, ...]:
    # Equal extrema share the gradient evenly.
    x = node.inputs[0]
    hit = b.cast(b.eq(x, node), g.dtype)
    return (b.mul(b.div(g, b.sum(hit, node.attrs[0])), hit),)


def shifted_cumprod(x: Node, axis: int, reverse: bool) -> Node:
    """Return the product of all elements strictly before (`reverse`: after) each one along `axis`."""
    size = x.shape[axis]
    rank = len(x.shape)
    start, stop = [0] * rank, list(x.shape)
    low, high = [0] * rank, [0] * rank
    if reverse:
        start[axis], high[axis] = min(1, size), min(1, size)
    else:
        stop[axis], low[axis] = max(size - 1, 0), min(1, size)
    inner = b.slice(x, tuple(start), tuple(stop), (1,) * rank)
    return b.cumprod(b.pad(inner, tuple(low), tuple(high), 1), axis, reverse)


def _prod(node: Node, g: Node) -> tuple[Node | None, ...]:
    # The product of all other elements, exact with zeros, so without a division.
    x = node.inputs[0]
    axes = tuple(axis % len(x.shape) for axis in node.attrs[0])
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    order = (*kept, *axes)
    moved = b.permute(x, order)
    flat = b.reshape(moved, (*moved.shape[: len(kept)], math.prod(moved.shape[len(kept) :])))
    others = b.mul(shifted_cumprod(flat, len(kept), False), shifted_cumprod(flat, len(kept), True))
    inverse = tuple(order.index(axis) for axis in range(len(order)))
    return (b.mul(g, b.conj(b.permute(b.reshape(others, moved.shape), inverse))),)


def _cumsum(node: Node, g: Node) -> tuple[Node | None, ...]:
    axis, reverse = node.attrs
    return (b.cumsum(g, axis, not reverse),)


def _cumprod(node: Node, g: Node) -> tuple[Node | None, ...]:
    # Up to the first zero: the suffix sum of g * y, over x. At the first zero: the same with this zero replaced by 1. After it: 0.
    x = node.inputs[0]
    axis, reverse = node.attrs
    zero, one = number(0, x), number(1, x)
    is_zero = b.eq(x, zero)
    num_zeros = b.cumsum(b.cast(is_zero, dtypes.int64), axis, reverse)
    none_before = b.eq(num_zeros, b.const(0, dtypes.int64))
    is_first = b.bitwise_and(is_zero, b.eq(num_zeros, b.const(1, dtypes.int64)))
    without_first = b.cumprod(b.where(is_first, one, x), axis, reverse)
    at_first = b.cumsum(b.mul(g, b.conj(without_first)), axis, not reverse)
    before = b.div(b.cumsum(b.mul(g, b.conj(node)), axis, not reverse), b.conj(b.where(is_zero, one, x)))
    return (b.where(is_first, at_first, b.where(none_before, before, zero)),)


def cumulative_extremum_index(x: Node, extremum: Node, axis: int, reverse: bool) -> Node:
    """Return the int64 positions along `axis` that the running extrema come from: the last one reached so far, NaN included."""
    hit = b.bitwise_or(b.eq(x, extremum), b.isnan(x)) if x.dtype.is_floating_point else b.eq(x, extremum)
    position = b.iota(x.shape, axis)
    if reverse:
        return b.cummin(b.where(hit, position, b.const(max(x.shape[axis] - 1, 0), dtypes.int64)), axis, True)
    return b.cummax(b.where(hit, position, b.const(0, dtypes.int64)), axis, False)


def _cumulative_extremum(node: Node, g: Node) -> tuple[Node | None, ...]:
    x = node.inputs[0]
    axis, reverse = node.attrs
    index = cumulative_extremum_index(x, node, axis, reverse)
    return (b.put_along(b.zeros_like(x), index, g, axis, "add"),)


REDUCTION_RULES: dict[str, Rule] = {
    "sum": _sum,
    "prod": _prod,
    "max": _extremum,
    "min": _extremum,
    "cumsum": _cumsum,
    "cumprod": _cumprod,
    "cummax": _cumulative_extremum,
    "cummin": _cumulative_extremum,
}
