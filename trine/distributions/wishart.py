"""The Wishart distribution."""

from __future__ import annotations

import math
import warnings
from typing import Any

from trine.distributions import constraints
from trine.distributions.chi2 import Chi2
from trine.distributions.exp_family import ExponentialFamily
from trine.distributions.multivariate_normal import factor_of, half_log_det, one_matrix
from trine.distributions.utils import counting, lazy_property
from trine.errors import ArgumentError, message
from trine.ops import broadcast_shapes, diag_embed, digamma, eye, full_like, mvlgamma, randn, where
from trine.ops.dtype_info import finfo
from trine.ops.matrix import slogdet
from trine.ops.solving import solve_triangular
from trine.tensor import Tensor
from trine.tensor.convert import tensor


class Wishart(ExponentialFamily):
    """Sums of outer products of `df` normal vectors.

    Args:
        df: degrees of freedom, above N - 1. covariance_matrix, precision_matrix, scale_tril: one of them, (..., N, N).

    >>> import trine
    >>> Wishart(trine.tensor(3.0), trine.eye(2)).mean
    tensor([[3., 0.],
            [0., 3.]])
    """

    support = constraints.positive_definite
    has_rsample = True

    @property
    def arg_constraints(self) -> Any:
        """Constraints of the parameters."""
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self.event_shape[-1] - 1),
        }

    def __init__(
        self,
        df: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        name, matrix = one_matrix(covariance_matrix, precision_matrix, scale_tril)
        n = matrix.shape[-1]
        degrees = df if isinstance(df, Tensor) else tensor(float(df), dtype=matrix.dtype)
        batch = broadcast_shapes(tuple(matrix.shape[:-2]), tuple(degrees.shape))
        self.df: Tensor = degrees.expand(batch)
        least = float(self.df.min().item())
        if least <= n - 1:
            raise ArgumentError(message(f"Value of df expected to be greater than ndim - 1 = {n - 1}", received=df))
        if least < n:
            warnings.warn("Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < ndim.", stacklevel=2)
        self.__dict__[name] = matrix.expand((*batch, n, n))
        super().__init__(batch, (n, n), validate_args=validate_args)
        self._factor = [factor_of(name, matrix)]

    @property
    def _unbroadcasted_scale_tril(self) -> Tensor:
        return self._factor[0]

    def _whole(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *self._event_shape))  # type: ignore[no-any-return]

    @lazy_property
    def scale_tril(self) -> Tensor:
        """Cholesky factor of the scale."""
        return self._whole(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The scale."""
        tril = self._unbroadcasted_scale_tril
        return self._whole(tril @ tril.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """Inverse of the scale."""
        inverse = self._solved(eye(self._event_shape[-1], dtype=self.df.dtype).expand(tuple(self._unbroadcasted_scale_tril.shape)))
        return self._whole(inverse.mT @ inverse)

    def _solved(self, matrix: Any) -> Tensor:
        tril = self._unbroadcasted_scale_tril
        shape = broadcast_shapes(tuple(tril.shape), tuple(matrix.shape))
        return solve_triangular(tril.expand(shape), matrix.expand(shape), upper=False)

    def _matrix_df(self) -> Tensor:
        return self.df.unsqueeze(-1).unsqueeze(-1)  # type: ignore[no-any-return]

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self._matrix_df() * self.covariance_matrix  # type: ignore[no-any-return]

    @property
    def mode(self) -> Tensor:
        """The most likely value (NaN where there is none)."""
        factor = self._matrix_df() - self._event_shape[-1] - 1
        return where(factor <= 0, full_like(factor, math.nan), factor) * self.covariance_matrix  # type: ignore[no-any-return]

    @property
    def variance(self) -> Tensor:
        """The variances of the elements."""
        scale = self.covariance_matrix
        diagonal = scale.diagonal(dim1=-2, dim2=-1)
        return self._matrix_df() * (scale.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))  # type: ignore[no-any-return]

    def rsample(self, sample_shape: Any = (), max_try_correction: Any = None) -> Tensor:
        """Return samples with gradients, by Bartlett's decomposition."""
        n = self._event_shape[-1]
        degrees = self.df.unsqueeze(-1) - counting(n, self.df)
        roots = Chi2(degrees, validate_args=False).rsample(sample_shape).sqrt().clamp(min=finfo(self.df.dtype).eps)
        lower = randn(self._extended_shape(sample_shape), dtype=self.df.dtype).tril(-1)
        factor = self._unbroadcasted_scale_tril @ (lower + diag_embed(roots))
        return factor @ factor.mT  # type: ignore[no-any-return]

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        value, nu, n = self._checked(value), self.df, self._event_shape[-1]
        inner = self._solved(self._solved(value).mT)  # L^-1 V L^-T, whose trace is that of the inverse scale times V
        trace = inner.diagonal(dim1=-2, dim2=-1).sum(-1)
        constant = nu * (n * math.log(2) / 2 + half_log_det(self._unbroadcasted_scale_tril)) + mvlgamma(nu / 2, n)
        return (nu - n - 1) / 2 * slogdet(value)[1] - constant - trace / 2  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        nu, n = self.df, self._event_shape[-1]
        half = (nu / 2).unsqueeze(-1) - counting(n, nu) / 2
        scale = (n + 1) * (n * math.log(2) / 2 + half_log_det(self._unbroadcasted_scale_tril))
        return scale + mvlgamma(nu / 2, n) - (nu - n - 1) / 2 * digamma(half).sum(-1) + nu * n / 2  # type: ignore[no-any-return]

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Any, y: Any) -> Tensor:
        n = self._event_shape[-1]
        shape = y + (n + 1) / 2
        return shape * (-slogdet(-2 * x)[1] + math.log(2) * n) + mvlgamma(shape, n)  # type: ignore[no-any-return]
