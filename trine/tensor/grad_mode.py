"""Switching gradient recording on and off."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
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
        return _decorate(lambda: _fixed(self.mode), function)


class _Mode:
    """A context manager and decorator with a fixed mode."""

    mode: bool
    _before: list[bool]

    def __new__(cls, function: Callable[..., Any] | None = None, *_: Any) -> Any:
        if function is not None and callable(function):
            return _decorate(cls, function)
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
        return _decorate(type(self), function)


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


class inference_mode(_Mode):
    """The same as `no_grad` (recorded programs keep nothing for gradients either way).

    Args:
        mode: False leaves the mode: gradients are recorded again.

    >>> import trine
    >>> with trine.inference_mode():
    ...     trine.is_inference_mode_enabled(), trine.is_grad_enabled()
    (True, False)
    """

    def __new__(cls, mode: Any = True) -> Any:
        if mode is not True and callable(mode):
            return cls()(mode)
        made = object.__new__(cls)
        made.mode, made._before = not mode, []
        return made

    def __enter__(self) -> None:
        super().__enter__()
        self._before.append(local.is_inference)
        local.is_inference = not self.mode

    def __exit__(self, *_: object) -> None:
        local.is_inference = self._before.pop()
        super().__exit__()

    def __call__(self, function: F) -> F:
        return _decorate(lambda: inference_mode(not self.mode), function)


def _fixed(mode: bool) -> _Mode:
    made: _Mode = enable_grad() if mode else no_grad()
    return made


def _decorate(mode: Callable[[], _Mode], function: F) -> F:
    """Return the function that runs in a mode; the body of a generator does, not what goes on between its values."""
    if inspect.isgeneratorfunction(function):
        return _decorate_generator(mode, function)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with mode():
            return function(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def _decorate_generator(mode: Callable[[], _Mode], function: F) -> F:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        resume: Callable[[], Any] = functools.partial(next, generator)
        while True:
            try:
                with mode():
                    value = resume()
            except StopIteration as end:
                return end.value
            try:
                sent = yield value
                resume = functools.partial(generator.send, sent)
            except GeneratorExit:
                with mode():
                    generator.close()
                raise
            except BaseException as error:
                resume = functools.partial(generator.throw, error)

    return wrapper  # type: ignore[return-value]


def is_grad_enabled() -> bool:
    """Return True if gradients are being recorded in this thread."""
    return local.grad_enabled


def is_inference_mode_enabled() -> bool:
    """Return True inside `inference_mode`."""
    return local.is_inference
