"""DLPack: sharing CPU memory with other libraries without copies, both ways.

Layout of the structures: dlpack.h, version 1.1 (https://dmlc.github.io/dlpack/latest/c_api.html); protocol: Python array API standard.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from trine import dtypes
from trine.dtypes import DType
from trine.errors import ArgumentError, DTypeError, UnsupportedError, message
from trine.runtime.memory import Buffer, from_array

DEVICE: Final = (1, 0)  # kDLCPU, device 0: the value of __dlpack_device__
_HOST_DEVICES: Final = (1, 3)  # kDLCPU, kDLCUDAHost
_VERSION: Final = (1, 1)
_READ_ONLY, _IS_COPIED = 1, 2
_MAX_AXES = 64

_KIND_CODES = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}
_BFLOAT_CODE = 4
_CODE_OF: Final[dict[DType, tuple[int, int]]] = {
    d: (_BFLOAT_CODE if d is dtypes.bfloat16 else _KIND_CODES[d.code], 8 * d.itemsize) for d in dtypes.ALL
}
_DTYPE_OF: Final = {code: d for d, code in _CODE_OF.items()}


class _Tensor(ctypes.Structure):
    """DLTensor."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class _ManagedVersioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    ]


_NAMES: Final[dict[bytes, tuple[type[_Managed] | type[_ManagedVersioned], bytes]]] = {
    b"dltensor": (_Managed, b"used_dltensor"),
    b"dltensor_versioned": (_ManagedVersioned, b"used_dltensor_versioned"),
}

# The destructor gets a capsule whose reference count is 0: it must stay a plain pointer and never become a Python object again.
_DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_DESTRUCTOR = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
_api = ctypes.pythonapi
_capsule_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(("PyCapsule_New", _api))
_capsule_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_IsValid", _api))
_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", _api))
_capsule_rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_SetName", _api))
_raw_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", _api))
_raw_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_GetPointer", _api))


# --- export -------------------------------------------------------------------------------------------------------------------------

# Address of a managed tensor -> what lives until its deleter is called, from any thread: single dict operations are atomic.
_exported: dict[int, Any] = {}


def _release(address: int) -> None:
    _exported.pop(address, None)


def _destroy(capsule: int) -> None:
    """A capsule dies: if nobody took the tensor (its name is unchanged), release it."""
    for name in _NAMES:
        if _raw_valid(capsule, name):
            _release(_raw_pointer(capsule, name) or 0)


_release_callback = _DELETER(_release)
_destroy_callback = _DESTRUCTOR(_destroy)
_release_address = ctypes.cast(_release_callback, ctypes.c_void_p).value
_destroy_address = ctypes.cast(_destroy_callback, ctypes.c_void_p).value


