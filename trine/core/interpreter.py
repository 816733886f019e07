"""Running a graph node by node with the NumPy reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from trine.core.graph import Node, topological_order
from trine.core.reference import REFERENCE
from trine.core.reference_base import Array
from trine.errors import ArgumentError, DTypeError, ShapeError, message


def evaluate(outputs: Sequence[Node], inputs: Sequence[Array], scalars: Sequence[float | int] = ()) -> list[Array]:
    """Return the values of `outputs` as fresh row-major arrays.

    Args:
        inputs: the array of each `input(position)`, held as its dtype says (bfloat16 as uint16).
        scalars: the number of each `scalar(position)`.

    Raises:
        ArgumentError: an input or scalar is missing.
        ShapeError, DTypeError: an input does not fit its node.
        IndexOutOfRangeError: an index is out of range.
    """
    order = topological_order(outputs)
    uses = Counter(operand for node in order for operand in node.inputs)
    uses.update(outputs)
    values: dict[Node, Array] = {}
    for node in order:
        values[node] = _value(node, [values[operand] for operand in node.inputs], inputs, scalars)
        for operand in node.inputs:
            uses[operand] -= 1
            if not uses[operand]:
                del values[operand]
    return [np.array(values[output], order="C") for output in outputs]


def _value(node: Node, operands: list[Array], inputs: Sequence[Array], scalars: Sequence[float | int]) -> Array:
    if node.op == "input":
        return _input(node, inputs)
    if node.op == "scalar":
        if node.attrs[0] >= len(scalars):
            raise ArgumentError(
                message("evaluate: a scalar is missing", received=f"{len(scalars)} scalars", expected=f"number {node.attrs[0]}")
            )
        return np.array(scalars[node.attrs[0]], node.dtype.numpy)
    return REFERENCE[node.op](node, *operands)


def _input(node: Node, inputs: Sequence[Array]) -> Array:
    position = node.attrs[0]
    if position >= len(inputs):
        raise ArgumentError(message("evaluate: an input is missing", received=f"{len(inputs)} inputs", expected=f"number {position}"))
    array = np.asarray(inputs[position])
    if array.shape != node.shape:
        raise ShapeError(message(f"evaluate: input {position} has the wrong shape", received=array.shape, expected=node.shape))
    if array.dtype != node.dtype.numpy:
        raise DTypeError(
            message(
                f"evaluate: input {position} has the wrong dtype",
                received=array.dtype,
                expected=f"{node.dtype.numpy} for {node.dtype.name}",
            )
        )
    return array
