"""Tensors from outside data, and less usual kinds of new tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.arguments import check_options
from trine.ops.creation import empty, full_like
from trine.ops.promotion import as_dtype
from trine.tensor import Tensor, record
from trine.tensor.convert import defaults, from_dlpack, from_numpy, tensor


def asarray(
    obj: Any,
    *,
    dtype: DType | None = None,
    device: object = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `obj` (a tensor, an array, a DLPack object, a buffer, a number or nested sequences) as a tensor.

    Args:
        obj: the data.
        dtype: the dtype of the result; that of the data unless given.
        device: None or the CPU.
        copy: True copies, False raises where sharing memory is impossible, None copies only where it must.
        requires_grad: whether gradients are recorded for the result.

    Raises:
        ArgumentError: `copy` is False and a copy is needed.

    Example:
        >>> import trine
        >>> trine.asarray([1, 2])
        tensor([1, 2])
    """
    check_options(dtype, device)
    if isinstance(obj, Tensor):
        shared = obj
    elif isinstance(obj, np.ndarray):
        shared = from_numpy(obj)
    elif hasattr(obj, "__dlpack__") and not isinstance(obj, (np.generic, list, tuple)):
        shared = from_dlpack(obj)
    elif isinstance(obj, (bytes, bytearray, memoryview)):
        shared = frombuffer(obj, dtype=dtype or defaults.dtype)
    else:
        if copy is False:
            raise ArgumentError(message("asarray: a copy is needed", received=type(obj).__name__, expected="copy=None or copy=True"))
        return tensor(obj, dtype=dtype, requires_grad=requires_grad)
    if dtype is not None and shared.dtype is not dtype:
        if copy is False:
            received = f"{shared.dtype.name}, dtype={dtype.name}"
            raise ArgumentError(message("asarray: a copy is needed", received=received, expected="copy=None or copy=True"))
        shared = shared.to(dtype)
    elif copy:
        shared = shared.clone()
    return shared.detach().requires_grad_() if requires_grad else shared


def frombuffer(buffer: Any, *, dtype: DType, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """Return a tensor of one axis on the memory of an object with Python's buffer interface.

    Args:
        buffer: the object, such as bytes or an array.
        dtype: the dtype of the elements.
        count: how many elements; -1 takes all.
        offset: bytes to skip.
        requires_grad: whether gradients are recorded for the result.

    Raises:
        ArgumentError: the buffer is empty, or too short, or holds no whole number of elements.

    Example:
        >>> import trine
        >>> trine.frombuffer(bytearray([1, 2, 3]), dtype=trine.uint8)
        tensor([1, 2, 3], dtype=trine.uint8)
    """
    available = memoryview(buffer).nbytes - offset
    size = dtype.itemsize
    needed = available if count < 0 else count * size
    if available <= 0 or count == 0 or needed > available or needed % size:
        received = f"{memoryview(buffer).nbytes} bytes, offset {offset}, count {count}"
        raise ArgumentError(message("frombuffer: the buffer does not fit", received=received, expected=f"elements of {size} bytes"))
    array = np.frombuffer(buffer, np.uint8, needed, offset)
    if dtype is dtypes.bfloat16:
        result = tensor(dtypes.from_bfloat16_bits(array.view(np.uint16)), dtype=dtype)
    else:
        result = from_numpy(array.view(dtype.numpy))
    return result.requires_grad_() if requires_grad else result


def scalar_tensor(
    s: Any,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor without axes that holds a number, in the default dtype unless one is given.

    Example:
        >>> import trine
        >>> trine.scalar_tensor(3)
        tensor(3.)
    """
    return tensor(s, dtype=dtype or defaults.dtype, device=device, requires_grad=requires_grad)


def fill(input: Tensor, value: Any) -> Tensor:
    """Return a tensor of the same shape and dtype in which every element is `value`.

    Example:
        >>> import trine
        >>> trine.fill(trine.tensor([1., 2.]), 5)
        tensor([5., 5.])
    """
    if isinstance(value, Tensor):
        if value.dim():
            raise ShapeError(message("fill: the value has axes", received=f"shape {tuple(value.shape)}", expected="a number"))
    elif not input.requires_grad:
        return full_like(input, value)
    result: Tensor = record(_fill, (input, value))
    return result


def _fill(x: Node, value: Node) -> Node:
    value = as_dtype(value, x.dtype)
    # The gradient of the input is zero, but it has one.
    return b.where(b.full(True, x.shape, dtypes.bool_), value, x)


# --- given strides ------------------------------------------------------------------------------------------------------------------


def empty_strided(
    size: Sequence[int],
    stride: Sequence[int],
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return a tensor without defined values; `stride` is checked and has no effect: every tensor is row-major.

    Example:
        >>> import trine
        >>> trine.empty_strided((2, 3), (1, 2)).shape
        trine.Size([2, 3])
    """
    if len(size) != len(stride):
        raise ShapeError(message("empty_strided: size and stride differ", received=f"{size} and {stride}", expected="equal lengths"))
    return empty(tuple(size), dtype=dtype, device=device, requires_grad=requires_grad)


def empty_permuted(
    size: Sequence[int],
    physical_layout: Sequence[int],
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return a tensor without defined values; the order of axes in memory is checked and has no effect: every tensor is row-major.

    Example:
        >>> import trine
        >>> trine.empty_permuted((2, 3), (1, 0)).shape
        trine.Size([2, 3])
    """
    if sorted(physical_layout) != list(range(len(size))):
        expected = f"a permutation of 0 to {len(size) - 1}"
        raise ArgumentError(message("empty_permuted: not an order of the axes", received=tuple(physical_layout), expected=expected))
    return empty(tuple(size), dtype=dtype, device=device, requires_grad=requires_grad)


def new_empty_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], *, dtype: DType | None = None, **options: Any) -> Tensor:
    """Return ``empty_strided(size, stride)`` with the dtype of this tensor unless `dtype` is given.

    Example:
        >>> import trine
        >>> trine.tensor([1]).new_empty_strided((2,), (1,)).dtype
        trine.int64
    """
    return empty_strided(size, stride, dtype=dtype or input.dtype, **options)


# --- matrices -----------------------------------------------------------------------------------------------------------------------


def _vander(x: Node, columns: int, increasing: bool) -> Node:
    powers = [b.ones_like(x)]
    for _ in range(columns - 1):
        powers.append(b.mul(powers[-1], x))
    powers = powers[:columns] if increasing else powers[:columns][::-1]
    if not powers:
        return b.full(0, (*x.shape, 0), x.dtype)
    axis = len(x.shape)
    return b.concat([b.unsqueeze(p, axis) for p in powers], axis)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:  # noqa: N803 - PyTorch's name
    """Return the Vandermonde matrix: a column for each power of x, highest first unless `increasing`.

    Raises:
        ShapeError: `x` does not have one axis.

    Example:
        >>> import trine
        >>> trine.vander(trine.tensor([1, 2, 3]), N=3)
        tensor([[1, 1, 1],
                [4, 2, 1],
                [9, 3, 1]])
    """
    if x.dim() != 1:
        raise ShapeError(message("vander: wrong number of axes", received=f"shape {tuple(x.shape)}", expected="(n,)"))
    operand = x.long() if x.dtype is dtypes.bool_ else x
    result: Tensor = record(_vander, (operand,), x.shape[0] if N is None else int(N), increasing)
    return result
