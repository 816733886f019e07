"""The compiler: from graphs to programs. Here also the names that programs ask of `torch.compiler`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def is_compiling() -> bool:
    """False: Python runs, always."""
    return False


def is_dynamo_compiling() -> bool:
    """False: Python runs, always."""
    return False


def is_exporting() -> bool:
    """False: Python runs, always."""
    return False


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """Return the function itself, or (without one) what returns its argument: every function may run in Python."""
    return _itself if fn is None else fn


def allow_in_graph(fn: Any) -> Any:
    """Return the function itself."""
    return fn


def assume_constant_result(fn: Any) -> Any:
    """Return the function itself."""
    return fn


def cudagraph_mark_step_begin() -> None:
    """Do nothing: there are no CUDA graphs."""


def reset() -> None:
    """Do nothing: what is compiled stays valid for every program."""


def _itself(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn
