"""The negative binomial distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.bernoulli import BinaryParameters
from trine.distributions.gamma import Gamma
from trine.ops import exp, lgamma, logsigmoid, poisson, where
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad


class NegativeBinomial(BinaryParameters):
    """Numbers of successes before `total_count` failures.

    Args:
        total_count: numbers of failures (real numbers too). probs: of success, below 1. logits: their log odds. One of both.

    >>> NegativeBinomial(2.0, probs=0.5).mean
    tensor(2.)
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        (count,) = self._set(probs, logits, total_count)
        self.total_count: Tensor = count.type_as(self._param)
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.total_count * exp(self.logits)

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        mode: Tensor = ((self.total_count - 1) * exp(self.logits)).floor().clamp(min=0.0)
        return mode

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.mean / (1 - self.probs)  # type: ignore[no-any-return]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples: Poisson with gamma-distributed rates."""
        with no_grad():
            rates = Gamma(self.total_count, exp(-self.logits), validate_args=False).sample(sample_shape)
            return poisson(rates)

    def log_prob(self, value: Any) -> Tensor:
        """Return the log probability."""
        value, n = self._checked(value), self.total_count
        unnormalized = n * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        normalization = -lgamma(n + value) + lgamma(1.0 + value) + lgamma(n)
        return unnormalized - where(n + value == 0.0, normalization * 0, normalization)  # type: ignore[no-any-return]
