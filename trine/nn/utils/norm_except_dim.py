"""The parts of a weight whose magnitude and direction are apart."""

from __future__ import annotations

from typing import Any

from trine.tensor import Tensor


def norm_except_dim(v: Any, dim: int) -> Tensor:
    """Return the norm over all axes but one, which keep size 1; over all axes for dim = -1."""
    if dim == -1:
        return v.norm()  # type: ignore[no-any-return]
    others = [k for k in range(v.dim()) if k != dim % v.dim()]
    return v.norm(2, others, True) if others else v.abs()  # type: ignore[no-any-return]


def weight_from_parts(v: Any, g: Any, dim: int) -> Tensor:
    """Return ``g v / |v|``."""
    return v * (g / norm_except_dim(v, dim))  # type: ignore[no-any-return]
