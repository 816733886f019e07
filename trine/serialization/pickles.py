"""Reading pickles without executing anything: a machine for the opcodes that checkpoints are made of.

A pickle is a program. Here it may name only what a table allows, and nothing is called but the functions of that table, which are our own.
Each opcode is parsed by `pickletools`, which knows no objects.
"""

from __future__ import annotations

import pickle
import pickletools
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from trine.errors import CheckpointError, message

Loader = Callable[..., Any]


class RefusedGlobalError(CheckpointError, pickle.UnpicklingError):
    """A pickle names something that is not allowed."""


class PickleError(ValueError):
    """A pickle is malformed; the text says how."""


class Allowed:
    """Something that a pickle may name.

    Attributes:
        make: called by REDUCE. kind: the class that NEWOBJ may make and BUILD may fill, or None.
    """

    __slots__ = ("make", "kind")

    def __init__(self, make: Loader, kind: type | None = None) -> None:
        self.make = make
        self.kind = kind


_MARK = object()
_SAFE: dict[str, Any] = {}


def add_safe_globals(safe_globals: Iterable[Any]) -> None:
    """Allow classes and functions of yours in the files that `load` reads. They are called with what a file says: allow what is harmless.

    Args:
        safe_globals: classes or functions, or pairs of one and the name under which files have it.

    >>> import argparse, trine
    >>> trine.serialization.add_safe_globals([argparse.Namespace])
    >>> argparse.Namespace in trine.serialization.get_safe_globals()
    True
    >>> trine.serialization.clear_safe_globals()
    """
    for entry in safe_globals:
        value, name = entry if isinstance(entry, tuple) else (entry, f"{entry.__module__}.{entry.__qualname__}")
        _SAFE[name] = value


def get_safe_globals() -> list[Any]:
    """Return what `add_safe_globals` allowed."""
    return list(_SAFE.values())


def clear_safe_globals() -> None:
    """Forget what `add_safe_globals` allowed."""
    _SAFE.clear()


class safe_globals:
    """Context manager that allows classes and functions for a while; see `add_safe_globals`."""

    def __init__(self, safe_globals: Iterable[Any]) -> None:
        self.added = list(safe_globals)

    def __enter__(self) -> None:
        self._before = dict(_SAFE)
        add_safe_globals(self.added)

    def __exit__(self, *_: object) -> None:
        _SAFE.clear()
        _SAFE.update(self._before)


def _numpy_dtype(name: Any, *_: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(name)
    if dtype.kind not in "biufc":
        raise PickleError(f"a NumPy dtype that is not numeric: {dtype}")
    return dtype


def _numpy_scalar(dtype: Any, data: Any) -> Any:
    return np.frombuffer(_bytes(data), _numpy_dtype(dtype), 1)[0]


def _bytes(data: Any) -> bytes:
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


class _Array:
    """A NumPy array that waits for its state."""

    value: Any = None


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "utf-8", "ascii"):
        raise PickleError(f"the encoding {encoding!r}")
    return text.encode(encoding)


_NUMPY: dict[str, Allowed] = {
    **dict.fromkeys(("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"), Allowed(_numpy_scalar)),
    **dict.fromkeys(
        ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy._core.numeric._frombuffer"),
        Allowed(lambda *_: _Array()),
    ),
    "numpy.dtype": Allowed(_numpy_dtype),
    "numpy.ndarray": Allowed(lambda *_: _Array()),
}
PLAIN: dict[str, Allowed] = {
    "collections.OrderedDict": Allowed(OrderedDict, OrderedDict),
    "collections.defaultdict": Allowed(lambda *_: defaultdict(), None),
    "collections.Counter": Allowed(Counter, Counter),
    **dict.fromkeys(("builtins.set", "__builtin__.set"), Allowed(set)),
    **dict.fromkeys(("builtins.frozenset", "__builtin__.frozenset"), Allowed(frozenset)),
    **dict.fromkeys(("builtins.complex", "__builtin__.complex"), Allowed(complex)),
    **dict.fromkeys(("builtins.bytearray", "__builtin__.bytearray"), Allowed(lambda *a: bytearray(_bytes(a[0]) if a else b""))),
    "_codecs.encode": Allowed(_encode),
    **_NUMPY,
}
"""Plain containers and numbers, for every pickle."""


def read(stream: Any, allowed: dict[str, Any], persistent: Callable[[Any], Any]) -> Any:
    """Return the object of the next pickle in a stream.

    Args:
        allowed: full name -> `Allowed`, or a value that stands for the name.
        persistent: gives the object of a persistent id.

    Raises:
        RefusedGlobalError: it names something else. PickleError, ValueError, KeyError, IndexError, TypeError: it is malformed.
    """
    machine = _Machine({**PLAIN, **allowed}, persistent)
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "STOP":
            found = _finished(machine.stack.pop())
            if machine.stack:
                raise PickleError("something is left over at its end")
            return found
        machine.step(opcode.name, argument)
    raise PickleError("it has no end")


def _finished(value: Any) -> Any:
    return value.value if type(value) is _Array else value


