"""NumPy reference of attention."""

from __future__ import annotations

import numpy as np

from trine.core.attention_rules import sizes
from trine.core.graph import Node
from trine.core.reference_base import Array, Implementation, decode, encode, quiet, widen


def _scores(node: Node, query: Array, key: Array, mask: Array | None) -> Array:
    scale, causal, _ = node.attrs
    scores = np.matmul(query, key.swapaxes(-1, -2)) * scale
    if mask is not None:
        scores = scores + mask
    if causal:
        length, positions = scores.shape[-2:]
        scores = np.where(np.arange(length)[:, None] >= np.arange(positions), scores, -np.inf)
    return np.asarray(scores)


def _pack(node: Node, parts: list[Array]) -> Array:
    """Join the parts in the order of memory."""
    found = sizes(node.op, node.inputs, node.attrs)
    flat = []
    for part in parts:
        if part.ndim == len(found.batch) + 2:
            part = part.transpose(np.argsort(found.order))
        flat.append(part.reshape(-1))
    return encode(np.concatenate(flat), node.dtype)


def _wide(node: Node, operands: tuple[Array, ...]) -> list[Array]:
    return [widen(decode(a, i.dtype)) for a, i in zip(operands, node.inputs, strict=True)]


def _attention(node: Node, *operands: Array) -> Array:
    query, key, value, *rest = _wide(node, operands)
    found = sizes(node.op, node.inputs, node.attrs)
    scores = _scores(node, query, key, rest[0] if rest else None)
    scores = np.broadcast_to(scores, (*found.batch, *scores.shape[-2:]))
    largest = scores.max(-1, keepdims=True)
    largest = np.where(largest == -np.inf, 0, largest)
    weights = np.exp(scores - largest)
    total = weights.sum(-1, keepdims=True)
    output = np.matmul(weights / np.where(total == 0, 1, total), value)
    return _pack(node, [output, (np.log(total) + largest)[..., 0]])


def _attention_grad(node: Node, *operands: Array) -> Array:
    query, key, value, gradient, lse, delta, *rest = _wide(node, operands)
    found = sizes(node.op, node.inputs, node.attrs)
    scores = _scores(node, query, key, rest[0] if rest else None)
    weights = np.exp(scores - np.where(lse == -np.inf, np.inf, lse)[..., None])
    slopes = node.attrs[0] * weights * (np.matmul(gradient, value.swapaxes(-1, -2)) - delta[..., None])
    parts = [np.matmul(slopes, key), np.matmul(slopes.swapaxes(-1, -2), query), np.matmul(weights.swapaxes(-1, -2), gradient)]
    return _pack(node, [np.broadcast_to(part, (*found.batch, *part.shape[-2:])) for part in parts])


ATTENTION: dict[str, Implementation] = {"attention": quiet(_attention), "attention_grad": quiet(_attention_grad)}
