"""Guards of a captured function: what it may depend on beside its arguments, and whether that is still so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

from trine.tensor import changes
from trine.tensor.handle import Handle

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_MAX_OBJECTS = 64


def is_plain(value: Any) -> bool:
    """Return whether a value is a constant that is compared by value."""
    return isinstance(value, _PLAIN) or (type(value) is tuple and all(map(is_plain, value)))


def same(a: Any, b: Any) -> bool:
    """Return whether two values are the same to a program: equal constants of one type, or one object."""
    return a is b or (type(a) is type(b) and is_plain(a) and bool(a == b or (a != a and b != b)))


class Guards:
    """What a function looked up when it was captured.

    Args:
        function: the function, method or module.
        others: its arguments that are no tensors, and other objects whose state it may use.

    Globals and closures that the function names are compared at every call, modules and their plain attributes when any module has changed.
    """

    def __init__(self, function: Any, others: list[Any]) -> None:
        self._names: list[tuple[Callable[[], Any], Any, str]] = []
        self._modules: list[Any] = []
        self._objects: list[Any] = []
        for owner in [function, *others]:
            self._look_at(owner)
        for module in self._modules:
            for code in _own_forwards(module):
                self._look_at(code)
        self._changes = changes.count
        self._snapshot = [_module_state(module) for module in self._modules]
        self._attributes = [_plain_attributes(value) for value in self._objects]

    def _look_at(self, value: Any) -> None:
        if isinstance(value, MethodType):
            self._look_at(value.__self__)
            value = value.__func__
        if isinstance(value, FunctionType):
            self._look_at_function(value)
        elif hasattr(value, "named_modules"):
            if not any(value is known for known in self._modules):
                self._modules.append(value)
        elif hasattr(value, "__dict__") and not isinstance(value, Handle | type) and len(self._objects) < _MAX_OBJECTS:
            self._objects.append(value)

    def _look_at_function(self, function: FunctionType) -> None:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._note(_cell_reader(cell), f"the variable {name}")
        values = function.__globals__
        for name in dict.fromkeys(_global_names(function.__code__)):
            if name in values:
                self._note(_global_reader(values, name), f"the global {name}")

    def _note(self, read: Callable[[], Any], what: str) -> None:
        value = read()
        self._names.append((read, value, what))
        if hasattr(value, "named_modules") and not any(value is known for known in self._modules):
            self._modules.append(value)

    def broken(self) -> str:
        """Return what has changed, or "" if nothing has."""
        for read, value, what in self._names:
            now = read()
            if now is not value and not same(now, value):
                return f"{what} has changed"
        for value, attributes in zip(self._objects, self._attributes, strict=True):
            if _plain_attributes(value) != attributes:
                return f"an attribute of a {type(value).__name__} has changed"
        if self._changes != changes.count:
            for module, before in zip(self._modules, self._snapshot, strict=True):
                now = _module_state(module)
                if now != before:
                    return f"a {type(module).__name__} has changed{_difference(before, now)}"
            self._changes = changes.count
        return ""


def _cell_reader(cell: Any) -> Callable[[], Any]:
    def read() -> Any:
        try:
            return cell.cell_contents
        except ValueError:  # not assigned yet
            return None

    return read


def _global_reader(values: dict[str, Any], name: str) -> Callable[[], Any]:
    return lambda: values.get(name)


def _global_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)


def _own_forwards(module: Any) -> Iterator[FunctionType]:
    """Return the `forward` functions of the user's own module classes."""
    for cls in {type(m) for m in module.modules()}:
        forward = getattr(cls, "forward", None)
        if isinstance(forward, FunctionType) and not forward.__module__.startswith("trine."):
            yield forward


def _plain_attributes(value: Any) -> dict[str, Any]:
    return {k: v for k, v in vars(value).items() if is_plain(v)}


def _module_state(module: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return what of a module and those below it is not in their tensors: plain attributes, and which tensors and modules they have."""
    return [(name, {k: v if is_plain(v) else id(v) for k, v in vars(m).items()} | _members(m)) for name, m in module.named_modules()]


def _members(module: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for registry in ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks"):
        found[registry] = [(k, id(v)) for k, v in getattr(module, registry, {}).items()]
    return found


def _difference(before: list[tuple[str, dict[str, Any]]], now: list[tuple[str, dict[str, Any]]]) -> str:
    for (name, old), (_, new) in zip(before, now, strict=False):
        for key in old:
            if key in new and old[key] != new[key]:
                return f": {name + '.' if name else ''}{key}"
    return ""
