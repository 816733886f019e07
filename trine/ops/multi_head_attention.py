"""Attention of several heads between projections (Vaswani et al., 2017): one record."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.ops.activation import softmax_nodes
from trine.ops.attention import attended, causal_mask, dropped_weights, in_one_kernel, masked_softmax, score_nodes, weighted_values
from trine.ops.contraction import linear_nodes
from trine.ops.promotion import as_dtype, number, size
from trine.ops.random import stream
from trine.tensor import Tensor, record

_NAME = "multi_head_attention_forward"


class Heads(NamedTuple):
    """Which operands there are, and how to combine them.

    Attributes:
        heads: their number. sources: for query, key and value, the number of the operand that it is.
        packed: one weight projects all three. bias, out_bias, bias_kv: whether there are biases.
        static_k, static_v, padding_mask, mask, drops: whether there are these operands.
        zero: a position of zeros is added. causal: instead of the mask. weights: they are a result too; average: over the heads.
        batch_first: inputs are (N, L, E) instead of (L, N, E).
    """

    heads: int
    sources: tuple[int, int, int]
    packed: bool
    bias: bool
    out_bias: bool
    bias_kv: bool
    static_k: bool
    static_v: bool
    padding_mask: bool
    mask: bool
    drops: bool
    zero: bool
    causal: bool
    weights: bool
    average: bool
    batch_first: bool


def _projections(inputs: list[Node], operands: Iterator[Node], spec: Heads) -> list[Node]:
    """Return projected query, key and value, (N, L, E) each."""
    width = inputs[0].shape[-1]
    matrices = [next(operands)] if spec.packed else [next(operands) for _ in range(3)]
    bias = next(operands) if spec.bias else None
    groups: dict[int, list[int]] = {}  # what is projected from the same input is one product
    for part, source in enumerate(spec.sources):
        groups.setdefault(source if spec.packed else part, []).append(part)
    projected: dict[int, Node] = {}
    for parts in groups.values():
        x, first, last = inputs[parts[0]], parts[0], parts[-1] + 1
        if last - first != len(parts):  # query and value without the key
            groups_of_one = [(p, p + 1) for p in parts]
        else:
            groups_of_one = [(first, last)]
        for start, stop in groups_of_one:
            rows = (start * width, stop * width)
            matrix = b.slice(matrices[0], (rows[0], 0), (rows[1], matrices[0].shape[1])) if spec.packed else matrices[start]
            y = linear_nodes(x, matrix)
            if bias is not None:
                y = b.add(y, b.slice(bias, (rows[0],), (rows[1],)))
            for k in range(start, stop):
                begin = (k - start) * width
                projected[k] = b.slice(y, (0, 0, begin), (*y.shape[:2], begin + width))
    return [projected[k] for k in range(3)]


def _split(x: Node, heads: int) -> Node:
    batch, length, width = x.shape
    return b.permute(b.reshape(x, (batch, length, heads, width // heads)), (0, 2, 1, 3))


def _longer(x: Node, row: Node) -> Node:
    """Return the keys (or values) with one position more."""
    return b.concat((x, b.expand(row, (*x.shape[:-2], 1, x.shape[-1]))), len(x.shape) - 2)


def _masked(scores: Node, mask: Node) -> Node:
    if mask.dtype is dtypes.bool_:
        return b.where(mask, number(-math.inf, scores), scores)
    return b.add(scores, as_dtype(mask, scores.dtype))


def _added(masks: list[Node], query: Node) -> Node:
    """Return one mask that is added to the scores."""
    lowest, zero = number(-math.inf, query), number(0, query)
    parts = [b.where(mask, lowest, zero) if mask.dtype is dtypes.bool_ else as_dtype(mask, query.dtype) for mask in masks]
    return parts[0] if len(parts) == 1 else b.add(*parts)


def _joined(heads: Node, out: tuple[Node, Node | None], spec: Heads) -> Node:
    """Return the projection of the heads' outputs."""
    batch, count, length, width = heads.shape
    result = linear_nodes(b.reshape(b.permute(heads, (0, 2, 1, 3)), (batch, length, count * width)), out[0])
    result = result if out[1] is None else b.add(result, out[1])
    return result if spec.batch_first else b.permute(result, (1, 0, 2))


def _check_mask(mask: Node, batch: int, heads: int, length: int, positions: int) -> Node:
    """Return a mask (L, S) or (N * H, L, S) with four axes."""
    expected: tuple[int, ...] = (length, positions) if len(mask.shape) == 2 else (batch * heads, length, positions)
    if mask.shape != expected:
        what = f"The shape of the {len(mask.shape)}D attn_mask is {mask.shape}, but should be {expected}"
        raise ShapeError(message(f"{_NAME}: {what}", expected="(L, S) or (N * heads, L, S)"))
    return b.reshape(mask, (1, 1, *mask.shape) if len(mask.shape) == 2 else (batch, heads, length, positions))


