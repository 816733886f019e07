"""Linear algebra by contraction: matmul and its relatives, einsum, linear layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import DTypeError, ShapeError, message
from trine.ops.arguments import write_out
from trine.ops.arithmetic import Number, mul_nodes
from trine.ops.promotion import as_dtype
from trine.shapes import canonical_axis
from trine.tensor import Tensor, record


def check_same_dtype(op: str, *nodes: Node) -> None:
    """Raise DTypeError unless all nodes have one dtype: contractions do not promote, as in PyTorch."""
    if any(node.dtype is not nodes[0].dtype for node in nodes):
        raise DTypeError(
            message(
                f"{op}: expected operands of the same dtype",
                received=" and ".join(node.dtype.name for node in nodes),
                expected="one dtype",
                fix="convert one operand, as in x.to(other.dtype)",
            )
        )


def matmul_nodes(x: Node, y: Node) -> Node:
    """Return the matrix product with the rules of `torch.matmul`: vectors, broadcast batch axes."""
    check_same_dtype("matmul", x, y)
    if not x.shape or not y.shape:
        raise ShapeError(message("matmul: a 0-d operand", received=f"{x.shape} and {y.shape}", expected="at least 1 axis", fix="use mul"))
    left = b.unsqueeze(x, 0) if len(x.shape) == 1 else x
    right = b.unsqueeze(y, 1) if len(y.shape) == 1 else y
    if left.shape[-1] != right.shape[-2]:
        raise ShapeError(
            message(
                "matmul: shapes do not contract",
                received=f"{x.shape} and {y.shape}",
                expected=f"as many columns on the left ({left.shape[-1]}) as rows on the right ({right.shape[-2]})",
                fix="transpose one of them",
            )
        )
    result = _batched_dot(left, right)
    shape = list(result.shape)
    if len(x.shape) == 1:
        del shape[-2]
    if len(y.shape) == 1:
        del shape[-1]
    return b.reshape(result, tuple(shape))


def _batched_dot(left: Node, right: Node) -> Node:
    if len(right.shape) == 2 and len(left.shape) > 2:
        # One matrix for all: a single product over the merged rows.
        rows = b.reshape(left, (math.prod(left.shape[:-1]), left.shape[-1]))
        return b.reshape(b.dot(rows, right), (*left.shape[:-1], right.shape[-1]))
    rank = max(len(left.shape), len(right.shape))
    left = b.reshape(left, (*(1,) * (rank - len(left.shape)), *left.shape))
    right = b.reshape(right, (*(1,) * (rank - len(right.shape)), *right.shape))
    return b.dot(left, right)


def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the matrix product ``input @ other``.

    Shapes: ``(*batch, M, K) @ (*batch, K, N) -> (*batch, M, N)``; batch axes broadcast; a one-axis operand is a row on the left, a column
    on the right, and its axis disappears.

    Raises:
        ShapeError: the shapes do not contract. DTypeError: the dtypes differ.

    Example:
        >>> import trine
        >>> trine.matmul(trine.tensor([[1., 2.], [3., 4.]]), trine.tensor([1., 1.]))
        tensor([3., 7.])
    """
    return write_out(record(matmul_nodes, (input, other)), out)


def _check_rank(op: str, rank: int, *nodes: Node) -> None:
    if any(len(node.shape) != rank for node in nodes):
        received = " and ".join(str(node.shape) for node in nodes)
        raise ShapeError(message(f"{op}: wrong number of axes", received=received, expected=f"{rank} axes each", fix="use matmul"))


def _mm(x: Node, y: Node) -> Node:
    _check_rank("mm", 2, x, y)
    return matmul_nodes(x, y)


def mm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the product of two matrices.

    Example:
        >>> import trine
        >>> trine.mm(trine.tensor([[1., 2.]]), trine.tensor([[3.], [4.]]))
        tensor([[11.]])
    """
    return write_out(record(_mm, (input, mat2)), out)


def _bmm(x: Node, y: Node) -> Node:
    _check_rank("bmm", 3, x, y)
    if x.shape[0] != y.shape[0]:
        raise ShapeError(
            message("bmm: batch sizes differ", received=f"{x.shape} and {y.shape}", expected="equal first axes", fix="use matmul")
        )
    return matmul_nodes(x, y)


def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the products of two batches of matrices, (B, M, K) and (B, K, N).

    Example:
        >>> import trine
        >>> trine.bmm(trine.ones(2, 1, 3), trine.ones(2, 3, 1)).shape
        trine.Size([2, 1, 1])
    """
    return write_out(record(_bmm, (input, mat2)), out)


def _mv(x: Node, y: Node) -> Node:
    _check_rank("mv", 2, x)
    _check_rank("mv", 1, y)
    return matmul_nodes(x, y)


