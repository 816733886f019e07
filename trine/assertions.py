"""The private checks of `torch` that models call: assertions that also hold inside of PyTorch's tracers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine.errors import ShapeError

Text = str | Callable[[], str] | None


def _assert(condition: Any, message: str) -> None:
    """Raise AssertionError unless the condition (a bool, or a tensor of one element) holds."""
    if not bool(condition):
        raise AssertionError(message)


class _CheckError(ShapeError):
    """A condition that a program has stated does not hold."""


def _fail(kind: type[Exception], condition: bool, text: Text) -> None:
    if not condition:
        raise kind(text() if callable(text) else text or "Expected cond to be True, but got False.")


def _check(cond: bool, message: Text = None) -> None:
    """Raise RuntimeError unless the condition holds; `message` is a text, or a function that returns it."""
    _fail(_CheckError, cond, message)


def _check_value(cond: bool, message: Text = None) -> None:
    """Raise ValueError unless the condition holds."""
    _fail(ValueError, cond, message)


def _check_index(cond: bool, message: Text = None) -> None:
    """Raise IndexError unless the condition holds."""
    _fail(IndexError, cond, message)


def _check_type(cond: bool, message: Text = None) -> None:
    """Raise TypeError unless the condition holds."""
    _fail(TypeError, cond, message)


def _check_not_implemented(cond: bool, message: Text = None) -> None:
    """Raise NotImplementedError unless the condition holds."""
    _fail(NotImplementedError, cond, message)


def _check_is_size(i: int, message: Text = None, *, max: int | None = None) -> None:
    """Raise RuntimeError unless an integer can be a size."""
    _fail(_CheckError, i >= 0 and (max is None or i <= max), message or f"{i} is not a size")
