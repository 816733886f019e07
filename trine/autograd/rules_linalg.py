"""Gradient rules of solvers, determinants and matrix functions, from nodes to nodes.

Giles, Collected Matrix Derivative Results for Forward and Reverse Mode Algorithmic Differentiation (2008). The gradient of a complex
operand is the conjugate cogradient, as in PyTorch.
"""

from __future__ import annotations

import math

from trine.autograd.rules_elementwise import Rule
from trine.core import build as b
from trine.core import build_linalg as la
from trine.core.build_linalg import adjoint
from trine.core.graph import Node
from trine.core.library_rules import PACKED
from trine.dtypes import int64

Gradients = tuple[Node | None, ...]
dot = b.dot


def triangle(x: Node, lower: bool, offset: int = 0) -> Node:
    """Return the lower or upper triangle of matrices, up to the diagonal that is `offset` above the main one."""
    limit = b.const(offset, int64)
    place = _place(x)
    return b.where(b.le(place, limit) if lower else b.ge(place, limit), x, b.const(0, x.dtype))


def _place(x: Node) -> Node:
    """Return column number minus row number of each element of a matrix."""
    plane = x.shape[-2:]
    return b.sub(b.iota(plane, 1), b.iota(plane, 0))


def on_diagonal(x: Node, inside: Node, outside: Node) -> Node:
    """Return `inside` on the diagonal of matrices shaped like `x`, and `outside` elsewhere."""
    return b.where(b.eq(_place(x), b.const(0, int64)), inside, outside)


def diagonal(x: Node) -> Node:
    """Return the diagonal of square matrices."""
    axis = len(x.shape) - 1
    return b.squeeze(b.sum(on_diagonal(x, x, b.const(0, x.dtype)), (axis,)), axis)


def as_rows(x: Node) -> Node:
    """Return (*, n) as (*, n, 1): one number for each row."""
    return b.unsqueeze(x, len(x.shape))


def as_columns(x: Node) -> Node:
    """Return (*, n) as (*, 1, n): one number for each column."""
    return b.unsqueeze(x, len(x.shape) - 1)


def conj(x: Node) -> Node:
    """Return the conjugate; real nodes as they are."""
    return b.conj(x) if x.dtype.is_complex else x


def gradient_parts(node: Node, g: Node) -> tuple[Node, ...]:
    """Return the gradients of the parts of a decomposition."""
    return la.cut(g, PACKED[node.op](node.inputs[0].shape, node.attrs))


def present_parts(node: Node, g: Node) -> tuple[Node | None, ...]:
    """Return the gradients of the parts of a decomposition, None for those that nothing was computed from.

    A sum of singular values has a gradient where two of them are equal, although their vectors have none: what is not there must not be
    multiplied by 1 / 0.
    """
    present: list[Node | None] = []
    end = 0
    for part in gradient_parts(node, g):
        begin, end = end, end + math.prod(part.shape[len(node.shape) - 1 :])
        present.append(None if _is_zero(g, begin, end) else part)
    return tuple(present)


def _is_zero(g: Node, begin: int, end: int) -> bool:
    """Return whether a range of the last axis is zero because no gradient was put there."""
    if g.op == "add":
        return _is_zero(g.inputs[0], begin, end) and _is_zero(g.inputs[1], begin, end)
    if g.op != "pad" or g.attrs[2] != 0:
        return False
    low, high = g.attrs[0][-1], g.shape[-1] - g.attrs[1][-1]
    return end <= low or begin >= high or _is_zero(g.inputs[0], begin - low, end - low)


# --- solving ----------------------------------------------------------------------------------------------------------------------------


def _inv(node: Node, g: Node) -> Gradients:
    inverse = adjoint(node)
    return (b.neg(dot(dot(inverse, g), inverse)),)


def _solve(node: Node, g: Node) -> Gradients:
    right = la.solve(adjoint(node.inputs[0]), g, check=node.attrs[0])
    return b.neg(dot(right, adjoint(node))), right


def _triangular_solve(node: Node, g: Node) -> Gradients:
    lower, unit = node.attrs
    right = la.triangular_solve(adjoint(node.inputs[0]), g, not lower, unit)
    offset = (-1 if lower else 1) if unit else 0
    return b.neg(triangle(dot(right, adjoint(node)), lower, offset)), right


