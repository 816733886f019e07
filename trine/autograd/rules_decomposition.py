"""Gradient rules of matrix decompositions, from nodes to nodes.

Giles, An Extended Collection of Matrix Derivative Results (2008), for Cholesky, eigenvalues and singular values; Townsend, Differentiating
the Singular Value Decomposition (2016), and Wan and Zhang, Automatic Differentiation for Complex Valued SVD (2019); Walter and Lehmann,
Algorithmic Differentiation of Linear Algebra Functions (2010), for QR and LU; Boeddeker and others, On the Computation of Complex-valued
Gradients with Application to Statistically Optimum Beamforming (2017), for the eigenvectors of general matrices.
"""

from __future__ import annotations

from trine.autograd.rules_elementwise import Rule
from trine.autograd.rules_linalg import Gradients, as_columns, as_rows, diagonal, gradient_parts, on_diagonal, present_parts, triangle
from trine.core import build as b
from trine.core import build_linalg as la
from trine.core.build_linalg import adjoint
from trine.core.graph import Node
from trine.dtypes import int64
from trine.errors import GradientError, message

dot = b.dot


def _cholesky(node: Node, g: Node) -> Gradients:
    turned = adjoint(node)
    phi = triangle(dot(turned, g), lower=True)
    whole = b.add(phi, adjoint(triangle(phi, True, -1)))
    half = la.triangular_solve(turned, b.mul(whole, b.const(0.5, phi.dtype)), lower=False)
    return (adjoint(la.triangular_solve(turned, adjoint(half), lower=False)),)


# --- LU ----------------------------------------------------------------------------------------------------------------------------------


def _rows(x: Node, start: int, stop: int) -> Node:
    batch = x.shape[:-2]
    return b.slice(x, (*(0,) * len(batch), start, 0), (*batch, stop, x.shape[-1]))


def _columns(x: Node, start: int, stop: int) -> Node:
    batch = x.shape[:-2]
    return b.slice(x, (*(0,) * len(batch), 0, start), (*batch, x.shape[-2], stop))


def _divided(x: Node, upper: Node) -> Node:
    """Return ``x @ inverse(upper)^H``."""
    return adjoint(la.triangular_solve(upper, adjoint(x), lower=False))


def _lu(node: Node, g: Node) -> Gradients:
    m, n = node.inputs[0].shape[-2:]
    k = min(m, n)
    packed, pivots = la.parts(node)
    g_lu, _ = gradient_parts(node, g)
    strict = triangle(_columns(packed, 0, k), True, -1)
    lower = on_diagonal(strict, b.const(1, node.dtype), strict)
    upper = triangle(_rows(packed, 0, k), False)
    g_lower, g_upper = triangle(_columns(g_lu, 0, k), True, -1), triangle(_rows(g_lu, 0, k), False)
    square_lower, square_upper = _rows(lower, 0, k), _columns(upper, 0, k)
    below = dot(adjoint(square_lower), _rows(g_lower, 0, k))
    above = dot(_columns(g_upper, 0, k), adjoint(square_upper))
    if m > k:
        above = b.sub(above, dot(adjoint(_rows(lower, k, m)), _rows(g_lower, k, m)))
    if n > k:
        below = b.sub(below, dot(_columns(g_upper, k, n), adjoint(_columns(upper, k, n))))
    middle = _divided(b.add(triangle(below, True, -1), triangle(above, False)), square_upper)
    columns = [middle, _columns(g_upper, k, n)] if n > k else [middle]
    rank = len(middle.shape)
    inner = la.triangular_solve(adjoint(square_lower), b.concat(columns, rank - 1), lower=False, unit=True)
    if m > k:
        inner = b.concat([inner, _divided(_rows(g_lower, k, m), square_upper)], rank - 2)
    return (la.permute_rows(inner, la.pivot_order(as_index(pivots), m), inverse=True),)


def as_index(pivots: Node) -> Node:
    """Return pivots as integers."""
    return b.cast(b.real(pivots) if pivots.dtype.is_complex else pivots, int64)


# --- QR ----------------------------------------------------------------------------------------------------------------------------------


def _qr(node: Node, g: Node) -> Gradients:
    x = node.inputs[0]
    m, n = x.shape[-2:]
    if node.attrs[0] and m > n:
        raise GradientError(
            message(
                "linalg.qr: the complete decomposition of tall matrices has no gradient",
                received=f"shape {x.shape}, mode='complete'",
                fix="use mode='reduced'",
            )
        )
    q, r = la.parts(node)
    g_q, g_r = gradient_parts(node, g)
    if m >= n:
        return (_qr_square(q, r, g_q, g_r),)
    # A = [X | Y], R = [U | V] with X = Q U and V = Q^H Y.
    g_v = _columns(g_r, m, n)
    g_q = b.add(g_q, dot(_columns(x, m, n), adjoint(g_v)))
    left = _qr_square(q, _columns(r, 0, m), g_q, _columns(g_r, 0, m))
    return (b.concat([left, dot(q, g_v)], len(x.shape) - 1),)


def _qr_square(q: Node, r: Node, g_q: Node, g_r: Node) -> Node:
    inner = triangle(b.sub(dot(triangle(g_r, False), adjoint(r)), dot(adjoint(q), g_q)), False)
    alone = b.cast(b.real(inner), inner.dtype) if inner.dtype.is_complex else inner
    whole = on_diagonal(inner, alone, b.add(inner, adjoint(inner)))
    return _divided(b.add(g_q, dot(q, whole)), r)


