"""Compiled modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from trine.nn.module import Module


class OptimizedModule(Module):
    """A module whose calls are captured and replayed; what `trine.compile(module)` returns.

    It shares parameters, buffers and attributes with the module it was made from, which is `_orig_mod`.

    Example:
        >>> import trine
        >>> layer = trine.nn.Linear(2, 1)
        >>> fast = trine.compile(layer)
        >>> bool((fast(trine.ones(3, 2)) == layer(trine.ones(3, 2))).all())
        True
        >>> sorted(fast.state_dict())
        ['_orig_mod.bias', '_orig_mod.weight']
    """

    def __init__(self, module: Module, compiler: Callable[[Any], Any]) -> None:
        super().__init__()
        self._orig_mod = module
        object.__setattr__(self, "forward", compiler(module))
        object.__setattr__(self, "training", module.training)

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            raise AttributeError(name)
        return getattr(self._orig_mod, name)

    def train(self, mode: bool = True) -> OptimizedModule:
        """Set training mode here and in the module."""
        self._orig_mod.train(mode)
        object.__setattr__(self, "training", mode)
        return self

    def __len__(self) -> int:
        return len(self._orig_mod)

    def __getitem__(self, index: Any) -> Any:
        return self._orig_mod[index]  # type: ignore[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._orig_mod)
