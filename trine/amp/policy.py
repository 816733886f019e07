"""In which precision an operation runs inside `autocast`: PyTorch's lists for the CPU, by builder.

The operands of a listed operation are cast when it is recorded for the first time on a path, so that a cast is a node like any other: it is
differentiated, fused and compiled, and what was cast once is not cast again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trine import dtypes
from trine.core import build
from trine.core.graph import Node
from trine.dtypes import DType

_ELIGIBLE = (dtypes.float32, dtypes.float16, dtypes.bfloat16)
_LOWER, _FLOAT32, _WIDEST = "lower", "float32", "widest"

# "module of trine.ops.name of the builder", or "module" for all of its builders
_POLICIES: dict[str, str] = {
    **dict.fromkeys(
        """contraction._mm contraction._bmm contraction.matmul_nodes contraction.linear_nodes contraction._linear_bias
        contraction._addmm contraction._addmm_scaled contraction._baddbmm products._addbmm products._addmv einsum._einsum
        contraction._tensordot convolution._conv convolution._conv_transpose attention._attention matrix._vecdot
        recurrent.recurrent_nodes matrix._matrix_power matrix._multi_dot""".split(),
        _LOWER,
    ),
    **dict.fromkeys(
        """loss loss_margin loss_sequence quantiles solving decomposition older_linalg fourier spectrogram grid padding._pad_extend
        creation._polar_nodes
        reduction._prod conversion._cdist contraction._trace conversion._view_as_complex
        matrix._det matrix._slogdet matrix._logdet matrix._matrix_exp matrix._matrix_norm matrix._condition
        matrix._matrix_rank""".split(),
        _FLOAT32,
    ),
    **dict.fromkeys("joining._stack joining._cat".split(), _WIDEST),
}
# builders that serve several operations: (builder, a static attribute) -> policy
_BY_ATTRIBUTE: dict[tuple[str, str], str] = {
    ("pooling._avg_pool", "avg_pool3d"): _FLOAT32,
    ("pooling._max_pool", "max_pool3d"): _FLOAT32,
    ("pooling._adaptive_avg_pool", "adaptive_avg_pool3d"): _FLOAT32,
    ("scattering.index_nodes", "set"): _WIDEST,
    ("recurrent.recurrent_nodes", "GRU"): _WIDEST,
}


def policy_of(builder: Callable[..., Any], attrs: Sequence[Any]) -> str | None:
    """Return what happens to the operands of an operation: "lower", "float32", "widest", or None."""
    module = builder.__module__.removeprefix("trine.ops.")
    name = f"{module}.{builder.__name__}"
    for attribute in attrs:
        kind = getattr(attribute, "mode", attribute)
        if isinstance(kind, str) and (name, kind) in _BY_ATTRIBUTE:
            return _BY_ATTRIBUTE[name, kind]
    return _POLICIES.get(name) or _POLICIES.get(module)


class Mode:
    """Autocast to a dtype: what the recorder asks for the operands of an operation."""

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype

    def operands(self, builder: Callable[..., Any], nodes: Sequence[Node], attrs: Sequence[Any]) -> Sequence[Node]:
        """Return the operands of an operation in the precision that it runs in."""
        policy = policy_of(builder, attrs)
        if policy is None:
            return nodes
        found = {node.dtype for node in nodes if _is_eligible(node)}
        wanted = self.dtype if policy == _LOWER else dtypes.float32
        if policy == _WIDEST and len(found) < 2:
            return nodes
        return [build.cast(node, wanted) if _is_eligible(node) else node for node in nodes]


def _is_eligible(node: Node) -> bool:
    return node.op != "scalar" and node.dtype in _ELIGIBLE


MODES = {dtype: Mode(dtype) for dtype in (dtypes.bfloat16, dtypes.float16)}
