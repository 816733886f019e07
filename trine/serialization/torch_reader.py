"""Reading what PyTorch's `torch.save` wrote: the zip archive, and the older sequence of pickles. Nothing in a file is executed."""

from __future__ import annotations

import importlib
import io
import math
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from trine import dtypes
from trine.dtypes import DType
from trine.errors import AllocationError, CheckpointError, TrineError, message
from trine.runtime.memory import Buffer, allocate
from trine.serialization import pickles
from trine.serialization.pickles import Allowed, PickleError
from trine.tensor import Tensor
from trine.tensor.device import CPU
from trine.tensor.size import Size
from trine.tensor.state import Meta
from trine.tensor.tensor import from_buffer

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

STORAGES: dict[str, DType] = {
    "DoubleStorage": dtypes.float64,
    "FloatStorage": dtypes.float32,
    "HalfStorage": dtypes.float16,
    "BFloat16Storage": dtypes.bfloat16,
    "LongStorage": dtypes.int64,
    "IntStorage": dtypes.int32,
    "ShortStorage": dtypes.int16,
    "CharStorage": dtypes.int8,
    "ByteStorage": dtypes.uint8,
    "BoolStorage": dtypes.bool_,
    "ComplexFloatStorage": dtypes.complex64,
    "ComplexDoubleStorage": dtypes.complex128,
}
"""PyTorch's storage classes -> dtype."""
DTYPES: dict[str, DType] = {
    name: getattr(dtypes, name)
    for name in """float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 complex64 complex128""".split()
} | {"bool": dtypes.bool_}
"""Names of dtypes in `torch` -> dtype."""


