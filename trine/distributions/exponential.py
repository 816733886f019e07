"""The exponential distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.exp_family import ExponentialFamily
from trine.distributions.utils import broadcast_all
from trine.ops import exp, log1p, rand, zeros_like
from trine.tensor import Tensor


class Exponential(ExponentialFamily):
    """Waiting times of events that come with a `rate`.

    >>> Exponential(4.0).mean
    tensor(0.2500)
    """

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        mean: Tensor = self.rate.reciprocal()
        return mean

    @property
    def mode(self) -> Tensor:
        """The most likely value: 0."""
        return zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.mean

    @property
    def variance(self) -> Tensor:
        """The variance."""
        variance: Tensor = self.rate.pow(-2)
        return variance

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        return -log1p(-rand(self._extended_shape(sample_shape), dtype=self.rate.dtype)) / self.rate

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        return self.rate.log() - self.rate * self._checked(value)  # type: ignore[no-any-return]

    def cdf(self, value: Any) -> Tensor:
        """Return the probability of values up to these."""
        return 1 - exp(-self.rate * self._checked(value))

    def icdf(self, value: Any) -> Tensor:
        """Return the values with these cumulative probabilities."""
        return -log1p(-value) / self.rate

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        return 1.0 - self.rate.log()  # type: ignore[no-any-return]

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (-self.rate,)

    def _log_normalizer(self, x: Any) -> Tensor:
        return -(-x).log()  # type: ignore[no-any-return]
