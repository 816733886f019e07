"""Storage of arrays: buffers of 64-byte aligned memory, recycled through free lists of size classes.

A block whose last reference dies goes to the free list of its size class and serves the next allocation of that class, with its old
contents: memory is never zeroed. Size classes are four per power of two, so at most a fifth of a block is unused. What the free lists
hold is bounded (`set_cache_limit`): when a new block has to be obtained from the system, the largest free blocks beyond the limit are
released.

Threads need no lock here: `collections.deque` appends and pops atomically.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import Any, NamedTuple

import numpy as np

from trine.errors import AllocationError, ArgumentError, DTypeError, ShapeError, message

ALIGNMENT = 64
_MAX_BYTES = 1 << 47  # the address space of a process; a request beyond it is a mistake in a shape
_MAX_SIZES = 8192  # entries of the table from exact sizes to size classes


class _SizeClass:
    """The free blocks of one size."""

    __slots__ = ("nbytes", "free")

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.free: deque[_Block] = deque()


class _Block:
    """A piece of aligned memory and the free list that it goes back to."""

    __slots__ = ("address", "storage", "free")

    def __init__(self, address: int, storage: np.ndarray, free: deque[_Block]) -> None:
        self.address = address
        self.storage = storage
        self.free = free


class Buffer:
    """A piece of memory that holds the row-major elements of one array.

    Attributes:
        address: where it begins.
        nbytes: its size; may be 0.
        owner: the object that keeps the memory alive.
        readonly: True if nobody may write to it.
        external: True if somebody outside (a NumPy array, a DLPack tensor) may see the same memory.
        writes: number of times that a plan wrote over it.
    """

    __slots__ = ("address", "nbytes", "owner", "readonly", "external", "writes", "__weakref__")

    def __init__(self, address: int, nbytes: int, owner: Any, readonly: bool = False, external: bool = False) -> None:
        self.address = address
        self.nbytes = nbytes
        self.owner = owner
        self.readonly = readonly
        self.external = external
        self.writes = 0

    @property
    def is_private(self) -> bool:
        """True if only plans write to the memory, through this buffer."""
        return type(self) is _PooledBuffer and not self.external

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """NumPy's array interface, version 3: the bytes of the buffer."""
        return {"version": 3, "typestr": "|u1", "shape": (self.nbytes,), "data": (self.address, self.readonly)}

    def array(self, dtype: Any, shape: tuple[int, ...]) -> np.ndarray:
        """Return a row-major view of the memory as `dtype` and `shape` (without a copy); the view keeps the buffer alive.

        Raises:
            ShapeError: if the size of the array is not the size of the buffer.
        """
        dtype = np.dtype(dtype)
        size = dtype.itemsize
        for extent in shape:
            size *= extent
        if size != self.nbytes:
            what = f"buffer: a {dtype.name} array of shape {tuple(shape)} does not fit"
            raise ShapeError(message(what, received=f"{size} bytes", expected=f"{self.nbytes} bytes"))
        return np.ndarray(shape, dtype, np.asarray(self))

    def copy(self) -> Buffer:
        """Return a writable, internal buffer with the same bytes."""
        result = allocate(self.nbytes)
        np.copyto(np.asarray(result), np.asarray(self))
        return result

    def __repr__(self) -> str:
        flags = [name for name in ("readonly", "external") if getattr(self, name)]
        return f"Buffer({', '.join([f'{self.nbytes} bytes at {self.address:#x}', *flags])})"


class _PooledBuffer(Buffer):
    """A buffer whose memory goes back to its free list."""

    __slots__ = ()

    owner: _Block

    def __del__(self) -> None:
        # No global is used, so that this is safe while the interpreter shuts down.
        try:
            block = self.owner
        except AttributeError:  # an interrupt came before it was set
            return
        block.free.append(block)


class MemoryInfo(NamedTuple):
    """Bytes obtained from the system: in `num_blocks` blocks, of which `free_bytes` wait in free lists."""

    total_bytes: int
    free_bytes: int
    used_bytes: int
    num_blocks: int
    limit_bytes: int


class _System:
    """What was obtained from the system, and the bound on free memory."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.classes: dict[int, _SizeClass] = {}
        self.total_bytes = 0
        self.num_blocks = 0
        self.limit = _default_limit()


def _default_limit() -> int:
    """Return a quarter of the machine's memory, or 1 GiB where that is unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (AttributeError, ValueError, OSError):
        return 1 << 30


_system = _System()
_free_lists: dict[int, deque[_Block]] = {}  # exact request -> free list of its size class
_empty = np.empty(ALIGNMENT, np.uint8)  # what buffers of no bytes point to


