"""Embeddings."""

from __future__ import annotations

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import DTypeError, ShapeError, message
from trine.ops.promotion import as_dtype, number
from trine.ops.reduction import norm_keeping_axes
from trine.tensor import Tensor, record


def _checked_rows(index: Node, weight: Node, op: str) -> Node:
    if not index.dtype.is_integer:
        raise DTypeError(
            message(f"{op}: the input must hold row numbers", received=index.dtype.name, expected="int64 or int32", fix="input.long()")
        )
    if len(weight.shape) != 2:
        raise ShapeError(message(f"{op}: the weight is not a matrix", received=weight.shape, expected="(rows, features)"))
    index = index if index.dtype is dtypes.int32 else as_dtype(index, dtypes.int64)
    return b.check_index(index, weight.shape[0], wraps=False)


def _embedding(index: Node, weight: Node, padding_idx: int | None) -> Node:
    rows = _checked_rows(index, weight, "embedding")
    taken = b.take(weight, rows, 0)
    if padding_idx is None or not weight.requires_grad:
        return taken
    # The padding row gets no gradient.
    is_padding = b.unsqueeze(b.eq(rows, number(padding_idx % weight.shape[0], rows)), len(rows.shape))
    return b.where(is_padding, b.stop_gradient(taken), taken)


def _renormalized(weight: Node, index: Node, max_norm: float, norm_type: float) -> Node:
    rows = _checked_rows(index, weight, "embedding")
    taken = b.take(weight, rows, 0)
    norm = norm_keeping_axes(taken, (len(taken.shape) - 1,), norm_type)
    limit = number(max_norm, norm)
    scale = b.where(b.gt(norm, limit), b.div(limit, b.add(norm, number(1e-7, norm))), number(1, norm))
    return b.put(weight, rows, b.mul(taken, scale), 0, "set")


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of a matrix that the input names.

    Args:
        input: row numbers, any shape.
        weight: (rows, features).
        padding_idx: a row that gets no gradient.
        max_norm: rows that are used and whose norm is larger are first scaled down to it, in place.

    Raises:
        DTypeError: the input is not integer. IndexOutOfRangeError: at run time, for a row number outside the matrix.

    Example:
        >>> import trine
        >>> trine.nn.functional.embedding(trine.tensor([1, 0]), trine.tensor([[1., 2.], [3., 4.]]))
        tensor([[3., 4.],
                [1., 2.]])
    """
    if max_norm is not None:
        renormalized = record(_renormalized, (weight.detach(), input), float(max_norm), float(norm_type))
        weight.detach().copy_(renormalized)
    result: Tensor = record(_embedding, (input, weight), padding_idx)
    return result
