"""Engines: what runs graphs. `native` compiles them, `numpy` is the reference."""

from __future__ import annotations

from collections.abc import Callable

from trine import config
from trine.engines.base import Engine, Executable
from trine.errors import ArgumentError, message

__all__ = ["Engine", "Executable", "current", "current_key", "get", "names"]


def _native() -> Engine:
    from trine.engines.native import NativeEngine  # the compiler is loaded with the first use

    return NativeEngine()


def _numpy() -> Engine:
    from trine.engines.numpy import NumpyEngine

    return NumpyEngine()


_MAKERS: dict[str, Callable[[], Engine]] = {"native": _native, "numpy": _numpy}
_engines: dict[tuple[str, str | None], Engine] = {}


def names() -> tuple[str, ...]:
    """Return the names of all engines."""
    return tuple(_MAKERS)


def get(name: str) -> Engine:
    """Return an engine by name.

    Raises:
        ArgumentError: there is none of that name.
        UnsupportedError: it cannot run on this machine.
    """
    key = (name, config.settings.target)
    engine = _engines.get(key)
    if engine is None:
        maker = _MAKERS.get(name)
        if maker is None:
            expected = " or ".join(_MAKERS)
            raise ArgumentError(message("engine: no such engine", received=repr(name), expected=expected, fix="correct TRINE_ENGINE"))
        engine = _engines[key] = maker()
    return engine


def current() -> Engine:
    """Return the engine that the settings name."""
    return get(config.settings.engine)


def current_key() -> tuple[str, str | None]:
    """Return what tells the plans of one engine from those of another."""
    settings = config.settings
    return settings.engine, settings.target
