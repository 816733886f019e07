"""Matrix decompositions: Cholesky, QR, LU, LDL, eigenvalues, singular values; and what undoes them."""

from __future__ import annotations

from typing import Any

from trine import dtypes
from trine.autograd.rules_linalg import triangle
from trine.core import build as b
from trine.core import build_linalg as la
from trine.core.build_linalg import adjoint
from trine.core.graph import Node
from trine.core.library_rules import check_matrix
from trine.errors import DTypeError, LinAlgError, ShapeError, message
from trine.ops.arguments import check_choice, write_out
from trine.ops.linalg_support import (
    LU,
    QR,
    SVD,
    CholeskyInfo,
    Eigen,
    LDLFactor,
    LDLFactorInfo,
    LUFactor,
    LUFactorInfo,
    Reflectors,
    carries_gradient,
    diagonal_nodes,
    eigenvalues,
    first_true,
    identity,
    raised_now,
    singular_values,
    write_outs,
)
from trine.ops.promotion import number
from trine.tensor import Tensor, record

__all__ = ["cholesky", "geqrf", "lu_solve", "lu_unpack", "orgqr", "ormqr"]


# --- Cholesky ----------------------------------------------------------------------------------------------------------------------------


def cholesky_nodes(x: Node, upper: bool, check: bool) -> Node:
    """Return the Cholesky factor; the triangle named is the one that is read and returned."""
    return adjoint(la.cholesky(adjoint(x), check)) if upper else la.cholesky(x, check)


def linalg_cholesky(A: Tensor, *, upper: bool = False, out: Tensor | None = None) -> Tensor:
    """Return the lower triangular L with ``L @ L.mH = A`` for Hermitian positive-definite matrices; with `upper` its adjoint.

    Raises:
        LinAlgError: a matrix is not positive definite.

    Example:
        >>> import trine
        >>> trine.linalg.cholesky(trine.tensor([[4., 2.], [2., 2.]]))
        tensor([[2., 0.],
                [1., 1.]])
    """
    return write_out(raised_now(record(cholesky_nodes, (A,), bool(upper), True)), out)


