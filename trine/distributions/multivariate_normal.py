"""The multivariate normal distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.distribution import Distribution
from trine.distributions.utils import lazy_property
from trine.errors import ArgumentError, ShapeError, message
from trine.ops import broadcast_shapes, eye, flip, randn
from trine.ops.decomposition import cholesky
from trine.ops.solving import solve_triangular
from trine.tensor import Tensor


def matrix_vector(matrix: Any, vector: Any) -> Any:
    """Return products of matrices and vectors."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def mahalanobis(tril: Tensor, x: Any) -> Tensor:
    """Return the squared norms of ``tril**-1 x``."""
    if tril.dim() == 2:  # one factor for all vectors: one solution with many right-hand sides
        flat = x.reshape(-1, x.shape[-1])
        norms: Tensor = solve_triangular(tril, flat.transpose(0, 1), upper=False).pow(2).sum(0).reshape(tuple(x.shape[:-1]))
        return norms
    shape = broadcast_shapes(tuple(tril.shape[:-2]), tuple(x.shape[:-1]))
    column = x.unsqueeze(-1).expand((*shape, x.shape[-1], 1))
    found: Tensor = solve_triangular(tril.expand((*shape, *tril.shape[-2:])), column, upper=False).pow(2).sum((-2, -1))
    return found


def half_log_det(tril: Tensor) -> Tensor:
    """Return the logarithms of the determinants of triangular factors."""
    logarithm: Tensor = tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return logarithm


def precision_to_scale_tril(precision: Tensor) -> Tensor:
    """Return the Cholesky factor of the inverse of a matrix."""
    factor = flip(cholesky(flip(precision, (-2, -1))), (-2, -1)).transpose(-2, -1)
    identity = eye(precision.shape[-1], dtype=precision.dtype).expand(tuple(precision.shape))
    return solve_triangular(factor, identity, upper=False)


class MultivariateNormal(Distribution):
    """The normal distribution of vectors.

    Args:
        loc: mean (..., N). covariance_matrix, precision_matrix, scale_tril: one of them, (..., N, N).

    Raises:
        ArgumentError: not exactly one matrix is given. ShapeError: a ValueError; loc is no vector or the matrix none.

    >>> import trine
    >>> MultivariateNormal(trine.zeros(2), trine.eye(2)).log_prob(trine.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ShapeError(message("loc must be at least one-dimensional", received=f"shape {tuple(loc.shape)}"))
        name, matrix = one_matrix(covariance_matrix, precision_matrix, scale_tril)
        batch = broadcast_shapes(tuple(matrix.shape[:-2]), tuple(loc.shape[:-1]))
        self.loc: Tensor = loc.expand((*batch, loc.shape[-1]))
        self.__dict__[name] = matrix.expand((*batch, *matrix.shape[-2:]))
        super().__init__(batch, self.loc.shape[-1:], validate_args=validate_args)
        self._factor = [factor_of(name, matrix)]

    @property
    def _unbroadcasted_scale_tril(self) -> Tensor:
        return self._factor[0]

    def _whole(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *self._event_shape, *self._event_shape))  # type: ignore[no-any-return]

    @lazy_property
    def scale_tril(self) -> Tensor:
        """Cholesky factor of the covariance."""
        return self._whole(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """Covariance."""
        tril = self._unbroadcasted_scale_tril
        return self._whole(tril @ tril.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """Inverse of the covariance."""
        tril = self._unbroadcasted_scale_tril
        inverse = solve_triangular(tril, eye(tril.shape[-1], dtype=tril.dtype).expand(tuple(tril.shape)), upper=False)
        return self._whole(inverse.mT @ inverse)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variances."""
        variance: Tensor = self._unbroadcasted_scale_tril.pow(2).sum(-1).expand(self._extended_shape())
        return variance

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        noise = randn(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + matrix_vector(self._unbroadcasted_scale_tril, noise)  # type: ignore[no-any-return]

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        tril = self._unbroadcasted_scale_tril
        distance = mahalanobis(tril, self._checked(value) - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + distance) - half_log_det(tril)

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        entropy = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + half_log_det(self._unbroadcasted_scale_tril)
        return entropy.expand(tuple(self._batch_shape)) if self._batch_shape else entropy


def one_matrix(covariance: Any, precision: Any, tril: Any) -> tuple[str, Tensor]:
    """Return the name and value of the matrix that is given."""
    given = {"covariance_matrix": covariance, "precision_matrix": precision, "scale_tril": tril}
    found = {k: v for k, v in given.items() if v is not None}
    if len(found) != 1:
        what = "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified"
        raise ArgumentError(message(what, received=list(found) or "none"))
    ((name, matrix),) = found.items()
    if matrix.dim() < 2:
        raise ShapeError(message(f"{name} must be at least two-dimensional", received=f"shape {tuple(matrix.shape)}"))
    return name, matrix


def factor_of(name: str, matrix: Tensor) -> Tensor:
    """Return the Cholesky factor of the covariance."""
    if name == "scale_tril":
        return matrix
    return cholesky(matrix) if name == "covariance_matrix" else precision_to_scale_tril(matrix)
