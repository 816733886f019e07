"""The Bernoulli distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.exp_family import ExponentialFamily
from trine.distributions.utils import broadcast_all, counting, lazy_property, logits_to_probs, probs_to_logits
from trine.errors import ArgumentError, message
from trine.ops import bernoulli, full_like, softplus, where
from trine.ops.loss import binary_cross_entropy_with_logits
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad


def one_of(name: str, probs: Any, logits: Any) -> None:
    """Raise ArgumentError unless exactly one of both is given."""
    if (probs is None) == (logits is None):
        what = "Either `probs` or `logits` must be specified, but not both."
        raise ArgumentError(message(f"{name}: {what}", received="both" if probs is not None else "none"))


class BinaryParameters(ExponentialFamily):
    """Base of distributions with `probs` or `logits` of one event."""

    arg_constraints: Any = {"probs": constraints.unit_interval, "logits": constraints.real}

    @lazy_property
    def logits(self) -> Tensor:
        """Log odds."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Tensor:
        """Probabilities."""
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def _param(self) -> Tensor:
        given: Tensor = self.__dict__["probs"] if "probs" in self.__dict__ else self.__dict__["logits"]
        return given

    @property
    def param_shape(self) -> Any:
        """Shape of the parameter."""
        return self._param.size()

    def _set(self, probs: Any, logits: Any, *others: Any) -> tuple[Tensor, ...]:
        """Set the parameter that is given and return the others, broadcast with it."""
        one_of(type(self).__name__, probs, logits)
        given, *rest = broadcast_all(probs if probs is not None else logits, *others)
        self.__dict__["probs" if probs is not None else "logits"] = given
        return tuple(rest)


class Bernoulli(BinaryParameters):
    """1 with a probability, else 0.

    Args:
        probs: probabilities. logits: log odds. One of both.

    >>> import trine
    >>> Bernoulli(probs=0.25).mean
    tensor(0.2500)
    """

    support = constraints.boolean
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._set(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.probs  # type: ignore[no-any-return]

    @property
    def mode(self) -> Tensor:
        """The most likely value (NaN where both are)."""
        mode = (self.probs >= 0.5).to(self.probs.dtype)
        return where(self.probs == 0.5, full_like(mode, math.nan), mode)  # type: ignore[no-any-return]

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.probs * (1 - self.probs)  # type: ignore[no-any-return]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples."""
        with no_grad():
            return bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the probability."""
        logits, value = broadcast_all(self.logits, self._checked(value))
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        return softplus(self.logits) - self.probs * self.logits  # type: ignore[no-any-return]

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return 0 and 1 along a new first axis."""
        return enumerated(2, self, self._param, expand)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, x: Any) -> Tensor:
        return softplus(x)


def enumerated(count: int, distribution: Any, like: Tensor, expand: bool) -> Tensor:
    """Return 0, 1, … along a new first axis, for the whole batch if wanted."""
    batch = tuple(distribution._batch_shape)
    values = counting(count, like).reshape((-1,) + (1,) * len(batch))
    return values.expand((-1, *batch)) if expand else values  # type: ignore[no-any-return]
