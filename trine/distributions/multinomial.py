"""The multinomial distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.binomial import Binomial
from trine.distributions.categorical import Categorical
from trine.distributions.distribution import Distribution
from trine.distributions.utils import broadcast_all
from trine.errors import UnsupportedError, message
from trine.ops import exp, lgamma, one_hot, where, zeros_like
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad


class Multinomial(Distribution):
    """How often each of K categories comes in `total_count` draws.

    Args:
        total_count: an integer. probs: weights (..., K). logits: unnormalized log probabilities. One of both.

    >>> import trine
    >>> Multinomial(4, probs=trine.tensor([1.0, 3.0])).mean
    tensor([1., 3.])
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        if not isinstance(total_count, int):
            raise UnsupportedError(message("inhomogeneous total_count is not supported", received=repr(total_count)))
        self.total_count = total_count
        self._categorical = Categorical(probs=probs, logits=logits, validate_args=validate_args)
        self._binomial = Binomial(total_count, probs=self.probs, validate_args=False)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=False)
        self._validate_args = self._categorical._validate_args
        self._is_strict = validate_args is True

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        """Counts."""
        return constraints.multinomial(self.total_count)

    @property
    def logits(self) -> Tensor:
        """Log probabilities."""
        return self._categorical.logits  # type: ignore[no-any-return]

    @property
    def probs(self) -> Tensor:
        """Probabilities."""
        return self._categorical.probs  # type: ignore[no-any-return]

    @property
    def param_shape(self) -> Any:
        """Shape of the parameter."""
        return self._categorical.param_shape

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples."""
        with no_grad():
            drawn = self._categorical.sample((self.total_count, *sample_shape))
            counts: Tensor = one_hot(drawn, self._categorical._num_events).sum(0).type_as(self.probs)
            return counts

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        n = self.total_count
        support = self._binomial.enumerate_support(expand=False)[1:]
        weighted = (exp(self._binomial.log_prob(support)) * lgamma(support + 1)).sum((0, -1))
        return n * self._categorical.entropy() - math.lgamma(n + 1) + weighted  # type: ignore[no-any-return]

    def log_prob(self, value: Any) -> Tensor:
        """Return the log probability of counts."""
        logits, value = broadcast_all(self.logits, self._checked(value))
        powers = where(value.eq(0) & logits.eq(-math.inf), zeros_like(logits), logits) * value
        log_probability: Tensor = lgamma(value.sum(-1) + 1) - lgamma(value + 1).sum(-1) + powers.sum(-1)
        return log_probability
