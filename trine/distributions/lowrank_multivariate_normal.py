"""The multivariate normal distribution with a covariance of low rank plus a diagonal."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.distribution import Distribution
from trine.distributions.multivariate_normal import half_log_det, mahalanobis, matrix_vector
from trine.distributions.utils import lazy_property
from trine.errors import ShapeError, message
from trine.ops import broadcast_shapes, diag_embed, eye, randn
from trine.ops.decomposition import cholesky
from trine.ops.solving import solve_triangular
from trine.tensor import Tensor


class LowRankMultivariateNormal(Distribution):
    """The normal distribution of vectors with the covariance ``cov_factor @ cov_factor.T + diag(cov_diag)``.

    Args:
        loc: mean (..., N). cov_factor: (..., N, M). cov_diag: (..., N), positive.

    >>> import trine
    >>> LowRankMultivariateNormal(trine.zeros(2), trine.ones(2, 1), trine.ones(2)).variance
    tensor([2., 2.])
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None) -> None:
        if loc.dim() < 1 or cov_factor.dim() < 2:
            what = "loc must be at least one-dimensional, cov_factor at least two-dimensional"
            raise ShapeError(message(what, received=f"shapes {tuple(loc.shape)} and {tuple(cov_factor.shape)}"))
        n = loc.shape[-1]
        if cov_factor.shape[-2] != n or cov_diag.shape[-1] != n:
            received = f"cov_factor {tuple(cov_factor.shape)}, cov_diag {tuple(cov_diag.shape)}"
            raise ShapeError(message("cov_factor and cov_diag do not fit loc", received=received, expected=f"(..., {n}, M) and (..., {n})"))
        batch = broadcast_shapes(tuple(loc.shape[:-1]), tuple(cov_factor.shape[:-2]), tuple(cov_diag.shape[:-1]))
        self.loc: Tensor = loc.expand((*batch, n))
        self.cov_factor: Tensor = cov_factor.expand((*batch, *cov_factor.shape[-2:]))
        self.cov_diag: Tensor = cov_diag.expand((*batch, n))
        weighted = cov_factor.mT / cov_diag.unsqueeze(-2)
        tril = cholesky(weighted @ cov_factor + eye(cov_factor.shape[-1], dtype=cov_factor.dtype))
        self._own = (cov_factor, cov_diag, tril)
        super().__init__(batch, (n,), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:
        """The variances."""
        factor, diagonal, _ = self._own
        variance: Tensor = (factor.pow(2).sum(-1) + diagonal).expand(self._extended_shape())
        return variance

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """Covariance."""
        factor, diagonal, _ = self._own
        return self._whole(factor @ factor.mT + diag_embed(diagonal))

    @lazy_property
    def scale_tril(self) -> Tensor:
        """Cholesky factor of the covariance."""
        return cholesky(self.covariance_matrix)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """Inverse of the covariance."""
        factor, diagonal, tril = self._own
        a = solve_triangular(tril, factor.mT / diagonal.unsqueeze(-2), upper=False)
        return self._whole(diag_embed(diagonal.reciprocal()) - a.mT @ a)

    def _whole(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *self._event_shape, *self._event_shape))  # type: ignore[no-any-return]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        factor, diagonal, _ = self._own
        shape = tuple(self._extended_shape(sample_shape))
        wide = randn((*shape[:-1], factor.shape[-1]), dtype=self.loc.dtype)
        return self.loc + matrix_vector(factor, wide) + diagonal.sqrt() * randn(shape, dtype=self.loc.dtype)  # type: ignore[no-any-return]

    def log_det(self) -> Tensor:
        """Return the logarithm of the covariance's determinant."""
        _, diagonal, tril = self._own
        return 2 * half_log_det(tril) + diagonal.log().sum(-1)  # type: ignore[no-any-return]

    def distance(self, x: Any) -> Tensor:
        """Return squared Mahalanobis norms."""
        factor, diagonal, tril = self._own
        inner = matrix_vector(factor.mT / diagonal.unsqueeze(-2), x)
        return (x.pow(2) / diagonal).sum(-1) - mahalanobis(tril, inner)  # type: ignore[no-any-return]

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        distance = self.distance(self._checked(value) - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + self.log_det() + distance)

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        entropy = 0.5 * (self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self.log_det())
        return entropy.expand(tuple(self._batch_shape)) if self._batch_shape else entropy
