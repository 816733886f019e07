"""Checking gradient rules against central differences, in float64 with the reference interpreter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trine import dtypes
from trine.autograd.gradient import gradient
from trine.core import build
from trine.core.graph import Node
from trine.core.interpreter import evaluate
from trine.errors import GradientError, message

Array = npt.NDArray[Any]
NodeFunction = Callable[..., Node]


def _as_input(array: Array) -> Array:
    array = np.asarray(array)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _inputs(arrays: Sequence[Array]) -> list[Node]:
    nodes = []
    for position, array in enumerate(arrays):
        dtype = dtypes.from_numpy(array.dtype)
        nodes.append(build.input(position, array.shape, dtype, dtype.is_floating_point))
    return nodes


def analytic_gradients(function: NodeFunction, arrays: Sequence[Array], weight: Array) -> list[Array | None]:
    """Return the gradients of ``sum(weight * function(*arrays))`` for the floating point arrays (None for the others), by the rules."""
    nodes = _inputs(arrays)
    output = function(*nodes)
    seed = build.input(len(arrays), output.shape, output.dtype)
    wanted = [node for node in nodes if node.requires_grad]
    found = gradient([output], [seed], wanted)
    values = evaluate([node for node in found if node is not None], [*arrays, weight])
    by_node = dict(zip([n for n, g in zip(wanted, found, strict=True) if g is not None], values, strict=True))
    return [by_node.get(node, np.zeros_like(array)) if node.requires_grad else None for node, array in zip(nodes, arrays, strict=True)]


def numeric_gradients(function: NodeFunction, arrays: Sequence[Array], weight: Array, step: float = 1e-6) -> list[Array | None]:
    """Return the same gradients by central differences."""
    nodes = _inputs(arrays)
    output = function(*nodes)

    def loss(changed: Sequence[Array]) -> float:
        return float(np.sum(evaluate([output], changed)[0] * weight))

    gradients: list[Array | None] = []
    for position, array in enumerate(arrays):
        if array.dtype.kind != "f":
            gradients.append(None)
            continue
        result = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            ahead, behind = array.copy(), array.copy()
            ahead[index] += step
            behind[index] -= step
            before, after = list(arrays), list(arrays)
            after[position], before[position] = ahead, behind
            result[index] = (loss(after) - loss(before)) / (2 * step)
        gradients.append(result)
    return gradients


def gradcheck(
    function: NodeFunction, *arrays: Array, rtol: float = 1e-5, atol: float = 1e-6, step: float = 1e-6, second_order: bool = False
) -> None:
    """Check the gradients of a function from nodes to a node at a point.

    Args:
        function: builds the graph; its result is float64.
        arrays: the point; floating point arrays become float64 and are differentiated, others (indices, masks) are constants.
        second_order: check the gradient of the gradient too.

    Raises:
        GradientError: a gradient differs from the central difference.

    Example:
        >>> gradcheck(build.tanh, np.array([0.5, -1.0]), second_order=True)
    """
    points = [_as_input(array) for array in arrays]
    output = function(*_inputs(points))
    weight = np.random.default_rng(0).uniform(0.5, 1.5, output.shape)
    analytic = analytic_gradients(function, points, weight)
    numeric = numeric_gradients(function, points, weight, step)
    for position, (found, expected) in enumerate(zip(analytic, numeric, strict=True)):
        if found is None or expected is None:
            continue
        if found.shape != expected.shape or not np.allclose(found, expected, rtol=rtol, atol=atol):
            raise GradientError(
                message(
                    f"gradcheck: the gradient of operand {position} is wrong",
                    received=f"{found.tolist()} from the rules",
                    expected=f"{expected.tolist()} from central differences",
                )
            )
    if second_order:
        gradcheck(_first_gradient(function, len(points)), *points, weight, rtol=rtol * 10, atol=atol * 10, step=step)


def _first_gradient(function: NodeFunction, count: int) -> NodeFunction:
    """Return the function from (operands, output gradient) to all gradients in one flat array."""

    def first(*nodes: Node) -> Node:
        operands = nodes[:count]
        output = function(*operands)
        wanted = [node for node in operands if node.requires_grad]
        found = [node for node in gradient([output], [nodes[count]], wanted) if node is not None]
        return build.concat([build.reshape(node, (-1,)) for node in found], 0)

    return first