def to_capsule(
    buffer: Buffer,
    dtype: DType,
    shape: Sequence[int],
    strides: Sequence[int] | None = None,
    byte_offset: int = 0,
    *,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """Return the capsule of `__dlpack__` for memory of a buffer, which becomes external and lives until the consumer is done.

    Args:
        buffer: the memory.
        dtype, shape: what is in it.
        strides: in elements; None means row-major.
        byte_offset: where the first element lies.
        max_version: the newest version that the consumer understands; None means the format without a version.
        dl_device: where the consumer wants it; None or the CPU.
        copy: True for a copy; None or False to share.

    Raises:
        BufferError: the consumer's format has no read-only flag and the memory is read-only, or it wants another device.
    """
    if dl_device is not None and tuple(dl_device) != DEVICE:
        raise BufferError(message("dlpack: no such device", received=f"dl_device={dl_device}", expected=f"{DEVICE} (CPU)"))
    is_versioned = max_version is not None and max_version[0] >= 1
    if copy:
        buffer = buffer.copy()
    if buffer.readonly and not is_versioned:
        fix = "pass max_version=(1, 0), or export a copy"
        raise BufferError(message("dlpack: read-only memory needs a consumer that knows DLPack 1.0", fix=fix))
    buffer.external = True
    tensor = _describe(buffer, dtype, shape, strides, byte_offset)
    managed: _Managed | _ManagedVersioned
    if is_versioned:
        flags = _READ_ONLY * buffer.readonly | _IS_COPIED * bool(copy)
        managed = _ManagedVersioned(*_VERSION, None, _release_address, flags, tensor)
    else:
        managed = _Managed(tensor, None, _release_address)
    address = ctypes.addressof(managed)
    _exported[address] = (managed, tensor, buffer)
    return _capsule_new(address, b"dltensor_versioned" if is_versioned else b"dltensor", _destroy_address)


def _describe(buffer: Buffer, dtype: DType, shape: Sequence[int], strides: Sequence[int] | None, byte_offset: int) -> _Tensor:
    ndim = len(shape)
    code, bits = _CODE_OF[dtype]
    strides = _row_major(shape) if strides is None else strides
    vector = ctypes.c_int64 * max(ndim, 1)
    return _Tensor(buffer.address, *DEVICE, ndim, code, bits, 1, vector(*shape), vector(*strides), byte_offset)


def _row_major(shape: Sequence[int]) -> tuple[int, ...]:
    strides = [1] * len(shape)
    for axis in range(len(shape) - 1, 0, -1):
        strides[axis - 1] = strides[axis] * shape[axis]
    return tuple(strides)


# --- import -------------------------------------------------------------------------------------------------------------------------


class Imported(NamedTuple):
    """What came in: row-major elements of `dtype` and `shape` in `buffer`."""

    buffer: Buffer
    dtype: DType
    shape: tuple[int, ...]


class _Owner:
    """Holds another library's tensor; calls its deleter once, when the last buffer or view on it dies."""

    __slots__ = ("address", "_deleter")

    def __init__(self, address: int, deleter: int | None) -> None:
        self.address = address
        self._deleter = _DELETER(deleter) if deleter else None

    def __del__(self) -> None:
        deleter, self._deleter = self._deleter, None
        if deleter is not None:
            deleter(self.address)


class _View:
    """Foreign memory as NumPy's array interface; keeps its owner alive."""

    def __init__(self, owner: _Owner, interface: dict[str, Any]) -> None:
        self.owner = owner
        self.__array_interface__ = interface


def from_dlpack(source: Any, copy: bool | None = None) -> Imported:
    """Take the memory of an object with `__dlpack__`, or of a capsule.

    Shared if it is row-major and aligned, else copied.

    Args:
        source: a CPU tensor of another library, or a DLPack capsule.
        copy: True for a copy in any case; False for an error where a copy is needed.

    Raises:
        ArgumentError: not a DLPack object, or a damaged one, or already consumed.
        DTypeError: its element type has no counterpart.
        UnsupportedError: it is on another device, or needs a copy that `copy=False` forbids.
    """
    tensor, flags, owner = _take(_capsule(source))
    dtype, shape, strides, address = _check(tensor)
    readonly = bool(flags & _READ_ONLY)
    nbytes = dtype.itemsize
    for size in shape:
        nbytes *= size
    if nbytes == 0:
        return Imported(from_array(np.empty(shape, dtype.numpy)), dtype, shape)
    is_row_major = all(n == 1 or s == r for n, s, r in zip(shape, strides, _row_major(shape), strict=True))
    if is_row_major and address % min(dtype.itemsize, 8) == 0 and not copy:
        return Imported(Buffer(address, nbytes, owner, readonly, True), dtype, shape)
    if copy is False:
        what = "from_dlpack: the tensor is not row-major and aligned"
        raise UnsupportedError(message(what, received=f"shape {shape}, strides {strides}", fix="allow a copy (copy=None)"))
    steps = tuple(s * dtype.itemsize for s in strides)
    interface = {"version": 3, "typestr": dtype.numpy.str, "shape": shape, "strides": steps, "data": (address, True)}
    array = np.array(_View(owner, interface), order="C", copy=True)
    buffer = from_array(array)
    buffer.external = False
    return Imported(buffer, dtype, shape)


def _capsule(source: Any) -> Any:
    if type(source).__name__ == "PyCapsule":
        return source
    if not hasattr(source, "__dlpack__"):
        expected = "an object with __dlpack__, such as a tensor or an array"
        raise ArgumentError(message("from_dlpack: not a DLPack object", received=f"a {type(source).__name__}", expected=expected))
    if hasattr(source, "__dlpack_device__"):
        device = source.__dlpack_device__()
        if int(device[0]) not in _HOST_DEVICES:
            received = f"device type {int(device[0])}"
            raise UnsupportedError(message("from_dlpack: not in CPU memory", received=received, fix="move the tensor to the CPU first"))
    try:
        return source.__dlpack__(max_version=_VERSION)
    except TypeError:
        return source.__dlpack__()  # a producer that knows no versions


def _take(capsule: Any) -> tuple[_Tensor, int, _Owner]:
    """Take the tensor out of a capsule and mark the capsule as used."""
    for name, (kind, used) in _NAMES.items():
        if not _capsule_valid(capsule, name):
            continue
        address = _capsule_pointer(capsule, name)
        managed = kind.from_address(address)
        if isinstance(managed, _ManagedVersioned) and managed.major > _VERSION[0]:
            received = f"version {managed.major}.{managed.minor}"
            raise UnsupportedError(message("from_dlpack: a newer format", received=received, expected=f"version {_VERSION[0]}"))
        _capsule_rename(capsule, used)
        flags = managed.flags if isinstance(managed, _ManagedVersioned) else 0
        return managed.tensor, flags, _Owner(address, managed.deleter)
    raise ArgumentError(
        message("from_dlpack: not an unused DLPack capsule", received=repr(capsule), fix="a capsule can be consumed only once")
    )


def _check(tensor: _Tensor) -> tuple[DType, tuple[int, ...], tuple[int, ...], int]:
    """Return dtype, shape, strides in elements, and the address of the first element."""
    if tensor.device_type not in _HOST_DEVICES:
        raise UnsupportedError(
            message("from_dlpack: not in CPU memory", received=f"device type {tensor.device_type}", fix="move it to the CPU")
        )
    dtype = _DTYPE_OF.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    if dtype is None:
        received = f"type code {tensor.code}, {tensor.bits} bits, {tensor.lanes} lanes"
        raise DTypeError(message("from_dlpack: no such element type", received=received, expected="one of " + ", ".join(dtypes.BY_NAME)))
    if not 0 <= tensor.ndim <= _MAX_AXES:
        raise ArgumentError(message("from_dlpack: a damaged tensor", received=f"{tensor.ndim} axes"))
    shape = tuple(tensor.shape[k] for k in range(tensor.ndim))
    if any(size < 0 for size in shape):
        raise ArgumentError(message("from_dlpack: a damaged tensor", received=f"shape {shape}"))
    strides = tuple(tensor.strides[k] for k in range(tensor.ndim)) if tensor.strides else _row_major(shape)
    return dtype, shape, strides, (tensor.data or 0) + tensor.byte_offset
