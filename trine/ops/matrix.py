"""Functions of matrices: determinants, powers, exponential, norms, rank, products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core import build_linalg as la
from trine.core.graph import Node
from trine.core.library_rules import check_matrix
from trine.dtypes import DType
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.arguments import write_out
from trine.ops.arithmetic import mul, mul_nodes
from trine.ops.contraction import check_same_dtype, matmul, matmul_nodes
from trine.ops.linalg_support import SignLogDet, eigenvalues, identity, raised_now, singular_values, write_outs
from trine.ops.movement import diagonal as movement_diagonal
from trine.ops.promotion import as_dtype, number, promote_pair, with_zero_gradient
from trine.ops.reduction import norm_keeping_axes, vector_norm
from trine.ops.solving import given_tolerances, inv_ex, thresholds
from trine.shapes import broadcast, canonical_axis
from trine.tensor import Tensor, record

__all__ = ["chain_matmul", "cross", "det", "kron", "logdet", "matrix_exp", "matrix_power", "slogdet"]


# --- determinants ------------------------------------------------------------------------------------------------------------------------


def _det(x: Node) -> Node:
    return la.det(x)


def det(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the determinant of square matrices (*, n, n).

    Example:
        >>> import trine
        >>> trine.det(trine.tensor([[2., 0.], [0., 3.]]))
        tensor(6.)
    """
    return write_out(record(_det, (input,)), out)


