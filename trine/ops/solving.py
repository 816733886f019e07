"""Systems of linear equations: inverse, solutions, least squares, triangular systems."""

from __future__ import annotations

from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core import build_linalg as la
from trine.core.graph import Node
from trine.core.library_rules import check_matrix
from trine.errors import ArgumentError, LinAlgError, ShapeError, message
from trine.ops.arguments import check_choice, write_out
from trine.ops.linalg_support import (
    InverseInfo,
    LeastSquares,
    SolutionInfo,
    as_vector_system,
    diagonal_nodes,
    first_true,
    machine_epsilon,
    raised_now,
    singular_values,
    write_outs,
)
from trine.ops.promotion import number
from trine.shapes import canonical_axis
from trine.tensor import Tensor, record

__all__ = ["inverse", "pinverse"]


def _inv(x: Node, check: bool) -> Node:
    return la.inv(x, check)


def inv(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the inverse of square matrices (*, n, n).

    Raises:
        LinAlgError: a matrix is singular.

    Example:
        >>> import trine
        >>> trine.linalg.inv(trine.tensor([[2., 0.], [0., 4.]]))
        tensor([[0.5000, 0.0000],
                [0.0000, 0.2500]])
    """
    return write_out(raised_now(record(_inv, (A,), True)), out)


def inverse(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the inverse of square matrices; see `trine.linalg.inv`.

    Example:
        >>> import trine
        >>> trine.inverse(trine.tensor([[2.]]))
        tensor([[0.5000]])
    """
    return inv(input, out=out)


def _zero_pivot(x: Node) -> Node:
    """Return the number of the first pivot that is zero, 0 where the matrix is invertible."""
    diagonal = diagonal_nodes(la.parts(la.lu(b.stop_gradient(x)))[0])
    return first_true(b.eq(diagonal, number(0, diagonal)))


def _checked(op: str, info: Tensor, check_errors: bool) -> None:
    if check_errors and bool(info.any()):
        raise LinAlgError(message(f"linalg.{op}: a matrix is singular", received=f"info {info.tolist()}", expected="invertible matrices"))


def inv_ex(A: Tensor, *, check_errors: bool = False, out: Any = None) -> InverseInfo:
    """Return the inverse of square matrices, and for each the number of the first pivot that is zero (0: it is invertible).

    The inverse of a singular matrix is NaN; nothing is raised unless `check_errors`.

    Example:
        >>> import trine
        >>> trine.linalg.inv_ex(trine.zeros(1, 1)).info
        tensor(1, dtype=trine.int32)
    """
    info: Tensor = record(_zero_pivot, (A,))
    _checked("inv_ex", info, check_errors)
    result: InverseInfo = write_outs(InverseInfo(record(_inv, (A,), False), info), out)
    return result


def _solve(a: Node, right: Node, left: bool, check: bool) -> Node:
    check_matrix("linalg.solve", a, square=True)
    right, is_vector = as_vector_system("linalg.solve", a, right)
    if not left and is_vector:
        raise ShapeError(message("linalg.solve: left=False with vectors", received=str(right.shape), expected="matrices (*, k, n)"))
    if not left:
        return b.transpose(la.solve(b.transpose(a), b.transpose(right), check))
    result = la.solve(a, right, check)
    return b.squeeze(result, len(result.shape) - 1) if is_vector else result


def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Tensor | None = None) -> Tensor:
    """Return X with ``A @ X = B`` (or ``X @ A = B`` if not `left`).

    Shapes: A (*, n, n); B (*, n, k), or (*, n) for vectors; batch axes broadcast.

    Raises:
        LinAlgError: a matrix is singular.

    Example:
        >>> import trine
        >>> trine.linalg.solve(trine.tensor([[2., 0.], [0., 4.]]), trine.tensor([2., 2.]))
        tensor([1.0000, 0.5000])
    """
    return write_out(raised_now(record(_solve, (A, B), left, True)), out)


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: Any = None) -> SolutionInfo:
    """Return the solution of a system, and for each matrix the number of the first pivot that is zero (0: it is invertible).

    Example:
        >>> import trine
        >>> trine.linalg.solve_ex(trine.eye(2), trine.ones(2)).info
        tensor(0, dtype=trine.int32)
    """
    info: Tensor = record(_zero_pivot, (A,))
    _checked("solve_ex", info, check_errors)
    result: SolutionInfo = write_outs(SolutionInfo(record(_solve, (A, B), left, False), info), out)
    return result


