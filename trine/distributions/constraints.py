"""Constraints: which values a parameter or a sample may have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trine.errors import ArgumentError, ShapeError, UnsupportedError, message
from trine.ops import cat as _join
from trine.ops import full, isclose
from trine.ops import stack as _pile
from trine.ops.decomposition import cholesky_ex, eigvalsh
from trine.ops.dtype_info import finfo


class Constraint:
    """Base of constraints.

    Attributes:
        is_discrete: the values are whole numbers. event_dim: number of axes that make one value.
        takes_arrays: `check` is written so that it takes NumPy arrays too.
    """

    is_discrete: Any = False
    event_dim: Any = 0
    takes_arrays = False

    def check(self, value: Any) -> Any:
        """Return, for each value, whether it is allowed."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__.removeprefix('_')}({', '.join(f'{k}={v}' for k, v in self._shown().items())})"

    def _shown(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k in ("lower_bound", "upper_bound")}


class _Dependent(Constraint):
    """Depends on other values: checked by nobody."""

    def __init__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> None:
        self._is_discrete, self._event_dim = is_discrete, event_dim

    @property
    def is_discrete(self) -> bool:
        """Whether the values are whole numbers, where that is known."""
        return bool(_known(self._is_discrete, "is_discrete"))

    @property
    def event_dim(self) -> int:
        """Number of axes of a value, where that is known."""
        return int(_known(self._event_dim, "event_dim"))

    def __call__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> _Dependent:
        return _Dependent(
            is_discrete=self._is_discrete if is_discrete is NotImplemented else is_discrete,
            event_dim=self._event_dim if event_dim is NotImplemented else event_dim,
        )

    def check(self, value: Any) -> Any:
        """Raise ArgumentError."""
        raise ArgumentError(message("Cannot determine validity of dependent constraint"))


def _known(value: Any, name: str) -> Any:
    if value is NotImplemented:
        raise UnsupportedError(message(f".{name} cannot be determined statically"))
    return value


def is_dependent(constraint: Any) -> bool:
    """Return True for constraints that depend on other values."""
    return isinstance(constraint, _Dependent)


class _DependentProperty(property, _Dependent):
    """A property that gives a constraint, usable as decorator with and without options."""

    def __init__(self, fn: Callable[..., Any] | None = None, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented) -> None:
        super().__init__(fn)
        self._is_discrete, self._event_dim = is_discrete, event_dim

    def __call__(self, fn: Callable[..., Any]) -> _DependentProperty:  # type: ignore[override]
        return _DependentProperty(fn, is_discrete=self._is_discrete, event_dim=self._event_dim)


