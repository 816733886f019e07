"""Containers of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trine.errors import ArgumentError, DTypeError, message
from trine.nn.container import position
from trine.nn.module import Module
from trine.nn.parameter import Parameter
from trine.tensor import Tensor


def _member(value: Any) -> Any:
    """Return a tensor as a parameter, and anything else as it is."""
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _described(name: Any, value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"  ({name}): Object of type: {type(value).__name__}"
    size = "x".join(map(str, value._meta.shape))
    kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
    return f"  ({name}): {kind} containing: [{_DTYPE_PREFIX}{value.dtype.name} of size {size}]"


_DTYPE_PREFIX = "trine."


class ParameterList(Module):
    """A list of parameters; tensors become parameters, anything else is kept as it is.

    >>> import trine
    >>> weights = trine.nn.ParameterList([trine.ones(2), trine.ones(3)])
    >>> len(weights), weights[1].requires_grad
    (2, True)
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def append(self, value: Any) -> ParameterList:
        """Add a value at the end."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add values at the end."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise DTypeError(message("ParameterList.extend", received=type(values).__name__, expected="an iterable such as a list"))
        for value in list(values):
            self.append(value)
        return self

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(self[i] for i in range(*index.indices(len(self))))
        return getattr(self, str(position(index, len(self))))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, str(position(index, len(self))), _member(value))

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def extra_repr(self) -> str:
        return "\n".join(_described(i, value) for i, value in enumerate(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("a ParameterList holds parameters; it can't be called")


class ParameterDict(Module):
    """A dict of parameters; tensors become parameters, anything else is kept as it is.

    >>> import trine
    >>> weights = trine.nn.ParameterDict({"left": trine.ones(2), "right": trine.ones(3)})
    >>> "left" in weights, weights["right"].requires_grad
    (True, True)
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def _checked(self, key: Any) -> str:
        if not isinstance(key, str):
            raise DTypeError(message("ParameterDict: a key is not a string", received=repr(key), expected="a str"))
        return key

    def __getitem__(self, key: str) -> Any:
        if self._checked(key) not in self._keys:
            raise AttributeError(f"ParameterDict has no parameter '{key}'")
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, self._checked(key), _member(value))
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._keys))

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def copy(self) -> ParameterDict:
        """Return another dict of the same parameters."""
        return ParameterDict(dict(self.items()))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the parameter of this name; put `default` there if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """Remove everything."""
        for key in list(self._keys):
            del self[key]

    def pop(self, key: str) -> Any:
        """Remove and return a parameter."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove and return the last (name, parameter) pair."""
        key = next(reversed(self._keys), None)
        if key is None:
            raise KeyError("popitem(): the dict is empty")
        return key, self.pop(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the parameter of this name, or `default`."""
        return self[key] if key in self else default

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Return a new dict with one value for all names."""
        return ParameterDict(dict.fromkeys(keys, default))

    def keys(self) -> Any:
        """Return the names."""
        return self._keys.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return (name, parameter) pairs."""
        return ((key, self[key]) for key in self._keys)

    def values(self) -> Iterable[Any]:
        """Return the parameters."""
        return (self[key] for key in self._keys)

    def update(self, parameters: Any) -> None:
        """Add or replace parameters, given as a mapping or as (name, parameter) pairs."""
        if isinstance(parameters, Mapping | ParameterDict):
            pairs = list(parameters.items())
        elif isinstance(parameters, Iterable):
            pairs = [tuple(pair) for pair in parameters]
        else:
            received = type(parameters).__name__
            raise DTypeError(message("ParameterDict.update", received=received, expected="a mapping, or (name, parameter) pairs"))
        for number, pair in enumerate(pairs):
            if len(pair) != 2:
                received = f"{len(pair)} items"
                raise ArgumentError(message(f"ParameterDict.update: element {number}", received=received, expected="a pair"))
            self[pair[0]] = pair[1]

    def extra_repr(self) -> str:
        return "\n".join(_described(key, value) for key, value in self.items())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("a ParameterDict holds parameters; it can't be called")

    def __or__(self, other: Any) -> ParameterDict:
        merged = self.copy()
        merged.update(other)
        return merged

    def __ror__(self, other: Any) -> ParameterDict:
        merged = ParameterDict(other)
        merged.update(self)
        return merged

    def __ior__(self, other: Any) -> ParameterDict:
        self.update(other)
        return self