def _solve_triangular(a: Node, right: Node, upper: bool, left: bool, unit: bool) -> Node:
    if left:
        return la.triangular_solve(a, right, not upper, unit)
    return b.transpose(la.triangular_solve(b.transpose(a), b.transpose(right), upper, unit))


def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False, out: Tensor | None = None
) -> Tensor:
    """Return X with ``A @ X = B`` (or ``X @ A = B``) for triangular matrices; the other triangle is not read.

    A zero on the diagonal gives infinities, not an error.

    Example:
        >>> import trine
        >>> trine.linalg.solve_triangular(trine.tensor([[1., 0.], [1., 1.]]), trine.tensor([[1.], [3.]]), upper=False)
        tensor([[1.],
                [2.]])
    """
    return write_out(record(_solve_triangular, (A, B), bool(upper), bool(left), bool(unitriangular)), out)


# --- pseudo-inverse and least squares ----------------------------------------------------------------------------------------------------


def thresholds(x: Node, absolute: Node, relative: Node, given: str) -> tuple[Node, Node]:
    """Return the absolute and relative size up to which singular values count as zero, in the dtype of `x`.

    `given` says which of the two the caller passed: "", "a", "r" or "ar"; what was not passed has PyTorch's default.
    """
    kind = dtypes.REAL_OF.get(x.dtype, x.dtype)
    absolute, relative = b.cast(absolute, kind), b.cast(relative, kind)
    if "r" not in given:
        usual = number(machine_epsilon(x.dtype) * max(x.shape[-2:]), relative)
        relative = b.where(b.gt(absolute, number(0, absolute)), number(0, usual), usual) if "a" in given else usual
    return absolute, relative


def given_tolerances(atol: Any, rtol: Any) -> tuple[Any, Any, str]:
    """Return both tolerances as operands of a record, and which were given."""
    given = ("" if atol is None else "a") + ("" if rtol is None else "r")
    return 0.0 if atol is None else atol, 0.0 if rtol is None else rtol, given


def _pinv(x: Node, absolute: Node, relative: Node, given: str, hermitian: bool) -> Node:
    check_matrix("linalg.pinv", x, square=hermitian)
    sizes = thresholds(x, absolute, relative, given)
    return la.pinv(x, b.cast(sizes[0], x.dtype), b.cast(sizes[1], x.dtype), hermitian)


def pinv(A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Tensor | None = None) -> Tensor:
    """Return the pseudo-inverse (Moore and Penrose) of matrices (*, m, n).

    Singular values up to ``max(atol, rtol * largest)`` count as zero; `rtol` is by default the machine epsilon times ``max(m, n)``, or 0 if
    `atol` is given. `hermitian`: use eigenvalues. `rcond` is the older name of `rtol`.

    Example:
        >>> import trine
        >>> trine.linalg.pinv(trine.tensor([[1.], [1.]]))
        tensor([[0.5000, 0.5000]])
    """
    absolute, relative, given = given_tolerances(atol, rcond if rtol is None else rtol)
    return write_out(record(_pinv, (A, absolute, relative), given, hermitian), out)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """Return the pseudo-inverse; see `trine.linalg.pinv`.

    Example:
        >>> import trine
        >>> trine.pinverse(trine.tensor([[2.]]))
        tensor([[0.5000]])
    """
    return pinv(input, rtol=rcond)


def _lstsq(a: Node, right: Node, rcond: float) -> Node:
    check_matrix("linalg.lstsq", a)
    right, is_vector = as_vector_system("linalg.lstsq", a, right)
    result = la.lstsq(a, right, rcond)
    return b.squeeze(result, len(result.shape) - 1) if is_vector else result


def _squared_residuals(a: Node, right: Node, solution: Node) -> Node:
    difference = b.sub(b.dot(*la.same_batch("lstsq", a, solution)), right)
    squares = b.real(b.mul(difference, b.conj(difference))) if a.dtype.is_complex else b.mul(difference, difference)
    axis = len(squares.shape) - 2
    return b.squeeze(b.sum(squares, (axis,)), axis)


def _rank(values: Node, rcond: float) -> Node:
    axis = len(values.shape) - 1
    if not values.shape[axis]:
        return b.full(0, values.shape[:-1], dtypes.int64)
    largest = b.max(values, (axis,))
    kept = b.gt(values, b.mul(largest, number(rcond, values)))
    return b.squeeze(b.sum(b.cast(kept, dtypes.int64), (axis,)), axis)


