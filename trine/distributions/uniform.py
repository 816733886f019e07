"""The uniform distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.distribution import Distribution
from trine.distributions.utils import broadcast_all
from trine.errors import ArgumentError, message
from trine.ops import rand
from trine.tensor import Tensor


class Uniform(Distribution):
    """Numbers in [low, high).

    >>> Uniform(0.0, 4.0).mean
    tensor(2.)
    """

    has_rsample = True
    arg_constraints = {
        "low": constraints.dependent(is_discrete=False, event_dim=0),
        "high": constraints.dependent(is_discrete=False, event_dim=0),
    }

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)
        if self._validate_args and self._fails(constraints.greater_than(self.low), self.high):
            raise ArgumentError(message("Uniform is not defined when low >= high", received=f"low {self.low}, high {self.high}"))

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From low to high."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Tensor:
        """NaN: no value is more likely than others."""
        return self.high * float("nan")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return (self.high - self.low) / 12**0.5

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return (self.high - self.low).pow(2) / 12  # type: ignore[no-any-return]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        return self.low + rand(self._extended_shape(sample_shape), dtype=self.low.dtype) * (self.high - self.low)

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        value = self._checked(value)
        inside = (self.low <= value) & (self.high > value)
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()  # type: ignore[no-any-return]

    def cdf(self, value: Any) -> Tensor:
        """Return the probability of values up to these."""
        probability: Tensor = ((self._checked(value) - self.low) / (self.high - self.low)).clamp(min=0, max=1)
        return probability

    def icdf(self, value: Any) -> Tensor:
        """Return the values with these cumulative probabilities."""
        return value * (self.high - self.low) + self.low  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        entropy: Tensor = (self.high - self.low).log()
        return entropy
