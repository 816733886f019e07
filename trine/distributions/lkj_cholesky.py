"""The LKJ distribution of Cholesky factors of correlation matrices."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.beta import Beta
from trine.distributions.distribution import Distribution
from trine.distributions.utils import broadcast_all, counting
from trine.errors import ArgumentError, message
from trine.ops import cat, diag_embed, lgamma, mvlgamma, randn
from trine.ops.dtype_info import finfo
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad


class LKJCholesky(Distribution):
    """Cholesky factors of random correlation matrices.

    Args:
        dim: size of the matrices. concentration: 1 is uniform over correlation matrices.

    Source: Lewandowski, Kurowicka and Joe, "Generating random correlation matrices based on vines and extended onion method", 2009.

    >>> LKJCholesky(3).sample().shape
    trine.Size([3, 3])
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None) -> None:
        if dim < 2:
            raise ArgumentError(message("Expected dim to be an integer greater than or equal to 2", received=dim))
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        marginal = self.concentration + 0.5 * (dim - 2)
        offset = counting(dim - 1, self.concentration)
        offset = cat([offset.new_zeros((1,)), offset])
        self._beta = Beta(offset + 0.5, marginal.unsqueeze(-1) - 0.5 * offset, validate_args=False)
        super().__init__(self.concentration.shape, (dim, dim), validate_args=validate_args)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples (by the onion method)."""
        with no_grad():
            radius = self._beta.sample(sample_shape).unsqueeze(-1)
            normals = randn(self._extended_shape(sample_shape), dtype=radius.dtype).tril(-1)
            norms = (normals * normals).sum(-1, keepdim=True).sqrt()
            w = radius.sqrt() * normals / norms.clamp(min=finfo(norms.dtype).tiny)
            diagonal = (1 - (w * w).sum(-1)).clamp(min=finfo(w.dtype).tiny).sqrt()
            return w + diag_embed(diagonal)  # type: ignore[no-any-return]

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        diagonal = self._checked(value).diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - (counting(self.dim - 1, self.concentration) + 2)
        count = self.dim - 1
        alpha = self.concentration + 0.5 * count
        normalizer = 0.5 * count * math.log(math.pi) + mvlgamma(alpha - 0.5, count) - lgamma(alpha) * count
        return (order * diagonal.log()).sum(-1) - normalizer  # type: ignore[no-any-return]
