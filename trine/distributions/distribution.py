"""The base of distributions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from trine.distributions import constraints
from trine.distributions.checks import all_true
from trine.distributions.utils import lazy_property
from trine.errors import ArgumentError, ShapeError, UnsupportedError, message
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad
from trine.tensor.size import Size

Shape = Sequence[int]


class Distribution:
    """Base of probability distributions.

    A distribution is a batch of `batch_shape` independent ones, whose values have `event_shape`. Tensors in its `__dict__` begin with the
    batch axes, so that `expand` is the same for all.

    Args:
        batch_shape, event_shape: shapes. validate_args: True checks parameters and values, False does not; default: those that are known
            (a value that is still being recorded is not computed for the check).

    Attributes:
        arg_constraints: name -> constraint of the parameters. support: constraint of the values.
        has_rsample: samples have gradients. has_enumerate_support: `enumerate_support` is there.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args: bool = True
    arg_constraints: Any = {}
    support: Any = None

    def __init__(self, batch_shape: Shape = (), event_shape: Shape = (), validate_args: bool | None = None) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        self._is_strict = validate_args is True
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Say whether distributions check their arguments if they are not told."""
        if value not in (True, False):
            raise ArgumentError(message("set_default_validate_args", received=repr(value), expected="True or False"))
        Distribution._validate_args = value

    def _check_parameters(self) -> None:
        for name, constraint in self.arg_constraints.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name, None), lazy_property):
                continue
            value = getattr(self, name)
            if self._fails(constraint, value):
                what = f"Expected parameter {name} of distribution {type(self).__name__} to satisfy the constraint {constraint!r}"
                raise ArgumentError(message(what, received=f"{value} (shape {tuple(value.shape)})"))

    def _fails(self, constraint: constraints.Constraint, value: Tensor) -> bool:
        found = all_true(constraint, value)
        if found is None and self._is_strict:
            found = bool(constraint.check(value).all().item())
        return found is False

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch (parameters are expanded, not copied)."""
        new = self._get_checked_instance(type(self), _instance)
        shape, count = Size(batch_shape), len(self._batch_shape)
        for name, value in self.__dict__.items():
            new.__dict__[name] = self._expanded(value, shape, count)
        new._batch_shape = shape
        return new

    @staticmethod
    def _expanded(value: Any, shape: Size, count: int) -> Any:
        if isinstance(value, Tensor):
            return value.expand(tuple(shape) + tuple(value.shape[count:]))
        if isinstance(value, Distribution):
            return value.expand(tuple(shape) + tuple(value.batch_shape[count:]))
        return value

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        return object.__new__(type(self)) if _instance is None else _instance

    # --- shapes and moments -----------------------------------------------------------------------------------------------------------

    @property
    def batch_shape(self) -> Size:
        """Shape of the batch of distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """Shape of one value."""
        return self._event_shape

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise self._missing("mean")

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        raise self._missing("mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise self._missing("variance")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        deviation: Tensor = self.variance.sqrt()
        return deviation

    def _missing(self, name: str) -> UnsupportedError:
        return UnsupportedError(message(f"{type(self).__name__} does not implement {name}", received=f"{type(self).__name__}.{name}"))

    # --- samples ----------------------------------------------------------------------------------------------------------------------

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Return samples of shape sample_shape + batch_shape + event_shape, without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Return samples with gradients with respect to the parameters."""
        raise self._missing("rsample")

    def sample_n(self, n: int) -> Tensor:
        """Return n samples (older name of ``sample((n,))``)."""
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", FutureWarning, stacklevel=2)
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the logarithm of the density (or probability) of values."""
        raise self._missing("log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of values up to these."""
        raise self._missing("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """Return the values with these cumulative probabilities."""
        raise self._missing("icdf")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return all values along a new first axis (expand: for the whole batch)."""
        raise self._missing("enumerate_support")

    def entropy(self) -> Tensor:
        """Return the entropy, in nats."""
        raise self._missing("entropy")

    def perplexity(self) -> Tensor:
        """Return the exponential of the entropy."""
        perplexity: Tensor = self.entropy().exp()
        return perplexity

    # --- for subclasses ---------------------------------------------------------------------------------------------------------------

    def _extended_shape(self, sample_shape: Shape = ()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value: Any) -> None:
        """Check a value, if arguments are checked.

        Raises:
            ArgumentError: it is no tensor, or outside the support. ShapeError: a ValueError; its shape does not fit.
        """
        if not isinstance(value, Tensor):
            raise ArgumentError(message("The value argument to log_prob must be a Tensor", received=type(value).__name__))
        shape, event = tuple(value.shape), tuple(self._event_shape)
        if shape[len(shape) - len(event) :] != event:
            raise ShapeError(message("The right-most size of value must match event_shape", received=shape, expected=event))
        expected = (*self._batch_shape, *event)
        if any(i != 1 and j != 1 and i != j for i, j in zip(reversed(shape), reversed(expected), strict=False)):
            raise ShapeError(message("Value is not broadcastable with batch_shape+event_shape", received=shape, expected=expected))
        support = self.support
        if support is not None and self._fails(support, value):
            what = f"Expected value argument to be within the support ({support!r}) of the distribution {type(self).__name__}"
            raise ArgumentError(message(what, received=f"{value} (shape {shape})"))

    def _checked(self, value: Any) -> Any:
        """Return a value, checked if arguments are checked."""
        if self._validate_args:
            self._validate_sample(value)
        return value

    def __repr__(self) -> str:
        shown = []
        for name in self.arg_constraints:
            value = self.__dict__.get(name)
            if value is not None:
                shown.append(f"{name}: {value if value.numel() == 1 else value.size()}")
        return f"{type(self).__name__}({', '.join(shown)})"
