"""The kernel cache: addresses of compiled kernels, from memory, else from disk, else from the compiler.

A file holds the object of one kernel. Its name is a hash of the kernel's key, the target, and the versions of Trine's compiler and of LLVM;
its header repeats that hash and has a checksum of the object. Files are written beside their place and renamed, so that readers and other
writers never see half of one. A file (or directory) that another user owns or may write is ignored: its code would run as this user. No
failure of the disk is an error.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import stat
import struct
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from trine import config
from trine.compiler.compile import compile_kernels
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.errors import CacheWarning, CompileError, message

_MAGIC = b"TRINEKC1"
_HEADER = struct.Struct("<8sQ32s32s")  # magic, size of the object, hash in the name, checksum of the object
_SUFFIX = ".kernel"
_MAX_FILE = 1 << 28
_DAY = 86400.0
_PRUNE_EVERY = 64  # writes


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What the cache holds and did.

    Attributes:
        kernels, bytes: in executable memory.
        files, file_bytes: on disk.
        hits: kernels found in memory.
        disk_hits: kernels loaded from disk.
        misses: kernels compiled.
    """

    kernels: int
    bytes: int
    files: int
    file_bytes: int
    hits: int
    disk_hits: int
    misses: int


@cache
def compiler_version() -> bytes:
    """Return a hash of what decides a kernel's code: the compiler's sources, those of its constants, llvmlite's version."""
    digest = hashlib.blake2b(digest_size=32)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    constants = [os.path.join(root, "core", "random_bits.py"), os.path.join(root, "dtypes.py")]
    for path in sorted([*_sources(os.path.join(root, "compiler")), *constants]):
        digest.update(os.path.relpath(path, root).encode())
        digest.update(_contents(path))
    spec = importlib.util.find_spec("llvmlite")
    if spec is not None and spec.origin:
        digest.update(_contents(os.path.join(os.path.dirname(spec.origin), "_version.py")))
    return digest.digest()


def _sources(directory: str) -> list[str]:
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                found.append(entry.path)
            elif entry.is_dir() and entry.name != "__pycache__":
                found += _sources(entry.path)
    return found


