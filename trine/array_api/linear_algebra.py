"""Linear algebra of the array API standard outside of its extension."""

from __future__ import annotations

from collections.abc import Sequence

from trine import ops
from trine.errors import ArgumentError, ShapeError, message
from trine.tensor import Tensor

Array = Tensor

__all__ = ["matmul", "matrix_transpose", "tensordot", "vecdot"]


def matmul(x1: Array, x2: Array, /) -> Array:
    """Return the product of matrices."""
    common = ops.promote_types(x1.dtype, x2.dtype)
    return ops.matmul(x1.to(common), x2.to(common))


def matrix_transpose(x: Array, /) -> Array:
    """Swap the last two axes.

    Raises:
        ShapeError: there are fewer than two.
    """
    if x.ndim < 2:
        raise ShapeError(message("matrix_transpose: not a matrix", received=f"shape {tuple(x.shape)}", expected="two axes or more"))
    return ops.transpose(x, -2, -1)


def tensordot(x1: Array, x2: Array, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Array:
    """Return the sum of products over axes: the last of `x1` and first of `x2`, or pairs of axes."""
    common = ops.promote_types(x1.dtype, x2.dtype)
    dims = axes if isinstance(axes, int) else [list(side) for side in axes]
    return ops.tensordot(x1.to(common), x2.to(common), dims=dims)


def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """Return the sum of ``conj(x1) * x2`` along an axis.

    Raises:
        ArgumentError: the axis is not negative or does not exist in both. ShapeError: the sizes along it differ.
    """
    if not -min(x1.ndim, x2.ndim) <= axis <= -1:
        expected = f"{-min(x1.ndim, x2.ndim)} to -1"
        raise ArgumentError(message("vecdot: the axis does not exist in both", received=axis, expected=expected))
    if x1.shape[axis] != x2.shape[axis]:
        raise ShapeError(message("vecdot: sizes differ", received=f"{tuple(x1.shape)} and {tuple(x2.shape)}", expected="equal sizes"))
    common = ops.promote_types(x1.dtype, x2.dtype)
    products = ops.conj(x1.to(common)) * x2.to(common)
    return ops.sum(products, axis, dtype=common)