def cholesky(input: Tensor, upper: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Return the Cholesky factor; see `trine.linalg.cholesky`.

    Example:
        >>> import trine
        >>> trine.cholesky(trine.tensor([[9.]]))
        tensor([[3.]])
    """
    return linalg_cholesky(input, upper=upper, out=out)


def _cholesky_info(factor: Node) -> Node:
    diagonal = diagonal_nodes(b.stop_gradient(factor))
    return first_true(b.isnan(diagonal))


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None) -> CholeskyInfo:
    """Return the Cholesky factor, and for each matrix the order of the first leading minor that is not positive definite (0: none).

    Example:
        >>> import trine
        >>> trine.linalg.cholesky_ex(trine.tensor([[1., 0.], [0., -1.]])).info
        tensor(2, dtype=trine.int32)
    """
    factor: Tensor = record(cholesky_nodes, (A,), bool(upper), False)
    info: Tensor = record(_cholesky_info, (factor,))
    if check_errors and bool(info.any()):
        raise LinAlgError(message("linalg.cholesky_ex: a matrix is not positive definite", received=f"info {info.tolist()}", expected="0"))
    result: CholeskyInfo = write_outs(CholeskyInfo(factor, info), out)
    return result


# --- QR ----------------------------------------------------------------------------------------------------------------------------------


def _qr(x: Node, full: bool) -> tuple[Node, ...]:
    return la.parts(la.qr(x, full))


def _r(x: Node) -> Node:
    return la.parts(la.qr(b.stop_gradient(x)))[1]


def qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> QR:
    """Return Q with orthonormal columns and the upper triangular R with ``Q @ R = A`` for matrices (*, m, n).

    Args:
        mode: "reduced": Q (*, m, k), R (*, k, n) with k = min(m, n); "complete": Q (*, m, m); "r": Q is empty.

    Example:
        >>> import trine
        >>> trine.linalg.qr(trine.eye(2)).R.abs()
        tensor([[1., 0.],
                [0., 1.]])
    """
    check_choice("linalg.qr", "mode", mode, ("reduced", "complete", "r"))
    if mode == "r":
        return QR(*write_outs(QR(A.new_empty((0,)), record(_r, (A,))), out))
    result: QR = write_outs(QR(*record(_qr, (A,), mode == "complete")), out)
    return result


def _geqrf(x: Node) -> tuple[Node, ...]:
    return la.parts(la.geqrf(x))


def geqrf(input: Tensor, *, out: Any = None) -> Reflectors:
    """Return a QR decomposition as LAPACK keeps it: R and the Householder reflectors in one matrix, and the scales of the reflectors.

    Example:
        >>> import trine
        >>> trine.geqrf(trine.tensor([[3.], [4.]])).a[0].abs()
        tensor([5.])
    """
    result: Reflectors = write_outs(Reflectors(*record(_geqrf, (input,))), out)
    return result


def _reflections(a: Node, tau: Node) -> tuple[Node, Node]:
    """Return V and the triangular T with ``H_1 … H_k = I - V T V^H`` (the compact WY form of Schreiber and Van Loan, 1989).

    T = D (I + S D)^-1 with D = diag(tau) and S the strict upper triangle of V^H V, which holds for a tau of 0 as well.
    """
    k = tau.shape[-1]
    zeros = (0,) * (len(a.shape) - 2)
    reflectors = b.slice(a, (*zeros, 0, 0), (*a.shape[:-1], k))
    strict = triangle(reflectors, True, -1)
    plane = strict.shape[-2:]
    v = b.where(b.eq(b.iota(plane, 0), b.iota(plane, 1)), b.const(1, a.dtype), strict)
    scale = b.unsqueeze(tau, len(tau.shape) - 1)
    system = b.mul(triangle(b.dot(adjoint(v), v), False, 1), scale)
    unit = b.expand(identity(k, k, a.dtype), system.shape)
    t = b.mul(b.unsqueeze(tau, len(tau.shape)), la.triangular_solve(system, unit, lower=False, unit=True))
    return v, t


def _householder_product(a: Node, tau: Node) -> Node:
    check_matrix("linalg.householder_product", a)
    m, n = a.shape[-2:]
    if m < n or tau.shape[-1] > n or tau.shape[:-1] != a.shape[:-2]:
        raise ShapeError(
            message(
                "linalg.householder_product: shapes do not fit",
                received=f"{a.shape} and {tau.shape}",
                expected="(*, m, n) and (*, k) with m >= n >= k",
            )
        )
    v, t = _reflections(a, tau)
    zeros = (0,) * (len(a.shape) - 2)
    head = b.slice(v, (*zeros, 0, 0), (*a.shape[:-2], n, tau.shape[-1]))
    return b.sub(identity(m, n, a.dtype), b.dot(b.dot(v, t), adjoint(head)))


def householder_product(A: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the first n columns of the product of Householder reflectors: Q of what `geqrf` returns.

    Example:
        >>> import trine
        >>> a, tau = trine.geqrf(trine.tensor([[3.], [4.]]))
        >>> trine.linalg.householder_product(a, tau).abs()
        tensor([[0.6000],
                [0.8000]])
    """
    return write_out(record(_householder_product, (A, tau)), out)


def orgqr(input: Tensor, tau: Tensor) -> Tensor:
    """Return the first columns of a product of Householder reflectors; see `trine.linalg.householder_product`.

    Example:
        >>> import trine
        >>> trine.orgqr(*trine.geqrf(trine.eye(2))).shape
        trine.Size([2, 2])
    """
    return householder_product(input, tau)


def _ormqr(a: Node, tau: Node, other: Node, left: bool, turned: bool) -> Node:
    v, t = _reflections(a, tau)
    t = adjoint(t) if turned else t
    if left:
        return b.sub(other, b.dot(b.dot(v, t), b.dot(adjoint(v), other)))
    return b.sub(other, b.dot(b.dot(other, v), b.dot(t, adjoint(v))))


def ormqr(input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Return ``Q @ other`` (``other @ Q`` if not `left`) for the square Q of Householder reflectors, or its adjoint if `transpose`.

    Example:
        >>> import trine
        >>> a, tau = trine.geqrf(trine.tensor([[3.], [4.]]))
        >>> trine.ormqr(a, tau, trine.tensor([[3.], [4.]]), transpose=True).abs()[0]
        tensor([5.])
    """
    return write_out(record(_ormqr, (input, tau, other), bool(left), bool(transpose)), out)


# --- LU ----------------------------------------------------------------------------------------------------------------------------------


def _lu_factor(x: Node, pivot: bool) -> tuple[Node, Node]:
    packed, pivots = la.parts(la.lu(x, pivot))
    return packed, _as_int32(pivots)


def _as_int32(pivots: Node) -> Node:
    pivots = b.stop_gradient(pivots)
    return b.cast(b.real(pivots) if pivots.dtype.is_complex else pivots, dtypes.int32)


def lu_factor(A: Tensor, *, pivot: bool = True, out: Any = None) -> LUFactor:
    """Return the LU decomposition with row exchanges, both factors in one matrix (the unit diagonal of L is not kept).

    Example:
        >>> import trine
        >>> trine.linalg.lu_factor(trine.tensor([[0., 1.], [2., 3.]])).pivots
        tensor([2, 2], dtype=trine.int32)
    """
    result: LUFactor = write_outs(LUFactor(*record(_lu_factor, (A,), bool(pivot))), out)
    return result


def _zero_on_diagonal(packed: Node) -> Node:
    diagonal = diagonal_nodes(b.stop_gradient(packed))
    return first_true(b.eq(diagonal, number(0, diagonal)))


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: Any = None) -> LUFactorInfo:
    """Return the LU decomposition, and for each matrix the number of the first pivot that is zero (0: none).

    Example:
        >>> import trine
        >>> trine.linalg.lu_factor_ex(trine.zeros(2, 2)).info
        tensor(1, dtype=trine.int32)
    """
    packed, pivots = record(_lu_factor, (A,), bool(pivot))
    info: Tensor = record(_zero_on_diagonal, (packed,))
    if check_errors and bool(info.any()):
        raise LinAlgError(message("linalg.lu_factor_ex: a pivot is zero", received=f"info {info.tolist()}", expected="0"))
    result: LUFactorInfo = write_outs(LUFactorInfo(packed, pivots, info), out)
    return result


def _triangles(packed: Node) -> tuple[Node, Node]:
    m, n = packed.shape[-2:]
    k = min(m, n)
    zeros = (0,) * len(packed.shape)
    strict = triangle(b.slice(packed, zeros, (*packed.shape[:-1], k)), True, -1)
    plane = strict.shape[-2:]
    lower = b.where(b.eq(b.iota(plane, 0), b.iota(plane, 1)), b.const(1, packed.dtype), strict)
    return lower, triangle(b.slice(packed, zeros, (*packed.shape[:-2], k, n)), False)


def _permutation(pivots: Node, rows: int, dtype: dtypes.DType) -> Node:
    order = la.pivot_order(b.cast(pivots, dtypes.int64), rows)
    return b.cast(b.eq(b.iota((rows, 1), 0), b.unsqueeze(order, len(order.shape) - 1)), dtype)


def _lu(x: Node, pivot: bool) -> tuple[Node, Node, Node]:
    packed, pivots = _lu_factor(x, pivot)
    permutation = _permutation(pivots, x.shape[-2], x.dtype)
    return (permutation, *_triangles(packed))


def lu(A: Tensor, *, pivot: bool = True, out: Any = None) -> LU:
    """Return the permutation P, unit lower triangular L and upper triangular U with ``P @ L @ U = A``; without `pivot` P is empty.

    Example:
        >>> import trine
        >>> P, L, U = trine.linalg.lu(trine.tensor([[0., 1.], [2., 3.]]))
        >>> P @ L @ U
        tensor([[0., 1.],
                [2., 3.]])
    """
    permutation, lower, upper = record(_lu, (A,), bool(pivot))
    result: LU = write_outs(LU(permutation if pivot else A.new_empty((0,)), lower, upper), out)
    return result


def _unpack_matrices(packed: Node) -> tuple[Node, Node]:
    return _triangles(packed)


def lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True, *, out: Any = None) -> LU:
    """Return P, L and U of what `lu_factor` returned; what is not asked for is empty.

    Example:
        >>> import trine
        >>> trine.lu_unpack(*trine.linalg.lu_factor(trine.eye(2))).U
        tensor([[1., 0.],
                [0., 1.]])
    """
    if LU_pivots.dtype is not dtypes.int32:
        raise DTypeError(message("lu_unpack: the pivots", received=LU_pivots.dtype.name, expected="int32, as lu_factor returns them"))
    empty = LU_data.new_empty((0,))
    lower, upper = record(_unpack_matrices, (LU_data,)) if unpack_data else (empty, empty)
    permutation = record(_permutation, (LU_pivots,), LU_data.shape[-2], LU_data.dtype) if unpack_pivots else empty
    result: LU = write_outs(LU(permutation, lower, upper), out)
    return result


def _lu_solve(packed: Node, pivots: Node, right: Node, left: bool, turned: bool) -> Node:
    if not left:
        return adjoint(_lu_solve(packed, pivots, adjoint(right), True, not turned))
    packed, right = la.same_batch("linalg.lu_solve", packed, right)
    order = la.pivot_order(b.cast(pivots, dtypes.int64), packed.shape[-2])
    if len(order.shape) < len(packed.shape) - 1 or order.shape[:-1] != packed.shape[:-2]:
        order = b.expand(order, packed.shape[:-1])
    if not turned:
        half = la.triangular_solve(packed, la.permute_rows(right, order), lower=True, unit=True)
        return la.triangular_solve(packed, half, lower=False)
    half = la.triangular_solve(adjoint(packed), right, lower=True)
    return la.permute_rows(la.triangular_solve(adjoint(packed), half, lower=False, unit=True), order, inverse=True)


def linalg_lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False, out: Tensor | None = None
) -> Tensor:
    """Return X with ``A @ X = B`` for the A whose LU decomposition is given (its adjoint if `adjoint`; ``X @ A = B`` if not `left`).

    Example:
        >>> import trine
        >>> LU, pivots = trine.linalg.lu_factor(trine.tensor([[2., 0.], [0., 4.]]))
        >>> trine.linalg.lu_solve(LU, pivots, trine.ones(2, 1))
        tensor([[0.5000],
                [0.2500]])
    """
    return write_out(record(_lu_solve, (LU, pivots, B), bool(left), bool(adjoint)), out)


def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return X with ``A @ X = b`` from the LU decomposition of A; see `trine.linalg.lu_solve`.

    Example:
        >>> import trine
        >>> trine.lu_solve(trine.ones(2, 1), *trine.linalg.lu_factor(trine.eye(2)))
        tensor([[1.],
                [1.]])
    """
    return linalg_lu_solve(LU_data, LU_pivots, b, out=out)


# --- LDL ---------------------------------------------------------------------------------------------------------------------------------


def _ldl(x: Node, hermitian: bool) -> tuple[Node, Node]:
    packed, pivots = la.parts(la.ldl(x, hermitian))
    return packed, _as_int32(pivots)


def ldl_factor(A: Tensor, *, hermitian: bool = False, out: Any = None) -> LDLFactor:
    """Return the decomposition ``A = P L D L^T P^T`` of symmetric (or Hermitian) matrices, both factors in one matrix.

    Example:
        >>> import trine
        >>> trine.linalg.ldl_factor(trine.tensor([[4., 2.], [2., 2.]])).LD[0, 0]
        tensor(4.)
    """
    result: LDLFactor = write_outs(LDLFactor(*record(_ldl, (A,), bool(hermitian))), out)
    return result


def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False, out: Any = None) -> LDLFactorInfo:
    """Return an LDL decomposition, and for each matrix the number of the first pivot that is zero (0: none).

    Example:
        >>> import trine
        >>> trine.linalg.ldl_factor_ex(trine.eye(2)).info
        tensor(0, dtype=trine.int32)
    """
    packed, pivots = record(_ldl, (A,), bool(hermitian))
    info: Tensor = record(_zero_on_diagonal, (packed,))
    info = info * (pivots > 0).all(-1)
    if check_errors and bool(info.any()):
        raise LinAlgError(message("linalg.ldl_factor_ex: a pivot is zero", received=f"info {info.tolist()}", expected="0"))
    result: LDLFactorInfo = write_outs(LDLFactorInfo(packed, pivots, info), out)
    return result


def _ldl_solve(packed: Node, pivots: Node, right: Node, hermitian: bool) -> Node:
    column = b.cast(b.unsqueeze(pivots, len(pivots.shape)), packed.dtype)
    return la.ldl_solve(packed, column, right, hermitian)


def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False, out: Tensor | None = None) -> Tensor:
    """Return X with ``A @ X = B`` from the LDL decomposition of A.

    Example:
        >>> import trine
        >>> trine.linalg.ldl_solve(*trine.linalg.ldl_factor(trine.eye(2) * 2), trine.ones(2, 1))
        tensor([[0.5000],
                [0.5000]])
    """
    return write_out(record(_ldl_solve, (LD, pivots, B), bool(hermitian)), out)