def _contents(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""


class LoadedCode(Protocol):
    """An object in executable memory, for the life of the process."""

    @property
    def nbytes(self) -> int:
        """Size in memory."""

    def address(self, symbol: str) -> int:
        """Return the address of a symbol; CompileError if there is none."""


class KernelCache:
    """Addresses of kernels; safe for several threads and processes.

    Args:
        directory: where files are kept; None for memory only.
        load: brings an object into executable memory (`trine.runtime.objects.load`); raises CompileError if it cannot be loaded.
        limit: bound of the files' bytes; the ones not used for longest are removed.
    """

    def __init__(self, directory: Path | None, load: Callable[[bytes], LoadedCode], limit: int = 1 << 29) -> None:
        self.load = load
        self.disk = DiskCache(directory, limit) if directory is not None and limit > 0 else None
        self._loaded: dict[tuple[str, str], tuple[LoadedCode, int]] = {}
        self._hits = self._disk_hits = self._misses = 0
        self._reset_locks()
        if hasattr(os, "register_at_fork"):
            this = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _after_fork(this))

    def _reset_locks(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[tuple[str, str], threading.Event] = {}

    def resolve(self, kernels: Sequence[Kernel], target: Target) -> list[int]:
        """Return the address of each kernel's function; it stays valid until the process ends.

        Raises:
            CompileError: a kernel cannot be compiled.
        """
        # Keys are compared as text: as objects, 0.0, -0.0, 0 and False would be one key.
        keys = [(repr(kernel.key), target.name) for kernel in kernels]
        wanted = dict(zip(keys, kernels, strict=True))
        first = True
        while True:
            with self._lock:
                absent = [key for key in wanted if key not in self._loaded]
                if first:
                    self._hits += len(wanted) - len(absent)
                    first = False
                mine = [key for key in absent if key not in self._pending]
                others = [self._pending[key] for key in absent if key in self._pending]
                for key in mine:
                    self._pending[key] = threading.Event()
            if not absent:
                return [self._loaded[key][1] for key in keys]
            if mine:
                self._load(mine, wanted, target)
            for event in others:
                event.wait()

    def _load(self, keys: list[tuple[str, str]], wanted: dict[tuple[str, str], Kernel], target: Target) -> None:
        """Bring kernels that this thread has reserved into memory, and release them to other threads."""
        try:
            missing = []
            for key in keys:
                loaded = self._from_disk(key, target)
                if loaded is None:
                    missing.append(key)
                else:
                    self._add(key, loaded)
                    self._disk_hits += 1
            objects = compile_kernels([wanted[key] for key in missing], target)
            for key, data in zip(missing, objects, strict=True):
                self._add(key, self.load(data))
                self._misses += 1
            if self.disk is not None and missing:
                self.disk.write([(file_name(key[0], target), data) for key, data in zip(missing, objects, strict=True)])
        finally:
            with self._lock:
                for key in keys:
                    if (event := self._pending.pop(key, None)) is not None:
                        event.set()

    def _from_disk(self, key: tuple[str, str], target: Target) -> LoadedCode | None:
        data = self.disk.read(file_name(key[0], target)) if self.disk is not None else None
        if data is None:
            return None
        try:
            loaded = self.load(data)
            loaded.address("kernel")
        except CompileError:
            return None
        return loaded

    def _add(self, key: tuple[str, str], loaded: LoadedCode) -> None:
        address = loaded.address("kernel")
        with self._lock:
            self._loaded[key] = (loaded, address)

    def info(self) -> CacheInfo:
        """Return counts and sizes."""
        with self._lock:
            loaded = [entry[0] for entry in self._loaded.values()]
            counts = (self._hits, self._disk_hits, self._misses)
        files, file_bytes = self.disk.size() if self.disk is not None else (0, 0)
        return CacheInfo(len(loaded), sum(entry.nbytes for entry in loaded), files, file_bytes, *counts)


def _after_fork(reference: weakref.ref[KernelCache]) -> None:
    cache_ = reference()
    if cache_ is not None:
        cache_._reset_locks()


@cache
def default_cache(load: Callable[[bytes], LoadedCode]) -> KernelCache:
    """Return the cache that the settings describe, one for the process."""
    return KernelCache(config.settings.cache_dir, load, config.settings.cache_mb << 20)


def file_name(key: str, target: Target) -> bytes:
    """Return the hash that names a kernel's file."""
    digest = hashlib.blake2b(compiler_version(), digest_size=32)
    digest.update(repr((key, target.name, target.triple, target.cpu, target.features)).encode())
    return digest.digest()


class DiskCache:
    """Objects in files, by hash. Every failure of the file system means "not there" and warns once."""

    def __init__(self, directory: Path, limit: int) -> None:
        self.directory = os.fspath(directory / "kernels")
        self.limit = limit
        self._writes = 0
        self._warned = False
        self._trusted: bool | None = None

    def read(self, name: bytes) -> bytes | None:
        """Return the object of that name, or None if there is no sound file of this user."""
        if not self._is_trusted():
            return None
        path = self._path(name)
        try:
            descriptor = os.open(path, os.O_RDONLY | _FLAGS)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn("cannot be read", error)
            return None
        try:
            status = os.fstat(descriptor)
            if not _is_private(status, stat.S_ISREG) or not _HEADER.size <= status.st_size <= _MAX_FILE:
                self._reject(path, "is damaged, or another user may write it")
                return None
            data = os.read(descriptor, status.st_size)
        except OSError as error:
            self._warn("cannot be read", error)
            return None
        finally:
            os.close(descriptor)
        contents = _unpack(name, data)
        if contents is None:
            self._reject(path, "is damaged")
            return None
        if time.time() - status.st_mtime > _DAY:
            self._touch(path)
        return contents

    def write(self, objects: Sequence[tuple[bytes, bytes]]) -> None:
        """Store objects by name, replacing what is there."""
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            self._trusted = None
            if not self._is_trusted():
                return
            for name, data in objects:
                self._replace(name, data)
        except OSError as error:
            self._warn("cannot be written", error)
            return
        before, self._writes = self._writes, self._writes + len(objects)
        if before == 0 or before // _PRUNE_EVERY != self._writes // _PRUNE_EVERY:
            self.prune()

    def _replace(self, name: bytes, data: bytes) -> None:
        path = self._path(name)
        temporary = f"{path}.{os.getpid()}.{threading.get_ident()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_pack(name, data))
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    def prune(self) -> None:
        """Remove the files not used for longest until a tenth of the limit is free, if it is exceeded; and leftovers of dead writers."""
        now = time.time()
        entries = []
        for path, status in self._entries():
            if path.endswith(_SUFFIX):
                entries.append((status.st_mtime, status.st_size, path))
            elif now - status.st_mtime > _DAY:
                _remove(path)
        total = sum(entry[1] for entry in entries)
        if total <= self.limit:
            return
        for _, size, path in sorted(entries):
            if total <= self.limit * 0.9:
                break
            _remove(path)
            total -= size

    def size(self) -> tuple[int, int]:
        """Return (number of files, their bytes)."""
        sizes = [status.st_size for path, status in self._entries() if path.endswith(_SUFFIX)]
        return len(sizes), sum(sizes)

    def _entries(self) -> list[tuple[str, os.stat_result]]:
        found = []
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    try:
                        found.append((entry.path, entry.stat(follow_symlinks=False)))
                    except OSError:  # removed by another process meanwhile
                        continue
        except OSError:
            return []
        return found

    def _path(self, name: bytes) -> str:
        return os.path.join(self.directory, name.hex() + _SUFFIX)

    def _is_trusted(self) -> bool:
        """Return True if the directory exists, belongs to this user, and nobody else may write to it."""
        if self._trusted is None:
            try:
                self._trusted = _is_private(os.stat(self.directory), stat.S_ISDIR)
            except FileNotFoundError:
                return False
            except OSError as error:
                self._trusted = False
                self._warn("cannot be read", error)
                return False
            if not self._trusted:
                self._warn("belongs to another user, or others may write to it", None)
        return self._trusted

    def _reject(self, path: str, what: str) -> None:
        self._warn(f"has a file that {what}; it is compiled anew", os.path.basename(path))
        _remove(path)

    def _touch(self, path: str) -> None:
        try:
            os.utime(path)
        except OSError:
            return  # only the order of removal suffers

    def _warn(self, what: str, received: object) -> None:
        if not self._warned:
            self._warned = True
            text = message(
                f"kernel cache: {self.directory} {what}",
                received=received,
                fix="repair or delete that directory, or set TRINE_CACHE_DIR (empty: no files)",
            )
            warnings.warn(CacheWarning(text), stacklevel=2)


_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


def _is_private(status: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    owner = status.st_uid == os.geteuid() if hasattr(os, "geteuid") else True
    return owner and not status.st_mode & 0o022 and is_kind(status.st_mode)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return  # another process was first, or may not: the file is ignored or overwritten


def _pack(name: bytes, data: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, len(data), name, hashlib.blake2b(data, digest_size=32).digest()) + data


def _unpack(name: bytes, file: bytes) -> bytes | None:
    """Return the object in a file's bytes, or None if anything about them is wrong."""
    magic, size, stored_name, checksum = _HEADER.unpack_from(file)
    data = file[_HEADER.size :]
    if magic != _MAGIC or size != len(data) or stored_name != name or hashlib.blake2b(data, digest_size=32).digest() != checksum:
        return None
    return data