class _IndependentConstraint(Constraint):
    """All of the values along the last axes."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint, self.reinterpreted_batch_ndims = base_constraint, reinterpreted_batch_ndims

    @property
    def is_discrete(self) -> bool:
        """Whether the values are whole numbers."""
        return bool(self.base_constraint.is_discrete)

    @property
    def event_dim(self) -> int:
        """Number of axes of a value."""
        return int(self.base_constraint.event_dim) + self.reinterpreted_batch_ndims

    def check(self, value: Any) -> Any:
        """Return whether all values of an event are allowed."""
        result = self.base_constraint.check(value)
        if result.dim() < self.reinterpreted_batch_ndims:
            raise ShapeError(message(f"Expected value.dim() >= {self.event_dim}", received=value.dim()))
        return _all_last(result, self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"IndependentConstraint({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


def _all_last(result: Any, count: int) -> Any:
    return result.reshape(tuple(result.shape[: result.dim() - count]) + (-1,)).all(-1)


class MixtureSameFamilyConstraint(Constraint):
    """Allowed by all components of a mixture."""

    def __init__(self, base_constraint: Constraint) -> None:
        self.base_constraint = base_constraint

    @property
    def is_discrete(self) -> bool:
        """Whether the values are whole numbers."""
        return bool(self.base_constraint.is_discrete)

    @property
    def event_dim(self) -> int:
        """Number of axes of a value."""
        return int(self.base_constraint.event_dim)

    def check(self, value: Any) -> Any:
        """Return whether all components allow the values."""
        if value.dim() < self.event_dim:
            raise ShapeError(message(f"Expected value.dim() >= {self.event_dim}", received=value.dim()))
        result = self.base_constraint.check(value.unsqueeze(-1 - self.event_dim))
        return _all_last(result, result.dim() - (value.dim() - self.event_dim))

    def __repr__(self) -> str:
        return f"MixtureSameFamilyConstraint({self.base_constraint!r})"


class _Boolean(Constraint):
    is_discrete, takes_arrays = True, True

    def check(self, value: Any) -> Any:
        return (value == 0) | (value == 1)


class _OneHot(Constraint):
    is_discrete, event_dim, takes_arrays = True, 1, True

    def check(self, value: Any) -> Any:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _Bounded(Constraint):
    takes_arrays = True

    def __init__(self, lower_bound: Any = None, upper_bound: Any = None) -> None:
        if lower_bound is not None:
            self.lower_bound = lower_bound
        if upper_bound is not None:
            self.upper_bound = upper_bound


class _IntegerInterval(_Bounded):
    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & (value >= self.lower_bound) & (value <= self.upper_bound)


class _IntegerGreaterThan(_Bounded):
    is_discrete = True

    def check(self, value: Any) -> Any:
        return (value % 1 == 0) & (value >= self.lower_bound)


class _Real(Constraint):
    takes_arrays = True

    def check(self, value: Any) -> Any:
        return value == value


class _GreaterThan(_Bounded):
    def __init__(self, lower_bound: Any) -> None:
        super().__init__(lower_bound)

    def check(self, value: Any) -> Any:
        return value > self.lower_bound


class _GreaterThanEq(_Bounded):
    def __init__(self, lower_bound: Any) -> None:
        super().__init__(lower_bound)

    def check(self, value: Any) -> Any:
        return value >= self.lower_bound


class _LessThan(_Bounded):
    def __init__(self, upper_bound: Any) -> None:
        super().__init__(None, upper_bound)

    def check(self, value: Any) -> Any:
        return value < self.upper_bound


class _Interval(_Bounded):
    def check(self, value: Any) -> Any:
        return (value >= self.lower_bound) & (value <= self.upper_bound)


class _HalfOpenInterval(_Bounded):
    def check(self, value: Any) -> Any:
        return (value >= self.lower_bound) & (value < self.upper_bound)


class _Simplex(Constraint):
    event_dim, takes_arrays = 1, True

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & (abs(value.sum(-1) - 1) < 1e-6)


class _Multinomial(_Bounded):
    is_discrete, event_dim = True, 1

    def __init__(self, upper_bound: Any) -> None:
        super().__init__(None, upper_bound)

    def check(self, value: Any) -> Any:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class _LowerTriangular(Constraint):
    event_dim = 2

    def check(self, value: Any) -> Any:
        return _all_last(value.tril() == value, 2)


class _LowerCholesky(Constraint):
    event_dim = 2

    def check(self, value: Any) -> Any:
        return _all_last(value.tril() == value, 2) & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _CorrCholesky(Constraint):
    event_dim = 2

    def check(self, value: Any) -> Any:
        tolerance = finfo(value.dtype).eps * value.shape[-1] * 10
        norms = (value * value).sum(-1).sqrt()
        return lower_cholesky.check(value) & ((norms - 1).abs() <= tolerance).all(-1)


class _Square(Constraint):
    event_dim = 2

    def check(self, value: Any) -> Any:
        return full(tuple(value.shape[:-2]), value.shape[-2] == value.shape[-1])


class _Symmetric(_Square):
    def check(self, value: Any) -> Any:
        if value.shape[-2] != value.shape[-1]:
            return super().check(value)
        return _all_last(isclose(value, value.mT, atol=1e-6), 2)


class _PositiveSemidefinite(_Symmetric):
    def check(self, value: Any) -> Any:
        is_symmetric = super().check(value)
        return (eigvalsh(value) >= 0).all(-1) if bool(is_symmetric.all()) else is_symmetric


class _PositiveDefinite(_Symmetric):
    def check(self, value: Any) -> Any:
        is_symmetric = super().check(value)
        return cholesky_ex(value).info.eq(0) if bool(is_symmetric.all()) else is_symmetric


class _Cat(Constraint):
    """Constraints of pieces along an axis."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None) -> None:
        self.cseq, self.dim = list(cseq), dim
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.cseq):
            raise ArgumentError(message("constraints.cat: lengths", received=len(self.lengths), expected=len(self.cseq)))

    @property
    def is_discrete(self) -> bool:
        """Whether some values are whole numbers."""
        return any(c.is_discrete for c in self.cseq)

    @property
    def event_dim(self) -> int:
        """Number of axes of a value."""
        return max(int(c.event_dim) for c in self.cseq)

    def check(self, value: Any) -> Any:
        """Return whether each piece is allowed."""
        starts = [sum(self.lengths[:i]) for i in range(len(self.lengths))]
        pieces = [c.check(value.narrow(self.dim, s, n)) for c, s, n in zip(self.cseq, starts, self.lengths, strict=True)]
        return _join(pieces, self.dim)


class _Stack(Constraint):
    """Constraints of slices along an axis."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0) -> None:
        self.cseq, self.dim = list(cseq), dim

    @property
    def is_discrete(self) -> bool:
        """Whether some values are whole numbers."""
        return any(c.is_discrete for c in self.cseq)

    @property
    def event_dim(self) -> int:
        """Number of axes of a value."""
        count = max(int(c.event_dim) for c in self.cseq)
        return count + 1 if self.dim + count < 0 else count

    def check(self, value: Any) -> Any:
        """Return whether each slice is allowed."""
        return _pile([c.check(value.select(self.dim, i)) for i, c in enumerate(self.cseq)], self.dim)


dependent = _Dependent()
dependent_property = _DependentProperty
independent = _IndependentConstraint
boolean = _Boolean()
one_hot = _OneHot()
nonnegative_integer = _IntegerGreaterThan(0)
positive_integer = _IntegerGreaterThan(1)
integer_interval = _IntegerInterval
real = _Real()
real_vector = independent(real, 1)
positive = _GreaterThan(0.0)
nonnegative = _GreaterThanEq(0.0)
greater_than = _GreaterThan
greater_than_eq = _GreaterThanEq
less_than = _LessThan
multinomial = _Multinomial
unit_interval = _Interval(0.0, 1.0)
interval = _Interval
half_open_interval = _HalfOpenInterval
simplex = _Simplex()
lower_triangular = _LowerTriangular()
lower_cholesky = _LowerCholesky()
corr_cholesky = _CorrCholesky()
square = _Square()
symmetric = _Symmetric()
positive_semidefinite = _PositiveSemidefinite()
positive_definite = _PositiveDefinite()
cat = _Cat
stack = _Stack
