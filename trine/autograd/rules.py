"""The table of gradient rules: one row for each differentiable primitive."""

from __future__ import annotations

from trine.autograd.rules_attention import ATTENTION_RULES
from trine.autograd.rules_decomposition import DECOMPOSITION_RULES
from trine.autograd.rules_elementwise import BINARY_RULES, UNARY_RULES, Rule
from trine.autograd.rules_heavy import HEAVY_RULES
from trine.autograd.rules_linalg import LINALG_RULES
from trine.autograd.rules_movement import MOVEMENT_RULES
from trine.autograd.rules_reduction import REDUCTION_RULES

RULES: dict[str, Rule] = {
    **UNARY_RULES,
    **BINARY_RULES,
    **REDUCTION_RULES,
    **MOVEMENT_RULES,
    **HEAVY_RULES,
    **ATTENTION_RULES,
    **LINALG_RULES,
    **DECOMPOSITION_RULES,
}
"""Primitive name -> ``rule(node, gradient)``, which returns one gradient (or None) per operand."""
