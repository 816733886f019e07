"""The Pareto distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.exponential import Exponential
from trine.distributions.transform import AffineTransform, ExpTransform
from trine.distributions.transformed_distribution import TransformedDistribution
from trine.distributions.utils import broadcast_all
from trine.tensor import Tensor


class Pareto(TransformedDistribution):
    """Numbers above `scale`, with a tail of power `alpha`.

    >>> Pareto(1.0, 3.0).mean
    tensor(1.5000)
    """

    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        base = Exponential(self.alpha, validate_args=validate_args)
        super().__init__(base, [ExpTransform(), AffineTransform(0, self.scale)], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The mean (infinite for an alpha of 1 or less)."""
        alpha = self.alpha.clamp(min=1)
        return alpha * self.scale / (alpha - 1)  # type: ignore[no-any-return]

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """The variance (infinite for an alpha of 2 or less)."""
        alpha = self.alpha.clamp(min=2)
        return self.scale.pow(2) * alpha / ((alpha - 1).pow(2) * (alpha - 2))  # type: ignore[no-any-return]

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From the scale on."""
        return constraints.greater_than_eq(self.scale)

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())  # type: ignore[no-any-return]
