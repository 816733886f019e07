"""Factorizations that NumPy does not have, for batches of matrices: LU, LDL, substitution, the matrix exponential.

All of them take arrays with one batch axis in front and work on all matrices of the batch at once, but for LDL.
"""

from __future__ import annotations

import math

import numpy as np

from trine.core.reference_base import Array

BLOCK = 64
"""Columns that are factored one by one; what lies right of them is then updated by one product."""


def _magnitude(x: Array) -> Array:
    """Return what LAPACK compares when it looks for a pivot."""
    return np.abs(x.real) + np.abs(x.imag) if x.dtype.kind == "c" else np.abs(x)


def factor_lu(matrices: Array, pivot: bool) -> tuple[Array, Array]:
    """Return (LU, pivots) of (batch, m, n): both factors in one array, and for each column the row (from 1) that it was exchanged with.

    Right-looking, in blocks of columns (Golub and Van Loan, Matrix Computations, 3.2 and 3.4).
    """
    lu = np.array(matrices)
    batch, m, n = lu.shape
    count = min(m, n)
    pivots = np.broadcast_to(np.arange(1, count + 1), (batch, count)).copy()
    rows = np.arange(batch)
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        for j in range(start, stop):
            if pivot:
                found = j + np.argmax(_magnitude(lu[:, j:, j]), axis=1)
                pivots[:, j] = found + 1
                exchanged = lu[rows, found].copy()
                lu[rows, found] = lu[:, j]
                lu[:, j] = exchanged
            head = lu[:, j, j, None]
            np.divide(lu[:, j + 1 :, j], head, out=lu[:, j + 1 :, j], where=head != 0)
            lu[:, j + 1 :, j + 1 : stop] -= lu[:, j + 1 :, j, None] * lu[:, None, j, j + 1 : stop]
        if stop < n:
            lu[:, start:stop, stop:] = substitute(lu[:, start:stop, start:stop], lu[:, start:stop, stop:], lower=True, unit=True)
            lu[:, stop:, stop:] -= lu[:, stop:, start:stop] @ lu[:, start:stop, stop:]
    return lu, pivots


def substitute(triangles: Array, right: Array, *, lower: bool, unit: bool) -> Array:
    """Return x with ``triangle @ x = right`` for (batch, n, n) and (batch, n, k); the other triangle is not read.

    A zero on the diagonal gives infinities and NaN, not an error.
    """
    if not lower:
        flipped = substitute(triangles[:, ::-1, ::-1], right[:, ::-1], lower=True, unit=unit)
        return flipped[:, ::-1]
    x = np.array(right)
    n = triangles.shape[-1]
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        if start:
            x[:, start:stop] -= triangles[:, start:stop, :start] @ x[:, :start]
        block = np.tril(triangles[:, start:stop, start:stop])
        if unit:
            diagonal = np.arange(stop - start)
            block[:, diagonal, diagonal] = 1
        x[:, start:stop] = _forward(block, x[:, start:stop])
    return x


def _forward(block: Array, right: Array) -> Array:
    size = block.shape[-1]
    diagonal = np.diagonal(block, axis1=-2, axis2=-1)
    if size > 8 and np.all(np.isfinite(block)) and np.all(diagonal != 0):
        try:
            solved: Array = np.linalg.solve(block, right)
            return solved
        except np.linalg.LinAlgError:
            pass
    x = np.array(right)
    with np.errstate(all="ignore"):
        for i in range(size):
            if i:
                x[:, i] -= (block[:, None, i, :i] @ x[:, :i])[:, 0]
            x[:, i] /= diagonal[:, i, None]
    return x


def factor_cholesky(matrix: Array) -> Array:
    """Return the lower Cholesky factor of one matrix as far as it goes: from the first pivot that is not positive on, NaN."""
    n = matrix.shape[-1]
    factor = np.zeros_like(matrix)
    for j in range(n):
        row = factor[j, :j]
        head = matrix[j, j].real - (row @ row.conj()).real
        if not head > 0:
            factor[j, j] = np.nan
            break
        factor[j, j] = math.sqrt(head)
        factor[j + 1 :, j] = (matrix[j + 1 :, j] - factor[j + 1 :, :j] @ row.conj()) / factor[j, j]
    return factor


# --- LDL ---------------------------------------------------------------------------------------------------------------------------------

_ALPHA = (1 + math.sqrt(17)) / 8


