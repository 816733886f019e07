"""Attention with a function of one's own for the scores, and a mask made by a function (Dong et al., 2024).

The functions are called once, on tensors of all positions; the compiler fuses what they compute into the attention.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ShapeError, message
from trine.ops.attention import masked_softmax, score_nodes, weighted_values
from trine.ops.creation import arange
from trine.ops.promotion import number
from trine.tensor import Tensor, record

__all__ = ["BlockMask", "and_masks", "create_block_mask", "create_mask", "flex_attention", "noop_mask", "or_masks"]

ScoreFunction = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
MaskFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _positions(batch: int, heads: int, length: int, others: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the numbers of batch, head, query and key, which broadcast to (batch, heads, length, others)."""
    numbers = (arange(batch), arange(heads), arange(length), arange(others))
    return tuple(n.reshape(*(-1 if axis == k else 1 for axis in range(4))) for k, n in enumerate(numbers))


def create_mask(mod_fn: MaskFunction, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None) -> Tensor:
    """Return the mask (B, H, Q_LEN, KV_LEN) of a function of batch, head, query and key; True: may attend. None counts as 1.

    >>> create_mask(lambda b, h, q, kv: q >= kv, None, None, 2, 2).tolist()
    [[[[True, False], [True, True]]]]
    """
    shape = (B or 1, H or 1, Q_LEN, KV_LEN)
    mask = mod_fn(*_positions(*shape))
    return mask.to(dtypes.bool_).expand(*shape)  # type: ignore[no-any-return]


class BlockMask:
    """A mask made by a function; `create_block_mask` makes it.

    Attributes:
        mask_mod: the function. shape: (B, H, Q_LEN, KV_LEN). BLOCK_SIZE: accepted.
    """

    def __init__(self, mask: Tensor, mask_mod: MaskFunction, block_size: Any) -> None:
        self.mask, self.mask_mod, self.BLOCK_SIZE = mask, mask_mod, block_size

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, H, Q_LEN, KV_LEN)."""
        return tuple(self.mask.shape)

    def to_dense(self) -> Tensor:
        """Return the mask as a tensor of bool."""
        return self.mask

    def to(self, device: Any) -> BlockMask:
        """Return the mask: everything is on the CPU."""
        return self

    def sparsity(self) -> float:
        """Return how many percent of the positions are masked."""
        share: float = self.mask.to(dtypes.float32).mean().item()
        return 100 * (1 - share)

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"


def create_block_mask(
    mask_mod: MaskFunction,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
    BLOCK_SIZE: Any = 128,
    _compile: bool = False,
) -> BlockMask:
    """Return a mask for `flex_attention` from a function of batch, head, query and key numbers.

    >>> create_block_mask(lambda b, h, q, kv: q >= kv, None, None, 4, 4).shape
    (1, 1, 4, 4)
    """
    return BlockMask(create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device), mask_mod, BLOCK_SIZE)


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """Return True for every position."""
    return (token_q >= 0) & (token_kv >= 0)


def and_masks(*mask_mods: MaskFunction) -> MaskFunction:
    """Return the function of the positions that all functions allow."""

    def allowed(*numbers: Tensor) -> Tensor:
        result = noop_mask(*numbers)
        for mask_mod in mask_mods:
            result = result & mask_mod(*numbers)
        return result

    return allowed


def or_masks(*mask_mods: MaskFunction) -> MaskFunction:
    """Return the function of the positions that any function allows."""

    def allowed(*numbers: Tensor) -> Tensor:
        result = ~noop_mask(*numbers)
        for mask_mod in mask_mods:
            result = result | mask_mod(*numbers)
        return result

    return allowed


def _grouped(query: Node, x: Node) -> Node:
    batch, heads, length, width = x.shape
    repeats = query.shape[1] // heads
    return b.reshape(b.expand(b.unsqueeze(x, 2), (batch, heads, repeats, length, width)), (batch, heads * repeats, length, width))


def _scores(query: Node, key: Node, scale: float | None) -> Node:
    return score_nodes(query, _grouped(query, key), scale)


def _attended(*arguments: Any) -> tuple[Node, Node]:
    """Return the weighted values, and the logarithm of each row's sum of exponentials."""
    query, scores, value, *mask = arguments
    lowest = number(-math.inf, scores)
    if mask:
        scores = b.where(mask[0], scores, lowest)
    largest = b.stop_gradient(b.max(scores, (3,)))
    base = b.where(b.eq(largest, lowest), number(0, scores), largest)
    total = b.add(b.log(b.sum(b.exp(b.sub(scores, base)), (3,))), base)
    return weighted_values(masked_softmax(scores, 3), _grouped(query, value)), b.squeeze(total, 3)


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: ScoreFunction | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: Any = None,
) -> Any:
    """Return the attention whose scores a function changes.

    Args:
        query: (B, Hq, L, E); key: (B, H, S, E); value: (B, H, S, V).
        score_mod: ``score_mod(score, b, h, q_idx, kv_idx)`` returns the new score; it is called on tensors that broadcast.
        block_mask: which positions may attend. scale: 1 / sqrt(E) unless given. enable_gqa: key and value have fewer heads.
        return_lse: return the logarithms of the sums of exponentials (B, Hq, L) too.

    Raises:
        ShapeError: the shapes do not fit.

    >>> import trine
    >>> x = trine.ones(1, 1, 2, 2)
    >>> flex_attention(x, x, x, score_mod=lambda score, b, h, q, kv: score - (q - kv).abs()).shape
    trine.Size([1, 1, 2, 2])
    """
    heads = query.shape[1] if query.dim() == 4 and key.dim() == 4 and value.dim() == 4 else 0
    fits = heads and query.shape[3] == key.shape[3] and key.shape[:3] == value.shape[:3] and query.shape[0] == key.shape[0]
    if not fits or (heads % key.shape[1] if enable_gqa else heads != key.shape[1]):
        received = f"{tuple(query.shape)}, {tuple(key.shape)}, {tuple(value.shape)}"
        raise ShapeError(message("flex_attention", received=received, expected="(B, H, L, E), (B, H, S, E), (B, H, S, V)"))
    scores: Tensor = record(_scores, (query, key), None if scale is None else float(scale))
    if score_mod is not None:
        scores = score_mod(scores, *_positions(*scores.shape))
    mask = () if block_mask is None else (block_mask.mask,)
    output, total = record(_attended, (query, scores, value, *mask))
    return (output, total) if return_lse else output