def _reset_lock() -> None:
    _system.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_lock)


def allocate(nbytes: int) -> Buffer:
    """Return a buffer of `nbytes` bytes with undefined contents, aligned to 64 bytes.

    Raises:
        AllocationError: if the size is negative or impossible, or the system has no memory left.
    """
    free = _free_lists.get(nbytes)
    if free is None:
        free = _find_free_list(nbytes)
    try:
        block = free.pop()
    except IndexError:
        block = _new_block(nbytes, free)
    return _PooledBuffer(block.address, nbytes, block)


def from_array(array: np.ndarray) -> Buffer:
    """Return the buffer of a NumPy array: the same memory if it is C-contiguous, aligned and in native byte order, else a copy.

    Raises:
        DTypeError: if the array holds Python objects.
    """
    if array.dtype.hasobject:
        fix = "convert it first, for example array.astype('float32')"
        raise DTypeError(
            message("from_array: not an array of numbers", received=f"dtype {array.dtype}", expected="a numeric dtype", fix=fix)
        )
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype.isnative:
        readonly = not flags.writeable
        return Buffer(_address(array), array.nbytes, array, readonly, True)
    result = allocate(array.nbytes)
    np.copyto(result.array(array.dtype.newbyteorder("="), array.shape), array)
    return result


def memory_info() -> MemoryInfo:
    """Return how much memory the pool has obtained from the system and how much of it is free."""
    with _system.lock:
        free = _free_bytes()
        total, blocks, limit = _system.total_bytes, _system.num_blocks, _system.limit
    return MemoryInfo(total, free, total - free, blocks, limit)


def set_cache_limit(nbytes: int) -> None:
    """Bound the bytes that free lists keep for reuse; takes effect at the next allocation that needs new memory."""
    if nbytes < 0:
        raise ArgumentError(message("set_cache_limit: negative limit", received=nbytes, expected="a number of bytes >= 0"))
    _system.limit = nbytes


def empty_cache() -> None:
    """Give all free blocks back to the system."""
    with _system.lock:
        _release(0)


def _address(array: np.ndarray) -> int:
    if array.nbytes == 0:
        array = _empty
    return int(array.__array_interface__["data"][0])


def _class_size(nbytes: int) -> int:
    """Return the size of the class that serves a request: four classes per power of two, multiples of 64."""
    if nbytes <= 4 * ALIGNMENT:
        return max(-(-nbytes // ALIGNMENT), 1) * ALIGNMENT
    step = 1 << ((nbytes - 1).bit_length() - 3)
    return -(-nbytes // step) * step


def _find_free_list(nbytes: int) -> deque[_Block]:
    if nbytes < 0 or nbytes > _MAX_BYTES:
        expected = f"between 0 and {_MAX_BYTES} bytes"
        raise AllocationError(message("allocate: impossible size", received=f"{nbytes} bytes", expected=expected, fix="check the shape"))
    size = _class_size(nbytes)
    with _system.lock:
        size_class = _system.classes.get(size)
        if size_class is None:
            size_class = _system.classes[size] = _SizeClass(size)
        if len(_free_lists) >= _MAX_SIZES:
            _free_lists.clear()
        _free_lists[nbytes] = size_class.free
    return size_class.free


def _new_block(nbytes: int, free: deque[_Block]) -> _Block:
    size = _class_size(nbytes)
    with _system.lock:
        _release(_system.limit)
        try:
            storage = np.empty(size + ALIGNMENT, np.uint8)
        except MemoryError:
            _release(0)
            try:
                storage = np.empty(size + ALIGNMENT, np.uint8)
            except MemoryError as error:
                received = f"a request for {nbytes} bytes while {_system.total_bytes} bytes are in use"
                fix = "free tensors, or use a smaller batch"
                raise AllocationError(message("allocate: out of memory", received=received, fix=fix)) from error
        _system.total_bytes += size
        _system.num_blocks += 1
    address = _address(storage)
    return _Block(address + -address % ALIGNMENT, storage, free)


def _free_bytes() -> int:
    return sum(size * len(c.free) for size, c in list(_system.classes.items()))


def _release(limit: int) -> None:
    """Drop free blocks, largest first, until at most `limit` bytes are free. The lock is held."""
    excess = _free_bytes() - limit
    if excess <= 0:
        return
    for size in sorted(_system.classes, reverse=True):
        free = _system.classes[size].free
        while excess > 0 and free:
            try:
                free.popleft()
            except IndexError:
                break  # another thread took the last one
            _system.total_bytes -= size
            _system.num_blocks -= 1
            excess -= size
        if excess <= 0:
            return
