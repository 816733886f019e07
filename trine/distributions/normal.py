"""The normal distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.exp_family import ExponentialFamily
from trine.distributions.utils import broadcast_all
from trine.ops import erf, erfinv, randn
from trine.tensor import Tensor


class Normal(ExponentialFamily):
    """The normal distribution.

    Args:
        loc: mean. scale: standard deviation. Numbers, or tensors that broadcast.

    >>> import trine
    >>> Normal(0.0, 1.0).log_prob(trine.tensor(0.0))
    tensor(-0.9189)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.scale * self.scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        return self.loc + randn(self._extended_shape(sample_shape), dtype=self.loc.dtype) * self.scale

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        z = (self._checked(value) - self.loc) / self.scale
        return -0.5 * z * z - self.scale.log() - math.log(math.sqrt(2 * math.pi))  # type: ignore[no-any-return]

    def cdf(self, value: Any) -> Tensor:
        """Return the probability of values up to these."""
        return 0.5 * (1 + erf((self._checked(value) - self.loc) / self.scale / math.sqrt(2)))

    def icdf(self, value: Any) -> Tensor:
        """Return the values with these cumulative probabilities."""
        return self.loc + self.scale * erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        return 0.5 + 0.5 * math.log(2 * math.pi) + self.scale.log()  # type: ignore[no-any-return]

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        variance = self.variance
        return self.loc / variance, -0.5 / variance

    def _log_normalizer(self, x: Any, y: Any) -> Tensor:
        return -0.25 * x * x / y + 0.5 * (-math.pi / y).log()  # type: ignore[no-any-return]