def factor_ldl(matrix: Array, hermitian: bool) -> tuple[Array, Array]:
    """Return (LD, pivots) of one symmetric or Hermitian matrix, of which the lower triangle is read.

    Diagonal pivoting of Bunch and Kaufman (Some Stable Methods for Calculating Inertia, 1977), with the conventions of LAPACK's sytrf:
    a positive pivot k says that rows k and the current one were exchanged; two equal negative ones stand for a block of size 2.
    """
    a = np.array(matrix)
    n = len(a)
    pivots = np.zeros(n, np.int64)
    conjugated = np.conj if hermitian and a.dtype.kind == "c" else np.asarray
    k = 0
    while k < n:
        place, width = _ldl_pivot(a, k)
        kk = k + width - 1
        if place != kk:
            _exchange(a, k, kk, place, conjugated)
        rest = a[k + width :, k : k + width]
        if width == 1:
            if a[k, k] != 0 and rest.size:
                scaled = rest / a[k, k]
                a[k + 1 :, k + 1 :] -= np.tril(scaled @ conjugated(rest.T))
                a[k + 1 :, k : k + 1] = scaled
            pivots[k] = place + 1
        else:
            if rest.size:
                block = np.array([[a[k, k], conjugated(a[k + 1, k])], [a[k + 1, k], a[k + 1, k + 1]]])
                scaled = np.linalg.solve(block.T, rest.T).T
                a[k + 2 :, k + 2 :] -= np.tril(scaled @ conjugated(rest.T))
                a[k + 2 :, k : k + 2] = scaled
            pivots[k] = pivots[k + 1] = -(place + 1)
        k += width
    return np.tril(a), pivots


def _ldl_pivot(a: Array, k: int) -> tuple[int, int]:
    """Return the row that comes to the front of the remaining matrix, and the size of the block there."""
    column = _magnitude(a[k + 1 :, k])
    head = _magnitude(a[k, k])
    if not column.size or not max(head, column.max()) > 0:
        return k, 1
    row = k + 1 + int(column.argmax())
    largest = column.max()
    if head >= _ALPHA * largest:
        return k, 1
    others = max([_magnitude(a[row, k:row]).max(), *_magnitude(a[row + 1 :, row])])
    if head >= _ALPHA * largest * (largest / others):
        return k, 1
    return (row, 1) if _magnitude(a[row, row]) >= _ALPHA * others else (row, 2)


def _exchange(a: Array, k: int, kk: int, place: int, conjugated: object) -> None:
    """Exchange rows and columns `kk` and `place` of the remaining lower triangle."""
    conj = conjugated if callable(conjugated) else np.asarray
    a[place + 1 :, [kk, place]] = a[place + 1 :, [place, kk]]
    between = a[kk + 1 : place, kk].copy()
    a[kk + 1 : place, kk] = conj(a[place, kk + 1 : place])
    a[place, kk + 1 : place] = conj(between)
    a[place, kk] = conj(a[place, kk])
    a[kk, kk], a[place, place] = a[place, place], a[kk, kk]
    if kk != k:
        a[k + 1, k], a[place, k] = a[place, k], a[k + 1, k]


def solve_ldl(factor: Array, pivots: Array, right: Array, hermitian: bool) -> Array:
    """Return the solution of the system whose matrix `factor_ldl` took apart (LAPACK's sytrs)."""
    x = np.array(right)
    n = len(factor)
    conj = np.conj if hermitian and factor.dtype.kind == "c" else np.asarray
    steps = []
    k = 0
    while k < n:
        width = 1 if pivots[k] > 0 else 2
        steps.append((k, width, abs(int(pivots[k])) - 1))
        k += width
    for k, width, place in steps:
        kk = k + width - 1
        x[[kk, place]] = x[[place, kk]]
        x[k + width :] -= factor[k + width :, k : k + width] @ x[k : k + width]
        if width == 1:
            x[k] = x[k] / factor[k, k]
        else:
            block = np.array([[factor[k, k], conj(factor[k + 1, k])], [factor[k + 1, k], factor[k + 1, k + 1]]])
            x[k : k + 2] = np.linalg.solve(block, x[k : k + 2])
    for k, width, place in reversed(steps):
        kk = k + width - 1
        x[k : k + width] -= conj(factor[k + width :, k : k + width].T) @ x[k + width :]
        x[[kk, place]] = x[[place, kk]]
    return x


# --- the matrix exponential --------------------------------------------------------------------------------------------------------------

_PADE = [64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600, 670442572800]
_PADE += [33522128640, 1323241920, 40840800, 960960, 16380, 182, 1]
_THETA = 5.371920351148152


def exponential(matrices: Array) -> Array:
    """Return the exponentials of (batch, n, n) by scaling and squaring with the Padé approximant of degree 13.

    Higham, The Scaling and Squaring Method for the Matrix Exponential Revisited (2005).
    """
    if not matrices.size:
        return matrices
    norms = np.abs(matrices).sum(axis=-2).max(axis=-1)
    finite = np.isfinite(norms)
    scales = np.zeros(len(matrices), np.int64)
    large = finite & (norms > _THETA)
    scales[large] = np.ceil(np.log2(norms[large] / _THETA)).astype(np.int64)
    a = matrices * (0.5**scales)[:, None, None].astype(matrices.real.dtype)
    identity = np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape)
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a2 @ a4
    p = _PADE
    odd = a @ (a6 @ (p[13] * a6 + p[11] * a4 + p[9] * a2) + p[7] * a6 + p[5] * a4 + p[3] * a2 + p[1] * identity)
    even = a6 @ (p[12] * a6 + p[10] * a4 + p[8] * a2) + p[6] * a6 + p[4] * a4 + p[2] * a2 + p[0] * identity
    result = np.full_like(matrices, np.nan)
    if finite.any():
        result[finite] = np.linalg.solve((even - odd)[finite], (even + odd)[finite])
    for step in range(int(scales.max())):
        again = scales > step
        result[again] = result[again] @ result[again]
    return result
