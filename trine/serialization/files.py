"""Safetensors files: written whole or not at all, read without executing anything."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from trine import dtypes
from trine.errors import CheckpointError, message
from trine.runtime.memory import from_array
from trine.serialization.structure import flatten, unflatten
from trine.tensor import Tensor
from trine.tensor.state import Meta
from trine.tensor.tensor import from_buffer

STRUCTURE = "trine.structure"
_DTYPES = {
    "BOOL": dtypes.bool_,
    "U8": dtypes.uint8,
    "I8": dtypes.int8,
    "U16": dtypes.uint16,
    "I16": dtypes.int16,
    "U32": dtypes.uint32,
    "I32": dtypes.int32,
    "U64": dtypes.uint64,
    "I64": dtypes.int64,
    "F16": dtypes.float16,
    "BF16": dtypes.bfloat16,
    "F32": dtypes.float32,
    "F64": dtypes.float64,
    "C64": dtypes.complex64,
}


def save(obj: Any, f: Any) -> None:
    """Save tensors and plain data in the safetensors format.

    The file appears whole or not at all: it is written beside its place, synced, and renamed, so that an error (a full disk, an
    interrupt) leaves an existing file as it was.

    Args:
        obj: a state dict, or any nesting of dicts, lists and tuples with tensors, numbers, strings and None.
        f: a path or a writable binary file.

    Raises:
        CheckpointError: the file cannot be written. DTypeError: something in `obj` cannot be saved.

    >>> import trine, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> trine.save({"w": trine.ones(2)}, path)
    >>> trine.load(path)["w"].tolist()
    [1.0, 1.0]
    """
    entries, metadata, keep = _entries(obj)
    if hasattr(f, "write"):
        f.write(_serialize(entries, metadata))
        return
    path = Path(f)
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(descriptor)
        _write(entries, temporary, metadata)
        os.chmod(temporary, _mode(path))
        os.replace(temporary, path)
        temporary = None
        _sync_directory(path.parent)
    except OSError as error:
        what = f"save: cannot write {path}"
        fix = "free space or choose another place; an existing file there is unchanged"
        raise CheckpointError(message(what, received=f"{type(error).__name__}: {error}", fix=fix)) from error
    finally:
        if temporary is not None:
            try:
                os.unlink(temporary)
            except OSError:
                pass
    del keep


def _write(entries: Any, name: str, metadata: dict[str, str]) -> None:
    """Write a safetensors file and sync it."""
    import safetensors

    try:
        safetensors.serialize_file(entries, name, metadata=metadata)
    except safetensors.SafetensorError as error:
        raise OSError(str(error)) from error
    with open(name, "rb+") as file:
        os.fsync(file.fileno())


def _mode(path: Path) -> int:
    try:
        return os.stat(path).st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _sync_directory(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _entries(obj: Any) -> tuple[dict[str, Any], dict[str, str], list[Any]]:
    """Return what the safetensors library takes, and the arrays that must live as long as it is used."""
    import safetensors

    tensors, structure = flatten(obj)
    arrays = {name: tensor.detach()._array() for name, tensor in tensors.items()}
    entries = {
        name: safetensors.TensorSpec(tensors[name].dtype.name, list(a.shape), a.__array_interface__["data"][0], a.nbytes)
        for name, a in arrays.items()
    }
    metadata = {"format": "pt"}
    if structure is not None:
        metadata[STRUCTURE] = structure
    return entries, metadata, list(arrays.values())


def _serialize(entries: Any, metadata: dict[str, str]) -> bytes:
    import safetensors

    return bytes(safetensors.serialize(entries, metadata=metadata))


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None, mmap: bool | None = None) -> Any:
    """Load what `save` wrote, or any safetensors file. Nothing in the file is ever executed.

    Args:
        f: a path or a readable binary file. map_location, pickle_module, weights_only, mmap: accepted for compatibility.

    Raises:
        CheckpointError: no such file, or it is truncated, corrupted or of another format.
    """
    data, name = _read(f)
    import safetensors

    try:
        entries = safetensors.deserialize(data)
        metadata = _metadata(data)
    except Exception as error:
        raise CheckpointError(_unreadable(name, data, error)) from None
    tensors = {}
    for key, entry in entries:
        tensors[key] = _tensor(key, entry)
    return unflatten(tensors, metadata.get(STRUCTURE))


def _read(f: Any) -> tuple[bytes, str]:
    if hasattr(f, "read"):
        return f.read(), "the given file"
    try:
        with open(f, "rb") as file:
            return file.read(), str(f)
    except OSError as error:
        raise CheckpointError(message(f"load: cannot read {f}", received=f"{type(error).__name__}: {error}", fix="check the path")) from None


def _metadata(data: bytes) -> dict[str, str]:
    import json

    size = int.from_bytes(data[:8], "little")
    header = json.load(io.BytesIO(data[8 : 8 + size]))
    return header.get("__metadata__") or {}  # type: ignore[no-any-return]


def _tensor(name: str, entry: dict[str, Any]) -> Tensor:
    dtype = _DTYPES.get(entry["dtype"])
    if dtype is None:
        raise CheckpointError(message(f"load: tensor '{name}' has an unknown dtype", received=entry["dtype"], expected=", ".join(_DTYPES)))
    shape = tuple(entry["shape"])
    array = np.frombuffer(entry["data"], dtype.numpy).reshape(shape)
    return from_buffer(from_array(array).copy(), Meta.of(shape, dtype))


def _unreadable(name: str, data: bytes, error: Exception) -> str:
    if data[:2] == b"PK" or data[:1] == b"\x80":
        what = f"load: {name} is a pickled checkpoint, which could execute code"
        return message(what, received="a zip or pickle file", expected="a safetensors file", fix="convert it with the program that wrote it")
    return message(
        f"load: {name} is not a valid safetensors file",
        received=f"{len(data)} bytes; {error}",
        expected="a complete safetensors file",
        fix="the file is truncated or corrupted: take a backup or write it again",
    )