# --- eigenvalues and singular values -----------------------------------------------------------------------------------------------------


def _differences(values: Node) -> Node:
    """Return values[j] - values[i], with 1 on the diagonal."""
    apart = b.sub(as_columns(values), as_rows(values))
    return on_diagonal(apart, b.const(1, apart.dtype), apart)


def _on_diagonal_of(x: Node, values: Node) -> Node:
    return on_diagonal(x, as_rows(values), x)


def _eigh(node: Node, g: Node) -> Gradients:
    values, vectors = la.parts(node)
    g_values, g_vectors = present_parts(node, g)
    if g_values is not None and node.dtype.is_complex:
        g_values = b.cast(b.real(g_values), node.dtype)
    if g_vectors is None:
        return (_between(vectors, g_values, adjoint(vectors)),)
    # Only the part that keeps the vectors orthonormal counts; the gradient is Hermitian as the operand is.
    turning = b.mul(_skew(dot(adjoint(vectors), g_vectors)), b.const(0.5, vectors.dtype))
    inner = b.div(turning, _differences(values))
    inner = inner if g_values is None else _on_diagonal_of(inner, g_values)
    return (dot(dot(vectors, inner), adjoint(vectors)),)


def _between(left: Node, values: Node | None, right: Node) -> Node:
    """Return ``left @ diag(values) @ right``."""
    if values is None:
        values = b.full(0, left.shape[:-2] + left.shape[-1:], left.dtype)
    return dot(b.mul(left, as_columns(values)), right)


def _eig(node: Node, g: Node) -> Gradients:
    values, vectors = la.parts(node)
    g_values, g_vectors = present_parts(node, g)
    turned = adjoint(vectors)
    if g_vectors is None:
        inner = b.mul(as_rows(g_values), turned) if g_values is not None else b.zeros_like(turned)
    else:
        inner = dot(turned, g_vectors)
        lengths = b.cast(b.real(diagonal(inner)), inner.dtype)
        inner = b.sub(inner, b.mul(dot(turned, vectors), as_columns(lengths)))
        inner = b.div(inner, b.conj(_differences(values)))
        inner = dot(inner if g_values is None else _on_diagonal_of(inner, g_values), turned)
    result = la.solve(turned, inner, check=False)
    return (result if node.inputs[0].dtype.is_complex else b.real(result),)


def _skew(x: Node) -> Node:
    return b.sub(x, adjoint(x))


def _svd(node: Node, g: Node) -> Gradients:
    m, n = node.inputs[0].shape[-2:]
    k = min(m, n)
    u, s, vh = la.parts(node)
    g_u, g_s, g_vh = present_parts(node, g)
    if node.attrs[0]:  # the further columns are any that complete the basis: no gradient
        u, vh = _columns(u, 0, k), _rows(vh, 0, k)
        g_u = None if g_u is None else _columns(g_u, 0, k)
        g_vh = None if g_vh is None else _rows(g_vh, 0, k)
    if g_s is not None and node.dtype.is_complex:
        g_s = b.cast(b.real(g_s), node.dtype)
    if g_u is None and g_vh is None:
        return (_between(u, g_s, vh),)
    return (_svd_vectors(u, s, vh, g_u, b.zeros_like(s) if g_s is None else g_s, g_vh),)


def _svd_vectors(u: Node, s: Node, vh: Node, g_u: Node | None, g_s: Node, g_vh: Node | None) -> Node:
    rows, columns = as_rows(s), as_columns(s)
    gaps = _differences(b.mul(s, s))
    values = g_s
    inner = None
    if g_u is not None:
        turning = _skew(dot(adjoint(u), g_u))
        inner = b.mul(b.div(turning, gaps), columns)
        if s.dtype.is_complex:
            values = b.add(values, b.div(diagonal(turning), b.mul(s, b.const(2, s.dtype))))
    if g_vh is not None:
        from_v = b.mul(rows, b.div(_skew(dot(vh, adjoint(g_vh))), gaps))
        inner = from_v if inner is None else b.add(inner, from_v)
    inner = _on_diagonal_of(b.zeros_like(gaps) if inner is None else inner, values)
    k = s.shape[-1]
    if u.shape[-2] > k and g_u is not None:
        scaled = b.div(g_u, columns)
        return dot(b.sub(b.add(dot(u, inner), scaled), dot(u, dot(adjoint(u), scaled))), vh)
    right = dot(inner, vh)
    if vh.shape[-1] > k and g_vh is not None:
        scaled = b.div(g_vh, rows)
        right = b.sub(b.add(right, scaled), dot(dot(scaled, adjoint(vh)), vh))
    return dot(u, right)


def _cholesky_solve(node: Node, g: Node) -> Gradients:
    factor, _ = node.inputs
    right = la.cholesky_solve(factor, g)
    common = dot(right, adjoint(node))
    return b.neg(dot(b.add(common, adjoint(common)), factor)), right


DECOMPOSITION_RULES: dict[str, Rule] = {
    "cholesky": _cholesky,
    "cholesky_solve": _cholesky_solve,
    "lu": _lu,
    "qr": _qr,
    "eigh": _eigh,
    "eig": _eig,
    "svd": _svd,
}
