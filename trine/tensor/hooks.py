"""Handles by which hooks are removed."""

from __future__ import annotations

import itertools
from typing import Any

from trine.tensor import changes

_numbers = itertools.count()


class AfterAccumulation:
    """A hook among those of a tensor that is called when the gradient has been added to `grad`."""

    __slots__ = ("hook",)

    def __init__(self, hook: Any) -> None:
        self.hook = hook


class HookHandle:
    """Returned by functions that register a hook; `remove()` takes the hook away. Usable as a context manager."""

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self.hooks = hooks
        self.id = next(_numbers)
        hooks[self.id] = hook
        changes.note()

    def remove(self) -> None:
        """Remove the hook (no error if it is gone)."""
        self.hooks.pop(self.id, None)
        changes.note()

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
