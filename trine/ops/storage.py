"""The memory of a tensor as an object of its own, and what is asked of where a tensor lies."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from trine.dtypes import DType
from trine.errors import ArgumentError, DTypeError, message
from trine.runtime.memory import from_array
from trine.tensor import Tensor
from trine.tensor.alias import whole_of
from trine.tensor.device import CPU, Device, check_device
from trine.tensor.state import Meta
from trine.tensor.tensor import alias_of, from_buffer

__all__ = ["TypedStorage", "UntypedStorage"]


class UntypedStorage:
    """The bytes that a tensor, and those that share memory with it, lie in.

    >>> import trine
    >>> x = trine.zeros(2, 3)
    >>> x[1].untyped_storage().nbytes()
    24
    """

    def __init__(self, tensor: Tensor) -> None:
        self._whole: Tensor = whole_of(tensor.detach())

    def nbytes(self) -> int:
        """Return the number of bytes."""
        return self._whole.nbytes

    size = __len__ = nbytes

    def data_ptr(self) -> int:
        """Return the address of the first byte."""
        return self._whole.data_ptr()

    @property
    def device(self) -> Device:
        """Where the bytes are."""
        return CPU

    def tolist(self) -> list[int]:
        """Return the bytes as integers."""
        return list(self._whole._array().tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and other.data_ptr() == self.data_ptr() and other.nbytes() == self.nbytes()

    def __hash__(self) -> int:
        return hash((self.data_ptr(), self.nbytes()))


class TypedStorage:
    """The elements that a tensor, and those that share memory with it, lie in; PyTorch's older form of `UntypedStorage`.

    >>> import trine
    >>> trine.arange(4)[1:3].storage().tolist()
    [0, 1, 2, 3]
    """

    def __init__(self, tensor: Tensor) -> None:
        self._untyped = UntypedStorage(tensor)
        self._flat: Tensor = self._untyped._whole.reshape(-1)

    @property
    def dtype(self) -> DType:
        """The type of the elements."""
        return self._flat.dtype

    @property
    def device(self) -> Device:
        """Where the elements are."""
        return CPU

    def size(self) -> int:
        """Return the number of elements."""
        return self._flat.numel()

    def __len__(self) -> int:
        return self._flat.numel()

    def nbytes(self) -> int:
        """Return the number of bytes."""
        return self._untyped.nbytes()

    def element_size(self) -> int:
        """Return the bytes of an element."""
        return self._flat.itemsize

    def data_ptr(self) -> int:
        """Return the address of the first element."""
        return self._untyped.data_ptr()

    def untyped(self) -> UntypedStorage:
        """Return the same memory as bytes."""
        return self._untyped

    def tolist(self) -> list[Any]:
        """Return the elements as Python numbers."""
        return self._flat.tolist()  # type: ignore[no-any-return]

    def __getitem__(self, index: int | slice) -> Any:
        found = self._flat[index]
        return found if isinstance(index, slice) else found.item()

    def __setitem__(self, index: int | slice, value: Any) -> None:
        self._flat[index] = value


def untyped_storage(input: Tensor) -> UntypedStorage:
    """Return the bytes that the tensor lies in."""
    return UntypedStorage(input)


def storage(input: Tensor) -> TypedStorage:
    """Return the elements that the tensor lies in."""
    return TypedStorage(input)


def share_memory_(input: Tensor) -> Tensor:
    """Move the tensor to memory that processes forked from this one share: what one of them writes, all see.

    >>> import trine
    >>> trine.zeros(2).share_memory_().is_shared()
    True
    """
    if not is_shared(input):
        memory = mmap.mmap(-1, max(input.nbytes, 1))
        shared = np.frombuffer(memory, input.dtype.numpy, input.numel()).reshape(input.shape)
        shared[...] = input.detach()._array()
        input.data = from_buffer(from_array(shared), Meta.of(tuple(input.shape), input.dtype))
    return input


def is_shared(input: Tensor) -> bool:
    """Return True after `share_memory_`."""
    owner: Any = whole_of(input.detach())._value().owner
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    return isinstance(owner, mmap.mmap)


def is_pinned(input: Tensor, device: Any = None) -> bool:
    """Return False: there is no device that memory would be pinned for."""
    return False


def set_(input: Tensor, source: Tensor | None = None) -> Tensor:
    """Make the tensor one that shares the memory, and has the shape, of `source` (of nothing, if it is left out).

    Raises:
        DTypeError: another dtype.

    >>> import trine
    >>> x, y = trine.zeros(3), trine.ones(2, 2)
    >>> x.set_(y).shape
    trine.Size([2, 2])
    """
    source = input.new_empty(0) if source is None else source
    if not isinstance(source, Tensor) or source.dtype is not input.dtype:
        received = getattr(source, "dtype", type(source).__name__)
        raise DTypeError(message("set_: another dtype", received=received, expected=f"a tensor of {input.dtype.name}"))
    input.data = source
    return input


def is_set_to(input: Tensor, tensor: Tensor) -> bool:
    """Return True if both show the same elements of the same memory in the same way."""
    return input.data_ptr() == tensor.data_ptr() and input.shape == tensor.shape and input.stride() == tensor.stride()


def as_subclass(input: Tensor, cls: type[Tensor]) -> Tensor:
    """Return a tensor of a subclass that shares memory with this one."""
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        raise ArgumentError(message("as_subclass", received=repr(cls), expected="a subclass of trine.Tensor"))
    return alias_of(input, cls)  # type: ignore[no-any-return]


def cuda(input: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """Raise, for there is no such device.

    Raises:
        DeviceError: always, unless `device` is the CPU.
    """
    check_device("cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device)
    return input


STORAGE_METHODS: dict[str, Any] = {
    "untyped_storage": untyped_storage,
    "storage": storage,
    "share_memory_": share_memory_,
    "is_shared": is_shared,
    "is_pinned": is_pinned,
    "set_": set_,
    "is_set_to": is_set_to,
    "as_subclass": as_subclass,
    "cuda": cuda,
}
"""Method name -> function of the tensor."""
