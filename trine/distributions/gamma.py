"""The gamma distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.exp_family import ExponentialFamily
from trine.distributions.utils import broadcast_all
from trine.ops import digamma, lgamma, xlogy
from trine.ops.dtype_info import finfo
from trine.ops.random_gamma import standard_gamma
from trine.ops.special import gammainc
from trine.tensor import Tensor


class Gamma(ExponentialFamily):
    """The gamma distribution.

    Args:
        concentration: shape. rate: inverse scale.

    >>> import trine
    >>> Gamma(2.0, 4.0).mean
    tensor(0.5000)
    """

    arg_constraints: Any = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        mode: Tensor = ((self.concentration - 1) / self.rate).clamp(min=0)
        return mode

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.concentration / self.rate.pow(2)  # type: ignore[no-any-return]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients (implicit reparameterization)."""
        shape = self._extended_shape(sample_shape)
        value = standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape)
        positive: Tensor = value.clamp(min=finfo(value.dtype).tiny)
        return positive

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        value = self._checked(value)
        shape, rate = self.concentration, self.rate
        return xlogy(shape, rate) + xlogy(shape - 1, value) - rate * value - lgamma(shape)  # type: ignore[no-any-return]

    def cdf(self, value: Any) -> Tensor:
        """Return the probability of values up to these."""
        return gammainc(self.concentration, self.rate * self._checked(value))

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        shape = self.concentration
        return shape - self.rate.log() + lgamma(shape) + (1.0 - shape) * digamma(shape)  # type: ignore[no-any-return]

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x: Any, y: Any) -> Tensor:
        return lgamma(x + 1) + (x + 1) * (-y.reciprocal()).log()  # type: ignore[no-any-return]
