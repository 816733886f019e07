"""The gradient rule of attention, composed: it has gradients in turn, and needs memory for the scores."""

from __future__ import annotations

from trine.autograd.rules_elementwise import Rule
from trine.core import attention_rules
from trine.core import build as b
from trine.core.build_attention import attention_parts, attention_slopes, cut_flat
from trine.core.graph import Node


def _attention(node: Node, g: Node) -> tuple[Node | None, ...]:
    query, key, value, *rest = node.inputs
    mask = rest[0] if rest else None
    sizes = attention_rules.sizes(node.op, node.inputs, node.attrs)
    output, lse = attention_parts(node)
    cut_gradient, lse_gradient = cut_flat(g, sizes.results)
    gradient = b.permute(cut_gradient, sizes.order)
    last = len(gradient.shape) - 1
    delta = b.sub(b.squeeze(b.sum(b.mul(gradient, output), (last,)), (last,)), lse_gradient)
    weights, slopes = attention_slopes(query, key, value, gradient, lse, delta, mask, *node.attrs[:2])
    scaled = b.mul(slopes, b.const(node.attrs[0], slopes.dtype))
    found = [
        b.sum_to(b.dot(scaled, key), query.shape) if query.requires_grad else None,
        b.sum_to(b.dot(b.transpose(scaled), query), key.shape) if key.requires_grad else None,
        b.sum_to(b.dot(b.transpose(weights), gradient), value.shape) if value.requires_grad else None,
    ]
    if mask is not None:
        found.append(b.sum_to(slopes, mask.shape) if mask.requires_grad else None)
    return tuple(found)


ATTENTION_RULES: dict[str, Rule] = {"attention": _attention}
