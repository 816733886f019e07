"""Kullback-Leibler divergences: a registry of functions by pairs of distributions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from trine.distributions.distribution import Distribution
from trine.errors import DTypeError, UnsupportedError, message
from trine.tensor import Tensor

__all__ = ["kl_divergence", "register_kl"]

F = TypeVar("F", bound=Callable[..., Any])
_REGISTRY: dict[tuple[type, type], Callable[..., Any]] = {}
_FOUND: dict[tuple[type, type], Callable[..., Any] | None] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[F], F]:
    """Decorator that makes a function of (p, q) the divergence of two classes of distributions (and of their subclasses).

    >>> from trine.distributions import Normal
    >>> class Mine(Normal):
    ...     pass
    >>> @register_kl(Mine, Mine)
    ... def divergence(p, q):
    ...     return p.loc * 0
    >>> kl_divergence(Mine(1.0, 1.0), Mine(2.0, 1.0))
    tensor(0.)
    """
    for kind in (type_p, type_q):
        if not isinstance(kind, type) or not issubclass(kind, Distribution):
            raise DTypeError(message("register_kl", received=repr(kind), expected="a Distribution subclass"))

    def decorator(function: F) -> F:
        _REGISTRY[type_p, type_q] = function
        _FOUND.clear()
        return function

    return decorator


def _distance(kind: type, ancestor: type) -> int:
    return kind.__mro__.index(ancestor)


def _dispatch(type_p: type, type_q: type) -> Callable[..., Any] | None:
    """Return the function of the nearest pair of ancestors: nearest for p first, which should be nearest for q first too."""
    matches = [(p, q) for p, q in _REGISTRY if issubclass(type_p, p) and issubclass(type_q, q)]
    if not matches:
        return None
    left = min(matches, key=lambda m: (_distance(type_p, m[0]), _distance(type_q, m[1])))
    right = min(matches, key=lambda m: (_distance(type_q, m[1]), _distance(type_p, m[0])))
    if _REGISTRY[left] is not _REGISTRY[right]:
        what = f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__})."
        warnings.warn(f"{what} Please register_kl({left[0].__name__}, {right[1].__name__})", RuntimeWarning, stacklevel=3)
    return _REGISTRY[left]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """Return the divergence KL(p || q), for each distribution of the batch.

    Raises:
        UnsupportedError: a NotImplementedError; no function is known for this pair.

    >>> from trine.distributions import Normal
    >>> kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0))
    tensor(0.5000)
    """
    key = type(p), type(q)
    if key not in _FOUND:
        _FOUND[key] = _dispatch(*key)
    function = _FOUND[key]
    if function is None:
        what = f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}"
        raise UnsupportedError(message(what, fix="register_kl a function, or estimate it from samples"))
    return function(p, q)  # type: ignore[no-any-return]
