"""The older constructors of tensors: `Tensor(2, 3)`, `FloatTensor([1.0])`, one class for each dtype."""

from __future__ import annotations

import math
from typing import Any

from trine import dtypes
from trine.dtypes import DType
from trine.errors import ArgumentError, DTypeError, UnsupportedError, message
from trine.runtime.memory import allocate
from trine.tensor.convert import tensor
from trine.tensor.device import check_device
from trine.tensor.size import Size
from trine.tensor.state import Meta
from trine.tensor.tensor import Tensor, alias_of, from_buffer


def construct(name: str, args: tuple[Any, ...], dtype: DType, device: Any = None) -> Tensor:
    """Return what ``name(*args)`` makes: a tensor without values from sizes, or one with the values of data.

    Raises:
        TypeError: a tensor of another dtype, or arguments that are neither sizes nor data.
    """
    if device is not None:
        check_device(device)
    first = args[0] if args else ()
    sizes = tuple(first) if isinstance(first, Size) and len(args) == 1 else args
    if not args or all(isinstance(n, int) and not isinstance(n, bool) for n in sizes):
        shape = sizes if args else (0,)
        if any(n < 0 for n in shape):
            raise ArgumentError(message(f"{name}: a size is negative", received=shape, expected="0 or more"))
        return from_buffer(allocate(math.prod(shape) * dtype.itemsize), Meta.of(shape, dtype))
    if len(args) > 1:
        raise DTypeError(message(f"{name}: arguments", received=repr(args), expected="sizes, or one sequence, array or tensor"))
    if isinstance(first, Tensor):
        if first.dtype is not dtype:
            raise DTypeError(message(f"{name}: a tensor of another dtype", received=first.dtype.name, expected=dtype.name))
        return alias_of(first.detach())  # type: ignore[no-any-return]
    return tensor(first, dtype=dtype)


class TensorType(type):
    """A class that stands for all tensors of a dtype: ``isinstance(x, FloatTensor)``, ``FloatTensor(2, 3)``."""

    dtype: DType
    is_cuda: bool

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype and not cls.is_cuda

    def __call__(cls, *args: Any, device: Any = None) -> Tensor:
        if cls.is_cuda:
            raise UnsupportedError(message(f"cuda.{cls.__name__}: there is no GPU", fix=f"use trine.{cls.__name__}"))
        return construct(cls.__name__, args, cls.dtype, device)


def _make(name: str, dtype: DType, is_cuda: bool = False) -> Any:
    text = f"""Tensors of dtype {dtype.name}{" on a GPU: there are none" if is_cuda else ""}.

    Called with sizes it makes a tensor without values, called with data one with these values.
    """
    return TensorType(name, (), {"dtype": dtype, "is_cuda": is_cuda, "__doc__": text, "__module__": "trine.cuda" if is_cuda else "trine"})


_DTYPES = {
    "FloatTensor": dtypes.float32,
    "DoubleTensor": dtypes.float64,
    "HalfTensor": dtypes.float16,
    "BFloat16Tensor": dtypes.bfloat16,
    "ByteTensor": dtypes.uint8,
    "CharTensor": dtypes.int8,
    "ShortTensor": dtypes.int16,
    "IntTensor": dtypes.int32,
    "LongTensor": dtypes.int64,
    "BoolTensor": dtypes.bool_,
}
BFloat16Tensor, BoolTensor = _make("BFloat16Tensor", dtypes.bfloat16), _make("BoolTensor", dtypes.bool_)
ByteTensor, CharTensor = _make("ByteTensor", dtypes.uint8), _make("CharTensor", dtypes.int8)
DoubleTensor, FloatTensor = _make("DoubleTensor", dtypes.float64), _make("FloatTensor", dtypes.float32)
HalfTensor, IntTensor = _make("HalfTensor", dtypes.float16), _make("IntTensor", dtypes.int32)
LongTensor, ShortTensor = _make("LongTensor", dtypes.int64), _make("ShortTensor", dtypes.int16)
CUDA_TENSOR_TYPES: dict[str, Any] = {name: _make(name, dtype, True) for name, dtype in _DTYPES.items()}


NAMES: dict[DType, str] = {dtype: name for name, dtype in _DTYPES.items()}
"""Dtype -> name of its tensor type."""


def dtype_of(kind: Any) -> DType:
    """Return the dtype that a dtype, a tensor type or the name of either names.

    Raises:
        TypeError: it names none.
    """
    if isinstance(kind, TensorType):
        return kind.dtype
    if isinstance(kind, str):
        found = _DTYPES.get(kind.removeprefix("torch.").removeprefix("trine.").removeprefix("cuda."))
        return dtypes.by_name(kind) if found is None else found
    return kind  # type: ignore[no-any-return]
