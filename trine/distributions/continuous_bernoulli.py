"""The continuous Bernoulli distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.bernoulli import BinaryParameters
from trine.distributions.utils import broadcast_all, clamp_probs, lazy_property, logits_to_probs
from trine.errors import ArgumentError, message
from trine.ops import expm1, full_like, log, log1p, rand, where
from trine.ops.loss import binary_cross_entropy_with_logits
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad


class ContinuousBernoulli(BinaryParameters):
    """Numbers in [0, 1] with a density that is that of the Bernoulli distribution, normalized.

    Args:
        probs: in (0, 1). logits: log odds. One of both. lims: where near 1/2 Taylor series are used.

    Source: Loaiza-Ganem and Cunningham, "The continuous Bernoulli: fixing a pervasive error in variational autoencoders", 2019.

    >>> ContinuousBernoulli(probs=0.5).mean
    tensor(0.5000)
    """

    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, probs: Any = None, logits: Any = None, lims: tuple[float, float] = (0.499, 0.501), validate_args: bool | None = None
    ) -> None:
        self._set(probs, logits)
        if probs is not None:
            given = self.__dict__["probs"]
            if validate_args is not False and self._fails_before(given):
                raise ArgumentError(message("The parameter probs has invalid values", received=given))
            self.__dict__["probs"] = clamp_probs(given)
        self._lims = lims
        super().__init__(self._param.shape, validate_args=validate_args)

    def _fails_before(self, probs: Tensor) -> bool:
        self._is_strict = False
        return bool(self._validate_args) and self._fails(constraints.unit_interval, probs)

    @lazy_property
    def probs(self) -> Tensor:
        """Parameter, away from 0 and 1."""
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    def _is_regular(self) -> Tensor:
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])  # type: ignore[no-any-return]

    def _cut_probs(self) -> Tensor:
        return where(self._is_regular(), self.probs, full_like(self.probs, self._lims[0]))  # type: ignore[no-any-return]

    def _cont_bern_log_norm(self) -> Tensor:
        cut = self._cut_probs()
        below, above = where(cut <= 0.5, cut, cut * 0), where(cut >= 0.5, cut, cut * 0 + 1)
        norm = log((log1p(-cut) - log(cut)).abs()) - where(cut <= 0.5, log1p(-2.0 * below), log(2.0 * above - 1.0))
        x = (self.probs - 0.5) ** 2
        return where(self._is_regular(), norm, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)  # type: ignore[no-any-return]

    @property
    def mean(self) -> Tensor:
        """The mean."""
        cut, x = self._cut_probs(), self.probs - 0.5
        mean = cut / (2.0 * cut - 1.0) + 1.0 / (log1p(-cut) - log(cut))
        return where(self._is_regular(), mean, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x**2) * x)  # type: ignore[no-any-return]

    @property
    def variance(self) -> Tensor:
        """The variance."""
        cut, x = self._cut_probs(), (self.probs - 0.5) ** 2
        variance = cut * (cut - 1.0) / (1.0 - 2.0 * cut) ** 2 + 1.0 / (log1p(-cut) - log(cut)) ** 2
        return where(self._is_regular(), variance, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)  # type: ignore[no-any-return]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        return self.icdf(rand(self._extended_shape(sample_shape), dtype=self.probs.dtype))

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        logits, value = broadcast_all(self.logits, self._checked(value))
        return -binary_cross_entropy_with_logits(logits, value, reduction="none") + self._cont_bern_log_norm()

    def cdf(self, value: Any) -> Tensor:
        """Return the probability of values up to these."""
        value, cut = self._checked(value), self._cut_probs()
        regular = (cut**value * (1.0 - cut) ** (1.0 - value) + cut - 1.0) / (2.0 * cut - 1.0)
        inside = where(self._is_regular(), regular, value)
        return where(value <= 0.0, value * 0, where(value >= 1.0, value * 0 + 1, inside))  # type: ignore[no-any-return]

    def icdf(self, value: Any) -> Tensor:
        """Return the values with these cumulative probabilities."""
        cut = self._cut_probs()
        regular = (log1p(-cut + value * (2.0 * cut - 1.0)) - log1p(-cut)) / (log(cut) - log1p(-cut))
        return where(self._is_regular(), regular, value)  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        zero, one = log1p(-self.probs), log(self.probs)
        return self.mean * (zero - one) - self._cont_bern_log_norm() - zero

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, x: Any) -> Tensor:
        regular = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        cut = where(regular, x, full_like(x, self._lims[0] - 0.5))
        return where(regular, log(expm1(cut).abs()) - log(cut.abs()), 0.5 * x + x**2 / 24.0 - x**4 / 2880.0)  # type: ignore[no-any-return]
