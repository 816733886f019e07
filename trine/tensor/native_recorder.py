"""Recording in native code: known operations take builtin functions instead of `recorder.record` and the Python operators.

The Python functions stay the reference, and do whatever the native ones hand on: see `trine.compiler.templates.recorder`. They are replaced
when the native engine compiles its first program, so that importing Trine stays light; `record` is rebound wherever a module of Trine has
imported it. Nothing is replaced when the interpreter is not one whose objects look as expected (that is tried out), with another engine, or
with TRINE_NATIVE_RECORDER=0.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

from trine import config, engines
from trine.compiler.templates import python_objects as layout
from trine.errors import TrineError
from trine.runtime import builtin
from trine.tensor import execution, operators, recorder
from trine.tensor.alias import AliasGroup
from trine.tensor.handle import Handle
from trine.tensor.recorder import LEAF, Trace, local, record
from trine.tensor.state import State
from trine.tensor.tensor import Tensor

_HEADER = 16  # bytes of an object's head: reference count, type
_TYPE = 8  # where the type is

_CLASSES: dict[str, type] = {"handle": Handle, "trace": Trace, "state": State, "alias": AliasGroup}
_OBJECTS: dict[str, Any] = {
    "local": local,
    "name.trace": sys.intern("trace"),
    "leaf": LEAF,
    "none": None,
    "record": record,
    "type.tensor": Tensor,
    "type.handle": Handle,
    "type.trace": Trace,
    "type.state": State,
    "type.alias": AliasGroup,
    "type.float": float,
    "type.int": int,
    "type.dict": dict,
    "type.list": list,
    "type.tuple": tuple,
}
_KINDS = {"binary": layout.BINARY, "reflected": layout.REFLECTED, "unary": layout.UNARY}


class UnknownLayoutError(TrineError):
    """Objects of this interpreter are not laid out as the native code expects."""


class NativeRecorder:
    """The native functions, and what they replace.

    Attributes:
        record: the builtin `record`.
        methods: name -> (Python operator, builtin one) of `Tensor`.
        held: the builtin that lists the items of a list to which something else refers too.
    """

    def __init__(self, engine: Any) -> None:
        from trine.engines.native import load_recorder

        operators_found = _operators()
        self._table = (ctypes.c_int64 * layout.NUM_WORDS)()
        for name, index in layout.WORDS.items():
            self._table[index] = _word(name)
        for number, (_, method) in enumerate(operators_found):
            kind, builder = operators.RECORDED[method]
            row = len(layout.WORDS) + len(layout.ROW) * number
            self._table[row : row + len(layout.ROW)] = [_KINDS[kind], id(builder), id(method)]
        # the code refers to these objects as long as the process lives
        self._keep = (dict(_OBJECTS), [(method, operators.RECORDED[method]) for _, method in operators_found])
        code = load_recorder(engine, ctypes.addressof(self._table))
        self.held: Callable[[list[Any]], list[Any]] = builtin.make_function("held", code.address("held"), builtin.METH_O)
        _check_held(self.held)
        flags = builtin.METH_FASTCALL | builtin.METH_KEYWORDS
        self.record: Callable[..., Any] = builtin.make_function("record", code.address("record_call"), flags, doc=record.__doc__)
        self.methods: dict[str, tuple[Callable[..., Any], Any]] = {}
        for number, (name, method) in enumerate(operators_found):
            flags = builtin.METH_NOARGS if operators.RECORDED[method][0] == "unary" else builtin.METH_O
            self.methods[name] = method, builtin.make_method(Tensor, name, code.address(f"entry_{number}"), flags)

    def enable(self) -> None:
        """Let Trine use the native functions."""
        _rebind(record, self.record)
        for name, (python, native) in self.methods.items():
            if vars(Tensor).get(name) is python:
                setattr(Tensor, name, native)
        execution.held = self.held

    def disable(self) -> None:
        """Let Trine use the Python functions again."""
        _rebind(self.record, record)
        for name, (python, native) in self.methods.items():
            if vars(Tensor).get(name) is native:
                setattr(Tensor, name, python)
        execution.held = execution.held_in_python


def _operators() -> list[tuple[str, Callable[..., Any]]]:
    """Return the recorded operators that the class has: name and Python method."""
    found = [(name, value) for name, value in vars(Tensor).items() if callable(value) and value in operators.RECORDED]
    return found[: layout.NUM_ENTRIES]


def _rebind(old: Any, new: Any) -> None:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "trine" and name != __name__:
            for key, value in list(getattr(module, "__dict__", {}).items()):
                if value is old:
                    setattr(module, key, new)


# --- how objects are laid out -------------------------------------------------------------------------------------------------------------


def _word(name: str) -> int:
    """Return a word of the table: the address of an object, or an offset."""
    if name in _OBJECTS:
        return id(_OBJECTS[name])
    if name == "tuple.items":
        return _offset_of_items()
    owner, _, attribute = name.partition(".")
    return _offset_of_slot(_CLASSES[owner], attribute)


def _words(value: Any, count: int) -> tuple[int, ...]:
    """Return the words of an object's memory after its head. Raises UnknownLayoutError if its head is not as expected."""
    if object.__basicsize__ != _HEADER or ctypes.c_int64.from_address(id(value) + _TYPE).value != id(type(value)):
        raise UnknownLayoutError(f"the head of a {type(value).__name__} is unknown")
    return struct.unpack(f"={count}q", ctypes.string_at(id(value) + _HEADER, 8 * count))


