"""Layouts: which stored arrays have their channels last.

Convolutions and windows read and write (N, *spatial, C) memory fastest. What they write, and what is computed from that point by point, is
kept so; inputs and outputs of the graph are row-major. Other readers walk the strides as they are.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from trine.compiler.passes.tables import CHANNEL_RESULTS, KIND
from trine.core.graph import Node


def channels_last_nodes(order: Sequence[Node], row_major: Container[Node]) -> set[Node]:
    """Return the nodes that are to be stored with their channels last, were they stored; `row_major` are those that must not."""
    found: set[Node] = set()
    if not any([node.op in CHANNEL_RESULTS for node in order]):
        return found
    for node in order:
        shape = node.shape
        if len(shape) < 3:
            continue
        if node.op in CHANNEL_RESULTS:
            found.add(node)
        elif KIND[node.op] == "elementwise":
            for operand in node.inputs:
                if operand in found and operand.shape == shape:
                    found.add(node)
                    break
    return {node for node in found if node not in row_major}
