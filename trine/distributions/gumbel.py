"""The Gumbel distribution."""

from __future__ import annotations

import math
from typing import Any

from trine.distributions import constraints
from trine.distributions.transform import AffineTransform, ExpTransform
from trine.distributions.transformed_distribution import TransformedDistribution
from trine.distributions.uniform import Uniform
from trine.distributions.utils import broadcast_all, euler_constant
from trine.ops import full_like
from trine.ops.dtype_info import finfo
from trine.tensor import Tensor


class Gumbel(TransformedDistribution):
    """The Gumbel distribution.

    >>> Gumbel(0.0, 1.0).mean
    tensor(0.5772)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        info = finfo(self.loc.dtype)
        base = Uniform(full_like(self.loc, info.tiny), full_like(self.loc, 1 - info.eps), validate_args=validate_args)
        log = ExpTransform().inv
        steps = [log, AffineTransform(0, full_like(self.scale, -1.0)), log, AffineTransform(self.loc, -self.scale)]
        super().__init__(base, steps, validate_args=validate_args)

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        y = (self.loc - self._checked(value)) / self.scale
        return (y - y.exp()) - self.scale.log()  # type: ignore[no-any-return]

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc + self.scale * euler_constant

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Tensor:
        """The variance."""
        variance: Tensor = self.stddev.pow(2)
        return variance

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        return self.scale.log() + (1 + euler_constant)  # type: ignore[no-any-return]