def multi_head_nodes(*arguments: Any) -> tuple[Node, ...]:
    """Return the output and, if asked for, the weights; operands in the order of `_operands`, then the `Heads`."""
    *nodes, spec = arguments
    operands: Iterator[Node] = iter(nodes)
    distinct = [next(operands) for _ in range(max(spec.sources) + 1)]
    inputs = [distinct[k] if spec.batch_first else b.permute(distinct[k], (1, 0, 2)) for k in spec.sources]
    batch, length, width = inputs[0].shape
    query, key, value = _projections(inputs, operands, spec)
    positions = key.shape[1]
    if spec.bias_kv:
        key, value = _longer(key, next(operands)), _longer(value, next(operands))
    query, key, value = (_split(x, spec.heads) for x in (query, key, value))
    if spec.static_k:
        key = b.reshape(given := next(operands), (batch, spec.heads, *given.shape[1:]))
    if spec.static_v:
        value = b.reshape(given := next(operands), (batch, spec.heads, *given.shape[1:]))
    if spec.zero:
        zeros = b.full(0, (1, key.shape[-1]), key.dtype)
        key, value = _longer(key, zeros), _longer(value, zeros)
    out = next(operands), next(operands) if spec.out_bias else None
    free = key.shape[-2] - positions  # added positions are never masked
    masks = []
    if spec.padding_mask:
        padding = next(operands)
        if padding.shape != (batch, positions):
            raise ShapeError(message(f"{_NAME}: key_padding_mask", received=padding.shape, expected=(batch, positions)))
        padding = b.reshape(padding, (batch, 1, 1, positions))
        masks.append(b.pad(padding, (0, 0, 0, 0), (0, 0, 0, free)))
    if spec.mask:
        mask = _check_mask(next(operands), batch, spec.heads, length, positions)
        masks.append(b.pad(mask, (0, 0, 0, 0), (0, 0, 0, free)))
    if not spec.weights and not spec.drops:
        added = _added(masks, query) if masks else None
        if in_one_kernel(query, key, value, added, spec.causal):
            return (_joined(attended(query, key, value, added, None, spec.causal), out, spec),)
    scores = score_nodes(query, key, None)
    for mask in masks:
        scores = _masked(scores, mask)
    if spec.causal:
        scores = b.where(causal_mask(scores.shape[-2:]), scores, number(-math.inf, scores))
    weights = masked_softmax(scores, 3) if masks and not spec.weights else softmax_nodes(scores, 3)
    if spec.drops:
        weights = dropped_weights(weights, *operands)
    result = _joined(weighted_values(weights, value), out, spec)
    if not spec.weights:
        return (result,)
    if spec.average:
        weights = b.div(b.reshape(b.sum(weights, (1,)), (batch, *weights.shape[2:])), size(spec.heads, weights.dtype))
    return result, weights


# --- the function -----------------------------------------------------------------------------------------------------------------------


def check_masks(op: str, query: Tensor, padding_mask: Tensor | None, mask: Tensor | None) -> None:
    """Raise (or warn) for masks that are neither bool nor floating point, or of two kinds."""
    for name, given in (("key_padding_mask", padding_mask), ("attn_mask", mask)):
        if given is not None and given.dtype is not dtypes.bool_ and not given.dtype.is_floating_point:
            expected = "bool or floating point masks"
            raise _MaskError(
                message(f"{op}: only bool and floating types of {name} are supported", received=given.dtype, expected=expected)
            )
    if padding_mask is not None and mask is not None and (padding_mask.dtype is dtypes.bool_) != (mask.dtype is dtypes.bool_):
        text = f"{op}: support for mismatched key_padding_mask and attn_mask is deprecated; use the same type for both"
        warnings.warn(text, UserWarning, stacklevel=4)


class _MaskError(DTypeError, AssertionError):
    """PyTorch raises AssertionError for a mask of integers."""


class _HeadsError(ShapeError, AssertionError):
    """PyTorch raises AssertionError for sizes that do not fit the heads."""


