"""What the linear-algebra functions share: their result types, errors at the caller's line, and small pieces of node algebra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from trine import dtypes
from trine.core import build as b
from trine.core import build_linalg as la
from trine.core.graph import Node, context
from trine.errors import ArgumentError, message
from trine.ops.arguments import write_out
from trine.ops.promotion import number
from trine.tensor import Tensor
from trine.tensor.recorder import flush, local


class QR(NamedTuple):
    """Orthonormal and upper triangular factor."""

    Q: Tensor
    R: Tensor


class Eigen(NamedTuple):
    """Eigenvalues, and eigenvectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVD(NamedTuple):
    """Left singular vectors, singular values, right singular vectors as rows."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class SVDColumns(NamedTuple):
    """Left singular vectors, singular values, right singular vectors as columns."""

    U: Tensor
    S: Tensor
    V: Tensor


class LU(NamedTuple):
    """Permutation, unit lower and upper triangular factor."""

    P: Tensor
    L: Tensor
    U: Tensor


class LUFactor(NamedTuple):
    """Both triangular factors in one matrix, and the row exchanges."""

    LU: Tensor
    pivots: Tensor


class LUFactorInfo(NamedTuple):
    """An LU decomposition, and the number of the first pivot that is zero (0: none)."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


class LDLFactor(NamedTuple):
    """Both factors in one matrix, and the row exchanges."""

    LD: Tensor
    pivots: Tensor


class LDLFactorInfo(NamedTuple):
    """An LDL decomposition, and the number of the first pivot that is zero (0: none)."""

    LD: Tensor
    pivots: Tensor
    info: Tensor


class CholeskyInfo(NamedTuple):
    """Cholesky factor, and the order of the first leading minor that is not positive definite (0: none)."""

    L: Tensor
    info: Tensor


class InverseInfo(NamedTuple):
    """Inverse, and the number of the first pivot that is zero (0: none)."""

    inverse: Tensor
    info: Tensor


class SolutionInfo(NamedTuple):
    """Solution, and the number of the first pivot that is zero (0: none)."""

    result: Tensor
    info: Tensor


class LeastSquares(NamedTuple):
    """Solution, sums of squared residuals, ranks, singular values; what the driver does not compute is empty."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


class SignLogDet(NamedTuple):
    """Sign (or phase) of a determinant, and the logarithm of its size."""

    sign: Tensor
    logabsdet: Tensor


class TriangularSolution(NamedTuple):
    """Solution, and a copy of the coefficients."""

    solution: Tensor
    cloned_coefficient: Tensor


class Reflectors(NamedTuple):
    """Householder reflectors below the diagonal, R above, and their scales."""

    a: Tensor
    tau: Tensor


def raised_now(result: Any) -> Any:
    """Run what is recorded, so that an error of `result` (a singular matrix) is raised at the caller's line, and return it.

    Programs catch this error and try again with another matrix, as they do with PyTorch. Inside a backward pass nothing is run.
    """
    if not local.in_pass and not local.eager:
        flush()
    return result


def write_outs(results: Any, out: Sequence[Tensor] | None) -> Any:
    """Return `results` (a named tuple), or write each into the tensor of `out` at its place and return these."""
    if out is None:
        return results
    if len(out) != len(results):
        raise ArgumentError(message("out: wrong number of tensors", received=len(out), expected=len(results)))
    return type(results)(*[write_out(result.detach(), place) for result, place in zip(results, out, strict=True)])


def carries_gradient(x: Node) -> bool:
    """Return whether gradients are recorded for what is computed from a node, or tangents may be asked for."""
    return (x.requires_grad and context.grad_enabled) or bool(local.levels)


def singular_values(x: Node) -> Node:
    """Return singular values: with their vectors only where a gradient needs them."""
    if not carries_gradient(x):
        return la.svdvals(x)
    values = la.parts(la.svd(x))[1]
    return b.real(values) if values.dtype.is_complex else values


def eigenvalues(x: Node, lower: bool) -> Node:
    """Return the eigenvalues of Hermitian matrices: with their vectors only where a gradient needs them."""
    if not carries_gradient(x):
        return la.eigvalsh(x, lower)
    values = la.parts(la.eigh(x, lower))[0]
    return b.real(values) if values.dtype.is_complex else values


def identity(rows: int, columns: int, dtype: dtypes.DType) -> Node:
    """Return a matrix with ones on the diagonal."""
    plane = (rows, columns)
    return b.cast(b.eq(b.iota(plane, 0), b.iota(plane, 1)), dtype)


def first_true(bad: Node) -> Node:
    """Return the position from 1 of the first True along the last axis, 0 where there is none, as int32."""
    axis = len(bad.shape) - 1
    if not bad.shape[axis]:
        return b.full(0, bad.shape[:-1], dtypes.int32)
    found = b.squeeze(b.argmax(bad, axis), axis)
    some = b.squeeze(b.max(bad, (axis,)), axis)
    return b.cast(b.where(some, b.add(found, number(1, found)), number(0, found)), dtypes.int32)


def diagonal_nodes(x: Node) -> Node:
    """Return the main diagonal of matrices."""
    rows, columns = x.shape[-2:]
    count = min(rows, columns)
    batch = x.shape[:-2]
    if not count:
        return b.reshape(b.slice(x, (0,) * len(x.shape), (*batch, 0, 0)), (*batch, 0))
    flat = b.reshape(x, (*batch, rows * columns))
    zeros = (0,) * len(batch)
    return b.slice(flat, (*zeros, 0), (*batch, (count - 1) * (columns + 1) + 1), (*(1,) * len(batch), columns + 1))


def as_vector_system(op: str, a: Node, right: Node) -> tuple[Node, bool]:
    """Return the right side as matrices, and whether it was (a batch of) vectors: PyTorch's rule for `solve` and `lstsq`."""
    is_vector = len(right.shape) == 1 or (len(a.shape) - 1 == len(right.shape) and right.shape == a.shape[:-1])
    return (b.unsqueeze(right, len(right.shape)), True) if is_vector else (right, False)


def machine_epsilon(dtype: dtypes.DType) -> float:
    """Return the distance from 1 to the next number of a floating-point or complex dtype."""
    return 2.0**-23 if dtype in (dtypes.float32, dtypes.complex64) else 2.0**-52
