"""The log-normal distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.normal import Normal
from trine.distributions.transform import ExpTransform
from trine.distributions.transformed_distribution import TransformedDistribution
from trine.tensor import Tensor


class LogNormal(TransformedDistribution):
    """Exponentials of normal numbers with mean `loc` and standard deviation `scale`.

    >>> LogNormal(0.0, 1.0).mode
    tensor(0.3679)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(Normal(loc, scale, validate_args=validate_args), ExpTransform(), validate_args=validate_args)

    @property
    def loc(self) -> Tensor:
        """Mean of the logarithm."""
        return self.base_dist.loc  # type: ignore[no-any-return]

    @property
    def scale(self) -> Tensor:
        """Standard deviation of the logarithm."""
        return self.base_dist.scale  # type: ignore[no-any-return]

    @property
    def mean(self) -> Tensor:
        """The mean."""
        mean: Tensor = (self.loc + self.scale.pow(2) / 2).exp()
        return mean

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        mode: Tensor = (self.loc - self.scale.square()).exp()
        return mode

    @property
    def variance(self) -> Tensor:
        """The variance."""
        square = self.scale.pow(2)
        variance: Tensor = square.expm1() * (2 * self.loc + square).exp()
        return variance

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        return self.base_dist.entropy() + self.loc  # type: ignore[no-any-return]
