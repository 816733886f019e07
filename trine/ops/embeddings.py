"""Embeddings and attention."""

from __future__ import annotations

import math
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import DTypeError, ShapeError, message
from trine.ops.activation import softmax_nodes
from trine.ops.contraction import check_same_dtype
from trine.ops.promotion import as_dtype, number
from trine.ops.random import stream, uniform_nodes
from trine.ops.reduction import norm_keeping_axes
from trine.shapes import broadcast, size_of
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


# --- attention --------------------------------------------------------------------------------------------------------------------------


def _grouped(query: Node, key: Node, value: Node) -> tuple[Node, Node]:
    """Repeat the heads of key and value (axis -3) to those of the query."""
    repeats = query.shape[-3] // key.shape[-3]

    def repeat(x: Node) -> Node:
        *batch, heads, length, width = x.shape
        wide = b.expand(b.reshape(x, (*batch, heads, 1, length, width)), (*batch, heads, repeats, length, width))
        return b.reshape(wide, (*batch, heads * repeats, length, width))

    return repeat(key), repeat(value)


def _dot_broadcast(x: Node, y: Node) -> Node:
    rank = max(len(x.shape), len(y.shape))
    x = b.reshape(x, (*(1,) * (rank - len(x.shape)), *x.shape))
    y = b.reshape(y, (*(1,) * (rank - len(y.shape)), *y.shape))
    return b.dot(x, y)


def _attention(*arguments: Any) -> Node:
    query, key, value, *rest, has_mask, has_dropout, is_causal, scale, enable_gqa = arguments
    check_same_dtype("scaled_dot_product_attention", query, key, value)
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        expected = "query (..., L, E), key (..., S, E), value (..., S, V)"
        received = f"{query.shape}, {key.shape}, {value.shape}"
        raise ShapeError(message("scaled_dot_product_attention: shapes do not fit", received=received, expected=expected))
    if enable_gqa:
        key, value = _grouped(query, key, value)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = b.mul(_dot_broadcast(query, b.transpose(key)), number(factor, query))
    lowest = number(-math.inf, scores)
    if is_causal:
        plane = scores.shape[-2:]
        scores = b.where(b.ge(b.iota(plane, 0), b.iota(plane, 1)), scores, lowest)
    if has_mask:
        mask = rest[0]
        if mask.dtype is dtypes.bool_:
            scores = b.where(mask, scores, lowest)
        else:
            scores = b.add(scores, as_dtype(mask, scores.dtype))
    axis = len(scores.shape) - 1
    if has_mask and rest[0].dtype is dtypes.bool_:
        weights = _masked_softmax(scores, axis)
    else:
        weights = softmax_nodes(scores, axis)
    if has_dropout:
        seed, offset, p = rest[-3:]
        keep = b.sub(b.const(1.0, dtypes.float32), b.cast(p, dtypes.float32))
        is_kept = b.lt(uniform_nodes(seed, offset, weights.shape, dtypes.float32), keep)
        weights = b.where(is_kept, b.div(weights, as_dtype(keep, weights.dtype)), number(0, weights))
    return _dot_broadcast(weights, value)


def _masked_softmax(scores: Node, axis: int) -> Node:
    """Softmax whose rows without any allowed position are 0."""
    if 0 in scores.shape:
        return scores
    largest = b.stop_gradient(b.max(scores, (axis,)))
    is_empty = b.eq(largest, number(-math.inf, scores))
    exponential = b.exp(b.sub(scores, b.where(is_empty, number(0, scores), largest)))
    total = b.sum(exponential, (axis,))
    return b.div(exponential, b.where(is_empty, number(1, total), total))


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return ``softmax(query @ key.T * scale + mask) @ value``.

    Args:
        query: (..., L, E); key: (..., S, E); value: (..., S, V).
        attn_mask: bool (True: may attend; rows without a True give 0) or added to the scores; broadcasts to (..., L, S).
        is_causal: position i attends to positions up to i.
        scale: 1 / sqrt(E) unless given.
        enable_gqa: key and value have fewer heads (axis -3), each shared by a group of query heads.

    Example:
        >>> import trine
        >>> x = trine.ones(1, 2, 2)
        >>> trine.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        tensor([[[1., 1.],
                 [1., 1.]]])
    """
    operands: list[Any] = [query, key, value]
    if attn_mask is not None:
        operands.append(attn_mask)
    if dropout_p > 0.0:
        batch = broadcast("scaled_dot_product_attention", tuple(query.shape[:-2]), tuple(key.shape[:-2]) if not enable_gqa else (1,))
        operands += [*stream(size_of((*batch, query.shape[-2], key.shape[-2]))), float(dropout_p)]
    flags = (attn_mask is not None, dropout_p > 0.0, bool(is_causal), None if scale is None else float(scale), bool(enable_gqa))
    result: Tensor = record(_attention, tuple(operands), *flags)
    return result
