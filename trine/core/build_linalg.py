"""Builders of the linear-algebra and Fourier primitives, and of the parts of decompositions."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence

from trine.core.build_base import make
from trine.core.build_movement import argsort, expand, permute, reshape, slice, take_along
from trine.core.graph import Node
from trine.core.library_rules import PACKED
from trine.shapes import broadcast, canonical_axes, canonical_axis

bool = builtins.bool


def parts(node: Node) -> tuple[Node, ...]:
    """Return the parts of a decomposition (`eigh`, `eig`, `svd`, `qr`, `lu`, `ldl`, `geqrf`, `slogdet`), cut out of its packed result."""
    shapes = PACKED[node.op](node.inputs[0].shape, node.attrs)
    return cut(node, shapes)


def cut(packed: Node, shapes: Sequence[tuple[int, ...]]) -> tuple[Node, ...]:
    """Return the pieces of the last axis, each in its shape: a decomposition's parts, or their gradients."""
    batch = packed.shape[:-1]
    zeros = (0,) * len(batch)
    begin, pieces = 0, []
    for shape in shapes:
        end = begin + math.prod(shape)
        pieces.append(reshape(slice(packed, (*zeros, begin), (*batch, end)), (*batch, *shape)))
        begin = end
    return tuple(pieces)


def adjoint(x: Node) -> Node:
    """Return the conjugate transpose of matrices."""
    from trine.core.build_elementwise import conj

    rank = len(x.shape)
    turned = permute(x, (*range(rank - 2), rank - 1, rank - 2))
    return conj(turned) if x.dtype.is_complex else turned


def with_batch(x: Node, batch: tuple[int, ...]) -> Node:
    """Return matrices expanded to batch axes."""
    return expand(x, (*batch, *x.shape[-2:]))


def same_batch(op: str, *nodes: Node) -> tuple[Node, ...]:
    """Return matrices with their batch axes broadcast against one another."""
    batch = broadcast(op, *[node.shape[:-2] for node in nodes])
    return tuple([with_batch(node, batch) for node in nodes])


def cholesky(x: Node, check: bool = True) -> Node:
    """Return the lower Cholesky factor of Hermitian positive-definite matrices; `check`: raise where there is none, else NaN there."""
    return make("cholesky", (x,), (bool(check),))


def inv(x: Node, check: bool = True) -> Node:
    """Return the inverse of square matrices; `check`: raise where a matrix is singular, else NaN there."""
    return make("inv", (x,), (bool(check),))


def matrix_exp(x: Node) -> Node:
    """Return the exponential of square matrices."""
    return make("matrix_exp", (x,))


def cofactor(x: Node) -> Node:
    """Return the cofactor matrices: the gradient of the determinant (its conjugate, for complex numbers)."""
    return make("cofactor", (x,))


def det(x: Node) -> Node:
    """Return the determinant of square matrices."""
    return make("det", (x,))


def eigvalsh(x: Node, lower: bool = True) -> Node:
    """Return the eigenvalues of Hermitian matrices in ascending order, without gradients (`eigh` has them)."""
    return make("eigvalsh", (x,), (bool(lower),))


def eigvals(x: Node) -> Node:
    """Return the complex eigenvalues of square matrices, without gradients (`eig` has them)."""
    return make("eigvals", (x,))


def svdvals(x: Node) -> Node:
    """Return the singular values in descending order, without gradients (`svd` has them)."""
    return make("svdvals", (x,))


def solve(a: Node, right: Node, check: bool = True) -> Node:
    """Return x with ``a @ x = right``; batch axes broadcast; `check`: raise where a matrix is singular, else NaN there."""
    return make("solve", same_batch("solve", a, right), (bool(check),))


def triangular_solve(a: Node, right: Node, lower: bool, unit: bool = False) -> Node:
    """Return x with ``a @ x = right`` for triangular matrices (`unit`: ones on the diagonal); the other triangle is not read."""
    return make("triangular_solve", same_batch("triangular_solve", a, right), (bool(lower), bool(unit)))