def pinv_gradient(x: Node, inverse: Node, g: Node) -> Node:
    """Return the gradient of the pseudo-inverse `inverse` of `x`.

    Golub and Pereyra, The Differentiation of Pseudo-Inverses and Nonlinear Least Squares Problems (1973).
    """
    m, n = x.shape[-2:]
    gh, ph = adjoint(g), adjoint(inverse)
    if m <= n:
        k = dot(gh, inverse)
        kp = dot(k, ph)
        tail = dot(dot(ph, inverse), b.sub(gh, dot(k, x)))
        return b.add(b.sub(b.sub(kp, adjoint(dot(inverse, k))), dot(dot(x, inverse), kp)), tail)
    k = dot(inverse, gh)
    pk = dot(ph, k)
    head = dot(dot(b.sub(gh, dot(x, k)), inverse), ph)
    return b.add(b.sub(b.sub(pk, adjoint(dot(k, inverse))), dot(dot(pk, inverse), x)), head)


def _pinv(node: Node, g: Node) -> Gradients:
    return pinv_gradient(node.inputs[0], node, g), None, None


def _lstsq(node: Node, g: Node) -> Gradients:
    a, right = node.inputs
    inverse = la.pinv(a, b.const(0, a.dtype), b.const(node.attrs[0], a.dtype))
    return (
        pinv_gradient(a, inverse, dot(g, adjoint(right))) if a.requires_grad else None,
        dot(adjoint(inverse), g) if right.requires_grad else None,
    )


# --- determinants and functions ---------------------------------------------------------------------------------------------------------


def _det(node: Node, g: Node) -> Gradients:
    return (b.mul(as_rows(as_rows(g)), conj(la.cofactor(node.inputs[0]))),)


def _cofactor(node: Node, g: Node) -> Gradients:
    # d cofactor(A) = tr(A^-1 dA) C - A^-T dA^T C, where A is invertible.
    inverse = adjoint(la.inv(node.inputs[0], check=False))
    rank = len(node.shape)
    inner = b.sum(b.mul(conj(node), g), (rank - 2, rank - 1))
    return (b.sub(b.mul(inner, inverse), dot(dot(conj(node), b.transpose(g)), inverse)),)


def _slogdet(node: Node, g: Node) -> Gradients:
    sign, _ = la.parts(node)
    g_sign, factor = gradient_parts(node, g)
    if node.dtype.is_complex:
        turned = b.cast(b.imag(b.mul(b.conj(sign), g_sign)), node.dtype)
        factor = b.add(b.cast(b.real(factor), node.dtype), b.mul(turned, b.const(1j, node.dtype)))
    return (b.mul(as_rows(factor), adjoint(la.inv(node.inputs[0], check=False))),)


def _matrix_exp(node: Node, g: Node) -> Gradients:
    # The exponential of [[A, E], [0, A]] has the derivative in direction E as its upper right block.
    n = node.shape[-1]
    rank = len(node.shape)
    turned = adjoint(node.inputs[0])
    zeros = (0,) * (rank - 2)
    upper = b.concat([turned, g], rank - 1)
    lower = b.pad(turned, (*zeros, 0, n), (*zeros, 0, 0), 0)
    block = la.matrix_exp(b.concat([upper, lower], rank - 2))
    return (b.slice(block, (*zeros, 0, n), (*node.shape[:-2], n, 2 * n)),)


# --- Fourier transforms -----------------------------------------------------------------------------------------------------------------


def _fft(node: Node, g: Node) -> Gradients:
    axes, inverse = node.attrs
    return (la.fft(g, axes, not inverse),)


def _half_weights(length: int, like: Node, axis: int, middle: float) -> Node:
    """Return `middle` for the frequencies that stand for two, and 1 for the first and (even lengths) the last."""
    count = length // 2 + 1
    place = b.iota(tuple([count if k == axis else 1 for k in range(len(like.shape))]), axis)
    alone = b.eq(place, b.const(0, int64))
    if length % 2 == 0:
        alone = b.bitwise_or(alone, b.eq(place, b.const(length // 2, int64)))
    return b.where(alone, b.const(1, like.dtype), b.const(middle, like.dtype))


def _rfft(node: Node, g: Node) -> Gradients:
    (axis,) = node.attrs
    length = node.inputs[0].shape[axis]
    return (la.irfft(b.mul(g, _half_weights(length, g, axis, 0.5)), axis, length),)


def _irfft(node: Node, g: Node) -> Gradients:
    axis, length = node.attrs
    spectrum = la.rfft(g, axis)
    return (b.mul(spectrum, _half_weights(length, spectrum, axis, 2.0)),)


LINALG_RULES: dict[str, Rule] = {
    "inv": _inv,
    "solve": _solve,
    "triangular_solve": _triangular_solve,
    "pinv": _pinv,
    "lstsq": _lstsq,
    "det": _det,
    "cofactor": _cofactor,
    "slogdet": _slogdet,
    "matrix_exp": _matrix_exp,
    "fft": _fft,
    "rfft": _rfft,
    "irfft": _irfft,
}
