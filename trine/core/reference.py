"""The NumPy implementation of every primitive: the oracle of the tests, and the arithmetic of the `numpy` engine.

float32 is computed in float64 and rounded once where NumPy's own float32 function is not correctly rounded; half types go through float32.
Integer arithmetic wraps; an integer divided by zero gives 0.
"""

from __future__ import annotations

from trine.core.graph import Node
from trine.core.reference_attention import ATTENTION
from trine.core.reference_base import Array, Implementation
from trine.core.reference_elementwise import ELEMENTWISE
from trine.core.reference_linalg import FOURIER, LINALG
from trine.core.reference_movement import MOVEMENT
from trine.core.reference_window import WINDOW

REFERENCE: dict[str, Implementation] = {**ELEMENTWISE, **MOVEMENT, **WINDOW, **ATTENTION, **LINALG, **FOURIER}


def apply(node: Node, *operands: Array) -> Array:
    """Return the value of a node (any but `input` and `scalar`) for the values of its operands; bfloat16 is held as uint16.

    The result may be a view of an operand.
    """
    return REFERENCE[node.op](node, *operands)
