"""The Weibull distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.exponential import Exponential
from trine.distributions.transform import AffineTransform, PowerTransform
from trine.distributions.transformed_distribution import TransformedDistribution
from trine.distributions.utils import broadcast_all, euler_constant
from trine.ops import exp, lgamma, log, ones_like
from trine.tensor import Tensor


class Weibull(TransformedDistribution):
    """The Weibull distribution.

    >>> Weibull(2.0, 1.0).mean
    tensor(2.)
    """

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        self.concentration_reciprocal: Tensor = self.concentration.reciprocal()
        base = Exponential(ones_like(self.scale), validate_args=validate_args)
        steps = [PowerTransform(self.concentration_reciprocal), AffineTransform(0, self.scale)]
        super().__init__(base, steps, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.scale * exp(lgamma(1 + self.concentration_reciprocal))

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return self.scale * ((self.concentration - 1) / self.concentration) ** self.concentration_reciprocal

    @property
    def variance(self) -> Tensor:
        """The variance."""
        power = self.concentration_reciprocal
        return self.scale.pow(2) * (exp(lgamma(1 + 2 * power)) - exp(2 * lgamma(1 + power)))  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        power = self.concentration_reciprocal
        return euler_constant * (1 - power) + log(self.scale * power) + 1
