"""Emitting functions that work on Python objects: the table of what they need to know of a process, references that they own.

The code is the same for every process: types, strings, functions and the offsets of attributes come from the table `TABLE` of 8-byte words,
an external symbol.
"""

from __future__ import annotations

from collections.abc import Sequence

from trine.compiler.ir import Function, Module

TABLE = "recorder_table"
NUM_ENTRIES = 64
BINARY, REFLECTED, UNARY = range(3)

OBJECTS = (
    "local", "name.trace", "leaf", "none", "record",
    "type.tensor", "type.handle", "type.trace", "type.state", "type.alias",
    "type.float", "type.int", "type.dict", "type.list", "type.tuple",
)  # fmt: skip
FIELDS = (
    "handle._trace", "handle._slot", "handle._meta", "handle._buffer", "handle._alias", "handle._alias_version",
    "trace.state", "trace.scalars", "trace.handles", "trace.leaves", "trace.leaf_tensors", "trace._positions",
    "state.next", "state.slot", "state.meta", "state.metas", "state.info",
    "alias.version",
)  # fmt: skip
WORDS = {name: index for index, name in enumerate((*OBJECTS, *FIELDS, "tuple.items"))}
"""Word of the table -> index: addresses of objects, then byte offsets of attributes and of a tuple's items. The operators' rows follow."""
ROW = ("kind", "builder", "method")
"""Words of an operator's row: `BINARY`, `REFLECTED` or `UNARY`; the builder; the Python method to go on with."""
NUM_WORDS = len(WORDS) + len(ROW) * NUM_ENTRIES


class Code:
    """A function under construction that owns references: all are given up on its one way out.

    `owned` variables begin as null; `fail` leaves with the result null (or 0).
    """

    def __init__(self, module: Module, name: str, args: Sequence[tuple[str, str]], ret: str, *, internal: bool = True) -> None:
        self.f = module.function(name, args, ret, internal=internal)
        self.ret = ret
        self.nothing = "null" if ret == "ptr" else "0"
        self.result = self.f.value(f"alloca {ret}, align 8")
        self.f.store(ret, self.nothing, self.result, 8)
        self.leave = self.f.label("leave")
        self._owned: list[str] = []

    def owned(self) -> str:
        """Return a new variable for a reference that this function owns (to be made in the entry block)."""
        variable = self.variable("ptr", "null")
        self._owned.append(variable)
        return variable

    def variable(self, type_: str, initial: str) -> str:
        place = self.f.value(f"alloca {type_}, align 8")
        self.f.store(type_, initial, place, 8)
        return place

    def own(self, variable: str, value: str) -> str:
        """Keep a new reference; leave if it is null."""
        self.f.store("ptr", value, variable, 8)
        self.need(self.f.icmp("ne", value, "null", "ptr"))
        return value

    def borrow(self, variable: str, value: str) -> str:
        """Take a reference to an object of somebody else; leave if it is null."""
        self.need(self.f.icmp("ne", value, "null", "ptr"))
        incref(self.f, value)
        self.f.store("ptr", value, variable, 8)
        return value

    def give(self, variable: str) -> str:
        """Return the value of an owned variable, which is no longer owned."""
        value = self.f.load("ptr", variable, 8)
        self.f.store("ptr", "null", variable, 8)
        return value

    def need(self, condition: str) -> None:
        """Leave unless the condition holds."""
        onward = self.f.label("ok")
        self.f.cond_br(condition, onward, self.leave)
        self.f.at(onward)

    def need_type(self, value: str, name: str) -> None:
        """Leave unless the object is not null and its type is exactly that of the table."""
        self.need(self.f.icmp("ne", value, "null", "ptr"))
        self.need(self.f.icmp("eq", type_of(self.f, value), word(self.f, name), "ptr"))

    def finish(self, value: str | None = None) -> None:
        """End the function, with a result on the straight way."""
        f = self.f
        if value is not None:
            f.store(self.ret, value, self.result, 8)
        f.br(self.leave)
        f.at(self.leave)
        for variable in self._owned:
            decref(f, f.load("ptr", variable, 8))
        f.ret(f"{self.ret} {f.load(self.ret, self.result, 8)}")


# --- reading Python objects --------------------------------------------------------------------------------------------------------------


def word(f: Function, name: str, type_: str = "ptr") -> str:
    """Load a word of the table."""
    return f.load(type_, f.gep(f"@{TABLE}", WORDS[name], "i64"), 8)


def row_word(f: Function, index: int, name: str, type_: str = "ptr") -> str:
    """Load a word of an operator's row."""
    return f.load(type_, f.gep(f"@{TABLE}", len(WORDS) + len(ROW) * index + ROW.index(name), "i64"), 8)


def type_of(f: Function, value: str) -> str:
    """Load an object's type."""
    return f.load("ptr", f.gep(value, 8), 8)


def place(f: Function, value: str, field: str) -> str:
    """Return the address of an attribute's slot."""
    return f.gep(value, word(f, field, "i64"))


def get(f: Function, value: str, field: str) -> str:
    """Load an attribute's slot: a borrowed reference, or null if it is not set."""
    return f.load("ptr", place(f, value, field), 8)


def item(f: Function, array: str, index: str | int) -> str:
    """Load pointer number `index` of an array."""
    return f.load("ptr", f.gep(array, index, "ptr"), 8)


def items(f: Function, value: str) -> str:
    """Return the address of a tuple's items."""
    return f.gep(value, word(f, "tuple.items", "i64"))


def incref(f: Function, value: str) -> None:
    """Take a reference."""
    f.call("void", "Py_IncRef", ("ptr", value))


def decref(f: Function, value: str) -> None:
    """Give up a reference (null is allowed)."""
    f.call("void", "Py_DecRef", ("ptr", value))


def put(f: Function, value: str, field: str, new: str) -> None:
    """Store a reference, which is taken over, into the slot of an object that nobody else has yet."""
    f.store("ptr", new, place(f, value, field), 8)
