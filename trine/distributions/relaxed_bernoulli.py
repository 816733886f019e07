"""Relaxed Bernoulli distributions."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.bernoulli import BinaryParameters
from trine.distributions.transform import SigmoidTransform
from trine.distributions.transformed_distribution import TransformedDistribution
from trine.distributions.utils import broadcast_all, clamp_probs
from trine.ops import rand
from trine.tensor import Tensor


class LogitRelaxedBernoulli(BinaryParameters):
    """Logits of relaxed Bernoulli samples.

    Args:
        temperature: a tensor. probs: probabilities. logits: log odds. One of both.

    Sources: Maddison, Mnih and Teh, "The Concrete Distribution", 2017; Jang, Gu and Poole, "Categorical Reparametrization with
    Gumbel-Softmax", 2017.
    """

    support = constraints.real
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._set(probs, logits)
        self._temperature = [temperature]
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def temperature(self) -> Any:
        """The temperature."""
        return self._temperature[0]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        shape = self._extended_shape(sample_shape)
        probs, u = clamp_probs(self.probs.expand(shape)), clamp_probs(rand(shape, dtype=self.probs.dtype))
        return (u.log() - (-u).log1p() + probs.log() - (-probs).log1p()) / self.temperature  # type: ignore[no-any-return]

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        logits, value = broadcast_all(self.logits, self._checked(value))
        difference = logits - value * self.temperature
        return broadcast_all(self.temperature, logits)[0].log() + difference - 2 * difference.exp().log1p()  # type: ignore[no-any-return]


class RelaxedBernoulli(TransformedDistribution):
    """A continuous relaxation of the Bernoulli distribution, in (0, 1).

    Args:
        temperature: a tensor; 0 is the Bernoulli distribution. probs: probabilities. logits: log odds. One of both.

    >>> import trine
    >>> RelaxedBernoulli(trine.tensor(0.5), probs=trine.tensor([0.5, 0.5])).rsample().shape
    trine.Size([2])
    """

    arg_constraints: Any = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)

    @property
    def temperature(self) -> Any:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """Log odds."""
        return self.base_dist.logits  # type: ignore[no-any-return]

    @property
    def probs(self) -> Tensor:
        """Probabilities."""
        return self.base_dist.probs  # type: ignore[no-any-return]