def linalg_det(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the determinant of square matrices (*, n, n).

    Example:
        >>> import trine
        >>> trine.linalg.det(trine.tensor([[2., 0.], [0., 3.]]))
        tensor(6.)
    """
    return write_out(record(_det, (A,)), out)


def _slogdet(x: Node) -> tuple[Node, Node]:
    sign, logarithm = [b.squeeze(part, len(part.shape) - 1) for part in la.parts(la.slogdet(x))]
    return sign, b.real(logarithm) if logarithm.dtype.is_complex else logarithm


def linalg_slogdet(A: Tensor, *, out: Any = None) -> SignLogDet:
    """Return the sign (or phase) of the determinant, and the logarithm of its size: no overflow for large matrices.

    Example:
        >>> import trine
        >>> trine.linalg.slogdet(trine.tensor([[-1.]])).sign
        tensor(-1.)
    """
    result: SignLogDet = write_outs(SignLogDet(*record(_slogdet, (A,))), out)
    return result


def slogdet(input: Tensor) -> SignLogDet:
    """Return the sign and the logarithm of the size of the determinant; see `trine.linalg.slogdet`.

    Example:
        >>> import trine
        >>> trine.slogdet(trine.eye(2)).logabsdet
        tensor(0.)
    """
    return linalg_slogdet(input)


def _logdet(x: Node) -> Node:
    sign, logarithm = _slogdet(x)
    if sign.dtype.is_complex:
        return b.add(b.log(sign), b.cast(logarithm, sign.dtype))
    return b.where(b.lt(sign, number(0, sign)), number(math.nan, logarithm), logarithm)


def logdet(input: Tensor) -> Tensor:
    """Return the logarithm of the determinant: -inf for singular matrices, NaN for negative determinants.

    Example:
        >>> import trine
        >>> trine.logdet(trine.eye(2))
        tensor(0.)
    """
    result: Tensor = record(_logdet, (input,))
    return result


# --- powers and the exponential ----------------------------------------------------------------------------------------------------------


def _matrix_exp(x: Node) -> Node:
    return la.matrix_exp(x)


def matrix_exp(A: Tensor) -> Tensor:
    """Return the exponential of square matrices (*, n, n).

    Higham, The Scaling and Squaring Method for the Matrix Exponential Revisited (2005).

    Example:
        >>> import trine
        >>> trine.matrix_exp(trine.zeros(2, 2))
        tensor([[1., 0.],
                [0., 1.]])
    """
    result: Tensor = record(_matrix_exp, (A,))
    return result


def _matrix_power(x: Node, n: int) -> Node:
    check_matrix("linalg.matrix_power", x, square=True)
    if n == 0:
        return with_zero_gradient(b.expand(identity(x.shape[-1], x.shape[-1], x.dtype), x.shape), x)
    base = la.inv(x) if n < 0 else x
    result, n = None, abs(n)
    while n:
        if n & 1:
            result = base if result is None else b.dot(result, base)
        n >>= 1
        if n:
            base = b.dot(base, base)
    return base if result is None else result


def matrix_power(input: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """Return square matrices raised to an integer power by repeated squaring; negative powers are powers of the inverse.

    Raises:
        LinAlgError: `n` is negative and a matrix is singular.

    Example:
        >>> import trine
        >>> trine.matrix_power(trine.tensor([[1., 1.], [0., 1.]]), 3)
        tensor([[1., 3.],
                [0., 1.]])
    """
    result = record(_matrix_power, (input,), n)
    return write_out(raised_now(result) if n < 0 else result, out)


def linalg_matrix_power(A: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """Return square matrices raised to an integer power; see `trine.matrix_power`.

    Example:
        >>> import trine
        >>> trine.linalg.matrix_power(trine.tensor([[2.]]), 3)
        tensor([[8.]])
    """
    return matrix_power(A, n, out=out)


# --- norms -------------------------------------------------------------------------------------------------------------------------------


def _matrix_norm(x: Node, order: float | str, dims: tuple[int, int], keepdim: bool, dtype: DType | None) -> Node:
    x = x if dtype is None else as_dtype(x, dtype)
    rank = len(x.shape)
    check_matrix("linalg.matrix_norm", x)
    rows, columns = canonical_axis(dims[0], rank, "linalg.matrix_norm"), canonical_axis(dims[1], rank, "linalg.matrix_norm")
    if rows == columns:
        raise ArgumentError(message("linalg.matrix_norm: the axes are the same", received=dims, expected="two different axes"))
    if order == "fro":
        result = norm_keeping_axes(x, (rows, columns), 2.0)
    elif order == "nuc" or abs(float(order)) == 2:
        values = singular_values(b.permute(x, [k for k in range(rank) if k not in (rows, columns)] + [rows, columns]))
        axis = len(values.shape) - 1
        reduce = b.sum if order == "nuc" else b.max if float(order) > 0 else b.min
        result = reduce(values, (axis,))
        result = b.reshape(result, tuple([1 if k in (rows, columns) else s for k, s in enumerate(x.shape)]))
    else:
        first, second = (rows, columns) if abs(float(order)) == 1 else (columns, rows)
        sums = b.sum(b.abs(x), (first,))
        result = (b.max if float(order) > 0 else b.min)(sums, (second,))
    return result if keepdim else b.squeeze(result, (rows, columns))


_ORDERS = ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)


def matrix_norm(
    A: Tensor,
    ord: float | str = "fro",
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Return a norm of matrices: "fro" (Frobenius), "nuc" (sum of singular values), 1, -1, inf, -inf (largest or smallest sum of
    columns or rows), 2, -2 (largest or smallest singular value).

    Example:
        >>> import trine
        >>> trine.linalg.matrix_norm(trine.tensor([[3., 0.], [0., 4.]]))
        tensor(5.)
    """
    if ord not in _ORDERS:
        raise ArgumentError(message("linalg.matrix_norm: no such order", received=repr(ord), expected=", ".join(map(repr, _ORDERS))))
    order = ord if isinstance(ord, str) else float(ord)
    if len(dim) != 2:
        raise ArgumentError(message("linalg.matrix_norm: dim", received=dim, expected="two axes"))
    return write_out(record(_matrix_norm, (A,), order, tuple(dim), keepdim, dtype), out)


def norm(
    A: Tensor, ord: float | str | None = None, dim: Any = None, keepdim: bool = False, *, out: Tensor | None = None,
    dtype: DType | None = None,
) -> Tensor:  # fmt: skip
    """Return a vector or matrix norm: of vectors where `dim` is one axis or `A` has one, of matrices where `dim` names two axes.

    Without `ord` it is the 2-norm of all elements along `dim`.

    Example:
        >>> import trine
        >>> trine.linalg.norm(trine.tensor([3., 4.]))
        tensor(5.)
    """
    dims = None if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if ord is None:
        return vector_norm(A, 2, dims, keepdim, dtype=dtype, out=out)
    count = A.dim() if dims is None else len(dims)
    if dims is None and count > 2:
        expected = "at most two axes, or dim"
        raise ShapeError(message("linalg.norm: ord is given without dim", received=f"shape {tuple(A.shape)}", expected=expected))
    if count == 2 or isinstance(ord, str):
        axes = (0, 1) if dims is None else dims
        return matrix_norm(A, ord, axes, keepdim, dtype=dtype, out=out)
    return vector_norm(A, ord, dims, keepdim, dtype=dtype, out=out)


def _nuclear(x: Node, dims: tuple[int, int], keepdim: bool) -> Node:
    return _matrix_norm(x, "nuc", dims, keepdim, None)


def _condition(x: Node, order: float) -> Node:
    values = singular_values(x)
    axis = len(values.shape) - 1
    largest, smallest = b.squeeze(b.max(values, (axis,)), axis), b.squeeze(b.min(values, (axis,)), axis)
    return b.div(largest, smallest) if order > 0 else b.div(smallest, largest)


def _or_infinite(x: Node, info: Node) -> Node:
    return b.where(b.eq(info, number(0, info)), x, number(math.inf, x))


def cond(A: Tensor, p: float | str | None = None, *, out: Tensor | None = None) -> Tensor:
    """Return the condition number of matrices: ``norm(A, p) * norm(inv(A), p)``; for p None, 2 and -2 from singular values.

    Example:
        >>> import trine
        >>> trine.linalg.cond(trine.tensor([[4., 0.], [0., 2.]]))
        tensor(2.)
    """
    if p is None or p in (2, -2):
        return write_out(record(_condition, (A,), 2.0 if p is None else float(p)), out)
    inverse, info = inv_ex(A)
    product = mul(matrix_norm(A, p), matrix_norm(inverse, p))
    return write_out(record(_or_infinite, (product, info)), out)


def _matrix_rank(x: Node, absolute: Node, relative: Node, given: str, hermitian: bool) -> Node:
    check_matrix("linalg.matrix_rank", x, square=hermitian)
    x = b.stop_gradient(x)
    values = b.abs(eigenvalues(x, True)) if hermitian else singular_values(x)
    axis = len(values.shape) - 1
    absolute, relative = thresholds(x, absolute, relative, given)
    if not values.shape[axis]:
        return b.full(0, broadcast("matrix_rank", values.shape[:-1], absolute.shape, relative.shape), dtypes.int64)
    largest = b.squeeze(b.max(values, (axis,)), axis)
    limit = b.maximum(absolute, b.mul(relative, largest))
    kept = b.gt(values, b.unsqueeze(limit, len(limit.shape)))
    last = len(kept.shape) - 1
    return b.squeeze(b.sum(b.cast(kept, dtypes.int64), (last,)), last)


def matrix_rank(
    A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Tensor | None = None
) -> Tensor:
    """Return the number of singular values above ``max(atol, rtol * largest)``; see `trine.linalg.pinv` for the defaults.

    Example:
        >>> import trine
        >>> trine.linalg.matrix_rank(trine.tensor([[1., 1.], [1., 1.]]))
        tensor(1)
    """
    if tol is not None:
        atol, rtol = tol, 0.0
    absolute, relative, given = given_tolerances(atol, rtol)
    return write_out(record(_matrix_rank, (A, absolute, relative), given, hermitian), out)


# --- products ----------------------------------------------------------------------------------------------------------------------------


def _chain_order(sizes: Sequence[int]) -> list[list[int]]:
    """Return where to split each part of a chain of matrices: dynamic programming over all parenthesizations (Godbole, 1973)."""
    count = len(sizes) - 1
    cost = [[0.0] * count for _ in range(count)]
    split = [[0] * count for _ in range(count)]
    for length in range(1, count):
        for first in range(count - length):
            last = first + length
            ways = [(cost[first][k] + cost[k + 1][last] + sizes[first] * sizes[k + 1] * sizes[last + 1], k) for k in range(first, last)]
            cost[first][last], split[first][last] = min(ways)
    return split


def _multi_dot(*nodes: Node) -> Node:
    check_same_dtype("linalg.multi_dot", *nodes)
    is_row, is_column = len(nodes[0].shape) == 1, len(nodes[-1].shape) == 1
    chain = list(nodes)
    chain[0] = b.unsqueeze(nodes[0], 0) if is_row else nodes[0]
    chain[-1] = b.unsqueeze(nodes[-1], 1) if is_column else nodes[-1]
    if any(len(node.shape) != 2 for node in chain):
        received = " and ".join(str(n.shape) for n in nodes)
        raise ShapeError(message("linalg.multi_dot: wrong number of axes", received=received, expected="matrices; vectors at the ends"))
    split = _chain_order([chain[0].shape[0], *[node.shape[1] for node in chain]])

    def product(first: int, last: int) -> Node:
        if first == last:
            return chain[first]
        middle = split[first][last]
        return matmul_nodes(product(first, middle), product(middle + 1, last))

    result = product(0, len(chain) - 1)
    return b.reshape(result, result.shape[is_row : 2 - is_column])


def multi_dot(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Return the product of two or more matrices, in the order that needs the fewest multiplications; the ends may be vectors.

    Example:
        >>> import trine
        >>> trine.linalg.multi_dot([trine.ones(2, 3), trine.ones(3, 4), trine.ones(4)])
        tensor([12., 12.])
    """
    if len(tensors) < 2:
        raise ArgumentError(message("linalg.multi_dot: too few tensors", received=len(tensors), expected="at least 2"))
    return write_out(record(_multi_dot, tuple(tensors)), out)


def chain_matmul(*matrices: Any, out: Tensor | None = None) -> Tensor:
    """Return the product of matrices, in the order that needs the fewest multiplications; see `trine.linalg.multi_dot`.

    Example:
        >>> import trine
        >>> trine.chain_matmul(trine.ones(2, 3), trine.ones(3, 1))
        tensor([[3.],
                [3.]])
    """
    values = matrices[0] if len(matrices) == 1 and not isinstance(matrices[0], Tensor) else matrices
    return values[0] if len(values) == 1 else multi_dot(values, out=out)


def _vecdot(x: Node, y: Node, dim: int) -> Node:
    check_same_dtype("linalg.vecdot", x, y)
    product = b.mul(b.conj(x) if x.dtype.is_complex else x, y)
    axis = canonical_axis(dim, len(product.shape), "linalg.vecdot")
    return b.squeeze(b.sum(product, (axis,)), axis)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """Return the inner products of vectors along an axis; the first factor is conjugated.

    Example:
        >>> import trine
        >>> trine.linalg.vecdot(trine.tensor([[1., 2.]]), trine.tensor([[3., 4.]]))
        tensor([11.])
    """
    return write_out(record(_vecdot, (x, y), dim), out)


def _cross(x: Node, y: Node, dim: int) -> Node:
    x, y = promote_pair(x, y)
    if len(x.shape) != len(y.shape):
        raise ShapeError(message("cross: numbers of axes differ", received=f"{x.shape} and {y.shape}", expected="as many axes in both"))
    axis = canonical_axis(dim, len(x.shape), "cross")
    if x.shape[axis] != 3 or y.shape[axis] != 3:
        raise ShapeError(message("cross: the axis", received=f"{x.shape} and {y.shape}, dim {dim}", expected="size 3 along dim"))
    shape = broadcast("cross", x.shape, y.shape)
    x, y = b.expand(x, shape), b.expand(y, shape)
    return b.sub(b.mul(_turned(x, axis, 1), _turned(y, axis, 2)), b.mul(_turned(x, axis, 2), _turned(y, axis, 1)))


def _turned(x: Node, axis: int, count: int) -> Node:
    """Return `x` with the first `count` elements of an axis moved behind the others."""
    start, stop = [0] * len(x.shape), list(x.shape)
    start[axis] = count
    tail = b.slice(x, start, stop)
    start[axis], stop[axis] = 0, count
    return b.concat([tail, b.slice(x, start, stop)], axis)


def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """Return the cross products of vectors of three elements along an axis; the other axes broadcast.

    Example:
        >>> import trine
        >>> trine.linalg.cross(trine.tensor([1., 0., 0.]), trine.tensor([0., 1., 0.]))
        tensor([0., 0., 1.])
    """
    return write_out(record(_cross, (input, other), dim), out)


def cross(input: Tensor, other: Tensor, dim: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """Return the cross products of vectors along an axis; by default along the first axis of size 3.

    Example:
        >>> import trine
        >>> trine.cross(trine.tensor([1, 0, 0]), trine.tensor([0, 1, 0]))
        tensor([0, 0, 1])
    """
    if dim is None:
        sizes = list(broadcast("cross", tuple(input.shape), tuple(other.shape)))
        if 3 not in sizes:
            raise ShapeError(message("cross: no axis of size 3", received=f"shape {tuple(input.shape)}", expected="an axis of size 3"))
        dim = sizes.index(3)
    return linalg_cross(input, other, dim=dim, out=out)


def _kron(x: Node, y: Node) -> Node:
    x, y = promote_pair(x, y)
    rank = max(len(x.shape), len(y.shape))
    first, second = (1,) * (rank - len(x.shape)) + x.shape, (1,) * (rank - len(y.shape)) + y.shape
    left = b.reshape(x, tuple([s for size in first for s in (size, 1)]))
    right = b.reshape(y, tuple([s for size in second for s in (1, size)]))
    return b.reshape(mul_nodes(left, right), tuple([s * t for s, t in zip(first, second, strict=True)]))


def kron(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the Kronecker product: a copy of `other` for each element of `input`, scaled by it.

    Example:
        >>> import trine
        >>> trine.kron(trine.tensor([1, 2]), trine.tensor([1, 10]))
        tensor([ 1, 10,  2, 20])
    """
    return write_out(record(_kron, (input, other)), out)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Return the diagonal of matrices as a view; see `trine.diagonal`.

    Example:
        >>> import trine
        >>> trine.linalg.diagonal(trine.tensor([[1, 2], [3, 4]]))
        tensor([1, 4])
    """
    return movement_diagonal(A, offset, dim1, dim2)


def _vander(x: Node, count: int) -> Node:
    if not count:
        return b.reshape(b.slice(b.reshape(x, (*x.shape, 1)), (0,) * (len(x.shape) + 1), (*x.shape, 0)), (*x.shape, 0))
    x = x if x.shape else b.reshape(x, (1,))
    axis = len(x.shape)
    shape = (*x.shape, count - 1)
    ones = b.expand(b.const(1, x.dtype), (*x.shape, 1))
    return b.cumprod(b.concat([ones, b.expand(b.unsqueeze(x, axis), shape)], axis), axis)


def linalg_vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """Return the powers 0 to N - 1 of each element along a new last axis; N is by default the size of the last axis.

    Example:
        >>> import trine
        >>> trine.linalg.vander(trine.tensor([2, 3]), N=3)
        tensor([[1, 2, 4],
                [1, 3, 9]])
    """
    if x.dim() < 1 and N is None:
        raise ShapeError(message("linalg.vander: a 0-d tensor", received="shape ()", expected="at least 1 axis, or N"))
    result: Tensor = record(_vander, (x.to(dtypes.int64) if x.dtype is dtypes.bool_ else x,), x.shape[-1] if N is None else N)
    return result


def linalg_matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the matrix product; see `trine.matmul`.

    Example:
        >>> import trine
        >>> trine.linalg.matmul(trine.ones(1, 2), trine.ones(2, 1))
        tensor([[2.]])
    """
    return matmul(input, other, out=out)


def nuclear_norm(input: Tensor, dim: Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Return the sum of the singular values of matrices: `trine.norm` with p "nuc".

    Example:
        >>> import trine
        >>> trine.norm(trine.tensor([[3., 0.], [0., 4.]]), "nuc")
        tensor(7.)
    """
    axes = (0, 1) if dim is None else tuple(dim)
    result: Tensor = record(_nuclear, (input,), axes, keepdim)
    return result