def _check_shapes(query: Tensor, key: Tensor, value: Tensor, num_heads: int, embed_dim: int, packed: bool) -> None:
    rank = query.dim()
    if rank not in (2, 3) or key.dim() != rank or value.dim() != rank:
        received = f"{rank}-D, {key.dim()}-D, {value.dim()}-D"
        raise _HeadsError(message(f"{_NAME}: query, key and value", received=received, expected="all 3-D, or all 2-D (unbatched)"))
    width = query.shape[-1]
    if width != embed_dim or width % num_heads:
        received = f"{width} (heads: {num_heads})"
        raise _HeadsError(message(f"{_NAME}: was expecting embedding dimension of {embed_dim}", received=received, expected="a multiple"))
    fits = key.shape == value.shape if packed else key.shape[:-1] == value.shape[:-1]
    if not fits:
        received = f"key {tuple(key.shape)}, value {tuple(value.shape)}"
        raise _HeadsError(message(f"{_NAME}: key and value do not fit", received=received, expected="equal shapes"))


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    *,
    _batch_first: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Return the attention of `num_heads` heads, and its weights; `nn.MultiheadAttention` has the parameters.

    Args:
        query: (L, N, E) or (L, E); key, value: (S, N, E) or (S, E).
        embed_dim_to_check: E. in_proj_weight: (3 E, E), or with `use_separate_proj_weight` three weights for query, key and value.
        bias_k, bias_v: (1, 1, E), an added position. add_zero_attn: another one, of zeros. static_k, static_v: (N * heads, S, E / heads).
        key_padding_mask: (N, S), True: is padding. attn_mask: (L, S) or (N * heads, L, S), True: may not attend; or added to the scores.
        is_causal: a hint that `attn_mask` is the causal mask. average_attn_weights: weights (N, L, S) instead of (N, heads, L, S).

    Example:
        >>> import trine
        >>> x, w = trine.ones(2, 1, 4), trine.ones(12, 4)
        >>> y, weights = multi_head_attention_forward(x, x, x, 4, 2, w, None, None, None, False, 0.0, trine.ones(4, 4), None)
        >>> y.shape, weights.shape
        (trine.Size([2, 1, 4]), trine.Size([1, 2, 2]))
    """
    packed = not use_separate_proj_weight
    _check_shapes(query, key, value, num_heads, embed_dim_to_check, packed)
    check_masks(_NAME, query, key_padding_mask, attn_mask)
    if is_causal and attn_mask is None:
        raise _CausalError(message(f"{_NAME}: need attn_mask if specifying the is_causal hint", fix="generate_square_subsequent_mask()"))
    if (bias_k is None) != (bias_v is None) or (bias_k is not None and (static_k is not None or static_v is not None)):
        raise ArgumentError(message(f"{_NAME}: bias_k and bias_v", expected="both or none, and none with static keys or values"))
    uses_hint = is_causal and key_padding_mask is None and not need_weights
    mask = None if uses_hint else attn_mask
    is_batched = query.dim() == 3
    distinct = [query] if key is query else [query, key]
    sources = (0, len(distinct) - 1, 0 if value is query else 1 if value is key and len(distinct) == 2 else len(distinct))
    if sources[2] == len(distinct):
        distinct.append(value)
    if not is_batched:
        batch_axis = 0 if _batch_first else 1
        distinct = [x.unsqueeze(batch_axis) for x in distinct]
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    weights = [in_proj_weight] if packed else [q_proj_weight, k_proj_weight, v_proj_weight]
    if any(w is None for w in weights):
        raise ArgumentError(message(f"{_NAME}: a projection weight is missing", expected="in_proj_weight, or all three weights"))
    optional = (in_proj_bias, bias_k, bias_v, static_k, static_v, out_proj_weight, out_proj_bias, key_padding_mask, mask)
    operands: list[Any] = [*distinct, *weights, *(t for t in optional if t is not None)]
    drops = training and dropout_p > 0
    if drops:
        batch = distinct[0].shape[0 if _batch_first else 1]
        added = (bias_k is not None) + bool(add_zero_attn)
        positions = distinct[sources[1]].shape[1 if _batch_first else 0] if static_k is None else static_k.shape[1]
        count = batch * num_heads * distinct[0].shape[1 if _batch_first else 0] * (positions + added)
        operands += [*stream(count), float(dropout_p)]
    spec = Heads(
        num_heads,
        sources,
        packed,
        in_proj_bias is not None,
        out_proj_bias is not None,
        bias_k is not None,
        static_k is not None,
        static_v is not None,
        key_padding_mask is not None,
        mask is not None,
        drops,
        bool(add_zero_attn),
        uses_hint,
        bool(need_weights),
        bool(average_attn_weights),
        _batch_first,
    )
    results = record(multi_head_nodes, operands, spec)
    output, attention = results[0], results[1] if need_weights else None
    if not is_batched:
        output = output.squeeze(0 if _batch_first else 1)
        attention = None if attention is None else attention.squeeze(0)
    return output, attention


class _CausalError(ArgumentError, RuntimeError):
    """PyTorch raises RuntimeError for a hint without a mask."""
