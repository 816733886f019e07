"""The binomial distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.bernoulli import BinaryParameters, enumerated
from trine.errors import UnsupportedError, message
from trine.ops import binomial, exp, lgamma, log1p, minimum
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad


class Binomial(BinaryParameters):
    """Numbers of successes in `total_count` trials.

    Args:
        total_count: numbers of trials. probs: of success. logits: their log odds. One of both.

    >>> Binomial(4, probs=0.25).mean
    tensor(1.)
    """

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        (count,) = self._set(probs, logits, total_count)
        self.total_count: Tensor = count.type_as(self._param)
        super().__init__(self._param.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """0 to the number of trials."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.total_count * self.probs  # type: ignore[no-any-return]

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return minimum(((self.total_count + 1) * self.probs).floor(), self.total_count)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.total_count * self.probs * (1 - self.probs)  # type: ignore[no-any-return]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples."""
        with no_grad():
            shape = self._extended_shape(sample_shape)
            return binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Any) -> Tensor:
        """Return the log probability."""
        value, n, logits = self._checked(value), self.total_count, self.logits
        coefficient = lgamma(n + 1) - lgamma(value + 1) - lgamma(n - value + 1)
        return value * logits + coefficient - n * (logits.clamp(min=0) + log1p(exp(-logits.abs())))  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        """Return the entropy, in nats (all numbers of trials are equal)."""
        logs = self.log_prob(self.enumerate_support(False))
        entropy: Tensor = -(exp(logs) * logs).sum(0)
        return entropy

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return 0 to the number of trials along a new first axis (all numbers of trials are equal)."""
        count = int(self.total_count.max().item())
        if int(self.total_count.min().item()) != count:
            raise UnsupportedError(message("Inhomogeneous total count not supported by `enumerate_support`", received=self.total_count))
        return enumerated(1 + count, self, self._param, expand)
