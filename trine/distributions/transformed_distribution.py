"""Distributions of transformed values."""

from __future__ import annotations

from typing import Any

from trine.distributions import constraints
from trine.distributions.distribution import Distribution
from trine.distributions.independent import Independent
from trine.distributions.transform import ComposeTransform, Transform
from trine.distributions.utils import sum_rightmost
from trine.errors import ArgumentError, ShapeError, message
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad
from trine.tensor.size import Size


class TransformedDistribution(Distribution):
    """The distribution of transformed samples of another one.

    Args:
        base_distribution: a distribution. transforms: a transform, or a list of them, applied in order.

    >>> import trine
    >>> from trine.distributions import Normal, transforms
    >>> log_normal = TransformedDistribution(Normal(0.0, 1.0), transforms.ExpTransform())
    >>> log_normal.log_prob(trine.tensor(1.0))
    tensor(-0.9189)
    """

    def __init__(self, base_distribution: Any, transforms: Any, validate_args: bool | None = None) -> None:
        self.transforms: list[Transform] = [transforms] if isinstance(transforms, Transform) else transforms
        if not isinstance(self.transforms, list) or not all(isinstance(t, Transform) for t in self.transforms):
            raise ArgumentError(message("transforms must be a Transform or a list of Transforms", received=repr(transforms)))
        base_shape = Size((*base_distribution.batch_shape, *base_distribution.event_shape))
        base_dims = len(base_distribution.event_shape)
        transform = ComposeTransform(self.transforms)
        inner, outer = int(transform.domain.event_dim), int(transform.codomain.event_dim)
        if len(base_shape) < inner:
            what = f"base_distribution needs to have shape with size at least {inner}"
            raise ShapeError(message(what, received=tuple(base_shape)))
        shape = tuple(transform.forward_shape(base_shape))
        expanded = tuple(transform.inverse_shape(shape))
        if tuple(base_shape) != expanded:
            base_distribution = base_distribution.expand(expanded[: len(expanded) - base_dims])
        if inner > base_dims:
            base_distribution = Independent(base_distribution, inner - base_dims)
        self.base_dist = base_distribution
        cut = len(shape) - max(outer, base_dims + outer - inner)
        super().__init__(shape[:cut], shape[cut:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch."""
        new = self._get_checked_instance(TransformedDistribution, _instance)
        shape: Any = Size((*batch_shape, *self.event_shape))
        for transform in reversed(self.transforms):
            shape = transform.inverse_shape(shape)
        count = len(self._batch_shape)
        for name, value in self.__dict__.items():
            new.__dict__[name] = self._expanded(value, Size(batch_shape), count) if name != "base_dist" else value
        new.base_dist = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        new._batch_shape = Size(batch_shape)
        return new

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        """What the last transform gives."""
        if not self.transforms:
            return self.base_dist.support
        support = self.transforms[-1].codomain
        extra = len(self.event_shape) - int(support.event_dim)
        return constraints.independent(support, extra) if extra > 0 else support

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """As the base's."""
        return bool(self.base_dist.has_rsample)

    def _through(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples."""
        with no_grad():
            return self._through(self.base_dist.sample(sample_shape))  # type: ignore[no-any-return]

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Return samples with gradients."""
        return self._through(self.base_dist.rsample(sample_shape))  # type: ignore[no-any-return]

    def log_prob(self, value: Any) -> Tensor:
        """Return the logarithm of the density."""
        y, dims = self._checked(value), len(self.event_shape)
        total: Any = 0.0
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            dims += int(transform.domain.event_dim) - int(transform.codomain.event_dim)
            total = total - sum_rightmost(transform.log_abs_det_jacobian(x, y), dims - int(transform.domain.event_dim))
            y = x
        return total + sum_rightmost(self.base_dist.log_prob(y), dims - len(self.base_dist.event_shape))  # type: ignore[no-any-return]

    def _monotonize_cdf(self, value: Any) -> Any:
        """Return a probability, or one minus it where the transforms decrease."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return value if isinstance(sign, int) and sign == 1 else sign * (value - 0.5) + 0.5

    def cdf(self, value: Any) -> Tensor:
        """Return the probability of values up to these."""
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        if self._validate_args:
            self.base_dist._validate_sample(value)
        return self._monotonize_cdf(self.base_dist.cdf(value))  # type: ignore[no-any-return]

    def icdf(self, value: Any) -> Tensor:
        """Return the values with these cumulative probabilities."""
        return self._through(self.base_dist.icdf(self._monotonize_cdf(value)))  # type: ignore[no-any-return]
