"""The Poisson distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.exp_family import ExponentialFamily
from trine.distributions.utils import broadcast_all
from trine.ops import exp, lgamma, poisson, xlogy
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad


class Poisson(ExponentialFamily):
    """Numbers of events that come with a `rate`.

    >>> Poisson(4.0).variance
    tensor(4.)
    """

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.rate

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        mode: Tensor = self.rate.floor()
        return mode

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples."""
        with no_grad():
            return poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Tensor:
        """Return the log probability."""
        rate, value = broadcast_all(self.rate, self._checked(value))
        return xlogy(value, rate) - rate - lgamma(value + 1)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.rate.log(),)

    def _log_normalizer(self, x: Any) -> Tensor:
        return exp(x)
