"""Distances as modules."""

from __future__ import annotations

from trine.nn import functional as F
from trine.nn.module import Module
from trine.tensor import Tensor


class CosineSimilarity(Module):
    """Cosine of the angle between vectors along `dim`; norms count as at least `eps`.

    >>> import trine
    >>> trine.nn.CosineSimilarity()(trine.tensor([[3.0, 4.0]]), trine.tensor([[4.0, 3.0]]))
    tensor([0.9600])
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """p-norm of the differences along the last axis.

    >>> import trine
    >>> trine.nn.PairwiseDistance()(trine.tensor([[3.0, 0.0]]), trine.tensor([[0.0, 4.0]]))
    tensor([5.])
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
