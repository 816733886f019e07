"""The attention layer."""

from __future__ import annotations

from typing import Any

from trine.errors import ArgumentError, message
from trine.nn import init
from trine.nn.linear import Linear
from trine.nn.module import Module
from trine.nn.parameter import Parameter
from trine.ops.creation import empty
from trine.ops.multi_head_attention import multi_head_attention_forward
from trine.tensor import Tensor


class MultiheadAttention(Module):
    """Attention of several heads between projections (Vaswani et al., 2017).

    Args:
        embed_dim, num_heads: width of the query and the output, and in how many heads it is split. dropout: of the weights, in training.
        bias: of the projections. add_bias_kv: a learnt position is added to keys and values. add_zero_attn: a position of zeros is.
        kdim, vdim: widths of keys and values, default `embed_dim`. batch_first: (N, L, E) instead of (L, N, E).

    Shape:
        query (L, N, E) or (L, E), key (S, N, kdim), value (S, N, vdim); output (L, N, E), weights (N, L, S).

    >>> import trine
    >>> x = trine.ones(2, 5, 4)
    >>> output, weights = trine.nn.MultiheadAttention(4, 2, batch_first=True)(x, x, x)
    >>> output.shape, weights.shape
    (trine.Size([2, 5, 4]), trine.Size([2, 5, 5]))
    """

    in_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            received = f"embed_dim={embed_dim}, num_heads={num_heads}"
            raise ArgumentError(message("embed_dim and num_heads must be greater than 0", received=received))
        if embed_dim % num_heads:
            received = f"embed_dim={embed_dim}, num_heads={num_heads}"
            raise _NotDivisible(message("embed_dim must be divisible by num_heads", received=received))
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.kdim, self.vdim = embed_dim if kdim is None else kdim, embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.head_dim, self.add_zero_attn = embed_dim // num_heads, add_zero_attn

        def parameter(*shape: int) -> Parameter:
            return Parameter(empty(*shape, device=device, dtype=dtype))

        weights = {"q_proj_weight": embed_dim, "k_proj_weight": self.kdim, "v_proj_weight": self.vdim}
        if self._qkv_same_embed_dim:
            self.in_proj_weight = parameter(3 * embed_dim, embed_dim)
            for name in weights:
                self.register_parameter(name, None)
        else:
            for name, width in weights.items():
                self.register_parameter(name, parameter(embed_dim, width))
            self.register_parameter("in_proj_weight", None)
        self.register_parameter("in_proj_bias", parameter(3 * embed_dim) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.bias_k = parameter(1, 1, embed_dim) if add_bias_kv else None
        self.bias_v = parameter(1, 1, embed_dim) if add_bias_kv else None
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None and self.out_proj.bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the output, and the weights (or None).

        Args:
            key_padding_mask: (N, S), True: is padding. attn_mask: (L, S) or (N * num_heads, L, S), True: may not attend. Masks of floating
                point numbers are added to the scores.
            need_weights: False returns None for the weights. average_attn_weights: False gives (N, num_heads, L, S).
            is_causal: a hint that `attn_mask` is the causal mask.
        """
        return multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
            _batch_first=self.batch_first and query.dim() == 3,
        )


class _NotDivisible(ArgumentError, AssertionError):
    """PyTorch raises AssertionError where the heads do not divide the width."""
