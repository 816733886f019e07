"""Embedding layer."""

from __future__ import annotations

from typing import Any

from trine.errors import ArgumentError, UnsupportedError, message
from trine.nn import functional as F
from trine.nn import init
from trine.nn.module import Module
from trine.nn.parameter import Parameter
from trine.ops.creation import empty
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad


class Embedding(Module):
    """A table of vectors, looked up by integer.

    Args:
        num_embeddings, embedding_dim: rows and columns of the table. padding_idx: a row that stays zero and gets no gradient;
        max_norm, scale_grad_by_freq, sparse: not available.

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
        super().__init__()
        for name, value in (("max_norm", max_norm), ("scale_grad_by_freq", scale_grad_by_freq), ("sparse", sparse)):
            if value:
                raise UnsupportedError(message(f"Embedding: {name} is not available", received=value, expected="the default"))
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ArgumentError(message("Embedding: padding_idx", received=padding_idx, expected=f"within num_embeddings={num_embeddings}"))
        self.padding_idx = padding_idx + num_embeddings if padding_idx is not None and padding_idx < 0 else padding_idx
        if _weight is None:
            self.weight = Parameter(empty(num_embeddings, embedding_dim, dtype=dtype, device=device), requires_grad=not _freeze)
            self.reset_parameters()
        else:
            self.weight = Parameter(_weight, requires_grad=not _freeze)

    def reset_parameters(self) -> None:
        """Draw new initial values (standard normal; the padding row is zero)."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """Return an embedding with a given table ``(num_embeddings, embedding_dim)``."""
        if embeddings.ndim != 2:
            raise ArgumentError(message("Embedding.from_pretrained", received=f"shape {tuple(embeddings.shape)}", expected="2 axes"))
        rows, columns = embeddings.shape
        return cls(rows, columns, padding_idx, _weight=embeddings, _freeze=freeze)

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"
