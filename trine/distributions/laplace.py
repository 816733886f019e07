"""The Laplace distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.distribution import Distribution
from trine.distributions.utils import broadcast_all
from trine.ops import expm1, log, log1p, rand
from trine.ops.dtype_info import finfo
from trine.tensor import Tensor


class Laplace(Distribution):
    """The Laplace distribution.

    >>> import trine
    >>> Laplace(0.0, 1.0).log_prob(trine.tensor(0.0))
    tensor(-0.6931)
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
    def variance(self) -> Tensor:
        """The variance."""
        return 2 * self.scale.pow(2)  # type: ignore[no-any-return]

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return 2**0.5 * self.scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        eps = finfo(self.loc.dtype).eps
        u = rand(self._extended_shape(sample_shape), dtype=self.loc.dtype) * (2 - eps) + (eps - 1)
        return self.loc - self.scale * u.sign() * log1p(-u.abs())  # type: ignore[no-any-return]

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        return -log(2 * self.scale) - (self._checked(value) - self.loc).abs() / self.scale  # type: ignore[no-any-return]

    def cdf(self, value: Any) -> Tensor:
        """Return the probability of values up to these."""
        distance = self._checked(value) - self.loc
        return 0.5 - 0.5 * distance.sign() * expm1(-distance.abs() / self.scale)  # type: ignore[no-any-return]

    def icdf(self, value: Any) -> Tensor:
        """Return the values with these cumulative probabilities."""
        term = value - 0.5
        return self.loc - self.scale * term.sign() * log1p(-2 * term.abs())  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        return 1 + log(2 * self.scale)
