"""The half-normal distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.normal import Normal
from trine.distributions.transform import AbsTransform
from trine.distributions.transformed_distribution import TransformedDistribution
from trine.ops import where, zeros_like
from trine.tensor import Tensor


class HalfNormal(TransformedDistribution):
    """Absolute values of Normal-distributed numbers around 0.

    >>> import trine
    >>> HalfNormal(1.0).cdf(trine.tensor(0.0))
    tensor(0.)
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(Normal(0, scale, validate_args=False), AbsTransform(), validate_args=validate_args)

    @property
    def scale(self) -> Tensor:
        """Scale."""
        return self.base_dist.scale  # type: ignore[no-any-return]

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Tensor:
        """The most likely value: 0."""
        return zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.scale.pow(2) * (1 - 2 / math.pi)  # type: ignore[no-any-return]

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        value = self._checked(value)
        density: Tensor = where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)
        return density

    def cdf(self, value: Any) -> Tensor:
        """Return the probability of values up to these."""
        return 2 * self.base_dist.cdf(self._checked(value)) - 1  # type: ignore[no-any-return]

    def icdf(self, prob: Any) -> Tensor:
        """Return the values with these cumulative probabilities."""
        return self.base_dist.icdf((prob + 1) / 2)  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        return self.base_dist.entropy() - math.log(2)  # type: ignore[no-any-return]
