"""The inverse gamma distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.gamma import Gamma
from trine.distributions.transformed_distribution import TransformedDistribution
from trine.distributions.transforms import PowerTransform
from trine.ops import digamma, lgamma, where
from trine.tensor import Tensor


class InverseGamma(TransformedDistribution):
    """The reciprocal of a gamma-distributed number.

    Args:
        concentration, rate: of that number.

    >>> InverseGamma(3.0, 4.0).mean
    tensor(2.)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        base = Gamma(concentration, rate, validate_args=validate_args)
        super().__init__(base, PowerTransform(base.rate.new_full((), -1.0)), validate_args=validate_args)

    @property
    def concentration(self) -> Tensor:
        """Shape."""
        value: Tensor = self.base_dist.concentration
        return value

    @property
    def rate(self) -> Tensor:
        """Rate."""
        value: Tensor = self.base_dist.rate
        return value

    @property
    def mean(self) -> Tensor:
        """The mean (infinite for a concentration of 1 or less)."""
        mean: Tensor = where(self.concentration > 1, self.rate / (self.concentration - 1), math.inf)
        return mean

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        """The variance (infinite for a concentration of 2 or less)."""
        shape = self.concentration
        variance: Tensor = where(shape > 2, self.rate.square() / ((shape - 1).square() * (shape - 2)), math.inf)
        return variance

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        shape = self.concentration
        return shape + self.rate.log() + lgamma(shape) - (1 + shape) * digamma(shape)  # type: ignore[no-any-return]
