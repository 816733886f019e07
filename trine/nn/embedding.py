"""Embedding layers."""

from __future__ import annotations

from typing import Any

from trine.errors import ArgumentError, message
from trine.nn import functional as F
from trine.nn import init
from trine.nn.module import Module
from trine.nn.parameter import Parameter
from trine.ops.creation import empty
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad


class _Table(Module):
    """What the embedding layers share: a table of vectors and options."""

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        sparse: bool,
        weight: Tensor | None,
        freeze: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise _PaddingError(message(f"{name}: padding_idx", received=padding_idx, expected=f"within num_embeddings={num_embeddings}"))
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx + num_embeddings if padding_idx is not None and padding_idx < 0 else padding_idx
        self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse = max_norm, norm_type, scale_grad_by_freq, sparse
        if weight is None:
            self.weight = Parameter(empty(num_embeddings, embedding_dim, dtype=dtype, device=device), requires_grad=not freeze)
            self.reset_parameters()
            return
        if tuple(weight.shape) != (num_embeddings, embedding_dim):
            expected = f"({num_embeddings}, {embedding_dim})"
            what = f"{name}: shape of weight does not match num_embeddings and embedding_dim"
            raise _PaddingError(message(what, received=tuple(weight.shape), expected=expected))
        self.weight = Parameter(weight, requires_grad=not freeze)

    def reset_parameters(self) -> None:
        """Draw new initial values (standard normal; the padding row is zero)."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def _shown(self, *names: tuple[str, Any]) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text + "".join(f", {n}={getattr(self, n)!r}" for n, default in names if getattr(self, n) != default)


class _PaddingError(ArgumentError, AssertionError):
    """PyTorch raises AssertionError for a padding row or a weight that does not fit."""


def _matrix(name: str, embeddings: Tensor) -> tuple[int, int]:
    if embeddings.dim() != 2:
        received = f"shape {tuple(embeddings.shape)}"
        raise _PaddingError(message(f"{name}.from_pretrained: embeddings parameter is expected to be 2-dimensional", received=received))
    return embeddings.shape[0], embeddings.shape[1]


class Embedding(_Table):
    """A table of vectors, looked up by integer.

    Args:
        num_embeddings, embedding_dim: rows and columns of the table. padding_idx: a row that starts as zero and gets no gradient.
        max_norm: rows that are used are scaled down to this norm, in place; norm_type: which norm.
        scale_grad_by_freq: gradients are divided by how often their row is named. sparse: accepted; gradients are dense.

    Shape:
        input ``(*)`` integers, output ``(*, embedding_dim)``.

    >>> import trine
    >>> trine.nn.Embedding(10, 3)(trine.tensor([1, 2])).shape
    trine.Size([2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = (max_norm, norm_type, scale_grad_by_freq, sparse, _weight, _freeze, device, dtype)
        super().__init__(num_embeddings, embedding_dim, padding_idx, *options)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """Return an embedding with a given table ``(num_embeddings, embedding_dim)``; `freeze`: it is not learnt."""
        options: tuple[Any, ...] = (padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, embeddings, freeze)
        return cls(*_matrix("Embedding", embeddings), *options)

    def forward(self, input: Tensor) -> Tensor:
        options = (self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse)
        return F.embedding(input, self.weight, self.padding_idx, *options)

    def extra_repr(self) -> str:
        defaults = (("padding_idx", None), ("max_norm", None), ("norm_type", 2), ("scale_grad_by_freq", False))
        return self._shown(*defaults) + (", sparse=True" if self.sparse else "")


class EmbeddingBag(_Table):
    """Sums, means or maxima of vectors of a table, one for each bag of integers.

    Args:
        mode: "sum", "mean" or "max". include_last_offset: the last offset is the end of the last bag. padding_idx: a row that does not
            count. The others are those of `Embedding`.

    Shape:
        input (bags, length), or (total,) with offsets (bags,); output (bags, embedding_dim).

    >>> import trine
    >>> bag = trine.nn.EmbeddingBag(10, 3, mode="sum")
    >>> bag(trine.tensor([1, 2, 4, 5]), trine.tensor([0, 3])).shape
    trine.Size([2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = (max_norm, norm_type, scale_grad_by_freq, sparse, _weight, False, device, dtype)
        super().__init__(num_embeddings, embedding_dim, padding_idx, *options)
        self.mode, self.include_last_offset = mode, include_last_offset

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """Return a layer with a given table ``(num_embeddings, embedding_dim)``; `freeze`: it is not learnt."""
        options: tuple[Any, ...] = (max_norm, norm_type, scale_grad_by_freq, mode, sparse, embeddings, include_last_offset, padding_idx)
        made = cls(*_matrix("EmbeddingBag", embeddings), *options)
        made.weight.requires_grad_(not freeze)
        return made

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        defaults = (("max_norm", None), ("norm_type", 2), ("scale_grad_by_freq", False))
        text = f"{self._shown(*defaults)}, mode={self.mode!r}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"
