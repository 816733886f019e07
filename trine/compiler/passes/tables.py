"""What the passes know of each primitive: its kind, and whether evaluating it twice is dear."""

from __future__ import annotations

from typing import Final

from trine.core.primitives import PRIMITIVES

ELEMENTWISE: Final = "elementwise"
MOVEMENT: Final = "movement"
REDUCE: Final = "reduce"
SOURCE: Final = "source"
INPUT: Final = "input"
HEAVY: Final = "heavy"

_KIND_OF_FAMILY = {
    "unary": ELEMENTWISE,
    "typed unary": ELEMENTWISE,
    "binary": ELEMENTWISE,
    "select": ELEMENTWISE,
    "reduce": REDUCE,
    "movement": MOVEMENT,
    "source": SOURCE,
}

KIND: Final[dict[str, str]] = {name: _KIND_OF_FAMILY.get(row.family, HEAVY) for name, row in PRIMITIVES.items()} | {"input": INPUT}

# Elementwise primitives that take more than a few instructions per vector.
EXPENSIVE: Final = frozenset(
    "exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc erfinv lgamma digamma "
    "sigmoid pow atan2 nextafter sqrt rsqrt reciprocal div floor_div remainder fmod random_bits".split()
)
# Of these, the ones that are cheap enough to be evaluated again rather than stored, where they have one operand.
MODERATE: Final = frozenset({"sqrt", "rsqrt", "reciprocal", "div"})

# Heavy primitives that read any strided view of an array; the others want whole arrays.
STRIDED_OPERANDS: Final = frozenset({"dot", "attention", "attention_grad"})
# Primitives on (N, C, *spatial) arrays that prefer the channels last: the operands that are such arrays.
CHANNEL_OPERANDS: Final[dict[str, tuple[int, ...]]] = {
    "conv": (0,),
    "conv_input_grad": (0,),
    "conv_weight_grad": (0, 1),
    "window_max": (0,),
    "window_sum": (0,),
    "window_argmax": (0,),
    "window_max_grad": (0, 1),
    "window_sum_grad": (0,),
}
# Those whose result is such an array too.
CHANNEL_RESULTS: Final = frozenset(CHANNEL_OPERANDS) - {"conv_weight_grad"}
# Heavy primitives that can go on with each tile of their result (`trine.compiler.passes.heavy.WITH_EPILOGUE`).
EPILOGUES: Final = frozenset({"dot", "conv", "conv_input_grad"})
REDUCTIONS: Final = frozenset(name for name, kind in KIND.items() if kind == REDUCE)