def _offset_of_slot(cls: type, attribute: str) -> int:
    """Return where an attribute in `__slots__` is: one word holds its value's address, and zero when it is deleted."""
    instance: Any = object.__new__(cls)
    probe = object()
    setattr(instance, attribute, probe)
    count = (cls.__basicsize__ - _HEADER) // 8
    found = [index for index, value in enumerate(_words(instance, count)) if value == id(probe)]
    delattr(instance, attribute)
    if len(found) != 1 or _words(instance, count)[found[0]] != 0:
        raise UnknownLayoutError(f"the place of {cls.__name__}.{attribute} was not found")
    return _HEADER + 8 * found[0]


def _offset_of_items() -> int:
    """Return where the items of a tuple begin."""
    first, second = object(), object()
    probe = (first, second)
    words = _words(probe, (probe.__sizeof__() - _HEADER) // 8)
    if words.count(id(first)) != 1 or words.index(id(first)) + 1 >= len(words) or words[words.index(id(first)) + 1] != id(second):
        raise UnknownLayoutError("the place of a tuple's items was not found")
    return _HEADER + 8 * words.index(id(first))


def _check_held(held: Callable[[list[Any]], list[Any]]) -> None:
    """Raise UnknownLayoutError unless reference counts are where the native code reads them."""
    for cls in (object, Tensor):
        probe = object.__new__(cls)
        found = held([object.__new__(cls), probe, object.__new__(cls)])
        if len(found) == 1 and found[0] is probe and not held([object.__new__(cls)]):
            continue
        raise UnknownLayoutError("the place of an object's reference count was not found")


# --- installation -------------------------------------------------------------------------------------------------------------------------


_lock = threading.Lock()
native: NativeRecorder | None = None
"""The native recorder, once it is installed."""
is_decided = False
"""True when `install` need not be called any more."""
_thread: threading.Thread | None = None


def install() -> None:
    """Use the native recorder from now on if this interpreter and the settings allow it; called when a program was compiled.

    Where its code has to be compiled first, that is done on a thread beside the program, which goes on with the Python functions meanwhile.
    """
    global is_decided, _thread
    engine = engines.current()
    if is_decided or engine.name != "native":
        return
    with _lock:
        if is_decided:
            return
        is_decided = True
        if not config.settings.native_recorder or not builtin.is_supported() or record is not recorder.record:
            return
        from trine.engines.native import NativeEngine, is_recorder_cached

        if not isinstance(engine, NativeEngine) or is_recorder_cached(engine):
            _enable(engine)
            return
        os.register_at_fork(before=wait)  # a child must not find the compiler's locks taken
        _thread = threading.Thread(target=_enable, args=(engine,), name="trine-recorder")
        _thread.start()


def wait() -> None:
    """Wait until `install` has done all that it began."""
    if _thread is not None:
        _thread.join()


def _enable(engine: Any) -> None:
    global native
    try:
        made = NativeRecorder(engine)
    except (TrineError, OSError, AttributeError):  # unknown layout, no executable memory, a function of the C API that is missing
        return
    native = made
    made.enable()
