"""Modules without initial values."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from trine.errors import ArgumentError, message
from trine.nn.module import Module

M = TypeVar("M", bound=Module)


def skip_init(module_cls: Callable[..., M], *args: Any, **kwargs: Any) -> M:
    """Return ``module_cls(*args, **kwargs)`` with parameters and buffers whose values are not set.

    What the constructor drew is recorded, and never computed.

    Raises:
        RuntimeError: `module_cls` is not a module class, or has no `device` argument.

    >>> import trine
    >>> trine.nn.utils.skip_init(trine.nn.Linear, 5, 1).weight.shape
    trine.Size([1, 5])
    """
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise _NotAModule(message("skip_init", received=repr(module_cls), expected="a class of modules"))
    if "device" not in inspect.signature(module_cls).parameters:
        raise _NotAModule(message(f"skip_init: {module_cls.__name__} has no argument `device`", expected="a class with one"))
    device = kwargs.pop("device", None) or "cpu"
    made: Any = module_cls(*args, device=device, **kwargs)
    return made.to_empty(device=device)  # type: ignore[no-any-return]


class _NotAModule(ArgumentError, RuntimeError):
    """The class can't be built without initial values."""
