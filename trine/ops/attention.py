"""Scaled dot-product attention (Vaswani et al., 2017)."""

from __future__ import annotations

import math
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node, context
from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.ops.activation import softmax_nodes
from trine.ops.contraction import check_same_dtype
from trine.ops.promotion import as_dtype, number
from trine.ops.random import stream, uniform_nodes
from trine.shapes import broadcast, size_of
from trine.tensor import Tensor, record


def _grouped(query: Node, key: Node, value: Node) -> tuple[Node, Node]:
    """Repeat the heads of key and value (axis -3) to those of the query."""

    def repeat(x: Node) -> Node:
        *batch, heads, length, width = x.shape
        if not heads or query.shape[-3] % heads:
            received = f"{query.shape[-3]} query heads, {heads} key or value heads"
            raise ShapeError(message("scaled_dot_product_attention: enable_gqa", received=received, expected="a multiple"))
        repeats = query.shape[-3] // heads
        wide = b.expand(b.reshape(x, (*batch, heads, 1, length, width)), (*batch, heads, repeats, length, width))
        return b.reshape(wide, (*batch, heads * repeats, length, width))

    return repeat(key), repeat(value)


def _dot_broadcast(x: Node, y: Node) -> Node:
    rank = max(len(x.shape), len(y.shape))
    x = b.reshape(x, (*(1,) * (rank - len(x.shape)), *x.shape))
    y = b.reshape(y, (*(1,) * (rank - len(y.shape)), *y.shape))
    return b.dot(x, y)


def causal_mask(plane: tuple[int, ...]) -> Node:
    """Return (L, S), True where position i may attend to position j <= i."""
    return b.ge(b.iota(plane, 0), b.iota(plane, 1))


def score_nodes(query: Node, key: Node, scale: float | None) -> Node:
    """Return the scaled products of all queries with all keys."""
    factor = 1 / math.sqrt(max(query.shape[-1], 1)) if scale is None else scale
    return b.mul(_dot_broadcast(query, b.transpose(key)), number(factor, query))


def dropped_weights(weights: Node, seed: Node, offset: Node, p: Node) -> Node:
    """Return the weights with some set to 0 and the others scaled up."""
    keep = b.sub(b.const(1.0, dtypes.float32), b.cast(p, dtypes.float32))
    is_kept = b.lt(uniform_nodes(seed, offset, weights.shape, dtypes.float32), keep)
    return b.where(is_kept, b.div(weights, as_dtype(keep, weights.dtype)), number(0, weights))


def masked_softmax(scores: Node, axis: int) -> Node:
    """Softmax whose rows without any allowed position are 0."""
    if 0 in scores.shape:
        return scores
    largest = b.stop_gradient(b.max(scores, (axis,)))
    is_empty = b.eq(largest, number(-math.inf, scores))
    exponential = b.exp(b.sub(scores, b.where(is_empty, number(0, scores), largest)))
    total = b.sum(exponential, (axis,))
    return b.div(exponential, b.where(is_empty, number(1, total), total))


def weighted_values(weights: Node, value: Node) -> Node:
    """Return the sums of the values, weighted."""
    return _dot_broadcast(weights, value)


# The kernel takes at least so many queries and keys, and pays from so many scores of a matrix on. With gradients it pays early where the
# half of a causal mask is skipped, and late where the scores, once computed, are as well kept.
_FEWEST = 8
_FEWEST_SCORES, _FEWEST_CAUSAL_WITH_GRADIENT, _FEWEST_WITH_GRADIENT = 1 << 10, 1 << 12, 1 << 18
# A matrix is one unit of the gradient's kernel: fewer than these leave threads idle.
_FEWEST_MATRICES = 4


def in_one_kernel(query: Node, key: Node, value: Node, mask: Node | None, causal: bool) -> bool:
    """Return whether an attention is computed by one kernel, without memory for the scores: a mask that learns needs them."""
    if mask is not None and mask.requires_grad and context.grad_enabled:
        return False
    if not query.dtype.is_floating_point or not (mask is None or mask.dtype is dtypes.bool_ or mask.dtype.is_floating_point):
        return False
    queries, keys = query.shape[-2], key.shape[-2]
    batch = broadcast("scaled_dot_product_attention", query.shape[:-2], key.shape[:-2], value.shape[:-2])
    fewest = _FEWEST_SCORES
    if context.grad_enabled and any([x.requires_grad for x in (query, key, value)]):
        if size_of(batch) < _FEWEST_MATRICES:
            return False
        fewest = _FEWEST_CAUSAL_WITH_GRADIENT if causal else _FEWEST_WITH_GRADIENT
    is_small = min(queries, keys) < _FEWEST or queries * keys < fewest or 0 in (*batch, query.shape[-1], value.shape[-1])
    return not is_small and (mask is None or _fits(mask, (*batch, queries, keys)))


