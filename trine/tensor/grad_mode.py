"""Switching gradient recording on and off."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from trine.tensor import recorder
from trine.tensor.recorder import local

F = TypeVar("F", bound=Callable[..., Any])


class set_grad_enabled:
    """Context manager, decorator or plain call that switches gradient recording for the current thread.

    >>> import trine
    >>> x = trine.ones(2, requires_grad=True)
    >>> with trine.set_grad_enabled(False):
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self._before = [recorder.set_grad_enabled(self.mode)]

    def __enter__(self) -> None:
        recorder.set_grad_enabled(self.mode)

    def __exit__(self, *_: object) -> None:
        recorder.set_grad_enabled(self._before[-1])

    def __call__(self, function: F) -> F:
        recorder.set_grad_enabled(self._before[-1])
        return _decorate(self.mode, function)


class _Mode:
    """A context manager and decorator with a fixed mode."""

    mode: bool
    _before: list[bool]

    def __new__(cls, function: Callable[..., Any] | None = None, *_: Any) -> Any:
        if function is not None and callable(function):
            return _decorate(cls.mode, function)
        made = object.__new__(cls)
        made._before = []
        return made

    def __enter__(self) -> None:
        before = local.grad_enabled
        try:
            self._before.append(before)
            recorder.set_grad_enabled(self.mode)
        except BaseException:  # an interrupt: the block is not entered
            recorder.set_grad_enabled(before)
            raise

    def __exit__(self, *_: object) -> None:
        recorder.set_grad_enabled(self._before.pop())

    def __call__(self, function: F) -> F:
        return _decorate(self.mode, function)


class no_grad(_Mode):
    """Context manager or decorator inside which nothing records gradients.

    >>> import trine
    >>> x = trine.ones(2, requires_grad=True)
    >>> with trine.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    mode = False


class enable_grad(_Mode):
    """Context manager or decorator that records gradients again inside `no_grad`."""

    mode = True


class inference_mode(no_grad):
    """The same as `no_grad` (recorded programs keep nothing for gradients either way)."""

    def __new__(cls, mode: Any = True) -> Any:
        if mode is not True and callable(mode):
            return _decorate(False, mode)
        made = object.__new__(cls)
        made.mode, made._before = not mode, []
        return made


def _decorate(mode: bool, function: F) -> F:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        before = local.grad_enabled
        try:
            recorder.set_grad_enabled(mode)
            return function(*args, **kwargs)
        finally:
            recorder.set_grad_enabled(before)

    return wrapper  # type: ignore[return-value]


def is_grad_enabled() -> bool:
    """Return True if gradients are being recorded in this thread."""
    return local.grad_enabled


def is_inference_mode_enabled() -> bool:
    """Return True inside `inference_mode` or `no_grad`."""
    return not local.grad_enabled