DRIVERS = ("gelsy", "gels", "gelsd", "gelss")


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> LeastSquares:
    """Return the X of smallest norm that makes ``norm(A @ X - B)`` least.

    Args:
        A: (*, m, n). B: (*, m, k), or (*, m) for vectors.
        rcond: singular values up to `rcond` times the largest count as zero; default the machine epsilon times ``max(m, n)``.
        driver: "gelsy" (default), "gels", "gelsd" or "gelss": decides which of the results are not empty, as in PyTorch; the solution is
            computed from singular values in any case.

    Example:
        >>> import trine
        >>> trine.linalg.lstsq(trine.tensor([[1.], [1.]]), trine.tensor([[1.], [3.]])).solution
        tensor([[2.]])
    """
    driver = driver or "gelsy"
    check_choice("linalg.lstsq", "driver", driver, DRIVERS)
    m, n = (*A.shape, 0, 0)[A.dim() - 2 : A.dim()] if A.dim() >= 2 else (0, 0)
    limit = machine_epsilon(A.dtype) * max(m, n) if rcond is None else float(rcond)
    solution: Tensor = record(_lstsq, (A, B), limit)
    empty = A.new_empty((0,)).real if A.dtype.is_complex else A.new_empty((0,))
    values: Tensor = record(singular_values, (A.detach(),))
    rank: Tensor = record(_rank, (values,), limit)
    residuals = A.new_empty((0,)) if not A.dtype.is_complex else empty
    if m > n and driver != "gelsy" and (driver == "gels" or bool(rank.eq(n).all())):
        is_vector = solution.dim() < max(A.dim(), B.dim() + (1 if solution.dim() == B.dim() and B.dim() < A.dim() else 0))
        right, found = (B.unsqueeze(-1), solution.unsqueeze(-1)) if is_vector else (B, solution)
        residuals = record(_squared_residuals, (A, right, found))
        residuals = residuals.squeeze(-1) if is_vector else residuals
    return LeastSquares(
        solution,
        residuals,
        rank if driver != "gels" else empty.to(dtypes.int64),
        values if driver in ("gelsd", "gelss") else empty,
    )


# --- tensors as matrices -----------------------------------------------------------------------------------------------------------------


def _tensorinv(x: Node, ind: int) -> Node:
    rows, columns = x.shape[:ind], x.shape[ind:]
    size = 1
    for extent in columns:
        size *= extent
    return b.reshape(la.inv(b.reshape(x, (-1 if size else 0, size))), (*columns, *rows))


def tensorinv(A: Tensor, ind: int = 2, *, out: Tensor | None = None) -> Tensor:
    """Return the inverse of a tensor as a map from its last axes to its first `ind` ones.

    Raises:
        ArgumentError: `ind` is not positive. LinAlgError: it is singular.

    Example:
        >>> import trine
        >>> trine.linalg.tensorinv(trine.eye(4).reshape(2, 2, 4)).shape
        trine.Size([4, 2, 2])
    """
    if ind <= 0:
        raise ArgumentError(message("linalg.tensorinv: ind", received=ind, expected="a positive number of axes"))
    return write_out(raised_now(record(_tensorinv, (A,), ind)), out)


def _tensorsolve(a: Node, right: Node, dims: tuple[int, ...]) -> Node:
    rank = len(a.shape)
    moved = [canonical_axis(d, rank, "tensorsolve") for d in dims]
    a = b.permute(a, [k for k in range(rank) if k not in moved] + moved)
    free = a.shape[len(right.shape) :]
    size = 1
    for extent in right.shape:
        size *= extent
    matrix = b.reshape(a, (size, -1 if size else 0))
    return b.reshape(la.solve(matrix, b.reshape(right, (size, 1))), free)


def tensorsolve(A: Tensor, B: Tensor, dims: tuple[int, ...] | None = None, *, out: Tensor | None = None) -> Tensor:
    """Return X with ``tensordot(A, X, X.ndim) = B``; the axes `dims` of A are moved to the end first.

    Raises:
        LinAlgError: A is singular.

    Example:
        >>> import trine
        >>> trine.linalg.tensorsolve(trine.eye(4).reshape(2, 2, 4), trine.ones(2, 2))
        tensor([1., 1., 1., 1.])
    """
    return write_out(raised_now(record(_tensorsolve, (A, B), tuple(dims or ()))), out)
