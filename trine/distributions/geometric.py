"""The geometric distribution."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.bernoulli import BinaryParameters
from trine.distributions.utils import broadcast_all
from trine.errors import ArgumentError, message
from trine.ops import log1p, rand, where, zeros_like
from trine.ops.dtype_info import finfo
from trine.ops.loss import binary_cross_entropy_with_logits
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad


class Geometric(BinaryParameters):
    """Numbers of failures before the first success.

    Args:
        probs: of success, above 0. logits: their log odds. One of both.

    >>> Geometric(probs=0.25).mean
    tensor(3.)
    """

    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._set(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)
        if self._validate_args and probs is not None and self._fails(constraints.positive, self.probs):
            raise ArgumentError(message("Expected parameter probs of distribution Geometric to be positive", received=self.probs))

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return 1.0 / self.probs - 1.0  # type: ignore[no-any-return]

    @property
    def mode(self) -> Tensor:
        """The most likely value: 0."""
        return zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return (1.0 / self.probs - 1.0) / self.probs  # type: ignore[no-any-return]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples."""
        with no_grad():
            u = rand(self._extended_shape(sample_shape), dtype=self.probs.dtype).clamp(min=finfo(self.probs.dtype).tiny)
            sample: Tensor = (u.log() / log1p(-self.probs)).floor()
            return sample

    def log_prob(self, value: Any) -> Tensor:
        """Return the log probability."""
        value, probs = broadcast_all(self._checked(value), self.probs)
        never = probs.eq(1) & value.eq(0)
        return value * log1p(-where(never, zeros_like(probs), probs)) + self.probs.log()  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs  # type: ignore[no-any-return]
