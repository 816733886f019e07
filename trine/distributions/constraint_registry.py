"""From constraints to transforms: `biject_to` (bijections) and `transform_to` (cheaper, for optimization)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine.distributions import constraints, transforms
from trine.errors import DTypeError, UnsupportedError, message

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]

Factory = Callable[[Any], transforms.Transform]


class ConstraintRegistry:
    """Functions that make transforms from unconstrained values to those of a constraint.

    >>> import trine
    >>> biject_to(constraints.positive)(trine.tensor(0.0))
    tensor(1.)
    """

    def __init__(self) -> None:
        self._registry: dict[type, Factory] = {}

    def register(self, constraint: Any, factory: Factory | None = None) -> Any:
        """Register a function for a class of constraints (also as a decorator)."""
        if factory is None:
            return lambda function: self.register(constraint, function)
        kind = type(constraint) if isinstance(constraint, constraints.Constraint) else constraint
        if not isinstance(kind, type) or not issubclass(kind, constraints.Constraint):
            raise DTypeError(message("Expected constraint to be either a Constraint subclass or instance", received=repr(constraint)))
        self._registry[kind] = factory
        return factory

    def __call__(self, constraint: Any) -> transforms.Transform:
        if type(constraint) not in self._registry:
            raise UnsupportedError(message(f"Cannot transform {type(constraint).__name__} constraints"))
        return self._registry[type(constraint)](constraint)


biject_to = ConstraintRegistry()
transform_to = ConstraintRegistry()


def _to_interval(constraint: Any) -> transforms.Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    if isinstance(low, int | float) and isinstance(high, int | float) and (low, high) == (0, 1):
        return transforms.SigmoidTransform()
    return transforms.ComposeTransform([transforms.SigmoidTransform(), transforms.AffineTransform(low, high - low)])


def _above(constraint: Any) -> transforms.Transform:
    return transforms.ComposeTransform([transforms.ExpTransform(), transforms.AffineTransform(constraint.lower_bound, 1)])


def _below(constraint: Any) -> transforms.Transform:
    return transforms.ComposeTransform([transforms.ExpTransform(), transforms.AffineTransform(constraint.upper_bound, -1)])


_BOTH: list[tuple[Any, Factory]] = [
    (constraints.real, lambda c: transforms.identity_transform),
    (constraints.greater_than, _above),
    (constraints.greater_than_eq, _above),
    (constraints.less_than, _below),
    (constraints.interval, _to_interval),
    (constraints.half_open_interval, _to_interval),
    (constraints.corr_cholesky, lambda c: transforms.CorrCholeskyTransform()),
]
_OF_EACH: list[tuple[Any, Callable[[ConstraintRegistry, Any], transforms.Transform]]] = [
    (constraints.independent, lambda r, c: transforms.IndependentTransform(r(c.base_constraint), c.reinterpreted_batch_ndims)),
    (constraints.cat, lambda r, c: transforms.CatTransform([r(part) for part in c.cseq], c.dim, c.lengths)),
    (constraints.stack, lambda r, c: transforms.StackTransform([r(part) for part in c.cseq], c.dim)),
]
_POSITIVE = (type(constraints.positive), type(constraints.nonnegative))


def _register_all(registry: ConstraintRegistry) -> None:
    for constraint, factory in _BOTH:
        registry.register(constraint, factory)
    for constraint, maker in _OF_EACH:
        registry.register(constraint, lambda c, maker=maker: maker(registry, c))  # type: ignore[misc]
    for kind in _POSITIVE:
        registry.register(kind, lambda c: transforms.ExpTransform() if _is_zero(c.lower_bound) else _above(c))


def _is_zero(bound: Any) -> bool:
    return isinstance(bound, int | float) and bound == 0


_register_all(biject_to)
_register_all(transform_to)
biject_to.register(constraints.simplex, lambda c: transforms.StickBreakingTransform())
transform_to.register(constraints.simplex, lambda c: transforms.SoftmaxTransform())
transform_to.register(constraints.lower_cholesky, lambda c: transforms.LowerCholeskyTransform())
transform_to.register(constraints.positive_definite, lambda c: transforms.PositiveDefiniteTransform())
transform_to.register(constraints.positive_semidefinite, lambda c: transforms.PositiveDefiniteTransform())
