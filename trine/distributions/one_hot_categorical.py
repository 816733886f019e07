"""One-hot categorical distributions."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.categorical import Categorical
from trine.distributions.distribution import Distribution
from trine.ops import eye, one_hot
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad


class OneHotCategorical(Distribution):
    """One of K categories, as a one-hot vector.

    Args:
        probs: weights (..., K). logits: unnormalized log probabilities. One of both.

    >>> import trine
    >>> OneHotCategorical(probs=trine.tensor([0.0, 1.0])).sample()
    tensor([0., 1.])
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._categorical = Categorical(probs, logits, validate_args=validate_args)
        super().__init__(self._categorical.batch_shape, self._categorical.param_shape[-1:], validate_args=False)
        self._validate_args = self._categorical._validate_args
        self._is_strict = validate_args is True

    @property
    def logits(self) -> Tensor:
        """Log probabilities."""
        return self._categorical.logits  # type: ignore[no-any-return]

    @property
    def probs(self) -> Tensor:
        """Probabilities."""
        return self._categorical.probs  # type: ignore[no-any-return]

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self._categorical.probs  # type: ignore[no-any-return]

    @property
    def _param(self) -> Tensor:
        return self._categorical._param

    @property
    def param_shape(self) -> Any:
        """Shape of the parameter."""
        return self._categorical.param_shape

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return self._vectors(self.probs.argmax(-1))

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.probs * (1 - self.probs)

    def _vectors(self, indices: Tensor) -> Tensor:
        vectors: Tensor = one_hot(indices, self._categorical._num_events).to(self.probs.dtype)
        return vectors

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples."""
        with no_grad():
            return self._vectors(self._categorical.sample(sample_shape))

    def log_prob(self, value: Any) -> Tensor:
        """Return the log probability."""
        return self._categorical.log_prob(self._checked(value).argmax(-1))

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return all vectors along a new first axis."""
        n, batch = self.event_shape[0], tuple(self.batch_shape)
        values = eye(n, dtype=self._param.dtype).reshape((n, *(1,) * len(batch), n))
        return values.expand((n, *batch, n)) if expand else values  # type: ignore[no-any-return]


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical` whose samples have the gradients of the probabilities.

    Source: Bengio, Leonard and Courville, "Estimating or Propagating Gradients Through Stochastic Neurons", 2013.
    """

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with the gradients of the probabilities."""
        return self.sample(sample_shape) + (self.probs - self.probs.detach())
