"""Builders of attention, and its gradient composed of other primitives.

With the scores ``s = scale * query @ key^T + mask`` (-infinity where `causal` forbids), `attention` gives ``softmax(s) @ value`` and, for
each row, the logarithm of the sum of ``exp(s)`` (-infinity where no position is allowed, and then the output is 0).

`attention_grad` gives, with ``p = exp(s - lse)`` and ``ds = p * (gradient @ value^T - delta)``, the gradients of query
(``scale * ds @ key``), key (``scale * ds^T @ query``) and value (``p^T @ gradient``). With ``delta = sum(gradient * output)`` this is the
gradient of `attention` (Dao et al., "FlashAttention", 2022), and nothing as large as the scores has to be kept.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence

from trine.core import attention_rules as rules
from trine.core.build_base import make
from trine.core.build_elementwise import add, const, eq, exp, ge, iota, mul, sub, where
from trine.core.build_movement import permute, reshape, slice, transpose, unsqueeze
from trine.core.build_reduce import dot
from trine.core.graph import Node
from trine.shapes import Shape, size_of

bool = builtins.bool


def attention(query: Node, key: Node, value: Node, mask: Node | None, scale: float, causal: bool, heads: int) -> Node:
    """Return the output and the rows' sums, packed; `attention_parts` cuts them out.

    Args:
        query: (\\*batch, L, E); key: (\\*batch, S, E); value: (\\*batch, S, V). Sizes of the batch are equal or 1.
        mask: added to the scores; broadcasts to (\\*batch, L, S), with as many axes.
        scale: factor of the scores. causal: position i of the queries sees positions up to i.
        heads: how many of the last batch axes lie inside of the positions in the memory of the result.
    """
    operands = (query, key, value) if mask is None else (query, key, value, mask)
    return make("attention", operands, (float(scale), bool(causal), heads))


def attention_grad(
    query: Node, key: Node, value: Node, gradient: Node, lse: Node, delta: Node, mask: Node | None, scale: float, causal: bool, heads: int
) -> Node:
    """Return the gradients of query, key and value over the whole batch, packed; `attention_grad_parts` cuts them out.

    Args:
        gradient: (\\*batch, L, V). lse, delta: (\\*batch, L). The others: as for `attention`.
    """
    operands = (query, key, value, gradient, lse, delta)
    return make("attention_grad", operands if mask is None else (*operands, mask), (float(scale), bool(causal), heads))


def attention_grad_parts(node: Node) -> list[Node]:
    """Return the parts of the packed result of `attention_grad`."""
    sizes = rules.sizes(node.op, node.inputs, node.attrs)
    return [permute(piece, sizes.order) for piece in cut_flat(node, sizes.gradients)]


def attention_parts(node: Node) -> tuple[Node, Node]:
    """Return the parts of the packed result of `attention`: the output (\\*batch, L, V), and the rows' sums (\\*batch, L)."""
    sizes = rules.sizes(node.op, node.inputs, node.attrs)
    output, sums = cut_flat(node, sizes.results)
    return permute(output, sizes.order), sums


def cut_flat(packed: Node, shapes: Sequence[Shape]) -> list[Node]:
    """Return the pieces of an array of one axis, each in its shape."""
    begin, pieces = 0, []
    for shape in shapes:
        end = begin + size_of(shape)
        pieces.append(reshape(slice(packed, (begin,), (end,)), shape))
        begin = end
    return pieces


def attention_scores(query: Node, key: Node, mask: Node | None, scale: float, causal: bool) -> Node:
    """Return the scores, composed."""
    scores = mul(dot(query, transpose(key)), const(scale, query.dtype))
    if mask is not None:
        scores = add(scores, mask)
    if causal:
        plane = scores.shape[-2:]
        scores = where(ge(iota(plane, 0), iota(plane, 1)), scores, const(-math.inf, scores.dtype))
    return scores


def attention_slopes(
    query: Node, key: Node, value: Node, gradient: Node, lse: Node, delta: Node, mask: Node | None, scale: float, causal: bool
) -> tuple[Node, Node]:
    """Return the weights and the gradient of the scores, composed; (\\*batch, L, S)."""
    scores = attention_scores(query, key, mask, scale, causal)
    is_empty = eq(lse, const(-math.inf, lse.dtype))
    row = where(is_empty, const(math.inf, lse.dtype), lse)
    weights = exp(sub(scores, unsqueeze(row, len(row.shape))))
    slopes = mul(weights, sub(dot(gradient, transpose(value)), unsqueeze(delta, len(delta.shape))))
    return weights, slopes