def mv(input: Tensor, vec: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the product of a matrix and a vector.

    Example:
        >>> import trine
        >>> trine.mv(trine.tensor([[1., 2.]]), trine.tensor([3., 4.]))
        tensor([11.])
    """
    return write_out(record(_mv, (input, vec)), out)


def _dot(x: Node, y: Node) -> Node:
    _check_rank("dot", 1, x, y)
    return matmul_nodes(x, y)


def dot(input: Tensor, tensor: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the inner product of two vectors.

    Example:
        >>> import trine
        >>> trine.dot(trine.tensor([1., 2.]), trine.tensor([3., 4.]))
        tensor(11.)
    """
    return write_out(record(_dot, (input, tensor)), out)


def _outer(x: Node, y: Node) -> Node:
    _check_rank("outer", 1, x, y)
    check_same_dtype("outer", x, y)
    return mul_nodes(b.unsqueeze(x, 1), b.unsqueeze(y, 0))


def outer(input: Tensor, vec2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return all products of the elements of two vectors.

    Example:
        >>> import trine
        >>> trine.outer(trine.tensor([1, 2]), trine.tensor([3, 4]))
        tensor([[3, 4],
                [6, 8]])
    """
    return write_out(record(_outer, (input, vec2)), out)


ger = outer


def _scaled_sum(product: Node, base: Node, beta: Node | None, alpha: Node | None) -> Node:
    product = product if alpha is None else b.mul(product, as_dtype(alpha, product.dtype))
    base = base if beta is None else b.mul(base, as_dtype(beta, base.dtype))
    return b.add(product, base)


def _addmm(base: Node, x: Node, y: Node) -> Node:
    _check_rank("addmm", 2, x, y)
    return _scaled_sum(matmul_nodes(x, y), base, None, None)


def _addmm_scaled(base: Node, x: Node, y: Node, beta: Node, alpha: Node) -> Node:
    _check_rank("addmm", 2, x, y)
    return _scaled_sum(matmul_nodes(x, y), base, beta, alpha)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Number = 1, alpha: Number = 1, out: Tensor | None = None) -> Tensor:
    """Return ``beta * input + alpha * (mat1 @ mat2)``; `input` broadcasts.

    Example:
        >>> import trine
        >>> trine.addmm(trine.tensor([1.]), trine.tensor([[2.]]), trine.tensor([[3.]]))
        tensor([[7.]])
    """
    if beta == 1 and alpha == 1:
        return write_out(record(_addmm, (input, mat1, mat2)), out)
    return write_out(record(_addmm_scaled, (input, mat1, mat2, beta, alpha)), out)


def _baddbmm(base: Node, x: Node, y: Node, beta: Node, alpha: Node) -> Node:
    return _scaled_sum(_bmm(x, y), base, beta, alpha)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1, out: Tensor | None = None) -> Tensor:
    """Return ``beta * input + alpha * (batch1 @ batch2)`` for batches of matrices.

    Example:
        >>> import trine
        >>> trine.baddbmm(trine.zeros(1), trine.ones(1, 1, 2), trine.ones(1, 2, 1), alpha=3)
        tensor([[[6.]]])
    """
    return write_out(record(_baddbmm, (input, batch1, batch2, beta, alpha)), out)


def linear_nodes(x: Node, weight: Node) -> Node:
    """Return ``x @ weight.T`` for a weight of shape (out_features, in_features)."""
    check_same_dtype("linear", x, weight)
    if not x.shape or x.shape[-1] != weight.shape[-1]:
        raise ShapeError(
            message(
                "linear: the input does not fit the weight",
                received=f"input {x.shape}, weight {weight.shape}",
                expected=f"an input whose last axis has size {weight.shape[-1]}",
            )
        )
    if len(weight.shape) == 1:
        return matmul_nodes(x, weight)
    return matmul_nodes(x, b.transpose(weight))


def _linear_bias(x: Node, weight: Node, bias: Node) -> Node:
    check_same_dtype("linear", x, bias)
    return b.add(linear_nodes(x, weight), bias)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``input @ weight.T + bias``.

    Args:
        input: (*, in_features).
        weight: (out_features, in_features) or (in_features,).
        bias: (out_features,) or None.

    Example:
        >>> import trine
        >>> trine.nn.functional.linear(trine.tensor([[1., 2.]]), trine.tensor([[1., 1.]]), trine.tensor([0.5]))
        tensor([[3.5000]])
    """
    if bias is None:
        result: Tensor = record(linear_nodes, (input, weight))
    else:
        result = record(_linear_bias, (input, weight, bias))
    return result


def _bilinear(x: Node, y: Node, weight: Node) -> Node:
    # (*, in1) x (out, in1, in2) x (*, in2) -> (*, out)
    batch = x.shape[:-1]
    rows, others = b.reshape(x, (-1, x.shape[-1])), b.reshape(y, (-1, y.shape[-1]))
    features, first, second = weight.shape
    partial = b.dot(rows, b.reshape(b.permute(weight, (1, 0, 2)), (first, features * second)))
    products = b.mul(b.reshape(partial, (rows.shape[0], features, second)), b.unsqueeze(others, 1))
    return b.reshape(b.sum(products, (2,)), (*batch, features))


def _bilinear_bias(x: Node, y: Node, weight: Node, bias: Node) -> Node:
    return b.add(_bilinear(x, y, weight), bias)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``input1 @ weight[k] @ input2 + bias[k]`` for each output feature k.

    Example:
        >>> import trine
        >>> trine.nn.functional.bilinear(trine.ones(1, 2), trine.ones(1, 3), trine.ones(1, 2, 3))
        tensor([[6.]])
    """
    if bias is None:
        result: Tensor = record(_bilinear, (input1, input2, weight))
    else:
        result = record(_bilinear_bias, (input1, input2, weight, bias))
    return result


# --- general contractions -------------------------------------------------------------------------------------------------------------


def contract(
    x: Node, y: Node, x_axes: Sequence[int], y_axes: Sequence[int], x_batch: Sequence[int] = (), y_batch: Sequence[int] = ()
) -> Node:
    """Contract pairs of axes; the result has the batch axes, then the free axes of `x`, then those of `y`."""
    x_free = [k for k in range(len(x.shape)) if k not in x_axes and k not in x_batch]
    y_free = [k for k in range(len(y.shape)) if k not in y_axes and k not in y_batch]
    batch = [x.shape[k] for k in x_batch]
    contracted = math.prod([x.shape[k] for k in x_axes])
    x_sizes, y_sizes = [x.shape[k] for k in x_free], [y.shape[k] for k in y_free]
    left = b.reshape(b.permute(x, (*x_batch, *x_free, *x_axes)), (*batch, math.prod(x_sizes), contracted))
    right = b.reshape(b.permute(y, (*y_batch, *y_axes, *y_free)), (*batch, contracted, math.prod(y_sizes)))
    return b.reshape(b.dot(left, right), (*batch, *x_sizes, *y_sizes))


def _tensordot(x: Node, y: Node, x_axes: tuple[int, ...], y_axes: tuple[int, ...]) -> Node:
    check_same_dtype("tensordot", x, y)
    first = [canonical_axis(k, len(x.shape), "tensordot") for k in x_axes]
    second = [canonical_axis(k, len(y.shape), "tensordot") for k in y_axes]
    for i, j in zip(first, second, strict=len(first) == len(second)):  # an axis of size 1 broadcasts: the other one is summed
        if x.shape[i] == 1 and y.shape[j] != 1:
            y = b.sum(y, (j,))
        elif y.shape[j] == 1 and x.shape[i] != 1:
            x = b.sum(x, (i,))
    if [x.shape[k] for k in first] != [y.shape[k] for k in second]:
        raise ShapeError(message("tensordot: contracted sizes differ", received=f"{x.shape} and {y.shape}", expected="equal sizes"))
    return contract(x, y, first, second)


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Tensor | None = None) -> Tensor:
    """Contract the last `dims` axes of `a` with the first of `b`, or two lists of axes.

    Example:
        >>> import trine
        >>> trine.tensordot(trine.ones(2, 3), trine.ones(3, 4), dims=1).shape
        trine.Size([2, 4])
    """
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0 or dims > min(a.dim(), b.dim()):
            received = f"{dims} for {a.dim()} and {b.dim()} axes"
            raise ShapeError(message("tensordot: the number of axes", received=received, expected="0 or more, at most those of each"))
        first, second = tuple(range(a.dim() - dims, a.dim())), tuple(range(dims))
    else:
        first, second = (tuple(d) if isinstance(d, Sequence) else (d,) for d in dims)
    return write_out(record(_tensordot, (a, b), first, second), out)


def _trace(x: Node) -> Node:
    rows, columns = x.shape
    on_diagonal = b.eq(b.iota(x.shape, 0), b.iota(x.shape, 1))
    x = x if x.dtype.is_differentiable else as_dtype(x, dtypes.int64)
    return b.reshape(b.sum(b.where(on_diagonal, x, b.const(0, x.dtype)), (0, 1)), ())


def trace(input: Tensor) -> Tensor:
    """Return the sum of the diagonal of a matrix.

    Example:
        >>> import trine
        >>> trine.trace(trine.tensor([[1., 2.], [3., 4.]]))
        tensor(5.)
    """
    result: Tensor = record(_trace, (input,))
    return result
