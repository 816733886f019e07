"""The generalized Pareto distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.distribution import Distribution
from trine.distributions.utils import broadcast_all
from trine.ops import exp, expm1, full_like, log, log1p, rand, where
from trine.tensor import Tensor


class GeneralizedPareto(Distribution):
    """Exceedances of a threshold.

    Args:
        loc: the threshold. scale: positive. concentration: of the tail (0 is exponential).

    >>> GeneralizedPareto(0.0, 1.0, 0.0).mean
    tensor(1.)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def _safe(self) -> tuple[Tensor, Tensor]:
        """Return where the concentration is 0, and it with 1 in these places."""
        is_zero = self.concentration.abs() <= 1e-8
        return is_zero, where(is_zero, full_like(self.concentration, 1.0), self.concentration)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From the threshold on (to an end, for a negative concentration)."""
        end = self.loc - self.scale / self.concentration
        return constraints.interval(self.loc, where(self.concentration < 0, end, full_like(end, math.inf)))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        return self.icdf(rand(self._extended_shape(sample_shape), dtype=self.loc.dtype))

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        z = (self._checked(value) - self.loc) / self.scale
        is_zero, safe = self._safe()
        power = 1 / safe + 1
        return -self.scale.log() - where(is_zero, z, where(power.eq(0), power * z, power * log1p(safe * z)))  # type: ignore[no-any-return]

    def log_survival_function(self, value: Any) -> Tensor:
        """Return the logarithm of the probability of values above these."""
        z = (self._checked(value) - self.loc) / self.scale
        is_zero, safe = self._safe()
        return where(is_zero, -z, -log1p(safe * z) / safe)  # type: ignore[no-any-return]

    def log_cdf(self, value: Any) -> Tensor:
        """Return the logarithm of `cdf`."""
        return log1p(-exp(self.log_survival_function(value)))

    def cdf(self, value: Any) -> Tensor:
        """Return the probability of values up to these."""
        return exp(self.log_cdf(value))

    def icdf(self, value: Any) -> Tensor:
        """Return the values with these cumulative probabilities."""
        is_zero, safe = self._safe()
        tail = log1p(-value)
        return where(is_zero, self.loc - self.scale * tail, self.loc + self.scale / safe * expm1(-safe * tail))  # type: ignore[no-any-return]

    @property
    def mean(self) -> Tensor:
        """The mean (NaN for a concentration of 1 or more)."""
        shape = self.concentration
        return where(shape < 1, self.loc + self.scale / (1 - where(shape < 1, shape, shape * 0)), full_like(shape, math.nan))  # type: ignore[no-any-return]

    @property
    def variance(self) -> Tensor:
        """The variance (NaN for a concentration of 1/2 or more)."""
        shape = self.concentration
        safe = where(shape < 0.5, shape, shape * 0)
        return where(shape < 0.5, self.scale**2 / ((1 - safe) ** 2 * (1 - 2 * safe)), full_like(shape, math.nan))  # type: ignore[no-any-return]

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return self.loc

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        return log(self.scale) + self.concentration + 1
