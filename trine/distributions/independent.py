"""Independent."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.distribution import Distribution
from trine.distributions.utils import sum_rightmost
from trine.errors import ShapeError, UnsupportedError, message
from trine.tensor import Tensor


class Independent(Distribution):
    """A distribution whose last batch axes become axes of one value.

    Args:
        base_distribution: a distribution. reinterpreted_batch_ndims: how many axes.

    >>> import trine
    >>> from trine.distributions import Normal
    >>> Independent(Normal(trine.zeros(3), 1.0), 1).log_prob(trine.zeros(3)).shape
    trine.Size([])
    """

    def __init__(self, base_distribution: Any, reinterpreted_batch_ndims: int, validate_args: bool | None = None) -> None:
        batch, event = tuple(base_distribution.batch_shape), tuple(base_distribution.event_shape)
        if reinterpreted_batch_ndims > len(batch):
            what = "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape)"
            raise ShapeError(message(what, received=reinterpreted_batch_ndims, expected=f"at most {len(batch)}"))
        cut = len(batch) - reinterpreted_batch_ndims
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, reinterpreted_batch_ndims
        super().__init__(batch[:cut], batch[cut:] + event, validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """As the base's."""
        return bool(self.base_dist.has_rsample)

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        """As the base's, if no axis is reinterpreted."""
        return self.reinterpreted_batch_ndims == 0 and bool(self.base_dist.has_enumerate_support)

    @constraints.dependent_property
    def support(self) -> Any:
        """The base's, for whole values."""
        base = self.base_dist.support
        return constraints.independent(base, self.reinterpreted_batch_ndims) if self.reinterpreted_batch_ndims else base

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.base_dist.mean  # type: ignore[no-any-return]

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        return self.base_dist.mode  # type: ignore[no-any-return]

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.base_dist.variance  # type: ignore[no-any-return]

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples."""
        return self.base_dist.sample(sample_shape)  # type: ignore[no-any-return]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        return self.base_dist.rsample(sample_shape)  # type: ignore[no-any-return]

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return the base's values, if no axis is reinterpreted."""
        if self.reinterpreted_batch_ndims > 0:
            raise UnsupportedError(message("Enumeration over cartesian product is not implemented"))
        return self.base_dist.enumerate_support(expand=expand)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.reinterpreted_batch_ndims})"