# --- eigenvalues and singular values -----------------------------------------------------------------------------------------------------


def _eigh(x: Node, lower: bool) -> tuple[Node, Node]:
    values, vectors = la.parts(la.eigh(x, lower))
    return (b.real(values) if values.dtype.is_complex else values), vectors


def _is_lower(uplo: str) -> bool:
    check_choice("linalg.eigh", "UPLO", uplo.upper(), ("L", "U"))
    return uplo.upper() == "L"


def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Eigen:
    """Return the eigenvalues of Hermitian matrices in ascending order, and orthonormal eigenvectors as columns.

    Args:
        UPLO: which triangle is read, "L" or "U".

    Example:
        >>> import trine
        >>> trine.linalg.eigh(trine.tensor([[2., 0.], [0., 1.]])).eigenvalues
        tensor([1., 2.])
    """
    result: Eigen = write_outs(Eigen(*record(_eigh, (A,), _is_lower(UPLO))), out)
    return result


def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """Return the eigenvalues of Hermitian matrices in ascending order.

    Example:
        >>> import trine
        >>> trine.linalg.eigvalsh(trine.tensor([[2., 0.], [0., 1.]]))
        tensor([1., 2.])
    """
    return write_out(record(eigenvalues, (A,), _is_lower(UPLO)), out)


