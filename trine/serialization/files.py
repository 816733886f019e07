"""Saving and loading: files appear whole or not at all, and are read without executing anything."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trine.errors import AllocationError, ArgumentError, CheckpointError, DTypeError, message
from trine.runtime.memory import allocate
from trine.serialization.layout import Entry, LayoutError, decode, encode, header_size, in_file_order
from trine.serialization.structure import flatten, unflatten
from trine.serialization.torch_reader import read_legacy, read_zip
from trine.serialization.torch_writer import archive_of
from trine.tensor import Tensor
from trine.tensor.state import Meta
from trine.tensor.tensor import from_buffer

STRUCTURE = "trine.structure"
TORCH_SUFFIXES = (".pt", ".pth", ".bin")
"""Names of files that are written in PyTorch's format."""


class MissingFileError(CheckpointError, FileNotFoundError):
    """There is no file to load."""


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
    *,
    format: str | None = None,
) -> None:
    """Save tensors and plain data: in the safetensors format, or in PyTorch's where the name ends in .pt, .pth or .bin.

    Either way `load` gives the same back. PyTorch reads the one with the safetensors package, the other with `torch.load`.

    The file appears whole or not at all: it is written beside its place, synced, and renamed, so that an error (a full disk, an
    interrupt) leaves an existing file as it was. Permissions of an existing file are kept, and a symbolic link stays one.

    Args:
        obj: a state dict, or any nesting of dicts, lists and tuples with tensors, arrays, numbers, strings and None. A module is written
            in PyTorch's format, as the names of its classes and their states: who loads it must allow them (`add_safe_globals`).
        f: a path or a writable binary file.
        format: "safetensors" or "torch", whatever the name is.
        pickle_module, pickle_protocol: accepted for compatibility.

    Raises:
        ArgumentError: an unknown format. CheckpointError: the file cannot be written. DTypeError: something in `obj` cannot be saved.

    >>> import trine, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> trine.save({"w": trine.ones(2)}, path)
    >>> trine.load(path)["w"].tolist()
    [1.0, 1.0]
    """
    if format not in (None, "safetensors", "torch"):
        raise ArgumentError(message("save: format", received=format, expected="'safetensors' or 'torch'"))
    if format is None:
        name = "" if hasattr(f, "write") else str(_path(f, "save"))
        format = "torch" if name.endswith(TORCH_SUFFIXES) or hasattr(obj, "state_dict") else "safetensors"
    pieces = [archive_of(obj)] if format == "torch" else list(_pieces(obj))
    if hasattr(f, "write"):
        _write_to(f, pieces)
        return
    path = _path(f, "save")
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a device or a pipe is written to, never replaced
            with path.open("wb") as file:
                file.writelines(pieces)
        else:
            replace_file(Path(os.path.realpath(path)), pieces)
    except OSError as error:
        what = f"save: cannot write {path}"
        fix = "free space or choose another place; an existing file there is unchanged"
        raise CheckpointError(message(what, received=f"{type(error).__name__}: {error}", fix=fix)) from error


def _path(f: Any, op: str) -> Path:
    try:
        return Path(os.fsdecode(f))
    except TypeError:
        raise DTypeError(message(f"{op}: f", received=type(f).__name__, expected="a path or a binary file")) from None


def _pieces(obj: Any) -> Iterator[Any]:
    """Yield the bytes of the file: the header, then each tensor."""
    tensors, structure = flatten(obj)
    metadata = {"format": "pt"} if structure is None else {"format": "pt", STRUCTURE: structure}
    try:
        header, order = encode({name: (t.dtype, t._meta.shape) for name, t in tensors.items()}, metadata)
    except LayoutError as error:
        raise CheckpointError(
            message("save: too many names for a safetensors file", received=str(error), fix="save several files")
        ) from None
    yield header
    for name in order:
        yield tensors[name]._array().reshape(-1).view(np.uint8).data


def _write_to(file: Any, pieces: list[Any]) -> None:
    try:
        for piece in pieces:
            view = memoryview(piece)
            while len(view):
                view = view[file.write(view) or len(view) :]  # an unbuffered file may take a part
    except (OSError, TypeError) as error:
        expected = "a file opened for writing in binary mode"
        raise CheckpointError(message("save: cannot write", received=f"{type(error).__name__}: {error}", expected=expected)) from error


