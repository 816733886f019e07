"""Python operators and in-place methods made from recorded functions: the hottest path of a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trine.tensor.alias import assign
from trine.tensor.handle import Handle
from trine.tensor.recorder import Builder, local, record
from trine.tensor.tensor import Tensor

RECORDED: dict[Callable[..., Any], tuple[str, Builder]] = {}
"""Operator method -> ("binary", "reflected" or "unary", builder): what the native recorder may take over."""


def binary_operator(builder: Builder) -> Callable[[Any, Any], Any]:
    """Return the method ``a <op> b`` of a builder of two operands.

    A hit in the automaton is handled here, without another call; `record` does the rest.
    """
    new = object.__new__
    cls = Tensor

    def method(self: Any, other: Any) -> Any:
        trace = local.trace
        kind = type(other)
        key: tuple[Any, ...]
        try:
            if kind is float:
                key = (builder, self._slot if self._trace is trace else trace.slot_of(self), float)
            elif kind is int:
                return record(builder, (self, other))
            else:
                key = (
                    builder,
                    self._slot if self._trace is trace else trace.slot_of(self),
                    other._slot if other._trace is trace else trace.slot_of(other),
                )
        except AttributeError:
            return _fallback(builder, self, other)
        state = trace.state.next.get(key)
        if state is None:
            return _fallback(builder, self, other)
        trace.state = state  # first: an interrupt may come after a call
        if kind is float:
            trace.scalars.append(other)
        result = new(cls)
        result._trace = trace
        result._slot = state.slot
        result._meta = state.meta  # type: ignore[assignment]  # a state of an operation has results
        trace.hold(result)
        return result

    RECORDED[method] = "binary", builder
    return method


def _fallback(builder: Builder, a: Any, b: Any) -> Any:
    a, b = _as_operand(a), _as_operand(b)
    if not _is_operand(a) or not _is_operand(b):
        return NotImplemented
    return record(builder, (a, b))


def _as_operand(value: Any) -> Any:
    """Return a NumPy array of numbers as a tensor that shares its memory, anything else as it is."""
    if not isinstance(value, np.ndarray) or value.ndim == 0 or value.dtype.kind not in "biufc":
        return value
    from trine.tensor.convert import from_numpy

    return from_numpy(value)


def _is_operand(value: Any) -> bool:
    return isinstance(value, Handle | float | int | complex) or (hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0)


def reflected_operator(builder: Builder) -> Callable[[Any, Any], Any]:
    """Return the method ``b <op> a`` for a left operand that is no tensor."""

    def method(self: Any, other: Any) -> Any:
        return _fallback(builder, other, self)

    RECORDED[method] = "reflected", builder
    return method


def unary_operator(builder: Builder) -> Callable[[Any], Any]:
    """Return the method ``<op> a``."""

    def method(self: Any) -> Any:
        return record(builder, (self,))

    RECORDED[method] = "unary", builder
    return method


def in_place_operator(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the in-place form of a function: its result, converted to the tensor's dtype, is written into the tensor.

    The result may not have another shape, nor a dtype category that the tensor's cannot hold.
    """

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = function(self, *args, **kwargs)
        if not isinstance(result, Tensor):
            return result
        if result._meta.dtype is not self._meta.dtype:
            check_can_cast(result, self)
            result = result.to(self._meta.dtype)
        return assign(self, result)

    method.__name__ = getattr(function, "__name__", "function") + "_"
    method.__doc__ = f"In-place version of `{getattr(function, '__name__', 'function')}`."
    return method


_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def check_can_cast(value: Tensor, target: Tensor) -> None:
    """Raise if an in-place result cannot be held by the target's dtype category.

    Raises:
        DTypeError
    """
    from trine.errors import DTypeError, message

    if _CATEGORY[value._meta.dtype.code] > _CATEGORY[target._meta.dtype.code]:
        raise DTypeError(
            message(
                f"result type {value._meta.dtype.name} can't be cast to the desired output type {target._meta.dtype.name}",
                received=f"an in-place operation on a {target._meta.dtype.name} tensor",
                fix="use the out-of-place operation",
            )
        )