def cholesky_solve(factor: Node, right: Node) -> Node:
    """Return x with ``factor @ factor^H @ x = right`` for lower triangular factors."""
    return make("cholesky_solve", same_batch("cholesky_solve", factor, right))


def ldl_solve(factor: Node, pivots: Node, right: Node, hermitian: bool = False) -> Node:
    """Return the solution of a system from the parts of `ldl`; `pivots` is (*, n, 1) with the dtype of the factor."""
    return make("ldl_solve", same_batch("ldl_solve", factor, pivots, right), (bool(hermitian),))


def lstsq(a: Node, right: Node, rcond: float) -> Node:
    """Return the least-squares solution of smallest norm; singular values up to `rcond` times the largest count as zero."""
    return make("lstsq", same_batch("lstsq", a, right), (float(rcond),))


def pinv(x: Node, absolute: Node, relative: Node, hermitian: bool = False) -> Node:
    """Return the pseudo-inverse; singular values up to max(absolute, relative * largest) count as zero (numbers or (*) arrays)."""
    batch = x.shape[:-2]
    return make("pinv", (x, expand(absolute, batch), expand(relative, batch)), (bool(hermitian),))


def eigh(x: Node, lower: bool = True) -> Node:
    """Return eigenvalues (n) and eigenvectors (n, n) of Hermitian matrices, packed: see `parts`."""
    return make("eigh", (x,), (bool(lower),))


def eig(x: Node) -> Node:
    """Return complex eigenvalues (n) and eigenvectors (n, n) of square matrices, packed: see `parts`."""
    return make("eig", (x,))


def svd(x: Node, full: bool = False) -> Node:
    """Return U, the singular values and Vh, packed: see `parts`."""
    return make("svd", (x,), (bool(full),))


def qr(x: Node, full: bool = False) -> Node:
    """Return Q and R, packed: see `parts`."""
    return make("qr", (x,), (bool(full),))


def lu(x: Node, pivot: bool = True) -> Node:
    """Return LU (both factors in one matrix) and the pivots from 1, packed: see `parts`."""
    return make("lu", (x,), (bool(pivot),))


def slogdet(x: Node) -> Node:
    """Return sign and logarithm of the size of the determinant, one element each, packed: see `parts`."""
    return make("slogdet", (x,))


def geqrf(x: Node) -> Node:
    """Return the reflectors of a QR decomposition and their scales, packed: see `parts`."""
    return make("geqrf", (x,))


def ldl(x: Node, hermitian: bool = False) -> Node:
    """Return LD (both factors in one matrix) and LAPACK's pivots, packed: see `parts`."""
    return make("ldl", (x,), (bool(hermitian),))


def pivot_order(pivots: Node, rows: int) -> Node:
    """Return the order of the rows (*, rows) after the exchanges that pivots (*, k) from 1 stand for."""
    return make("pivot_order", (pivots,), (rows,))


def permute_rows(x: Node, order: Node, inverse: bool = False) -> Node:
    """Return row ``order[i]`` of matrices as row i; `inverse`: row i as row ``order[i]``."""
    axis = len(x.shape) - 2
    if inverse:
        order = argsort(order, len(order.shape) - 1)
    return take_along(x, expand(reshape(order, (*order.shape, 1)), x.shape), axis)


# --- Fourier transforms -----------------------------------------------------------------------------------------------------------------


def fft(x: Node, axes: Sequence[int] | int, inverse: bool = False) -> Node:
    """Return the discrete Fourier transform along axes (with the other sign if `inverse`), not scaled."""
    chosen = canonical_axes(axes, len(x.shape), "fft")
    return make("fft", (x,), (chosen, bool(inverse))) if chosen else x


def rfft(x: Node, axis: int) -> Node:
    """Return the lower half of the transform of a real array, not scaled."""
    return make("rfft", (x,), (canonical_axis(axis, len(x.shape), "rfft"),))


def irfft(x: Node, axis: int, length: int) -> Node:
    """Return the real signal of `length` elements whose lower half spectrum is `x` (the other sign, not scaled)."""
    return make("irfft", (x,), (canonical_axis(axis, len(x.shape), "irfft"), length))
