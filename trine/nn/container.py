"""Containers of modules."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from trine.errors import ArgumentError, DTypeError, IndexOutOfRangeError, message
from trine.nn.module import Module, indented

S = TypeVar("S", bound="_ModuleSequence")


def position(index: Any, length: int) -> int:
    """Return a position counted from the beginning.

    Raises:
        IndexError: it is outside of a container of this length.
    """
    if not hasattr(index, "__index__"):
        raise ArgumentError(message("container: an index is not an integer", received=repr(index), expected="an int"))
    index = operator.index(index)
    if not -length <= index < length:
        raise IndexOutOfRangeError(message("container: index out of range", received=index, expected=f"within {length} members"))
    return int(index % length)


class _ModuleSequence(Module):
    """What `Sequential` and `ModuleList` share: modules in order, under names."""

    def append(self: S, module: Module) -> S:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: S, modules: Iterable[Module]) -> S:
        """Add modules at the end."""
        if not isinstance(modules, Iterable):
            received = type(modules).__name__
            raise DTypeError(message(f"{type(self).__name__}.extend", received=received, expected="an iterable of modules"))
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, key: int | slice) -> Any:
        """Remove and return a module (or a container of several)."""
        value = self[key]
        del self[key]
        return value

    def _number(self, modules: Iterable[Module]) -> None:
        self._modules.replace({str(i): m for i, m in enumerate(modules)})

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __getitem__(self, index: int | slice) -> Any:
        return list(self._modules.values())[position(index, len(self))]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, list(self._modules)[position(index, len(self))], module)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self._modules.values())
        del modules[index if isinstance(index, slice) else position(index, len(self))]
        self._number(modules)

    def __iadd__(self, other: Any) -> Any:
        return self.extend(other)


class Sequential(_ModuleSequence):
    """Modules one after another; takes modules, or one ordered dict of them.

    >>> import trine
    >>> from trine import nn
    >>> nn.Sequential(nn.Linear(2, 3), nn.ReLU())(trine.ones(1, 2)).shape
    trine.Size([1, 3])
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        items = args[0].items() if len(args) == 1 and isinstance(args[0], Mapping) else ((str(i), m) for i, m in enumerate(args))
        for name, module in items:
            self.add_module(name, module)

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(dict(list(self._modules.items())[index]))
        return super().__getitem__(index)

    def insert(self, index: int, module: Module) -> Sequential:
        """Insert a module before `index`; the names become the positions.

        Raises:
            IndexError: there is no such place. TypeError: not a module.
        """
        modules = list(self._modules.values())
        if not isinstance(module, Module):
            raise DTypeError(message("Sequential.insert", received=type(module).__name__, expected="an nn.Module"))
        if not -len(modules) <= index <= len(modules):
            raise IndexOutOfRangeError(message("insert: index out of range", received=index, expected=f"within {len(modules)} members"))
        modules.insert(index, module)
        self._number(modules)
        return self

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, Sequential):
            received = type(other).__name__
            raise ArgumentError(message("Sequential + other", received=received, expected="another Sequential", fix="use extend()"))
        return Sequential(*self, *other)

    def __iadd__(self, other: Any) -> Any:
        if not isinstance(other, Sequential):
            received = type(other).__name__
            raise ArgumentError(message("Sequential += other", received=received, expected="another Sequential", fix="use extend()"))
        return self.extend(other)

    def __mul__(self, other: int) -> Sequential:
        return Sequential(*(module for _ in range(_repeats(other)) for module in self))

    __rmul__ = __mul__

    def __imul__(self, other: int) -> Sequential:
        modules = list(self)
        for _ in range(_repeats(other) - 1):
            self.extend(modules)
        return self


def _repeats(count: Any) -> int:
    if not isinstance(count, int):
        raise DTypeError(message("Sequential * other", received=type(count).__name__, expected="an int"))
    if count <= 0:
        raise ArgumentError(message("Sequential * other", received=count, expected="a positive int"))
    return count


class ModuleList(_ModuleSequence):
    """A list of modules.

    >>> from trine import nn
    >>> layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    >>> len(layers), layers[-1]
    (3, Linear(in_features=2, out_features=2, bias=True))
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])
        return super().__getitem__(index)

    def insert(self, index: int, module: Module) -> None:
        """Insert a module before `index`, as `list.insert` does."""
        if not isinstance(module, Module):
            raise DTypeError(message("ModuleList.insert", received=type(module).__name__, expected="an nn.Module"))
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._number(modules)

    def __add__(self, other: Any) -> Any:
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        """Return the text of the list, equal neighbours in one line."""
        lines: list[tuple[int, int, str]] = []
        for i, module in enumerate(self):
            text = repr(module)
            if lines and lines[-1][2] == text:
                lines[-1] = (lines[-1][0], i, text)
            else:
                lines.append((i, i, text))
        shown = [f"({a}): {text}" if a == b else f"({a}-{b}): {b - a + 1} x {text}" for a, b, text in lines]
        body = "".join("\n  " + indented(line) for line in shown)
        return f"{self._get_name()}({body}\n)" if shown else f"{self._get_name()}()"


class ModuleDict(Module):
    """A dict of modules.

    >>> from trine import nn
    >>> layers = nn.ModuleDict({"relu": nn.ReLU(), "tanh": nn.Tanh()})
    >>> layers["relu"], list(layers)
    (ReLU(), ['relu', 'tanh'])
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def update(self, modules: Any) -> None:
        """Add or replace modules, given as a mapping or as (name, module) pairs."""
        for name, module in _pairs("ModuleDict", modules):
            self[name] = module

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        del self._modules[name]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Remove and return a module."""
        return self._modules.pop(key)

    def keys(self) -> Any:
        """Return the names."""
        return self._modules.keys()

    def items(self) -> Any:
        """Return (name, module) pairs."""
        return self._modules.items()

    def values(self) -> Any:
        """Return the modules."""
        return self._modules.values()


def _pairs(op: str, members: Any) -> list[tuple[str, Any]]:
    """Return the (name, member) pairs of a mapping, a container or an iterable of pairs."""
    if isinstance(members, Mapping | ModuleDict):
        return list(members.items())
    if not isinstance(members, Iterable):
        raise DTypeError(message(f"{op}.update", received=type(members).__name__, expected="a mapping, or (name, member) pairs"))
    pairs = []
    for number, pair in enumerate(members):
        if not isinstance(pair, Iterable):
            raise DTypeError(message(f"{op}.update: element {number}", received=type(pair).__name__, expected="a (name, member) pair"))
        pair = tuple(pair)
        if len(pair) != 2:
            raise ArgumentError(message(f"{op}.update: element {number}", received=f"{len(pair)} items", expected="a (name, member) pair"))
        pairs.append(pair)
    return pairs
