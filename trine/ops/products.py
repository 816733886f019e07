"""Products with a sum: addmv, addr, addbmm; inner products; renorm."""

from __future__ import annotations

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.arguments import write_out
from trine.ops.arithmetic import Number, mul_nodes
from trine.ops.contraction import check_same_dtype, contract, matmul_nodes
from trine.ops.promotion import as_dtype, number
from trine.ops.reduction import norm_keeping_axes
from trine.shapes import broadcast, canonical_axis
from trine.tensor import Tensor, record

__all__ = ["addbmm", "addmv", "addr", "inner", "renorm", "vdot"]


def check_rank(op: str, rank: int, *nodes: Node) -> None:
    """Raise ShapeError unless all nodes have `rank` axes."""
    if any(len(node.shape) != rank for node in nodes):
        received = " and ".join(str(node.shape) for node in nodes)
        raise ShapeError(message(f"{op}: wrong number of axes", received=received, expected=f"{rank} axes each"))


def _weighted(op: str, base: Node, product: Node, beta: Node, alpha: Node, beta_is_zero: bool) -> Node:
    """Return ``beta * base + alpha * product``; a beta of 0 lets NaN in `base` go, as in PyTorch."""
    check_same_dtype(op, base, product)
    if broadcast(op, base.shape, product.shape) != product.shape:
        raise ShapeError(message(f"{op}: the input does not broadcast", received=f"{base.shape}", expected=f"a shape for {product.shape}"))
    if base.dtype is dtypes.bool_:
        product = b.bitwise_and(product, as_dtype(alpha, base.dtype))
        return product if beta_is_zero else b.bitwise_or(b.bitwise_and(base, as_dtype(beta, base.dtype)), product)
    product = b.mul(product, as_dtype(alpha, product.dtype))
    return product if beta_is_zero else b.add(b.mul(base, as_dtype(beta, base.dtype)), product)


def _addmv(base: Node, x: Node, y: Node, beta: Node, alpha: Node, beta_is_zero: bool) -> Node:
    check_rank("addmv", 2, x)
    check_rank("addmv", 1, y)
    return _weighted("addmv", base, matmul_nodes(x, y), beta, alpha, beta_is_zero)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Number = 1, alpha: Number = 1, out: Tensor | None = None) -> Tensor:
    """Return ``beta * input + alpha * (mat @ vec)``; `input` broadcasts.

    Example:
        >>> import trine
        >>> trine.addmv(trine.tensor([1.]), trine.tensor([[2., 3.]]), trine.tensor([1., 1.]))
        tensor([6.])
    """
    return write_out(record(_addmv, (input, mat, vec, beta, alpha), beta == 0), out)


def _addr(base: Node, x: Node, y: Node, beta: Node, alpha: Node, beta_is_zero: bool) -> Node:
    check_rank("addr", 1, x, y)
    return _weighted("addr", base, mul_nodes(b.unsqueeze(x, 1), b.unsqueeze(y, 0)), beta, alpha, beta_is_zero)


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Number = 1, alpha: Number = 1, out: Tensor | None = None) -> Tensor:
    """Return ``beta * input + alpha * outer(vec1, vec2)``; `input` broadcasts.

    Example:
        >>> import trine
        >>> trine.addr(trine.tensor(1.), trine.tensor([1., 2.]), trine.tensor([3.]))
        tensor([[4.],
                [7.]])
    """
    return write_out(record(_addr, (input, vec1, vec2, beta, alpha), beta == 0), out)


def _addbmm(base: Node, x: Node, y: Node, beta: Node, alpha: Node, beta_is_zero: bool) -> Node:
    check_rank("addbmm", 3, x, y)
    check_same_dtype("addbmm", x, y)
    if x.shape[0] != y.shape[0] or x.shape[2] != y.shape[1]:
        expected = "(B, M, K) and (B, K, N)"
        raise ShapeError(message("addbmm: shapes do not contract", received=f"{x.shape} and {y.shape}", expected=expected))
    return _weighted("addbmm", base, contract(x, y, (0, 2), (0, 1)), beta, alpha, beta_is_zero)


def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1, out: Tensor | None = None) -> Tensor:
    """Return ``beta * input + alpha * sum(batch1[k] @ batch2[k])``: one product over all batches.

    Example:
        >>> import trine
        >>> trine.addbmm(trine.zeros(1, 1), trine.ones(2, 1, 3), trine.ones(2, 3, 1))
        tensor([[6.]])
    """
    return write_out(record(_addbmm, (input, batch1, batch2, beta, alpha), beta == 0), out)


def _vdot(x: Node, y: Node) -> Node:
    check_rank("vdot", 1, x, y)
    check_same_dtype("vdot", x, y)
    if x.shape != y.shape:
        raise ShapeError(message("vdot: lengths differ", received=f"{x.shape} and {y.shape}", expected="equal lengths"))
    return matmul_nodes(b.conj(x) if x.dtype.is_complex else x, y)


def vdot(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the inner product of two vectors; the first one is conjugated.

    Example:
        >>> import trine
        >>> trine.vdot(trine.tensor([1., 2.]), trine.tensor([3., 4.]))
        tensor(11.)
    """
    return write_out(record(_vdot, (input, other)), out)


def _inner(x: Node, y: Node) -> Node:
    check_same_dtype("inner", x, y)
    if not x.shape or not y.shape:
        return b.mul(x, y)
    if x.shape[-1] != y.shape[-1]:
        raise ShapeError(message("inner: last axes differ", received=f"{x.shape} and {y.shape}", expected="equal last sizes"))
    return contract(x, y, (len(x.shape) - 1,), (len(y.shape) - 1,))


def inner(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the inner products over the last axes: of vectors a number, of other tensors all pairs.

    Example:
        >>> import trine
        >>> trine.inner(trine.tensor([1., 2.]), trine.tensor([3., 4.]))
        tensor(11.)
    """
    return write_out(record(_inner, (input, other)), out)


def _renorm(x: Node, maxnorm: Node, p: float, dim: int) -> Node:
    axis = canonical_axis(dim, len(x.shape), "renorm")
    norm = norm_keeping_axes(x, tuple([k for k in range(len(x.shape)) if k != axis]), p)
    limit = as_dtype(maxnorm, norm.dtype)
    scale = b.where(b.gt(norm, limit), b.div(limit, b.add(norm, number(1e-7, norm))), number(1, norm))
    return b.mul(x, as_dtype(scale, x.dtype))


def renorm(input: Tensor, p: float, dim: int, maxnorm: float, *, out: Tensor | None = None) -> Tensor:
    """Return the tensor with each slice along `dim` scaled down so that its p-norm is at most `maxnorm`.

    Example:
        >>> import trine
        >>> trine.renorm(trine.tensor([[3., 4.], [0.3, 0.4]]), 2, 0, 1)
        tensor([[0.6000, 0.8000],
                [0.3000, 0.4000]])
    """
    if p <= 0 or maxnorm < 0 or input.dim() < 2:
        received = f"p {p}, maxnorm {maxnorm}, shape {tuple(input.shape)}"
        raise ArgumentError(message("renorm: wrong arguments", received=received, expected="p > 0, maxnorm >= 0, at least 2 axes"))
    return write_out(record(_renorm, (input, float(maxnorm)), float(p), dim), out)
