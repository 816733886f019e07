"""The categorical distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.bernoulli import enumerated, one_of
from trine.distributions.distribution import Distribution
from trine.distributions.utils import lazy_property, logits_to_probs, probs_to_logits
from trine.errors import ArgumentError, ShapeError, message
from trine.ops import argmax, broadcast_tensors, full, multinomial
from trine.ops.dtype_info import finfo
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad
from trine.tensor.size import Size


class Categorical(Distribution):
    """One of several categories, 0 to K - 1.

    Args:
        probs: weights (..., K), normalized here. logits: unnormalized log probabilities (..., K). One of both.

    Raises:
        ShapeError: a ValueError; the parameter has no axis.

    >>> import trine
    >>> Categorical(probs=trine.tensor([1.0, 3.0])).probs
    tensor([0.2500, 0.7500])
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        one_of("Categorical", probs, logits)
        given = probs if probs is not None else logits
        if given.dim() < 1:
            name = "probs" if probs is not None else "logits"
            raise ShapeError(message(f"`{name}` parameter must be at least one-dimensional", received=f"shape {tuple(given.shape)}"))
        if probs is not None:
            self.__dict__["probs"] = probs / probs.sum(-1, keepdim=True)
        else:
            self.__dict__["logits"] = logits - logits.logsumexp(-1, keepdim=True)
        self._num_events = given.shape[-1]
        given_probs = self.__dict__.get("probs")
        super().__init__(given.shape[:-1], validate_args=validate_args)
        if validate_args is not False and self._validate_args and given_probs is not None:
            self._check_weights(probs)

    def _check_weights(self, probs: Tensor) -> None:
        """Check weights before they are normalized: a negative one may become a positive probability."""
        if self._fails(constraints.nonnegative, probs):
            raise ArgumentError(message("Expected parameter probs to be weights of 0 or more", received=probs))

    def _check_parameters(self) -> None:
        for name, constraint in (("probs", constraints.simplex), ("logits", constraints.real)):
            value = self.__dict__.get(name)
            if value is not None and self._fails(constraint, value):
                what = f"Expected parameter {name} of distribution Categorical to satisfy the constraint {constraint!r}"
                raise ArgumentError(message(what, received=value))

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """0 to K - 1."""
        return constraints.integer_interval(0, self._num_events - 1)

    @lazy_property
    def logits(self) -> Tensor:
        """Log probabilities."""
        return probs_to_logits(self.probs)

    @lazy_property
    def probs(self) -> Tensor:
        """Probabilities."""
        return logits_to_probs(self.logits)

    @property
    def _param(self) -> Tensor:
        given: Tensor = self.__dict__["probs"] if "probs" in self.__dict__ else self.__dict__["logits"]
        return given

    @property
    def param_shape(self) -> Any:
        """Shape of the parameter."""
        return self._param.size()

    @property
    def mean(self) -> Tensor:
        """NaN: categories have no mean."""
        return full(self._extended_shape(), math.nan, dtype=self.probs.dtype)

    @property
    def mode(self) -> Tensor:
        """The most likely category."""
        return argmax(self.probs, -1)

    @property
    def variance(self) -> Tensor:
        """NaN: categories have no variance."""
        return full(self._extended_shape(), math.nan, dtype=self.probs.dtype)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return categories (int64)."""
        with no_grad():
            shape = Size(sample_shape)
            rows = self.probs.reshape(-1, self._num_events)
            drawn = multinomial(rows, max(shape.numel(), 1), True)
            drawn = drawn if shape.numel() else drawn[:, :0]
            return drawn.transpose(0, 1).reshape(self._extended_shape(sample_shape))  # type: ignore[no-any-return]

    def log_prob(self, value: Any) -> Tensor:
        """Return the log probability of categories."""
        index = self._checked(value).long().unsqueeze(-1)
        index, logits = broadcast_tensors(index, self.logits)
        result: Tensor = logits.gather(-1, index[..., :1]).squeeze(-1)
        return result

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        logits = self.logits.clamp(min=finfo(self.logits.dtype).min)
        entropy: Tensor = -(logits * self.probs).sum(-1)
        return entropy

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return all categories along a new first axis."""
        values: Tensor = enumerated(self._num_events, self, self._param, expand).long()
        return values