def _fits(mask: Node, scores: tuple[int, ...]) -> bool:
    """Return whether a mask adds no axes and no repetitions to the scores."""
    return len(mask.shape) <= len(scores) and all(m in (1, s) for m, s in zip(mask.shape[::-1], scores[::-1], strict=False))


def attended(query: Node, key: Node, value: Node, mask: Node | None, scale: float | None, causal: bool) -> Node:
    """Return an attention as one kernel; half types are computed as float32."""
    dtype = dtypes.float32 if query.dtype.is_half else query.dtype
    rank = max(len(x.shape) for x in (query, key, value))

    def wide(x: Node) -> Node:
        return b.cast(b.reshape(x, (*(1,) * (rank - len(x.shape)), *x.shape)), dtype)

    if mask is not None:
        if mask.dtype is dtypes.bool_:
            mask = b.where(mask, b.const(0.0, dtype), b.const(-math.inf, dtype))
        mask = wide(mask)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    packed = b.attention(wide(query), wide(key), wide(value), mask, factor, causal, 1 if rank > 3 else 0)
    return b.cast(b.attention_parts(packed)[0], query.dtype)


def _attention(*arguments: Any) -> Node:
    query, key, value, *rest, has_mask, has_dropout, is_causal, scale, enable_gqa = arguments
    check_same_dtype("scaled_dot_product_attention", query, key, value)
    if min(len(query.shape), len(key.shape), len(value.shape)) < 2 or query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        expected = "query (..., L, E), key (..., S, E), value (..., S, V)"
        received = f"{query.shape}, {key.shape}, {value.shape}"
        raise ShapeError(message("scaled_dot_product_attention: shapes do not fit", received=received, expected=expected))
    if enable_gqa:
        key, value = _grouped(query, key, value)
    mask = rest[0] if has_mask else None
    if not has_dropout and in_one_kernel(query, key, value, mask, is_causal):
        return attended(query, key, value, mask, scale, is_causal)
    scores = score_nodes(query, key, scale)
    lowest = number(-math.inf, scores)
    if is_causal:
        scores = b.where(causal_mask(scores.shape[-2:]), scores, lowest)
    if has_mask:
        mask = rest[0]
        if mask.dtype is dtypes.bool_:
            scores = b.where(mask, scores, lowest)
        elif mask.dtype.is_floating_point:
            scores = b.add(scores, as_dtype(mask, scores.dtype))
        else:
            expected = "bool, or the dtype of the query"
            raise DTypeError(message("scaled_dot_product_attention: attn_mask", received=mask.dtype.name, expected=expected))
    axis = len(scores.shape) - 1
    weights = masked_softmax(scores, axis) if has_mask else softmax_nodes(scores, axis)
    if has_dropout:
        weights = dropped_weights(weights, *rest[-3:])
    return weighted_values(weights, value)


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
        dropout_p: probability that a weight is dropped (always: pass 0 in evaluation).
        is_causal: position i attends to positions up to i.
        scale: 1 / sqrt(E) unless given.
        enable_gqa: key and value have fewer heads (axis -3), each shared by a group of query heads.

    Raises:
        ShapeError: the shapes do not fit. DTypeError: the dtypes differ. ArgumentError: both a mask and `is_causal`.

    Example:
        >>> import trine
        >>> x = trine.ones(1, 2, 2)
        >>> trine.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        tensor([[[1., 1.],
                 [1., 1.]]])
    """
    operands: list[Any] = [query, key, value]
    if attn_mask is not None:
        if is_causal:
            what = "scaled_dot_product_attention: explicit attn_mask should not be set when is_causal=True"
            raise _BothMasks(message(what, received="both", fix="put the causal mask into attn_mask"))
        operands.append(attn_mask)
    if dropout_p > 0.0:
        batch = broadcast("scaled_dot_product_attention", tuple(query.shape[:-2]), tuple(key.shape[:-2]) if not enable_gqa else (1,))
        operands += [*stream(size_of((*batch, query.shape[-2], key.shape[-2]))), float(dropout_p)]
    flags = (attn_mask is not None, dropout_p > 0.0, bool(is_causal), None if scale is None else float(scale), bool(enable_gqa))
    result: Tensor = record(_attention, tuple(operands), *flags)
    return result


class _BothMasks(ArgumentError, RuntimeError):
    """PyTorch raises RuntimeError for this wrong combination of arguments."""