def replace_file(path: Path, pieces: list[Any]) -> None:
    """Put a file in the place of `path` in one step, once all of it is on the disk."""
    temporary = path.with_name(f".trine-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(OSError):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool | None = None, mmap: bool | None = None) -> Any:
    """Load what `save` wrote, any safetensors file, or what `torch.save` wrote. Nothing in the file is ever executed.

    A file of `torch.save` may hold tensors, parameters, containers, numbers, strings and NumPy arrays; another class is refused by name,
    unless `trine.serialization.add_safe_globals` allows it.

    Args:
        f: a path or a readable binary file. map_location, pickle_module, weights_only, mmap: accepted for compatibility.

    Raises:
        CheckpointError: no such file (also a FileNotFoundError), or it is truncated, corrupted or of another format.
        RefusedGlobalError: it names a class or function that is not allowed (also a pickle.UnpicklingError).
    """
    if hasattr(f, "read"):
        return _read(f, "the given file", None)
    path = _path(f, "load")
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            return _read(file, str(path), status.st_size if stat.S_ISREG(status.st_mode) else None)
    except OSError as error:
        kind = MissingFileError if isinstance(error, FileNotFoundError) else CheckpointError
        raise kind(message(f"load: cannot read {path}", received=f"{type(error).__name__}: {error}", fix="check the path")) from None


def _read(file: Any, name: str, size: int | None) -> Any:
    """Read an open file of `size` bytes (None if that is not known)."""
    try:
        prefix = _read_bytes(file, 8)
        if prefix[:2] == b"PK":
            return read_zip(_seekable(file, prefix), name)
        if prefix[:1] == b"\x80" and prefix[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
            return read_legacy(_seekable(file, prefix), name)
        length = header_size(prefix)
        if size is not None and length > size - 8:
            raise LayoutError(f"a header of {length} bytes in a file of {size}")
        text = _read_bytes(file, length)
        if len(text) != length:
            raise LayoutError(f"it ends within its header, after {8 + len(text)} bytes")
        entries, metadata = decode(text)
        end = 8 + length + max((entry.end for entry in entries), default=0)
        if size is not None and end != size:
            raise LayoutError(f"{size} bytes; the header announces {end}")
        read = {entry.name: _read_tensor(file, entry) for entry in in_file_order(entries)}
        if size is None and _read_bytes(file, 1):
            raise LayoutError(f"more than the {end} bytes that the header announces")
    except (LayoutError, AllocationError, MemoryError, OverflowError) as error:
        raise CheckpointError(
            message(
                f"load: {name} is not a valid safetensors file",
                received=str(error).splitlines()[0] if str(error) else type(error).__name__,
                expected="a complete safetensors file",
                fix="the file is truncated or corrupted, or of another kind: take a backup or write it again",
            )
        ) from None
    return unflatten({entry.name: read[entry.name] for entry in entries}, metadata.get(STRUCTURE))


def _read_bytes(file: Any, count: int) -> bytes:
    """Return the next `count` bytes, fewer at the end of the file."""
    parts: list[bytes] = []
    while count:
        part = file.read(min(count, 1 << 26))
        if not isinstance(part, bytes | bytearray):
            expected = "a file opened for reading in binary mode"
            raise CheckpointError(message("load: cannot read", received=f"{type(part).__name__} from read()", expected=expected))
        if not part:
            break
        parts.append(bytes(part))
        count -= len(part)
    return b"".join(parts)


def _read_tensor(file: Any, entry: Entry) -> Tensor:
    nbytes = entry.end - entry.begin
    if hasattr(file, "readinto"):
        buffer = allocate(nbytes)
        view = buffer.array(np.dtype(np.uint8), (nbytes,)).data
        while len(view) and (count := file.readinto(view)):
            view = view[count:]
        missing = len(view)
    else:
        data = _read_bytes(file, nbytes)
        missing = nbytes - len(data)
        buffer = allocate(len(data))
        buffer.array(np.dtype(np.uint8), (len(data),))[...] = np.frombuffer(data, np.uint8)
    if missing:
        raise LayoutError(f"it ends within tensor '{entry.name}', {missing} bytes too early")
    return from_buffer(buffer, Meta.of(entry.shape, entry.dtype))


def _seekable(file: Any, prefix: bytes) -> Any:
    """Return a file at its beginning, of which `prefix` has been read."""
    try:
        if file.seekable() and file.tell() == len(prefix):
            file.seek(0)
            return file
    except (AttributeError, OSError):
        pass
    parts = [prefix]
    while part := file.read(1 << 26):
        parts.append(part)
    return io.BytesIO(b"".join(parts))
