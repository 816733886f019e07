"""The batching rule of attention: the batch is one more batch axis, outside of the positions."""

from __future__ import annotations

from collections.abc import Sequence

from trine.core import attention_rules
from trine.core import build as b
from trine.core.build_attention import cut_flat
from trine.core.graph import Node
from trine.shapes import size_of


def batched_attention(node: Node, operands: Sequence[Node], batched: Sequence[bool], size: int) -> Node:
    """Return the node over a batch: the packed results of all examples, one after the other."""
    rows = [x if is_batched else b.reshape(x, (1, *x.shape)) for x, is_batched in zip(operands, batched, strict=True)]
    for number in (0, *(range(3, 6) if node.op == "attention_grad" else ())):
        rows[number] = b.expand(rows[number], (size, *rows[number].shape[1:]))
    found = b.make(node.op, tuple(rows), node.attrs)
    shapes = attention_rules.sizes(node.op, found.inputs, node.attrs).parts[node.op]
    return b.concat([b.reshape(piece, (size, size_of(piece.shape[1:]))) for piece in cut_flat(found, shapes)], 1)
