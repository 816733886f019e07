"""Gradient rules of attention: its gradient is a primitive of its own, and that one's is composed, with memory for the scores."""

from __future__ import annotations

from trine.autograd.rules_elementwise import Rule
from trine.core import attention_rules
from trine.core import build as b
from trine.core.build_attention import attention_slopes, cut_flat
from trine.core.graph import Node, substitute
from trine.shapes import size_of


def _attention(node: Node, g: Node) -> tuple[Node | None, ...]:
    query, key, value, *rest = node.inputs
    mask = rest[0] if rest else None
    sizes = attention_rules.sizes(node.op, node.inputs, node.attrs)
    output, lse = b.attention_parts(node)
    uses_output_alone = g.op == "pad" and g.attrs[2] == 0 and g.attrs[0] == (0,) and g.inputs[0].shape == (size_of(sizes.results[0]),)
    whole = b.reshape(g.inputs[0], sizes.results[0]) if uses_output_alone else cut_flat(g, sizes.results)[0]
    gradient = b.permute(whole, sizes.order)
    last = len(gradient.shape) - 1
    delta = b.squeeze(b.sum(b.mul(gradient, output), (last,)), (last,))
    if not uses_output_alone:
        delta = b.sub(delta, cut_flat(g, sizes.results)[1])
    found: list[Node | None] = [None] * len(node.inputs)
    if query.requires_grad or key.requires_grad or value.requires_grad:
        packed = b.attention_grad(query, key, value, gradient, lse, delta, mask, *node.attrs)
        for number, part in enumerate(b.attention_grad_parts(packed)):
            if node.inputs[number].requires_grad:
                found[number] = b.sum_to(part, node.inputs[number].shape)
    if mask is not None and mask.requires_grad:
        _, slopes = attention_slopes(query, key, value, gradient, lse, delta, mask, *node.attrs[:2])
        found[3] = b.sum_to(slopes, mask.shape)
    return tuple(found)


def _composed(inputs: list[Node], scale: float, causal: bool) -> list[Node]:
    """Return what `attention_grad` gives, composed."""
    query, key, value, gradient, lse, delta, *rest = inputs
    weights, slopes = attention_slopes(query, key, value, gradient, lse, delta, rest[0] if rest else None, scale, causal)
    scaled = b.mul(slopes, b.const(scale, slopes.dtype))
    parts = [b.dot(scaled, key), b.dot(b.transpose(scaled), query), b.dot(b.transpose(weights), gradient)]
    return [b.expand(part, (*slopes.shape[:-2], *part.shape[-2:])) for part in parts]


def _attention_grad(node: Node, g: Node) -> tuple[Node | None, ...]:
    """The gradient of the composed form, taken on stand-ins so that it ends at this node's operands."""
    from trine.autograd.gradient import gradient  # it imports the table that this rule is in

    sizes = attention_rules.sizes(node.op, node.inputs, node.attrs)
    seeds = [b.permute(piece, sizes.order) for piece in cut_flat(g, sizes.gradients)]
    plain = [b.input(-1, x.shape, x.dtype, x.requires_grad) for x in node.inputs]
    outputs = _composed(plain, *node.attrs[:2])
    places = [b.input(-1, x.shape, x.dtype, seed.requires_grad) for x, seed in zip(outputs, seeds, strict=True)]
    found = gradient(outputs, places, plain)
    mapping = dict(zip([*plain, *places], [*node.inputs, *seeds], strict=True))
    return tuple(substitute(found, mapping))


ATTENTION_RULES: dict[str, Rule] = {"attention": _attention, "attention_grad": _attention_grad}
