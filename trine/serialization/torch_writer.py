"""Writing what PyTorch's `torch.load` reads: a zip archive with a pickle and the storages."""

from __future__ import annotations

import io
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from trine.dtypes import DType
from trine.errors import CheckpointError, DTypeError, message
from trine.serialization.torch_reader import DTYPES, STORAGES, row_major
from trine.tensor import Tensor
from trine.tensor.device import Device
from trine.tensor.size import Size
from trine.tensor.view_layout import layout_of

_STORAGE_OF = {dtype: name for name, dtype in STORAGES.items()}
_NAME_OF = {dtype: name for name, dtype in DTYPES.items()}
_MAX_DEPTH = 100


def archive_of(obj: Any) -> bytes:
    """Return the bytes of a file that `torch.load(weights_only=True)` reads.

    Raises:
        DTypeError: something in `obj` cannot be saved. CheckpointError: it is nested too deeply.
    """
    writer = _Writer()
    writer.raw(b"\x80\x02")
    writer.write(obj, "", 0)
    writer.raw(b".")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", writer.out.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, tensor in enumerate(writer.storages):
            archive.writestr(f"archive/data/{key}", tensor._array().reshape(-1).view(np.uint8).tobytes())
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


class _Writer:
    """Writes a pickle of protocol 2, with the names that PyTorch reads."""

    def __init__(self) -> None:
        self.out = io.BytesIO()
        self.storages: list[Tensor] = []
        self._keys: dict[tuple[int, int], int] = {}
        self._memo: dict[int, int] = {}
        self._kept: list[Any] = []

    def raw(self, data: bytes) -> None:
        self.out.write(data)

    def write(self, value: Any, path: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            expected = f"at most {_MAX_DEPTH} levels, and no cycles"
            raise CheckpointError(message("save: data is nested too deeply", received=f"more at '{path[:80]}'", expected=expected))
        if value is None or isinstance(value, bool):
            self.raw(b"N" if value is None else b"\x88" if value else b"\x89")
        elif isinstance(value, Tensor):
            self._remembered(value, lambda: self._tensor(value))
        elif isinstance(value, DType):
            self._global("torch", _NAME_OF[value])
        elif isinstance(value, Device):
            self._call("torch", "device", ("cpu",), depth)
        elif isinstance(value, int):
            self._integer(int(value))
        elif isinstance(value, float):
            self.raw(b"G" + struct.pack(">d", value))
        elif isinstance(value, complex):
            self._call("__builtin__", "complex", (value.real, value.imag), depth)
        elif isinstance(value, str):
            text = value.encode("utf-8", "surrogatepass")
            self.raw(b"X" + struct.pack("<I", len(text)) + text)
        elif isinstance(value, bytes):
            self._call("_codecs", "encode", (value.decode("latin1"), "latin1"), depth)
        elif isinstance(value, np.generic) and value.dtype.kind in "biufc":
            self.write(value.item(), path, depth)
        else:
            self._container(value, path, depth)

    def _container(self, value: Any, path: str, depth: int) -> None:
        if isinstance(value, Size):
            self._call("torch", "Size", (tuple(value),), depth)
        elif isinstance(value, Mapping):
            self._remembered(value, lambda: self._mapping(value, path, depth))
        elif isinstance(value, list):
            self._remembered(value, lambda: self._list(value, path, depth))
        elif isinstance(value, tuple):
            self.raw(b"(")
            self._items(value, path, depth)
            self.raw(b"t")
        elif isinstance(value, set | frozenset):
            self._call("__builtin__", "set", (sorted(value, key=repr),), depth)
        elif callable(value) and hasattr(value, "__qualname__") and "<" not in value.__qualname__:
            self._global(value.__module__, value.__qualname__)
        elif (parts := _parts(value)) is not None:
            self._remembered(value, lambda: self._instance(value, *parts, path=path, depth=depth))
        else:
            raise DTypeError(
                message(
                    f"save: an object at '{path}' cannot be saved",
                    received=type(value).__name__,
                    expected="tensors, numbers, strings, None, dtypes, and dicts, lists, tuples and sets of these",
                    fix="save module.state_dict() rather than the module",
                )
            )

    def _remembered(self, value: Any, write: Any) -> None:
        """Write an object, or a reference to where it was written."""
        number = self._memo.get(id(value))
        if number is not None:
            self.raw(b"j" + struct.pack("<I", number))
            return
        self._kept.append(value)
        write()

    def _remember(self, value: Any) -> None:
        number = self._memo[id(value)] = len(self._memo)
        self.raw(b"r" + struct.pack("<I", number))

    def _items(self, values: Any, path: str, depth: int) -> None:
        for i, value in enumerate(values):
            self.write(value, f"{path}.{i}" if path else str(i), depth + 1)

    def _list(self, value: list[Any], path: str, depth: int) -> None:
        self.raw(b"]")
        self._remember(value)
        self.raw(b"(")
        self._items(value, path, depth)
        self.raw(b"e")

    def _mapping(self, value: Mapping[Any, Any], path: str, depth: int) -> None:
        if isinstance(value, OrderedDict):
            self._call("collections", "OrderedDict", (), depth)
        else:
            self.raw(b"}")
        self._remember(value)
        self.raw(b"(")
        for key, item in value.items():
            self.write(key, f"{path}, a key", depth + 1)
            self.write(item, f"{path}.{key}" if path else str(key), depth + 1)
        self.raw(b"u")

    def _instance(self, value: Any, cls: type, state: Any, *, path: str, depth: int) -> None:
        """Write an object as its class and its state; a reader must allow the class."""
        self._global(cls.__module__, cls.__qualname__)
        self.raw(b")\x81")
        self._remember(value)
        self.write(state, path, depth + 1)
        self.raw(b"b")

    def _integer(self, value: int) -> None:
        if -(1 << 31) <= value < 1 << 31:
            self.raw(b"J" + struct.pack("<i", value))
            return
        data = value.to_bytes((value.bit_length() >> 3) + 1, "little", signed=True)
        if len(data) > 255:
            raise DTypeError(message("save: an integer is too large", received=f"{value.bit_length()} bits", expected="at most 2000"))
        self.raw(b"\x8a" + bytes([len(data)]) + data)

    def _global(self, module: str, name: str) -> None:
        self.raw(f"c{module}\n{name}\n".encode())

    def _call(self, module: str, name: str, arguments: tuple[Any, ...], depth: int) -> None:
        self._global(module, name)
        self.raw(b"(")
        self._items(arguments, name, depth)
        self.raw(b"tR")

    def _tensor(self, tensor: Tensor) -> None:
        is_parameter = type(tensor).__name__ in ("Parameter", "Buffer") and type(tensor) is not Tensor
        if is_parameter:
            self._global("torch._utils", "_rebuild_parameter")
            self.raw(b"(")
        self._plain_tensor(tensor, tensor.requires_grad and not is_parameter)
        if is_parameter:
            self.raw(b"\x88" if tensor.requires_grad else b"\x89")
            self._call("collections", "OrderedDict", (), 0)
            self.raw(b"tR")
        self._remember(tensor)

    def _plain_tensor(self, tensor: Tensor, requires_grad: bool) -> None:
        detached = tensor.detach()
        source, offset, shape, strides = _memory_of(detached)
        is_typed = tensor.dtype in _STORAGE_OF
        self._global("torch._utils", "_rebuild_tensor_v2" if is_typed else "_rebuild_tensor_v3")
        self.raw(b"((")
        self.write("storage", "", 0)
        count = source.numel() if is_typed else source.nbytes
        self._global("torch" if is_typed else "torch.storage", _STORAGE_OF[tensor.dtype] if is_typed else "UntypedStorage")
        self.write(str(self._key(source)), "", 0)
        self.write("cpu", "", 0)
        self._integer(count)
        self.raw(b"tQ")
        self._integer(offset)
        self.write(shape, "", 0)
        self.write(strides, "", 0)
        self.write(requires_grad, "", 0)
        self._call("collections", "OrderedDict", (), 0)
        if not is_typed:
            self._global("torch", _NAME_OF[tensor.dtype])
        self.raw(b"tR")

    def _key(self, source: Tensor) -> int:
        """Return the number of a storage: one for each memory."""
        address = (source._value().address if source.numel() else id(source), source.nbytes)
        if address not in self._keys:
            self._keys[address] = len(self.storages)
            self.storages.append(source)
        return self._keys[address]


def _parts(value: Any) -> tuple[type, dict[str, Any]] | None:
    """Return the class and the state of an object that consists of these, such as a module; None for another."""
    cls = type(value)
    if cls.__module__ == "builtins" or "<" in cls.__qualname__ or not hasattr(value, "__dict__"):
        return None
    state = value.__getstate__()
    return (cls, state) if isinstance(state, dict) else None


def _memory_of(tensor: Tensor) -> tuple[Tensor, int, tuple[int, ...], tuple[int, ...]]:
    """Return the tensor that holds the memory, and offset, shape and strides in it."""
    shape = tuple(tensor.shape)
    if tensor._alias is not None:
        base, layout = tensor._alias.base, layout_of(tensor)
        if layout.is_view and base._meta.dtype is tensor.dtype and not base._meta.requires_grad and base._buffer is not None:
            return base, layout.offset, tuple(layout.shape), tuple(layout.strides)
    value = tensor.contiguous()
    value._value()
    return value, 0, shape, row_major(shape)
