"""The Dirichlet distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.exp_family import ExponentialFamily
from trine.distributions.utils import counting
from trine.errors import ShapeError, message
from trine.ops import digamma, lgamma, softmax, where, xlogy
from trine.ops.random_gamma import log_standard_gamma
from trine.tensor import Tensor


class Dirichlet(ExponentialFamily):
    """Distributions over K categories.

    Args:
        concentration: (..., K), positive.

    Raises:
        ShapeError: a ValueError; the parameter has no axis.

    >>> import trine
    >>> Dirichlet(trine.tensor([1.0, 3.0])).mean
    tensor([0.2500, 0.7500])
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            what = "`concentration` parameter must be at least one-dimensional"
            raise ShapeError(message(what, received=f"shape {tuple(concentration.shape)}"))
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients: gamma-distributed numbers, normalized (by their logarithms, which do not underflow)."""
        logs = log_standard_gamma(self.concentration.expand(self._extended_shape(sample_shape)))
        sample: Tensor = softmax(logs, -1).to(self.concentration.dtype)
        return sample

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        shape = self.concentration
        density: Tensor = xlogy(shape - 1.0, self._checked(value)).sum(-1) + lgamma(shape.sum(-1)) - lgamma(shape).sum(-1)
        return density

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.concentration / self.concentration.sum(-1, keepdim=True)  # type: ignore[no-any-return]

    @property
    def mode(self) -> Tensor:
        """The most likely value; where all concentrations are below 1 (and all corners are as likely), the first corner."""
        shape = self.concentration
        raised = (shape - 1).clamp(min=0.0)
        mode = raised / raised.sum(-1, keepdim=True)
        first = counting(shape.shape[-1], shape).eq(0).to(shape.dtype)
        return where((shape < 1).all(-1, keepdim=True), first, mode)  # type: ignore[no-any-return]

    @property
    def variance(self) -> Tensor:
        """The variance."""
        total = self.concentration.sum(-1, keepdim=True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        shape, k = self.concentration, self.concentration.shape[-1]
        total = shape.sum(-1)
        entropy: Tensor = lgamma(shape).sum(-1) - lgamma(total) - (k - total) * digamma(total) - ((shape - 1.0) * digamma(shape)).sum(-1)
        return entropy

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.concentration,)

    def _log_normalizer(self, x: Any) -> Tensor:
        normalizer: Tensor = lgamma(x).sum(-1) - lgamma(x.sum(-1))
        return normalizer
