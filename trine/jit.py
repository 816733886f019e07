"""The names of `torch.jit` that programs use. Every program is compiled here as it is recorded, so a scripted function is the function
itself; only files of TorchScript can be neither written nor read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from trine.errors import UnsupportedError, message
from trine.tensor.grad_mode import no_grad

__all__ = [
    "Final",
    "annotate",
    "export",
    "freeze",
    "fuser",
    "ignore",
    "interface",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "load",
    "optimize_for_inference",
    "optimized_execution",
    "save",
    "script",
    "script_if_tracing",
    "script_method",
    "set_fusion_strategy",
    "trace",
    "trace_module",
    "unused",
]

T = TypeVar("T")
_is = isinstance


def script(obj: T, *args: Any, **kwargs: Any) -> T:
    """Return the function, class or module itself.

    >>> import trine
    >>> @trine.jit.script
    ... def double(x):
    ...     return x * 2
    >>> double(trine.ones(1))
    tensor([2.])
    """
    return obj


def trace(func: T, example_inputs: Any = None, *args: Any, **kwargs: Any) -> T:
    """Return the function or module itself, after it was called with the example inputs, so that errors show.

    Data-dependent branches stay: what runs is Python, not a recording of one call.

    >>> import trine
    >>> trine.jit.trace(lambda x: x + 1, (trine.ones(1),))(trine.zeros(2))
    tensor([1., 1.])
    """
    keywords = kwargs.get("example_kwarg_inputs")
    if example_inputs is not None or keywords is not None:
        given = () if example_inputs is None else example_inputs if _is(example_inputs, tuple) else (example_inputs,)
        with no_grad():
            func(*given, **(keywords or {}))  # type: ignore[operator]
    return func


def trace_module(mod: T, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> T:
    """Return the module itself, after the methods that `inputs` names were called with their example inputs."""
    with no_grad():
        for name, given in inputs.items():
            getattr(mod, name)(*(given if _is(given, tuple) else (given,)))
    return mod


def _decorator(doc: str) -> Callable[..., Any]:
    def decorator(obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        # Used with arguments it gets them instead of the function, and returns what takes the function.
        return obj if callable(obj) or _is(obj, property) else lambda function: function

    decorator.__doc__ = doc
    return decorator


ignore = _decorator("Return the function itself: nothing is scripted, so nothing is left out of a script.")
unused = _decorator("Return the function itself: nothing is scripted, so nothing is left out of a script.")
export = _decorator("Return the function itself.")
interface = _decorator("Return the class itself.")
script_method = _decorator("Return the method itself.")
script_if_tracing = _decorator("Return the function itself.")
_script_if_tracing = script_if_tracing
_overload = _overload_method = _decorator("Return the function itself.")


def is_scripting() -> bool:
    """False: Python runs, always."""
    return False


def is_tracing() -> bool:
    """False: Python runs, always."""
    return False


def annotate(the_type: Any, the_value: T) -> T:
    """Return the value."""
    return the_value


def isinstance(obj: Any, target_type: Any) -> bool:
    """Return whether an object is an instance of a type, or of an annotation such as ``list[int]`` (its origin counts)."""
    from typing import get_origin

    kinds = target_type if _is(target_type, tuple) else (target_type,)
    return _is(obj, tuple(get_origin(kind) or kind for kind in kinds))


def freeze(mod: T, preserved_attrs: Any = None, optimize_numerics: bool = True) -> T:
    """Return the module."""
    return mod


def optimize_for_inference(mod: T, other_methods: Any = None) -> T:
    """Return the module."""
    return mod


@contextmanager
def optimized_execution(should_optimize: bool) -> Iterator[None]:
    """Do nothing: programs are always optimized."""
    yield


@contextmanager
def fuser(name: str) -> Iterator[None]:
    """Do nothing: there is one way of fusing."""
    yield


def set_fusion_strategy(strategy: Any) -> list[tuple[str, int]]:
    """Return the strategy: kernels serve all shapes."""
    return [("DYNAMIC", 0)]


def save(m: Any, f: Any, *args: Any, **kwargs: Any) -> None:
    """Raise: TorchScript files can't be written.

    Raises:
        UnsupportedError: always.
    """
    fix = "trine.save(module.state_dict(), path)"
    raise UnsupportedError(message("jit.save: TorchScript files can't be written", received=type(m).__name__, fix=fix))


def load(f: Any, *args: Any, **kwargs: Any) -> Any:
    """Raise: TorchScript files can't be read.

    Raises:
        UnsupportedError: always.
    """
    fix = "save model.state_dict() with torch.save, build the model here and load that"
    raise UnsupportedError(message("jit.load: TorchScript files can't be read", received=repr(f), fix=fix))


class ScriptModule:
    """What nothing is an instance of: `script` returns the module itself."""


class ScriptFunction:
    """What nothing is an instance of: `script` returns the function itself."""