def _eig(x: Node) -> tuple[Node, ...]:
    return la.parts(la.eig(x))


def eig(A: Tensor, *, out: Any = None) -> Eigen:
    """Return the complex eigenvalues of square matrices, and eigenvectors of length 1 as columns.

    Example:
        >>> import trine
        >>> trine.linalg.eig(trine.tensor([[0., 1.], [-1., 0.]])).eigenvalues.imag.abs()
        tensor([1., 1.])
    """
    result: Eigen = write_outs(Eigen(*record(_eig, (A,))), out)
    return result


def _eigvals(x: Node) -> Node:
    return la.parts(la.eig(x))[0] if carries_gradient(x) else la.eigvals(x)


def eigvals(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the complex eigenvalues of square matrices, in no particular order.

    Example:
        >>> import trine
        >>> trine.linalg.eigvals(trine.tensor([[3.]])).real
        tensor([3.])
    """
    return write_out(record(_eigvals, (A,)), out)


def svd_nodes(x: Node, full: bool) -> tuple[Node, Node, Node]:
    """Return U, real singular values and Vh."""
    u, s, vh = la.parts(la.svd(x, full))
    return u, (b.real(s) if s.dtype.is_complex else s), vh


DRIVERS = (None, "gesvd", "gesvdj", "gesvda")


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: Any = None) -> SVD:
    """Return U, the singular values S in descending order, and Vh with ``U @ diag(S) @ Vh = A`` for matrices (*, m, n).

    Args:
        full_matrices: U (*, m, m) and Vh (*, n, n) instead of (*, m, k) and (*, k, n) with k = min(m, n). Gradients flow through the
            first k vectors only.
        driver: accepted for compatibility; it chooses between routines of a GPU library.

    Example:
        >>> import trine
        >>> trine.linalg.svd(trine.tensor([[3., 0.], [0., 4.]])).S
        tensor([4., 3.])
    """
    check_choice("linalg.svd", "driver", driver, DRIVERS)
    result: SVD = write_outs(SVD(*record(svd_nodes, (A,), bool(full_matrices))), out)
    return result


def svdvals(A: Tensor, *, driver: str | None = None, out: Tensor | None = None) -> Tensor:
    """Return the singular values in descending order.

    Example:
        >>> import trine
        >>> trine.linalg.svdvals(trine.tensor([[3., 0.], [0., 4.]]))
        tensor([4., 3.])
    """
    check_choice("linalg.svdvals", "driver", driver, DRIVERS)
    return write_out(record(singular_values, (A,)), out)
