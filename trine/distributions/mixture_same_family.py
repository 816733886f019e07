"""Mixtures of distributions of one family."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.categorical import Categorical
from trine.distributions.constraints import MixtureSameFamilyConstraint
from trine.distributions.distribution import Distribution
from trine.errors import ArgumentError, ShapeError, message
from trine.ops import log_softmax
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad


class MixtureSameFamily(Distribution):
    """A mixture: first a component is drawn, then a value of it.

    Args:
        mixture_distribution: Categorical over the K components. component_distribution: its last batch axis is that of the components.

    Raises:
        ArgumentError: one is not such a distribution. ShapeError: a ValueError; the batches do not fit.

    >>> import trine
    >>> from trine.distributions import Normal
    >>> mixture = MixtureSameFamily(Categorical(trine.ones(2)), Normal(trine.tensor([-1.0, 1.0]), 1.0))
    >>> mixture.mean, mixture.variance
    (tensor(0.), tensor(2.))
    """

    def __init__(self, mixture_distribution: Any, component_distribution: Any, validate_args: bool | None = None) -> None:
        if not isinstance(mixture_distribution, Categorical) or not isinstance(component_distribution, Distribution):
            received = f"{type(mixture_distribution).__name__} and {type(component_distribution).__name__}"
            raise ArgumentError(message("MixtureSameFamily", received=received, expected="a Categorical and a Distribution"))
        self._mixture_distribution, self._component_distribution = mixture_distribution, component_distribution
        mixture, components = tuple(mixture_distribution.batch_shape), tuple(component_distribution.batch_shape[:-1])
        if any(a != 1 and b != 1 and a != b for a, b in zip(reversed(mixture), reversed(components), strict=False)):
            what = "mixture_distribution.batch_shape is not compatible with component_distribution.batch_shape"
            raise ShapeError(message(what, received=f"{mixture} and {components}"))
        self._num_component = mixture_distribution.logits.shape[-1]
        if component_distribution.batch_shape[-1] != self._num_component:
            found, expected = component_distribution.batch_shape[-1], self._num_component
            raise ShapeError(message("component_distribution.batch_shape[-1]", received=found, expected=f"{expected} components"))
        self._event_ndims = len(component_distribution.event_shape)
        super().__init__(components, component_distribution.event_shape, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> Any:
        """The components'."""
        return MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Categorical:
        """The distribution of the components."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components."""
        return self._component_distribution

    def _weights(self) -> Any:
        probs = self._mixture_distribution.probs
        return probs.reshape(tuple(probs.shape) + (1,) * self._event_ndims)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        mean: Tensor = (self._weights() * self._component_distribution.mean).sum(-1 - self._event_ndims)
        return mean

    @property
    def variance(self) -> Tensor:
        """The variance."""
        axis, components = -1 - self._event_ndims, self._component_distribution
        spread = (components.mean - self.mean.unsqueeze(axis)).pow(2.0)
        variance: Tensor = (self._weights() * (components.variance + spread)).sum(axis)
        return variance

    def cdf(self, x: Any) -> Tensor:
        """Return the probability of values up to these."""
        found = self._component_distribution.cdf(x.unsqueeze(-1 - self._event_ndims))
        probability: Tensor = (found * self._mixture_distribution.probs).sum(-1)
        return probability

    def log_prob(self, x: Any) -> Tensor:
        """Return the logarithm of the density."""
        found = self._component_distribution.log_prob(self._checked(x).unsqueeze(-1 - self._event_ndims))
        density: Tensor = (found + log_softmax(self._mixture_distribution.logits, -1)).logsumexp(-1)
        return density

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples."""
        with no_grad():
            axis = len(tuple(sample_shape)) + len(self._batch_shape)
            chosen = self._mixture_distribution.sample(sample_shape)
            values = self._component_distribution.sample(sample_shape)
            index = chosen.reshape(tuple(chosen.shape) + (1,) * (self._event_ndims + 1))
            shape = tuple(values.shape[:axis]) + (1,) + tuple(self._event_shape)
            sample: Tensor = values.gather(axis, index.expand(shape)).squeeze(axis)
            return sample

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self._mixture_distribution},\n  {self._component_distribution})"
