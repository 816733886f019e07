"""Small questions that fusion asks of a node."""

from __future__ import annotations

import math
from collections.abc import Mapping

from trine.compiler.passes.tables import EXPENSIVE, HEAVY, KIND, MODERATE, STRIDED_OPERANDS
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


# A group that visits each element of a small array more often than this, and so many points in all, reads it rather than computes it.
_REPEATS, _MANY_POINTS = 32, 1 << 14


def is_repeated(node: Node, points: int) -> bool:
    """Return whether a nest of so many points would compute a small array of several operands over and over: one load replaces that."""
    size = math.prod(node.shape)
    return 1 < size and points >= max(_REPEATS * size, _MANY_POINTS) and not is_cheap(node)


# A sum over columns of an array of so many elements is not computed by what uses it.
_LARGE = 1 << 16


def stands_alone(node: Node) -> bool:
    """Return whether a reduction stays apart from its users: then it shares its pass over a large array with the array's other sums."""
    return not is_trailing(node) and math.prod(node.inputs[0].shape) >= _LARGE


def summed_term(node: Node, num_users: Mapping[Node, int]) -> Node | None:
    """Return a product or reduction that only this sum uses: the sum goes on where that one is computed."""
    for operand in node.inputs:
        if operand.shape != node.shape or num_users[operand] != 1:
            continue
        if operand.op == "reshape" and num_users[operand.inputs[0]] == 1:
            operand = operand.inputs[0]
        if KIND[operand.op] in (HEAVY, "reduce"):
            return operand
    return None


MAX_SUMMED = 8


def most_summed(term: Node) -> int:
    """Return how many such terms one nest adds up.

    A long sum (over the steps of a loop) is cut, so that its kernels do not depend on its length; a matrix product adds what came
    before to its own tiles.
    """
    return 1 if term.op in STRIDED_OPERANDS else MAX_SUMMED
