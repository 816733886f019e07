"""Small questions that fusion asks of a node."""

from __future__ import annotations

from trine.compiler.passes.tables import EXPENSIVE, KIND, MODERATE
from trine.core.graph import Node


def reduced_axes(node: Node) -> tuple[int, ...]:
    """Return the axes of a reduction, as a tuple."""
    axes = node.attrs[0]
    return axes if type(axes) is tuple else (axes,)


def is_trailing(node: Node) -> bool:
    """Return whether a reduction's axes are the last ones of its operand, sizes of 1 aside."""
    axes = reduced_axes(node)
    shape = node.inputs[0].shape
    seen_other = False
    for axis in range(len(shape) - 1, -1, -1):
        if shape[axis] == 1:
            continue
        if axis in axes:
            if seen_other:
                return False
        else:
            seen_other = True
    return True


def is_cheap(node: Node) -> bool:
    """Return whether evaluating a node again costs less than storing and loading it: one whole operand and a few instructions."""
    if node.op in EXPENSIVE and node.op not in MODERATE:
        return False
    shape = node.shape
    whole = 0
    for operand in node.inputs:
        if operand.shape == shape and KIND[operand.op] != "source":
            whole += 1
    return whole <= 1