class _Machine:
    def __init__(self, allowed: dict[str, Any], persistent: Callable[[Any], Any]) -> None:
        self.allowed = allowed
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _PUSHED:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        else:
            step = _STEPS.get(name)
            if step is None:
                raise PickleError(f"the opcode {name}, which no checkpoint needs")
            step(self, argument)

    def since_mark(self) -> list[Any]:
        for position in range(len(self.stack) - 1, -1, -1):
            if self.stack[position] is _MARK:
                items = self.stack[position + 1 :]
                del self.stack[position:]
                return [_finished(i) for i in items]
        raise PickleError("an opcode without its MARK")

    def pop(self) -> Any:
        return _finished(self.stack.pop())

    def find(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in self.allowed:
            return self.allowed[full]
        if full in _SAFE:
            value = _SAFE[full]
            return Allowed(value, value) if isinstance(value, type) else value
        raise RefusedGlobalError(
            message(
                f"load: the file names {full}, which is not allowed",
                received=full,
                expected="tensors, containers, numbers and strings; nothing in a file is executed",
                fix=f"save a state_dict, or allow it if you trust it: trine.serialization.add_safe_globals([{full}])",
            )
        )


def _global(machine: _Machine, argument: Any) -> None:
    module, _, name = argument.partition(" ")
    machine.stack.append(machine.find(module, name))


def _stack_global(machine: _Machine, argument: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise PickleError("a global whose name is no text")
    machine.stack.append(machine.find(module, name))


def _reduce(machine: _Machine, argument: Any) -> None:
    arguments, function = machine.pop(), machine.stack.pop()
    if type(function) is not Allowed or type(arguments) is not tuple:
        raise PickleError("a call of something that is no function")
    machine.stack.append(function.make(*arguments))


def _new_object(machine: _Machine, argument: Any) -> None:
    arguments, cls = machine.pop(), machine.stack.pop()
    if type(cls) is not Allowed or cls.kind is None or type(arguments) is not tuple:
        raise PickleError("an instance of something that is no class")
    machine.stack.append(cls.kind.__new__(cls.kind, *arguments))


def _build(machine: _Machine, argument: Any) -> None:
    state, target = machine.pop(), machine.stack[-1]
    if type(target) is _Array:
        _, shape, dtype, is_fortran, data = state
        array = np.frombuffer(_bytes(data), _numpy_dtype(dtype)).reshape(shape, order="F" if is_fortran else "C")
        target.value = array.copy()
    elif isinstance(target, np.dtype):
        if state[1] == ">":
            machine.stack[-1] = target.newbyteorder(">")
    elif isinstance(target, OrderedDict | Counter):
        return  # attributes of a dict (`_metadata` of a state dict)
    elif any(type(target) is cls for cls in _SAFE.values()):
        if hasattr(target, "__setstate__"):
            target.__setstate__(state)
        else:
            target.__dict__.update({str(k): v for k, v in dict(state).items()})
    else:
        raise PickleError(f"a state for a {type(target).__name__}")


def _append(machine: _Machine, argument: Any) -> None:
    item = machine.pop()
    _list(machine).append(item)


def _appends(machine: _Machine, argument: Any) -> None:
    items = machine.since_mark()
    _list(machine).extend(items)


def _list(machine: _Machine) -> list[Any]:
    if type(machine.stack[-1]) is not list:
        raise PickleError("items for something that is no list")
    found: list[Any] = machine.stack[-1]
    return found


def _set_items(machine: _Machine, argument: Any) -> None:
    _fill(machine, machine.since_mark())


def _set_item(machine: _Machine, argument: Any) -> None:
    value, key = machine.pop(), machine.pop()
    _fill(machine, [key, value])


def _fill(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if type(target) not in (dict, OrderedDict, Counter, defaultdict):
        raise PickleError("items for something that is no dict")
    target.update(zip(items[::2], items[1::2], strict=True))


def _add_items(machine: _Machine, argument: Any) -> None:
    items = machine.since_mark()
    if type(machine.stack[-1]) is not set:
        raise PickleError("items for something that is no set")
    machine.stack[-1].update(items)


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, argument: Any) -> None:
        if len(machine.stack) < count:
            raise PickleError("an opcode without its operands")
        items = tuple(_finished(i) for i in machine.stack[len(machine.stack) - count :])
        del machine.stack[len(machine.stack) - count :]
        machine.stack.append(items)

    return step


def _put(machine: _Machine, argument: Any) -> None:
    machine.memo[int(argument)] = machine.stack[-1]


_PUSHED = frozenset(
    """INT LONG LONG1 LONG4 BININT BININT1 BININT2 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE
    BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8""".split()
)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
    "MARK": lambda: _MARK,
}
_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    "PROTO": lambda machine, argument: None,
    "FRAME": lambda machine, argument: None,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _new_object,
    "BUILD": _build,
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "ADDITEMS": _add_items,
    "TUPLE": lambda machine, argument: machine.stack.append(tuple(machine.since_mark())),
    "LIST": lambda machine, argument: machine.stack.append(machine.since_mark()),
    "DICT": lambda machine, argument: machine.stack.append(dict(zip(*[iter(machine.since_mark())] * 2, strict=True))),
    "FROZENSET": lambda machine, argument: machine.stack.append(frozenset(machine.since_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "POP": lambda machine, argument: machine.stack.pop(),
    "DUP": lambda machine, argument: machine.stack.append(machine.stack[-1]),
    "PUT": _put,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": lambda machine, argument: _put(machine, len(machine.memo)),
    "GET": lambda machine, argument: machine.stack.append(machine.memo[int(argument)]),
    "BINGET": lambda machine, argument: machine.stack.append(machine.memo[argument]),
    "LONG_BINGET": lambda machine, argument: machine.stack.append(machine.memo[argument]),
    "BINPERSID": lambda machine, argument: machine.stack.append(machine.persistent(machine.pop())),
}
