"""The linear algebra extension of the array API standard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from trine import linalg, ops
from trine.array_api.linear_algebra import matmul, matrix_transpose, tensordot, vecdot  # noqa: F401 - names of the extension
from trine.array_api.statistics import sum
from trine.dtypes import DType
from trine.tensor import Tensor

Array = Tensor

__all__ = """cholesky cross det diagonal eigh eigvalsh inv matmul matrix_norm matrix_power matrix_rank matrix_transpose outer pinv qr
slogdet solve svd svdvals tensordot trace vecdot vector_norm""".split()


class EighResult(NamedTuple):
    """What `eigh` gives."""

    eigenvalues: Array
    eigenvectors: Array


class QRResult(NamedTuple):
    """What `qr` gives."""

    Q: Array
    R: Array


class SlogdetResult(NamedTuple):
    """What `slogdet` gives."""

    sign: Array
    logabsdet: Array


class SVDResult(NamedTuple):
    """What `svd` gives."""

    U: Array
    S: Array
    Vh: Array


def cholesky(x: Array, /, *, upper: bool = False) -> Array:
    """Return the triangular factor of positive definite matrices."""
    return linalg.cholesky(x, upper=upper)


def cross(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """Return the cross product of vectors of three elements along an axis."""
    common = ops.promote_types(x1.dtype, x2.dtype)
    return linalg.cross(x1.to(common), x2.to(common), dim=axis)


def det(x: Array, /) -> Array:
    """Return determinants."""
    return linalg.det(x)


def diagonal(x: Array, /, *, offset: int = 0) -> Array:
    """Return diagonals of matrices."""
    return ops.diagonal(x, offset, -2, -1)


def eigh(x: Array, /) -> EighResult:
    """Return eigenvalues and eigenvectors of symmetric or Hermitian matrices."""
    return EighResult(*linalg.eigh(x))


def eigvalsh(x: Array, /) -> Array:
    """Return eigenvalues of symmetric or Hermitian matrices."""
    return linalg.eigvalsh(x)


def inv(x: Array, /) -> Array:
    """Return inverse matrices."""
    return linalg.inv(x)


def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """Return norms of matrices."""
    return linalg.matrix_norm(x, ord, keepdim=keepdims)


def matrix_power(x: Array, n: int, /) -> Array:
    """Return integer powers of matrices."""
    return linalg.matrix_power(x, n)


def matrix_rank(x: Array, /, *, rtol: Any = None) -> Array:
    """Return ranks of matrices: the number of singular values above ``rtol`` times the largest."""
    return linalg.matrix_rank(x, rtol=rtol)


def outer(x1: Array, x2: Array, /) -> Array:
    """Return the product of every pair of elements of two vectors."""
    common = ops.promote_types(x1.dtype, x2.dtype)
    return ops.outer(x1.to(common), x2.to(common))


def pinv(x: Array, /, *, rtol: Any = None) -> Array:
    """Return pseudoinverses of matrices."""
    return linalg.pinv(x, rtol=rtol)


def qr(x: Array, /, *, mode: str = "reduced") -> QRResult:
    """Return orthogonal and triangular factors."""
    return QRResult(*linalg.qr(x, mode))


def slogdet(x: Array, /) -> SlogdetResult:
    """Return signs and logarithms of determinants."""
    return SlogdetResult(*linalg.slogdet(x))


def solve(x1: Array, x2: Array, /) -> Array:
    """Return the solutions of ``x1 @ x = x2``; `x2` is a vector or matrices."""
    common = ops.promote_types(x1.dtype, x2.dtype)
    if x2.ndim == 1:
        return linalg.solve(x1.to(common), x2.to(common).reshape(-1, 1))[..., 0]
    return linalg.solve(x1.to(common), x2.to(common))


def svd(x: Array, /, *, full_matrices: bool = True) -> SVDResult:
    """Return singular vectors and values."""
    return SVDResult(*linalg.svd(x, full_matrices))


def svdvals(x: Array, /) -> Array:
    """Return singular values."""
    return linalg.svdvals(x)


def trace(x: Array, /, *, offset: int = 0, dtype: DType | None = None) -> Array:
    """Return the sums of diagonals."""
    return sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def vector_norm(x: Array, /, *, axis: int | Sequence[int] | None = None, keepdims: bool = False, ord: float = 2) -> Array:
    """Return norms of vectors along axes."""
    axes = axis if axis is None or isinstance(axis, int) else tuple(axis)
    if axes == ():
        return ops.abs(x)
    return linalg.vector_norm(x, ord, axes, keepdims)
