"""`trine.compile`: functions that are captured once and replayed without Python."""

from __future__ import annotations

import functools
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from trine import config, tree
from trine.errors import ArgumentError, DTypeError, message
from trine.tensor.capture import capture
from trine.tensor.guards import Guards, is_plain
from trine.tensor.handle import Handle
from trine.tensor.recorder import flush, local
from trine.tensor.replay import IMPOSSIBLE, Capture

MAX_CAPTURES = 64
"""Captures that a function keeps; the one used least recently goes first."""
_MANY_RETRACES = 256


class CompiledFunction:
    """A function that is captured when it is called with arguments of a new kind, and replayed otherwise.

    Attributes:
        function: the original.
        num_retraces: how often it was captured. reasons: for each of them why, in order (the last few).
    """

    def __init__(self, function: Callable[..., Any], *, fullgraph: bool = False) -> None:
        self.function = function
        self.fullgraph = fullgraph
        self.num_retraces = 0
        self.reasons: list[str] = []
        self._captures: dict[Any, list[tuple[Guards, Capture]]] = {}
        self._num_captures = 0
        self._lock = threading.RLock()
        self._is_off = False
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, or replay it."""
        if self._is_off or local.capture is not None or local.in_pass or local.eager:
            return self.function(*args, **kwargs)
        if local.trace.handles or local.trace.leaves:
            flush()
        with self._lock:
            leaves, key = _arguments(args, kwargs)
            reason = ""
            for guards, found in self._captures.get(key, ()):
                broken = guards.broken()
                if broken:
                    reason = broken
                    continue
                result = found.replay(leaves)
                if result is not IMPOSSIBLE:
                    return result
                reason = "a tensor that it uses has another dtype or shape, shares memory with another one, or its gradient is (not) there"
            return self._retrace(args, kwargs, leaves, key, reason or self._first_reason(key))

    def __reduce__(self) -> Any:
        return functools.partial(CompiledFunction, fullgraph=self.fullgraph), (self.function,)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Bind it as a method."""
        return self if instance is None else functools.partial(self, instance)

    def _first_reason(self, key: Any) -> str:
        if not self._captures:
            return "the first call"
        return f"arguments of another kind: {_described(key)}"

    def _retrace(self, args: tuple[Any, ...], kwargs: dict[str, Any], leaves: Sequence[Any], key: Any, reason: str) -> Any:
        self.num_retraces += 1
        self.reasons = [*self.reasons[-15:], reason]
        self._tell(f"captured: {reason}")
        others = [value for value in leaves if not isinstance(value, Handle) and not is_plain(value)]
        result, found = capture(self.function, args, kwargs, leaves, self.fullgraph)
        if isinstance(found, Capture):
            kept = self._captures.setdefault(key, [])
            kept.append((Guards(self.function, others), found))
            self._num_captures += 1
            if self._num_captures > MAX_CAPTURES:
                self._forget_oldest()
        else:
            self._give_up(found)
        if self.num_retraces == _MANY_RETRACES:
            self._give_up(f"it was captured {_MANY_RETRACES} times, the last time because {reason}")
        return result

    def _forget_oldest(self) -> None:
        key = next(iter(self._captures))
        kept = self._captures[key]
        del kept[0]
        self._num_captures -= 1
        if not kept:
            del self._captures[key]

    def _give_up(self, reason: str) -> None:
        """Call the function as it is from now on: what it does is recorded and compiled all the same."""
        self._is_off = True
        self._captures.clear()
        self._tell(f"not captured any more: {reason}")
        self.reasons = [*self.reasons[-15:], reason]
        if self.fullgraph:
            raise ArgumentError(
                message("compile: the function cannot be captured as a whole", received=reason, fix="compile without fullgraph")
            )

    def _tell(self, text: str) -> None:
        if config.settings.debug:
            print(f"compile: {getattr(self.function, '__qualname__', type(self.function).__name__)} {text}", file=sys.stderr)


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Sequence[Any], Any]:
    """Return the leaves of a call's arguments, and what calls must have in common to share a capture: the metas of tensors, constants by
    value, other objects by identity, the gradient mode and that of autocast.
    """
    mode = (local.grad_enabled, local.autocast)
    if not kwargs and all([isinstance(value, Handle) for value in args]):
        return args, (mode, None, *[value._meta for value in args])
    leaves, structure = tree.flatten((args, kwargs))
    parts: list[Any] = [mode, structure]
    for value in leaves:
        if isinstance(value, Handle):
            parts.append(value._meta)
        elif is_plain(value):
            parts.append((type(value), repr(value) if isinstance(value, float | complex) else value))
        else:
            parts.append(id(value))
    return leaves, tuple(parts)


def _described(key: Any) -> str:
    parts = []
    for part in key[2:]:
        shape = getattr(part, "shape", None)
        parts.append(f"{part.dtype.name}{list(shape)}" if shape is not None else repr(part[1]) if type(part) is tuple else "an object")
    return ", ".join(parts)[:200]


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "native",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """Return a function or module that runs without Python: captured at the first call, replayed at others like it.

    Every program is compiled in any case; what this saves is Python itself. A function is captured again, which costs one ordinary call,
    when its arguments have another shape, dtype or structure, or when a constant, a global, a variable of a closure or an attribute of a
    module that it uses has another value; `TRINE_DEBUG=1` prints each reason, and `reasons` has them. Calls inside, gradients
    (`backward`), in-place writes, random numbers and the steps of optimizers, whose learning rates and counts stay up to date, are all
    replayed. Other effects of Python (printing, appending to a list) happen when the function is captured, and not at a replay.

    A function that observes a value (`item()`, `if` on a tensor) is not captured: it is called as it is, which is right too, only slower.

    Args:
        model: a function or module; left out, a decorator is returned.
        fullgraph: raise an error if it cannot be captured.
        dynamic, backend, mode, options: accepted for programs written for PyTorch; sizes are arguments of the kernels in any case.
        disable: return `model` as it is.

    Raises:
        DTypeError: if `model` cannot be called.

    Example:
        >>> import trine
        >>> @trine.compile
        ... def norm(x):
        ...     return (x * x).sum().sqrt()
        >>> norm(trine.tensor([3.0, 4.0]))
        tensor(5.)
        >>> norm(trine.tensor([6.0, 8.0])), norm.num_retraces
        (tensor(10.), 1)
    """
    if model is None:
        return functools.partial(
            compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, disable=disable
        )
    if not callable(model):
        raise DTypeError(message("compile", received=type(model).__name__, expected="a function or a module"))
    if mode is not None and options is not None:
        raise ArgumentError(
            message("compile: either mode or options can be given, not both", received=f"mode={mode!r}, options={options!r}")
        )
    if mode not in (None, "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"):
        warnings.warn(f"compile: unknown mode {mode!r} is ignored", stacklevel=2)
    if disable or isinstance(model, CompiledFunction):
        return model
    as_module = getattr(model, "_compiled", None)
    if as_module is not None and hasattr(model, "named_modules"):
        return as_module(functools.partial(CompiledFunction, fullgraph=fullgraph))
    return CompiledFunction(model, fullgraph=fullgraph)
