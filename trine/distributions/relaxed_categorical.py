"""Relaxed categorical distributions."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.categorical import Categorical
from trine.distributions.distribution import Distribution
from trine.distributions.transform import ExpTransform
from trine.distributions.transformed_distribution import TransformedDistribution
from trine.distributions.utils import broadcast_all, clamp_probs
from trine.ops import log, rand
from trine.tensor import Tensor
from trine.tensor.convert import as_tensor


class ExpRelaxedCategorical(Distribution):
    """Logarithms of relaxed one-hot samples.

    Args:
        temperature: a tensor. probs: weights (..., K). logits: unnormalized log probabilities. One of both.

    Sources: as for `LogitRelaxedBernoulli`.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._categorical = Categorical(probs, logits, validate_args=validate_args)
        self._temperature = [temperature]
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=False)
        self._validate_args = self._categorical._validate_args
        self._is_strict = validate_args is True

    @property
    def temperature(self) -> Any:
        """The temperature."""
        return self._temperature[0]

    @property
    def param_shape(self) -> Any:
        """Shape of the parameter."""
        return self._categorical.param_shape

    @property
    def logits(self) -> Tensor:
        """Log probabilities."""
        return self._categorical.logits  # type: ignore[no-any-return]

    @property
    def probs(self) -> Tensor:
        """Probabilities."""
        return self._categorical.probs  # type: ignore[no-any-return]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        u = clamp_probs(rand(self._extended_shape(sample_shape), dtype=self.logits.dtype))
        scores = (self.logits - log(-log(u))) / self.temperature
        return scores - scores.logsumexp(-1, keepdim=True)  # type: ignore[no-any-return]

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        count = self._categorical._num_events
        logits, value = broadcast_all(self.logits, self._checked(value))
        score = logits - value * self.temperature
        score = score - score.logsumexp(-1, keepdim=True)
        temperature = as_tensor(self.temperature, dtype=logits.dtype)
        return score.sum(-1) + (math.lgamma(count) + log(temperature) * (count - 1))  # type: ignore[no-any-return]


class RelaxedOneHotCategorical(TransformedDistribution):
    """A continuous relaxation of the one-hot categorical distribution (Gumbel-softmax).

    Args:
        temperature: a tensor; 0 is the one-hot distribution. probs: weights (..., K). logits: unnormalized log probabilities. One of both.

    >>> import trine
    >>> RelaxedOneHotCategorical(trine.tensor(0.5), logits=trine.zeros(3)).rsample().sum().round()
    tensor(1.)
    """

    arg_constraints: Any = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=False)
        self._validate_args, self._is_strict = base._validate_args, base._is_strict

    @property
    def temperature(self) -> Any:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """Log probabilities."""
        return self.base_dist.logits  # type: ignore[no-any-return]

    @property
    def probs(self) -> Tensor:
        """Probabilities."""
        return self.base_dist.probs  # type: ignore[no-any-return]
