"""The Fisher-Snedecor distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.distribution import Distribution
from trine.distributions.gamma import Gamma
from trine.distributions.utils import broadcast_all
from trine.ops import full_like, lgamma, log, log1p, where
from trine.ops.dtype_info import finfo
from trine.tensor import Tensor


class FisherSnedecor(Distribution):
    """The ratio of two chi-squared numbers, each over its degrees of freedom.

    >>> FisherSnedecor(2.0, 4.0).mean
    tensor(2.)
    """

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        self.df1, self.df2 = broadcast_all(df1, df2)
        self._gamma1 = Gamma(self.df1 * 0.5, self.df1, validate_args=validate_args)
        self._gamma2 = Gamma(self.df2 * 0.5, self.df2, validate_args=validate_args)
        super().__init__(self.df1.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean (NaN for df2 of 2 or less)."""
        df2 = where(self.df2 <= 2, full_like(self.df2, math.nan), self.df2)
        return df2 / (df2 - 2)  # type: ignore[no-any-return]

    @property
    def mode(self) -> Tensor:
        """The most likely value (NaN for df1 of 2 or less)."""
        mode = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return where(self.df1 <= 2, full_like(mode, math.nan), mode)  # type: ignore[no-any-return]

    @property
    def variance(self) -> Tensor:
        """The variance (NaN for df2 of 4 or less)."""
        df2 = where(self.df2 <= 4, full_like(self.df2, math.nan), self.df2)
        return 2 * df2.pow(2) * (self.df1 + df2 - 2) / (self.df1 * (df2 - 2).pow(2) * (df2 - 4))  # type: ignore[no-any-return]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        tiny = finfo(self.df1.dtype).tiny
        sample: Tensor = (self._gamma1.rsample(sample_shape) / self._gamma2.rsample(sample_shape).clamp(min=tiny)).clamp(min=tiny)
        return sample

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        value = self._checked(value)
        a, b, ratio = self.df1 * 0.5, self.df2 * 0.5, self.df1 / self.df2
        constant = lgamma(a + b) - lgamma(a) - lgamma(b) + a * ratio.log()
        return constant + (a - 1) * log(value) - (a + b) * log1p(ratio * value)  # type: ignore[no-any-return]
