"""Student's t distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.chi2 import Chi2
from trine.distributions.distribution import Distribution
from trine.distributions.utils import broadcast_all
from trine.ops import digamma, full_like, lgamma, log1p, randn, rsqrt, where
from trine.tensor import Tensor


class StudentT(Distribution):
    """Student's t distribution with `df` degrees of freedom.

    >>> StudentT(4.0).variance
    tensor(2.)
    """

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        self._chi2 = Chi2(self.df, validate_args=validate_args)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean (NaN for df of 1 or less)."""
        return where(self.df <= 1, full_like(self.loc, math.nan), self.loc)  # type: ignore[no-any-return]

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance (infinite for df of 2 or less, NaN for 1 or less)."""
        df = self.df
        safe = where(df > 2, df, full_like(df, 3.0))
        found = self.scale.pow(2) * safe / (safe - 2)
        return where(df > 2, found, where(df > 1, full_like(df, math.inf), full_like(df, math.nan)))  # type: ignore[no-any-return]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        x = randn(self._extended_shape(sample_shape), dtype=self.df.dtype)
        return self.loc + self.scale * (x * rsqrt(self._chi2.rsample(sample_shape) / self.df))

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        y, df = (self._checked(value) - self.loc) / self.scale, self.df
        normalizer = self.scale.log() + 0.5 * df.log() + 0.5 * math.log(math.pi) + lgamma(0.5 * df) - lgamma(0.5 * (df + 1.0))
        return -0.5 * (df + 1.0) * log1p(y**2.0 / df) - normalizer  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        df = self.df
        beta = lgamma(0.5 * df) + math.lgamma(0.5) - lgamma(0.5 * (df + 1))
        return self.scale.log() + 0.5 * (df + 1) * (digamma(0.5 * (df + 1)) - digamma(0.5 * df)) + 0.5 * df.log() + beta  # type: ignore[no-any-return]
