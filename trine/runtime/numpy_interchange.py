"""Buffers from and to NumPy arrays and Python numbers, for every dtype."""

from __future__ import annotations

import ctypes
import struct
from typing import Any, Final

import numpy as np

from trine import dtypes
from trine.dtypes import DType
from trine.errors import ShapeError, message
from trine.runtime.memory import Buffer, allocate, from_array

# How one element is read without NumPy.
_FORMATS: Final = {
    "bool": "?", "int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q",
    "float16": "e", "float32": "f", "float64": "d", "complex64": "ff", "complex128": "dd",
}  # fmt: skip


def from_numpy(array: np.ndarray, *, copy: bool = False) -> tuple[Buffer, DType, tuple[int, ...]]:
    """Return buffer, dtype and shape of an array; the memory is shared where it can be (C-contiguous, aligned, native byte order).

    Raises:
        DTypeError: objects, strings, dates, extended precision.
    """
    dtype = dtypes.from_numpy(array.dtype)
    if array.dtype.kind not in "biufc":  # bfloat16 of ml_dtypes
        array = array.view(np.uint16)
    shape = array.shape
    if not copy:
        return from_array(array), dtype, shape
    buffer = allocate(array.size * dtype.itemsize)
    np.copyto(buffer.array(dtype.numpy, shape), array)
    return buffer, dtype, shape


def to_numpy(buffer: Buffer, dtype: DType, shape: tuple[int, ...]) -> np.ndarray:
    """Return a view of the memory as an array (bfloat16 as uint16 bits); from now on the buffer counts as external."""
    buffer.external = True
    return buffer.array(dtype.numpy, shape)


def to_python(buffer: Buffer, dtype: DType) -> bool | int | float | complex:
    """Return the only element of a buffer as a Python number.

    Raises:
        ShapeError: the buffer does not hold exactly one element.
    """
    if buffer.nbytes != dtype.itemsize:
        received = f"{buffer.nbytes // dtype.itemsize} elements"
        raise ShapeError(message("item: not a single element", received=received, expected="1 element", fix="index or reduce it first"))
    data = ctypes.string_at(buffer.address, dtype.itemsize)
    if dtype is dtypes.bfloat16:
        value: float = struct.unpack("=f", b"\0\0" + data)[0]
        return value
    parts: tuple[Any, ...] = struct.unpack("=" + _FORMATS[dtype.name], data)
    result: bool | int | float | complex = complex(*parts) if len(parts) == 2 else parts[0]
    return result


def from_python(value: bool | int | float | complex, dtype: DType) -> Buffer:
    """Return the buffer of a 0-d array that holds a Python number converted to `dtype`."""
    with np.errstate(over="ignore"):
        array = dtypes.to_bfloat16_bits(value).reshape(()) if dtype is dtypes.bfloat16 else np.array(value, dtype.numpy)
    buffer = from_array(array)
    buffer.external = False
    return buffer
