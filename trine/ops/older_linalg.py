"""Linear algebra under its older names, and randomized decompositions."""

from __future__ import annotations

from typing import Any

from trine.core import build as b
from trine.core import build_linalg as la
from trine.core.build_linalg import adjoint
from trine.core.graph import Node
from trine.errors import ArgumentError, message
from trine.ops import decomposition
from trine.ops.arguments import write_out
from trine.ops.arithmetic import sub
from trine.ops.contraction import matmul
from trine.ops.linalg_support import QR, SVDColumns, TriangularSolution, identity, write_outs
from trine.ops.random import randn
from trine.tensor import Tensor, record

__all__ = ["cholesky_inverse", "cholesky_solve", "lu", "pca_lowrank", "qr", "svd", "svd_lowrank", "triangular_solve"]


def _cholesky_solve(right: Node, factor: Node, upper: bool) -> Node:
    return la.cholesky_solve(adjoint(factor) if upper else factor, right)


def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Return X with ``A @ X = input`` for the A whose Cholesky factor is given.

    Example:
        >>> import trine
        >>> trine.cholesky_solve(trine.tensor([[8.]]), trine.tensor([[2.]]))
        tensor([[2.]])
    """
    return write_out(record(_cholesky_solve, (input, L), bool(upper)), out)


def _cholesky_inverse(factor: Node, upper: bool) -> Node:
    n = factor.shape[-1]
    return _cholesky_solve(b.expand(identity(n, n, factor.dtype), factor.shape), factor, upper)


def cholesky_inverse(L: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Return the inverse of the matrix whose Cholesky factor is given.

    Example:
        >>> import trine
        >>> trine.cholesky_inverse(trine.tensor([[2.]]))
        tensor([[0.2500]])
    """
    return write_out(record(_cholesky_inverse, (L,), bool(upper)), out)


def _triangular_solve(right: Node, a: Node, upper: bool, transpose: bool, unit: bool) -> tuple[Node, Node]:
    a, right = la.same_batch("triangular_solve", a, right)
    matrix, lower = (b.transpose(a), upper) if transpose else (a, not upper)
    return la.triangular_solve(matrix, right, lower, unit), a


def triangular_solve(
    b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False, *, out: Any = None
) -> TriangularSolution:
    """Return X with ``A @ X = b`` for triangular matrices, and a copy of A; see `trine.linalg.solve_triangular`.

    Example:
        >>> import trine
        >>> trine.triangular_solve(trine.tensor([[4.]]), trine.tensor([[2.]])).solution
        tensor([[2.]])
    """
    parts = record(_triangular_solve, (b, A), bool(upper), bool(transpose), bool(unitriangular))
    result: TriangularSolution = write_outs(TriangularSolution(*parts), out)
    return result


def qr(input: Tensor, some: bool = True, *, out: Any = None) -> QR:
    """Return the QR decomposition, the complete one unless `some`; see `trine.linalg.qr`.

    Example:
        >>> import trine
        >>> trine.qr(trine.ones(3, 2)).Q.shape
        trine.Size([3, 2])
    """
    return decomposition.qr(input, "reduced" if some else "complete", out=out)


def _svd(x: Node, full: bool) -> tuple[Node, Node, Node]:
    u, s, vh = decomposition.svd_nodes(x, full)
    return u, s, adjoint(vh)


def svd(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> SVDColumns:
    """Return U, S and V with ``U @ diag(S) @ V.mH = input``; without `compute_uv` U and V are zeros; see `trine.linalg.svd`.

    Example:
        >>> import trine
        >>> trine.svd(trine.tensor([[3., 0.], [0., 4.]])).S
        tensor([4., 3.])
    """
    if compute_uv:
        result = SVDColumns(*record(_svd, (input,), not some))
    else:
        batch, (m, n) = input.shape[:-2], input.shape[-2:]
        result = SVDColumns(input.new_zeros((*batch, m, m)), decomposition.svdvals(input), input.new_zeros((*batch, n, n)))
    written: SVDColumns = write_outs(result, out)
    return written


def lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """Return the LU decomposition as (LU, pivots), with `get_infos` the numbers of zero pivots too; see `trine.linalg.lu_factor_ex`.

    Example:
        >>> import trine
        >>> trine.lu(trine.tensor([[2.]]))[0]
        tensor([[2.]])
    """
    result = decomposition.lu_factor_ex(A, pivot=pivot)
    kept = result if get_infos else result[:2]
    if out is None:
        return tuple(kept)
    for value, place in zip(kept, out, strict=True):
        write_out(value, place)
    return out


# --- randomized --------------------------------------------------------------------------------------------------------------------------


def _range(A: Tensor, q: int, niter: int, M: Tensor | None) -> Tensor:
    """Return orthonormal columns that nearly span the range of ``A - M`` (Halko, Martinsson, Tropp, 2009, algorithm 4.4)."""

    def times(x: Tensor, turned: bool) -> Tensor:
        product = matmul(A.mH if turned else A, x)
        return product if M is None else sub(product, matmul(M.mH if turned else M, x))

    found = decomposition.qr(times(randn(A.shape[-1], q, dtype=A.dtype), False)).Q
    for _ in range(niter):
        found = decomposition.qr(times(found, True)).Q
        found = decomposition.qr(times(found, False)).Q
    return found


def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None) -> SVDColumns:
    """Return the `q` largest singular values of A (of ``A - M``) and their vectors, approximately, by random projection.

    Halko, Martinsson, Tropp, Finding Structure with Randomness (2009), algorithm 5.1.

    Example:
        >>> import trine
        >>> trine.svd_lowrank(trine.ones(5, 4), q=2).S.shape
        trine.Size([2])
    """
    count = min(6, *A.shape[-2:]) if q is None else q
    if M is not None:
        M = M.expand(A.shape)
    turned = A.shape[-2] < A.shape[-1]
    matrix = A.mH if turned else A
    other = None if M is None else (M.mH if turned else M)
    basis = _range(matrix, count, 2 if niter is None else niter, other)
    small = matmul(basis.mH, matrix if other is None else sub(matrix, other))
    u, s, vh = decomposition.svd(small, full_matrices=False)
    u = matmul(basis, u)
    return SVDColumns(vh.mH, s, u) if turned else SVDColumns(u, s, vh.mH)


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> SVDColumns:
    """Return the `q` largest principal components of the rows of A, approximately; see `svd_lowrank`.

    Raises:
        ArgumentError: `q` or `niter` is out of range.

    Example:
        >>> import trine
        >>> trine.pca_lowrank(trine.eye(5), q=2).V.shape
        trine.Size([5, 2])
    """
    m, n = A.shape[-2:]
    count = min(6, m, n) if q is None else q
    if not 0 <= count <= min(m, n) or niter < 0:
        raise ArgumentError(
            message("pca_lowrank: out of range", received=f"q {count}, niter {niter}", expected=f"q from 0 to {min(m, n)}, niter from 0")
        )
    return svd_lowrank(sub(A, A.mean(dim=-2, keepdim=True)) if center else A, count, niter)
