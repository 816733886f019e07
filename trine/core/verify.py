"""Checking a graph: every node must be what its row of the table says. Passes are tested with it."""

from __future__ import annotations

from collections.abc import Iterable

from trine.core.graph import Node, topological_order
from trine.core.primitives import PRIMITIVES
from trine.errors import CompileError, TrineError, message

# Sources whose shape or dtype is given and not inferred.
GIVEN = frozenset(("input", "scalar", "const"))


def verify(outputs: Iterable[Node]) -> None:
    """Check the primitive, the number of operands and attributes, the shape and the dtype of every node.

    Raises:
        CompileError: a node is not what its rules make it; the message names it.
    """
    for node in topological_order(outputs):
        problem = _problem(node)
        if problem:
            raise CompileError(message(f"verify: {problem}", received=repr(node), where=node.source))


def _problem(node: Node) -> str | None:
    row = PRIMITIVES.get(node.op)
    if row is None:
        return "no such primitive"
    if row.num_operands not in (None, len(node.inputs)):
        return f"{row.num_operands} operands are needed, {len(node.inputs)} are there"
    if len(node.attrs) != len(row.attributes):
        return f"the attributes are {', '.join(row.attributes) or 'none'}, {len(node.attrs)} are there"
    try:
        hash(node.attrs)
        if node.op in GIVEN:
            return None
        shape = row.shape_rule(node.op, node.inputs, node.attrs)
        dtype = row.dtype_rule(node.op, node.inputs, node.attrs)
    except (TrineError, TypeError) as error:
        return str(error).replace("\n", ";")
    if shape != node.shape:
        return f"the shape should be {shape}"
    return None if dtype is node.dtype else f"the dtype should be {dtype.name}"