class Storage:
    """A run of bytes in a file, and the memory that it becomes.

    Attributes:
        dtype: its elements' (uint8 if untyped). buffer: memory. base: a tensor of all elements, once views need one.
    """

    def __init__(self, dtype: DType, buffer: Buffer, nbytes: int) -> None:
        self.dtype = dtype
        self.buffer = buffer
        self.nbytes = nbytes
        self.bases: dict[DType, Tensor] = {}

    def tensor(self, dtype: DType, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        """Return a tensor of these elements: it shares memory with the others of this storage.

        Raises:
            PickleError: they do not lie inside.
        """
        numbers = (offset, *size, *stride)
        if len(size) != len(stride) or len(size) > 64 or not all(type(n) is int and 0 <= n < 1 << 48 for n in numbers):
            raise PickleError(f"a tensor of the impossible shape {size}, strides {stride}, offset {offset}")
        count = self.nbytes // dtype.itemsize
        is_empty = 0 in size
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if not is_empty and last >= count:
            raise PickleError(f"a tensor of shape {size} and strides {stride} that ends outside of its storage of {count} elements")
        is_whole = offset == 0 and not is_empty and math.prod(size) == count and stride == row_major(size)
        if not self.bases and (is_whole or is_empty):
            made = from_buffer(self.buffer if is_whole else allocate(0), Meta.of(size, dtype))
            if is_whole:
                self.bases[dtype] = made
            return made
        if dtype not in self.bases:
            self.bases[dtype] = from_buffer(self.buffer, Meta.of((count,), dtype))
        base = self.bases[dtype]
        return base.detach() if is_whole and tuple(base.shape) == size else base.as_strided(size, stride, offset)


def row_major(size: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of a tensor of its own, in elements."""
    strides, step = [], 1
    for n in reversed(size):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def _rebuild(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None, metadata: Any = None
) -> Tensor:
    if not isinstance(storage, Storage):
        raise PickleError("a tensor without a storage")
    made = storage.tensor(storage.dtype, offset, tuple(size), tuple(stride))
    return made.requires_grad_() if requires_grad else made


def _rebuild_typed(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> Tensor:
    if not isinstance(storage, Storage) or not isinstance(dtype, DType):
        raise PickleError("a tensor without a storage or a dtype")
    made = storage.tensor(dtype, offset, tuple(size), tuple(stride))
    return made.requires_grad_() if requires_grad else made


def _parameter(data: Any, requires_grad: Any = True, *_: Any) -> Any:
    if not isinstance(data, Tensor):
        raise PickleError("a parameter that is no tensor")
    kind = importlib.import_module("trine.nn").Parameter  # a floor above, and loaded only where a file holds one
    return kind(data.detach(), requires_grad=bool(requires_grad) and data.dtype.is_differentiable)


def _from_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    if type(function) is not Allowed:
        raise PickleError("a tensor made by something that is no function")
    return function.make(*arguments)


_TENSORS = {
    **dict.fromkeys(("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"), Allowed(_rebuild)),
    "torch._utils._rebuild_tensor_v3": Allowed(_rebuild_typed),
    **dict.fromkeys(("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"), Allowed(_parameter)),
    "torch.nn.parameter.Parameter": Allowed(_parameter),
    "torch._tensor._rebuild_from_type_v2": Allowed(_from_type),
    "torch.Tensor": None,
    "torch.Size": Allowed(lambda sizes=(): Size(sizes)),
    "torch.device": Allowed(lambda *_: CPU),
    "torch.serialization._get_layout": Allowed(lambda name: name),
    "torch.storage.UntypedStorage": dtypes.uint8,
    **{f"torch.{name}": dtype for name, dtype in (STORAGES | DTYPES).items()},
    **{f"torch.cuda.{name}": dtype for name, dtype in STORAGES.items()},
}


def _failed(name: str, error: BaseException) -> CheckpointError:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return CheckpointError(
        message(
            f"load: {name} is not a valid PyTorch checkpoint",
            received=text,
            expected="a complete file written by torch.save",
            fix="the file is truncated or corrupted, or of another kind: take a backup or write it again",
        )
    )


_DAMAGE = (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error, EOFError, OverflowError, RecursionError)
_DAMAGE += (zipfile.BadZipFile, NotImplementedError, UnicodeError, AllocationError, MemoryError, TrineError)  # type: ignore[assignment]


def _guarded(name: str, function: Callable[[], Any]) -> Any:
    try:
        return function()
    except pickles.RefusedGlobalError:
        raise
    except _DAMAGE as error:
        raise _failed(name, error) from None


def read_zip(file: Any, name: str) -> Any:
    """Return the object in a zip archive of `torch.save`, from a seekable binary file.

    Raises:
        CheckpointError: it is damaged or of another kind. RefusedGlobalError: it names something that is not allowed.
    """
    return _guarded(name, lambda: _read_zip(file))


def _read_zip(file: Any) -> Any:
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise PickleError("a name stands twice in the archive")
        size = file.seek(0, io.SEEK_END)
        if any(i.compress_type != zipfile.ZIP_STORED for i in members.values()):
            raise PickleError("a compressed member; torch.save writes none")
        if sum(i.file_size for i in members.values()) > size:
            raise PickleError("members that are larger than the file")
        roots = [n.removesuffix("data.pkl") for n in members if n.endswith("data.pkl") and n.count("/") <= 1]
        if len(roots) != 1:
            raise PickleError("an archive without one data.pkl")
        root = roots[0]
        if root + "constants.pkl" in members:
            raise PickleError("a TorchScript archive, which holds a program")
        order = archive.read(members[root + "byteorder"]) if root + "byteorder" in members else b"little"
        storages: dict[str, Storage] = {}

        def storage_of(dtype: DType, key: str, numel: int) -> Storage:
            if key not in storages:
                info = members[f"{root}data/{key}"]
                if info.file_size < numel * dtype.itemsize:
                    raise PickleError(f"storage {key} has {info.file_size} bytes, {numel * dtype.itemsize} are announced")
                buffer = allocate(info.file_size)
                with archive.open(info) as member:
                    _read_into(member, buffer, info.file_size)
                if order.strip() == b"big":
                    _swap(buffer, info.file_size, dtype)
                storages[key] = Storage(dtype, buffer, info.file_size)
            return storages[key]

        return pickles.read(io.BytesIO(archive.read(members[root + "data.pkl"])), _TENSORS, lambda pid: _storage(pid, storage_of))


def _storage(pid: Any, storage_of: Callable[[DType, str, int], Storage]) -> Storage:
    """Return the storage that a persistent id names."""
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
        raise PickleError("an object outside of the pickle that is no storage")
    _, dtype, key, _, numel, *rest = pid
    if not isinstance(dtype, DType) or not isinstance(numel, int) or not 0 <= numel < 1 << 48 or any(r is not None for r in rest):
        raise PickleError(f"the impossible storage {key!r}")
    return storage_of(dtype, str(key), numel)


def _read_into(member: Any, buffer: Buffer, nbytes: int) -> None:
    view = buffer.array(np.dtype(np.uint8), (nbytes,)).data
    while len(view):
        count = member.readinto(view[: 1 << 26])
        if not count:
            raise PickleError(f"it ends {len(view)} bytes too early")
        view = view[count:]


def _swap(buffer: Buffer, nbytes: int, dtype: DType) -> None:
    width = dtype.itemsize // (2 if dtype.is_complex else 1)
    if width > 1:
        buffer.array(np.dtype(f"u{width}"), (nbytes // width,)).byteswap(inplace=True)


def read_legacy(file: Any, name: str) -> Any:
    """Return the object in a file of `torch.save` from before version 1.6: pickles, then the storages.

    Raises:
        CheckpointError, RefusedGlobalError: as `read_zip`.
    """
    return _guarded(name, lambda: _read_legacy(file))


def _read_legacy(file: Any) -> Any:
    data = io.BytesIO(file.read())
    size = data.getbuffer().nbytes

    def no_storage(pid: Any) -> Any:
        raise PickleError("a storage before the data")

    if pickles.read(data, {}, no_storage) != LEGACY_MAGIC:
        raise PickleError("a pickle that torch.save did not write")
    if pickles.read(data, {}, no_storage) != _LEGACY_PROTOCOL:
        raise PickleError("an unknown version of the format")
    is_little = dict(pickles.read(data, {}, no_storage)).get("little_endian", True)
    storages: dict[str, Storage] = {}

    def storage_of(dtype: DType, key: str, numel: int) -> Storage:
        if key not in storages:
            if numel * dtype.itemsize > size:
                raise PickleError(f"storage {key} of {numel} elements is larger than the file")
            storages[key] = Storage(dtype, allocate(numel * dtype.itemsize), numel * dtype.itemsize)
        return storages[key]

    found = pickles.read(data, _TENSORS, lambda pid: _storage(pid, storage_of))
    keys = pickles.read(data, {}, no_storage)
    if sorted(map(str, keys)) != sorted(storages):
        raise PickleError("the storages are not those that are announced")
    for key in keys:
        storage = storages[str(key)]
        (count,) = struct.unpack("<q" if is_little else ">q", data.read(8))
        if count * storage.dtype.itemsize != storage.nbytes:
            raise PickleError(f"storage {key} has {count} elements, not those that are announced")
        _read_into(data, storage.buffer, storage.nbytes)
        if not is_little:
            _swap(storage.buffer, storage.nbytes, storage.dtype)
    return found
