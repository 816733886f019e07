"""The logistic-normal distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.normal import Normal
from trine.distributions.transform_structured import StickBreakingTransform
from trine.distributions.transformed_distribution import TransformedDistribution
from trine.tensor import Tensor


class LogisticNormal(TransformedDistribution):
    """Distributions over K categories, from K - 1 normal numbers.

    >>> import trine
    >>> LogisticNormal(trine.zeros(2), trine.ones(2)).sample().shape
    trine.Size([3])
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        base = base if base.batch_shape else base.expand((1,))
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    @property
    def loc(self) -> Tensor:
        """Means."""
        return self.base_dist.base_dist.loc  # type: ignore[no-any-return]

    @property
    def scale(self) -> Tensor:
        """Standard deviations."""
        return self.base_dist.base_dist.scale  # type: ignore[no-any-return]
