"""Builtin functions and methods of CPython made from native code, through the C API that ctypes reaches."""

from __future__ import annotations

import ctypes
import struct
import sys
import sysconfig
from typing import Any

METH_KEYWORDS, METH_NOARGS, METH_O, METH_FASTCALL = 0x2, 0x4, 0x8, 0x80

_keep: list[Any] = []


class _MethodDef(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = [("name", ctypes.c_char_p), ("method", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


def is_supported() -> bool:
    """Return whether builtins can be made here: a 64-bit CPython with a global interpreter lock."""
    return sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED") and struct.calcsize("P") == 8


def make_function(name: str, address: int, flags: int, self: Any = None, doc: str | None = None) -> Any:
    """Return a builtin function that calls the native code at `address` with `self` and its arguments, as the METH_* `flags` say."""
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)(("PyCFunction_NewEx", ctypes.pythonapi))
    return make(_definition(name, address, flags, doc, self), self, None)


def make_method(cls: type, name: str, address: int, flags: int, doc: str | None = None) -> Any:
    """Return a method descriptor of a class that calls the native code at `address` with the instance and its arguments."""
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.c_void_p)(("PyDescr_NewMethod", ctypes.pythonapi))
    return make(cls, _definition(name, address, flags, doc, cls))


def _definition(name: str, address: int, flags: int, doc: str | None, owner: Any) -> int:
    definition = _MethodDef(name.encode(), address, flags, doc.encode() if doc else None)
    _keep.append((definition, owner))  # the builtin refers to it as long as it lives
    return ctypes.addressof(definition)
