"""Transformers (Vaswani et al., 2017); with `norm_first`, the form of Xiong et al., 2020."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from trine.errors import ArgumentError, ShapeError, message
from trine.nn import functional as F
from trine.nn import init
from trine.nn.container import ModuleList
from trine.nn.dropout import Dropout
from trine.nn.linear import Linear
from trine.nn.module import Module
from trine.nn.multi_head_attention import MultiheadAttention
from trine.nn.normalization import LayerNorm
from trine.ops.creation import full
from trine.tensor import Tensor

Activation = str | Callable[[Tensor], Tensor]


def _activation(activation: Activation) -> Callable[[Tensor], Tensor]:
    if not isinstance(activation, str):
        return activation
    if activation not in ("relu", "gelu"):
        raise _UnknownActivation(message("activation should be relu/gelu", received=repr(activation), fix="pass a function"))
    return F.relu if activation == "relu" else F.gelu


class _UnknownActivation(ArgumentError, RuntimeError):
    """PyTorch raises RuntimeError for the name of an activation that it does not know."""


class _Layer(Module):
    """What encoder and decoder layers share: attention, two linear layers, and norms before or after each."""

    def __init__(
        self,
        num_attentions: int,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
        activation: Activation,
        layer_norm_eps: float,
        batch_first: bool,
        norm_first: bool,
        bias: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        for name in ("self_attn", "multihead_attn")[:num_attentions]:
            setattr(self, name, MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=batch_first, **options))
        self.linear1 = Linear(d_model, dim_feedforward, **options)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **options)
        self.norm_first = norm_first
        for k in range(1, num_attentions + 2):
            setattr(self, f"norm{k}", LayerNorm(d_model, eps=layer_norm_eps, **options))
        for k in range(1, num_attentions + 2):
            setattr(self, f"dropout{k}", Dropout(dropout))
        self.activation = _activation(activation)

    self_attn: MultiheadAttention
    norm1: LayerNorm
    norm2: LayerNorm
    dropout1: Dropout
    dropout2: Dropout

    def _attended(self, k: int, x: Tensor, memory: Tensor | None, mask: Tensor | None, padding: Tensor | None, causal: bool) -> Tensor:
        """Return what attention number k adds."""
        attention = self.self_attn if memory is None else self.multihead_attn
        other = x if memory is None else memory
        added, _ = attention(x, other, other, attn_mask=mask, key_padding_mask=padding, is_causal=causal, need_weights=False)
        return getattr(self, f"dropout{k}")(added)  # type: ignore[no-any-return]

    def _fed(self, k: int, x: Tensor) -> Tensor:
        """Return what the linear layers add."""
        return getattr(self, f"dropout{k}")(self.linear2(self.dropout(self.activation(self.linear1(x)))))  # type: ignore[no-any-return]

    def _around(self, k: int, x: Tensor, block: Callable[[Tensor], Tensor]) -> Tensor:
        """Return x with what a block adds, normalised before the block or after the sum."""
        norm = getattr(self, f"norm{k}")
        return x + block(norm(x)) if self.norm_first else norm(x + block(x))


class TransformerEncoderLayer(_Layer):
    """Self-attention and two linear layers, each with a norm and a shortcut around it.

    Args:
        d_model, nhead: width, and number of heads. dim_feedforward: width between the linear layers. dropout: probability, in training.
        activation: "relu", "gelu" or a function. layer_norm_eps: of the norms. batch_first: (N, S, E) instead of (S, N, E).
        norm_first: norms before the blocks instead of after them. bias: of linear layers and norms.

    >>> import trine
    >>> trine.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)(trine.ones(2, 3, 4)).shape
    trine.Size([2, 3, 4])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        rest = (dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype)
        super().__init__(1, d_model, nhead, *rest)

    def forward(
        self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        x = self._around(1, src, lambda x: self._attended(1, x, None, src_mask, src_key_padding_mask, is_causal))
        return self._around(2, x, lambda x: self._fed(2, x))


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the encoder's output, and two linear layers; arguments as for `TransformerEncoderLayer`.

    >>> import trine
    >>> layer = trine.nn.TransformerDecoderLayer(4, 2, 8, batch_first=True)
    >>> layer(trine.ones(2, 3, 4), trine.ones(2, 5, 4)).shape
    trine.Size([2, 3, 4])
    """

    multihead_attn: MultiheadAttention

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        rest = (dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype)
        super().__init__(2, d_model, nhead, *rest)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        x = self._around(1, tgt, lambda x: self._attended(1, x, None, tgt_mask, tgt_key_padding_mask, tgt_is_causal))
        x = self._around(2, x, lambda x: self._attended(2, x, memory, memory_mask, memory_key_padding_mask, memory_is_causal))
        return self._around(3, x, lambda x: self._fed(3, x))


def _clones(layer: Module, count: int) -> ModuleList:
    return ModuleList(copy.deepcopy(layer) for _ in range(count))


class TransformerEncoder(Module):
    """Copies of an encoder layer, one after another, and a norm.

    Args:
        encoder_layer: is copied `num_layers` times. norm: a last layer. enable_nested_tensor, mask_check: accepted.

    >>> import trine
    >>> layer = trine.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    >>> trine.nn.TransformerEncoder(layer, 2)(trine.ones(2, 3, 4)).shape
    trine.Size([2, 3, 4])
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _clones(encoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm
        self.enable_nested_tensor = self.use_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check

    def forward(
        self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None, is_causal: bool | None = None
    ) -> Tensor:
        for layer in self.layers:
            src = layer(src, src_mask=mask, is_causal=bool(is_causal), src_key_padding_mask=src_key_padding_mask)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """Copies of a decoder layer, one after another, and a norm; arguments as for `TransformerEncoder`.

    >>> import trine
    >>> layer = trine.nn.TransformerDecoderLayer(4, 2, 8, batch_first=True)
    >>> trine.nn.TransformerDecoder(layer, 2)(trine.ones(2, 3, 4), trine.ones(2, 5, 4)).shape
    trine.Size([2, 3, 4])
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _clones(decoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=bool(tgt_is_causal),
                memory_is_causal=memory_is_causal,
            )
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder and a decoder.

    Args:
        d_model, nhead: width, and number of heads. num_encoder_layers, num_decoder_layers: how many layers each has.
        custom_encoder, custom_decoder: modules in place of those made here. The others are those of `TransformerEncoderLayer`.

    Shape:
        src (S, N, E) or (S, E), tgt (T, N, E) or (T, E), output as tgt; (N, S, E) and (N, T, E) if `batch_first`.

    >>> import trine
    >>> model = trine.nn.Transformer(4, 2, 1, 1, 8, batch_first=True)
    >>> mask = trine.nn.Transformer.generate_square_subsequent_mask(3)
    >>> model(trine.ones(2, 5, 4), trine.ones(2, 3, 4), tgt_mask=mask).shape
    trine.Size([2, 3, 4])
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        rest = (dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first)

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, **options)

        if custom_encoder is None:
            custom_encoder = TransformerEncoder(TransformerEncoderLayer(d_model, nhead, *rest, **options), num_encoder_layers, norm())
        if custom_decoder is None:
            custom_decoder = TransformerDecoder(TransformerDecoderLayer(d_model, nhead, *rest, **options), num_decoder_layers, norm())
        self.encoder, self.decoder = custom_encoder, custom_decoder
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def _reset_parameters(self) -> None:
        for p in self.parameters():
            if p.dim() > 1:
                init.xavier_uniform_(p)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        batch_axis = 0 if self.batch_first else 1
        if src.dim() == 3 and src.shape[batch_axis] != tgt.shape[batch_axis]:
            received = f"src {tuple(src.shape)}, tgt {tuple(tgt.shape)}"
            raise ShapeError(message("the batch number of src and tgt must be equal", received=received))
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            received = f"src {tuple(src.shape)}, tgt {tuple(tgt.shape)}"
            what = "the feature number of src and tgt must be equal to d_model"
            raise ShapeError(message(what, received=received, expected=f"a last size of {self.d_model}"))
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal)
        return self.decoder(  # type: ignore[no-any-return]
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """Return the causal mask (sz, sz) that is added to scores: 0 on and below the diagonal, -inf above.

        >>> Transformer.generate_square_subsequent_mask(2).tolist()
        [[0.0, -inf], [0.0, 0.0]]
        """
        return full((sz, sz), -math.inf, dtype=dtype, device=device).triu(1)  # type: ignore[no-any-return]
