"""Dropout layers."""

from __future__ import annotations

from typing import Any

from trine.nn import functional as F
from trine.nn.module import Module
from trine.tensor import Tensor


class _DropoutNd(Module):
    """What dropout layers share: a probability, and `function(input, p, training, inplace)`."""

    function: Any

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, self.p, self.training, self.inplace)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """In training, sets elements to zero with probability p and scales the others by 1 / (1 - p) (Srivastava et al., 2014).

    >>> import trine
    >>> trine.nn.Dropout(1.0)(trine.ones(3))
    tensor([0., 0., 0.])
    """

    function = F.dropout


class Dropout1d(_DropoutNd):
    """In training, sets whole channels of ``(N, C, L)`` or ``(C, L)`` to zero (Tompson et al., 2015)."""

    function = F.dropout1d


class Dropout2d(_DropoutNd):
    """In training, sets whole channels of ``(N, C, H, W)`` or ``(C, H, W)`` to zero (Tompson et al., 2015)."""

    function = F.dropout2d


class Dropout3d(_DropoutNd):
    """In training, sets whole channels of ``(N, C, D, H, W)`` or ``(C, D, H, W)`` to zero."""

    function = F.dropout3d


class AlphaDropout(_DropoutNd):
    """Dropout that keeps mean and variance of `SELU` activations (Klambauer et al., 2017)."""

    function = F.alpha_dropout


class FeatureAlphaDropout(_DropoutNd):
    """`AlphaDropout` of whole channels."""

    function = F.feature_alpha_dropout
