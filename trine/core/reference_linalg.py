"""NumPy reference of the linear-algebra and Fourier primitives; the native engine computes them in the same way (LAPACK, pocketfft)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trine.core.factorization import exponential, factor_cholesky, factor_ldl, factor_lu, solve_ldl, substitute
from trine.core.graph import Node
from trine.core.reference_base import Array, Implementation, encode, widen
from trine.errors import LinAlgError, message


def _failed(node: Node, what: str, expected: str, fix: str) -> LinAlgError:
    return LinAlgError(message(f"linalg.{node.op}: {what}", received=f"shape {node.inputs[0].shape}", expected=expected, fix=fix))


def _singular(node: Node) -> LinAlgError:
    name = f"linalg.{node.op}_ex"
    return _failed(node, "a matrix is singular", "invertible matrices", f"use linalg.pinv or linalg.lstsq, or look at the info of {name}")


def _flat(x: Array) -> Array:
    """Return a batch of matrices with one batch axis."""
    return x.reshape(-1, *x.shape[-2:]) if x.size else x.reshape(int(np.prod(x.shape[:-2])), *x.shape[-2:])


def _pack(node: Node, *parts: Array) -> Array:
    batch = node.inputs[0].shape[:-2]
    flat = [np.asarray(part).reshape(*batch, -1) if part.size else np.zeros((*batch, 0), node.dtype.numpy) for part in parts]
    return np.concatenate([part.astype(node.dtype.numpy, copy=False) for part in flat], axis=-1)


def _cholesky(node: Node, x: Array) -> Array:
    try:
        return np.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        if node.attrs[0]:
            expected = "Hermitian positive-definite matrices"
            fix = "add a small multiple of the identity, or look at the info of linalg.cholesky_ex"
            raise _failed(node, "a matrix is not positive definite", expected, fix) from None
    factors = np.zeros_like(_flat(x))
    for position, matrix in enumerate(_flat(x)):
        try:
            factors[position] = np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            factors[position] = factor_cholesky(matrix)
    return factors.reshape(x.shape)


def _each(function: Callable[..., Array], node: Node, *operands: Array) -> Array:
    """Call a LAPACK routine; where a matrix is singular raise, or (check False) give that matrix NaN."""
    try:
        return function(*operands)
    except np.linalg.LinAlgError:
        if node.attrs[0]:
            raise _singular(node) from None
    result = np.full(node.shape, np.nan, node.dtype.numpy)
    flat = _flat(result)
    for position, matrices in enumerate(zip(*[_flat(x) for x in operands], strict=True)):
        try:
            flat[position] = function(*matrices)
        except np.linalg.LinAlgError:
            continue
    return flat.reshape(node.shape)


def _inv(node: Node, x: Array) -> Array:
    return _each(np.linalg.inv, node, x)


def _solve(node: Node, a: Array, right: Array) -> Array:
    return _each(np.linalg.solve, node, a, right)


def _triangular_solve(node: Node, a: Array, right: Array) -> Array:
    lower, unit = node.attrs
    return substitute(_flat(a), _flat(right), lower=lower, unit=unit).reshape(node.shape)


def _cholesky_solve(node: Node, factor: Array, right: Array) -> Array:
    lower = _flat(factor)
    half = substitute(lower, _flat(right), lower=True, unit=False)
    return substitute(np.conj(np.swapaxes(lower, -1, -2)), half, lower=False, unit=False).reshape(node.shape)


def _cofactor(node: Node, x: Array) -> Array:
    # From the singular values, so that singular matrices have one too; Higham, What Is the Adjugate of a Matrix?
    u, s, vh = np.linalg.svd(widen(x))
    n = x.shape[-1]
    others = np.ones_like(s)
    for k in range(n):
        others[..., k] = np.prod(np.delete(s, k, axis=-1), axis=-1)
    scale = (np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    return encode(scale * np.conj((u * others[..., None, :]) @ vh), node.dtype)


def _slogdet(node: Node, x: Array) -> Array:
    sign, logarithm = np.linalg.slogdet(x)
    return _pack(node, np.asarray(sign)[..., None], np.asarray(logarithm)[..., None])


def _converged(function: Callable[..., Any], node: Node, *arguments: Any, **options: Any) -> Any:
    try:
        return function(*arguments, **options)
    except np.linalg.LinAlgError as error:
        raise _failed(node, str(error), "a matrix of finite numbers", "look for NaN and infinity in the operand") from None


def _eigh(node: Node, x: Array) -> Array:
    values, vectors = _converged(np.linalg.eigh, node, x, UPLO="L" if node.attrs[0] else "U")
    return _pack(node, values, vectors)


def _eig(node: Node, x: Array) -> Array:
    values, vectors = _converged(np.linalg.eig, node, x)
    return _pack(node, values, vectors)


def _svd(node: Node, x: Array) -> Array:
    return _pack(node, *_converged(np.linalg.svd, node, x, full_matrices=node.attrs[0]))


def _qr(node: Node, x: Array) -> Array:
    return _pack(node, *np.linalg.qr(x, "complete" if node.attrs[0] else "reduced"))


def _geqrf(node: Node, x: Array) -> Array:
    reflectors, tau = np.linalg.qr(x, "raw")
    return _pack(node, np.swapaxes(reflectors, -1, -2), tau)


def _lu(node: Node, x: Array) -> Array:
    return _pack(node, *factor_lu(_flat(x), node.attrs[0]))


def _ldl(node: Node, x: Array) -> Array:
    parts = [factor_ldl(matrix, node.attrs[0]) for matrix in _flat(x)]
    if not parts:
        return np.zeros(node.shape, node.dtype.numpy)
    return _pack(node, np.stack([p[0] for p in parts]), np.stack([p[1] for p in parts]))


def _ldl_solve(node: Node, factor: Array, pivots: Array, right: Array) -> Array:
    pivots = np.rint(pivots.real).astype(np.int64).reshape(-1, pivots.shape[-2])
    rows = zip(_flat(factor), pivots, _flat(right), strict=True)
    return np.stack([solve_ldl(*row, node.attrs[0]) for row in rows]).reshape(node.shape)


def _pivot_order(node: Node, pivots: Array) -> Array:
    order = np.broadcast_to(np.arange(node.attrs[0]), node.shape).copy().reshape(-1, node.attrs[0])
    flat = pivots.reshape(-1, pivots.shape[-1]).astype(np.int64) - 1
    lines = np.arange(len(flat))
    for k in range(pivots.shape[-1]):
        found = flat[:, k]
        order[lines, found], order[:, k] = order[:, k].copy(), order[lines, found].copy()
    return order.reshape(node.shape)


def _pinv(node: Node, x: Array, absolute: Array, relative: Array) -> Array:
    wide = widen(x)
    absolute, relative = np.real(absolute)[..., None], np.real(relative)[..., None]
    if node.attrs[0]:
        values, vectors = _converged(np.linalg.eigh, node, wide)
        size = np.abs(values)
        kept = size > np.maximum(absolute, relative * size.max(axis=-1, keepdims=True, initial=0))
        inverse = np.where(kept, 1 / np.where(kept, values, 1), 0)
        return encode((vectors * inverse[..., None, :]) @ np.conj(np.swapaxes(vectors, -1, -2)), node.dtype)
    u, s, vh = _converged(np.linalg.svd, node, wide, full_matrices=False)
    kept = s > np.maximum(absolute, relative * s.max(axis=-1, keepdims=True, initial=0))
    inverse = np.where(kept, 1 / np.where(kept, s, 1), 0)
    return encode((np.conj(np.swapaxes(vh, -1, -2)) * inverse[..., None, :]) @ np.conj(np.swapaxes(u, -1, -2)), node.dtype)


def _lstsq(node: Node, a: Array, right: Array) -> Array:
    u, s, vh = _converged(np.linalg.svd, node, widen(a), full_matrices=False)
    kept = s > node.attrs[0] * s.max(axis=-1, keepdims=True, initial=0)
    inverse = np.where(kept, 1 / np.where(kept, s, 1), 0)
    projected = np.conj(np.swapaxes(u, -1, -2)) @ widen(right)
    return encode(np.conj(np.swapaxes(vh, -1, -2)) @ (inverse[..., None] * projected), node.dtype)


def _fft(node: Node, x: Array) -> Array:
    axes, inverse = node.attrs
    if inverse:
        return np.fft.ifftn(x, axes=axes, norm="forward")
    return np.fft.fftn(x, axes=axes)


def _plain(function: Callable[..., Any]) -> Implementation:
    """Make a reference of a function of the operands alone."""
    return lambda node, *operands: np.asarray(function(*operands), node.dtype.numpy)


LINALG: dict[str, Implementation] = {
    "cholesky": _cholesky,
    "inv": _inv,
    "matrix_exp": lambda node, x: encode(exponential(widen(_flat(x))).reshape(x.shape), node.dtype),
    "cofactor": _cofactor,
    "det": _plain(np.linalg.det),
    "eigvalsh": lambda node, x: _converged(np.linalg.eigvalsh, node, x, UPLO="L" if node.attrs[0] else "U"),
    "eigvals": lambda node, x: np.asarray(_converged(np.linalg.eigvals, node, x), node.dtype.numpy),
    "svdvals": lambda node, x: _converged(np.linalg.svd, node, x, compute_uv=False),
    "solve": _solve,
    "triangular_solve": _triangular_solve,
    "cholesky_solve": _cholesky_solve,
    "ldl_solve": _ldl_solve,
    "lstsq": _lstsq,
    "pinv": _pinv,
    "eigh": _eigh,
    "eig": _eig,
    "svd": _svd,
    "qr": _qr,
    "lu": _lu,
    "slogdet": _slogdet,
    "pivot_order": _pivot_order,
    "geqrf": _geqrf,
    "ldl": _ldl,
}

FOURIER: dict[str, Implementation] = {
    "fft": _fft,
    "rfft": lambda node, x: np.fft.rfft(x, axis=node.attrs[0]),
    "irfft": lambda node, x: np.fft.irfft(x, node.attrs[1], axis=node.attrs[0], norm="forward"),
}
