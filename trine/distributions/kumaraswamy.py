"""The Kumaraswamy distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.transform import AffineTransform, PowerTransform
from trine.distributions.transformed_distribution import TransformedDistribution
from trine.distributions.uniform import Uniform
from trine.distributions.utils import broadcast_all, euler_constant
from trine.ops import digamma, exp, full_like, lgamma, log, where
from trine.tensor import Tensor


class Kumaraswamy(TransformedDistribution):
    """A relative of the beta distribution with a simple distribution function.

    >>> Kumaraswamy(1.0, 1.0).mean
    tensor(0.5000)
    """

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        base = Uniform(full_like(self.concentration0, 0), full_like(self.concentration0, 1), validate_args=validate_args)
        first, last = PowerTransform(self.concentration0.reciprocal()), PowerTransform(self.concentration1.reciprocal())
        super().__init__(base, [first, AffineTransform(1.0, -1.0), last], validate_args=validate_args)

    def _moment(self, n: int) -> Tensor:
        a, b = 1 + n / self.concentration1, self.concentration0
        return b * exp(lgamma(a) + lgamma(b) - lgamma(a + b))

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        """The most likely value (NaN where it is at an end)."""
        a, b = self.concentration1, self.concentration0
        logarithm = b.reciprocal() * (-b).log1p() - (-b * a).log1p()
        return exp(where((b < 1) | (a < 1), full_like(a, math.nan), logarithm))

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self._moment(2) - self.mean**2

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        t1, t0 = (1 - c.reciprocal() for c in (self.concentration1, self.concentration0))
        harmonic = digamma(self.concentration0 + 1) + euler_constant
        return t0 + t1 * harmonic - log(self.concentration1) - log(self.concentration0)  # type: ignore[no-any-return]
