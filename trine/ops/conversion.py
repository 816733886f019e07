"""Changing a tensor's dtype or device, writing into it, and asking what it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, DTypeError, message
from trine.ops.arguments import varargs, write_out
from trine.ops.creation import _constant, _full_nodes
from trine.ops.elementwise import cast, clone
from trine.ops.promotion import as_dtype
from trine.ops.random import bernoulli, randint_like
from trine.tensor import Tensor, record, record_view
from trine.tensor.alias import VIEW_INVERSES, assign
from trine.tensor.convert import tensor
from trine.tensor.device import Device, check_device
from trine.tensor.layout import MemoryFormat, channels_last, channels_last_3d
from trine.tensor.tensor_types import NAMES, dtype_of
from trine.tensor.view_layout import VIEW_LAYOUTS, ViewLayout, layout_of


def to(
    input: Tensor,
    *args: Any,
    dtype: DType | None = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: object = None,
    other: Tensor | None = None,
) -> Tensor:
    """Return the tensor with another dtype or device; itself where nothing changes.

    Called as ``to(dtype, non_blocking, copy)``, ``to(device, dtype, non_blocking, copy)`` or ``to(other, non_blocking, copy)``.
    `non_blocking` and `memory_format` are accepted and have no effect.

    Raises:
        ArgumentError: the device does not exist. DTypeError: an argument is neither a dtype, a device nor a tensor.

    Example:
        >>> import trine
        >>> trine.tensor([1, 2]).to(trine.float32)
        tensor([1., 2.])
    """
    flags = []
    for argument in (*args, other):
        if isinstance(argument, Tensor):
            dtype = argument.dtype
        elif isinstance(argument, DType):
            dtype = argument
        elif isinstance(argument, bool):
            flags.append(argument)
        elif isinstance(argument, (str, int, Device)):
            device = argument
        elif argument is not None and not isinstance(argument, MemoryFormat):
            received = type(argument).__name__
            raise DTypeError(message("to: an argument does not fit", received=received, expected="a dtype, a device or a tensor"))
    if device is not None and not isinstance(device, Device):
        check_device(device)
    if dtype is not None and not isinstance(dtype, DType):
        raise DTypeError(message("to: not a dtype", received=repr(dtype), expected="a dtype such as trine.float32"))
    result = input if dtype is None else cast(input, dtype)
    wants_copy = copy or (len(flags) > 1 and flags[1])
    return result.clone() if wants_copy and result is input else result


def _to_method(name: str, dtype: DType) -> Callable[..., Tensor]:
    def method(input: Tensor, memory_format: object = None) -> Tensor:
        return cast(input, dtype)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Return the tensor as {dtype.name}."
    return method


TO_METHODS: dict[str, Callable[..., Tensor]] = {
    name: _to_method(name, dtype)
    for name, dtype in {
        "float": dtypes.float32,
        "double": dtypes.float64,
        "half": dtypes.float16,
        "bfloat16": dtypes.bfloat16,
        "int": dtypes.int32,
        "long": dtypes.int64,
        "short": dtypes.int16,
        "char": dtypes.int8,
        "byte": dtypes.uint8,
        "bool": dtypes.bool_,
        "cfloat": dtypes.complex64,
        "cdouble": dtypes.complex128,
    }.items()
}


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """Return the tensor with the dtype of another.

    Example:
        >>> import trine
        >>> trine.tensor([1]).type_as(trine.tensor([1.5]))
        tensor([1.])
    """
    return cast(input, other.dtype)


def type_(input: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """Return the name of the tensor type ("torch.FloatTensor"), or the tensor with another dtype: the method ``x.type``.

    `dtype` is a dtype, a tensor type such as `trine.FloatTensor`, or the name of either.

    Example:
        >>> import trine
        >>> trine.tensor([1]).type(trine.float32)
        tensor([1.])
    """
    if dtype is None:
        return f"torch.{NAMES.get(input.dtype, input.dtype.name)}"
    return cast(input, dtype_of(dtype))


def itself(input: Tensor, *args: Any, **options: Any) -> Tensor:
    """Return the tensor: methods that have nothing to do here (cpu, pin_memory): tensors are on the CPU.

    Example:
        >>> import trine
        >>> trine.tensor([1]).cpu()
        tensor([1])
    """
    return input


def contiguous(input: Tensor, memory_format: object = None) -> Tensor:
    """Return the tensor if its elements lie in row-major order, otherwise a copy; a copy shares no memory with the input.

    `memory_format` is accepted: with `channels_last` the values are the same, and the compiler chooses the layout.

    Example:
        >>> import trine
        >>> trine.tensor([[1, 2], [3, 4]]).T.contiguous().is_contiguous()
        True
    """
    return input if not input._path or layout_of(input).is_contiguous else clone(input)


def is_contiguous(input: Tensor, memory_format: object = None) -> bool:
    """Return whether the elements lie in row-major order, or in that of `memory_format` (channels last): False for some views.

    Example:
        >>> import trine
        >>> x = trine.zeros(2, 3)
        >>> x.is_contiguous(), x.T.is_contiguous()
        (True, False)
    """
    layout = layout_of(input)
    rank = len(layout.shape)
    if memory_format is channels_last or memory_format is channels_last_3d:
        return rank == (4 if memory_format is channels_last else 5) and layout.is_dense_in((0, *range(2, rank), 1))
    return layout.is_contiguous


def is_tensor(obj: object) -> bool:
    """Return whether the object is a tensor.

    Example:
        >>> import trine
        >>> trine.is_tensor([1])
        False
    """
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Return whether the dtype is floating point.

    Example:
        >>> import trine
        >>> trine.is_floating_point(trine.tensor([1]))
        False
    """
    return input.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    """Return whether the dtype is complex.

    Example:
        >>> import trine
        >>> trine.is_complex(trine.tensor([1j]))
        True
    """
    return input.dtype.is_complex


def is_signed(input: Tensor) -> bool:
    """Return whether the dtype has negative numbers.

    Example:
        >>> import trine
        >>> trine.tensor([1]).is_signed()
        True
    """
    return input.dtype.is_signed


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Return whether the tensors have the same shape.

    Example:
        >>> import trine
        >>> trine.is_same_size(trine.ones(2), trine.zeros(2))
        True
    """
    return input.shape == other.shape


def get_device(input: Tensor) -> int:
    """Return the number of the tensor's device: -1, the CPU.

    Example:
        >>> import trine
        >>> trine.get_device(trine.ones(2))
        -1
    """
    return -1


def is_inference(input: Tensor) -> bool:
    """Return False: tensors made under `inference_mode` are tensors like others.

    Example:
        >>> import trine
        >>> trine.is_inference(trine.ones(2))
        False
    """
    return False


def is_nonzero(input: Tensor) -> bool:
    """Return whether the only element is not zero.

    Example:
        >>> import trine
        >>> trine.is_nonzero(trine.tensor([2]))
        True
    """
    return bool(input.item())


def numel(input: Tensor) -> int:
    """Return the number of elements.

    Example:
        >>> import trine
        >>> trine.numel(trine.zeros(2, 3))
        6
    """
    return input.numel()


def dim(input: Tensor) -> int:
    """Return the number of axes: the method ``x.ndimension()``.

    Example:
        >>> import trine
        >>> trine.zeros(2, 3).ndimension()
        2
    """
    return input.dim()


# --- in place -----------------------------------------------------------------------------------------------------------------------------


def _converted(x: Node, shape: tuple[int, ...], dtype: DType) -> Node:
    return b.expand(as_dtype(x, dtype), shape)


def copy_(input: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Write `src` (which broadcasts and is converted) into the tensor.

    Example:
        >>> import trine
        >>> trine.zeros(2).copy_(trine.tensor([1, 2]))
        tensor([1., 2.])
    """
    shape, dtype = tuple(input.shape), input.dtype
    if isinstance(src, Tensor):
        return assign(input, record(_converted, (src,), shape, dtype))
    return assign(input, record(_full_nodes, (src,), shape, dtype))


def fill_(input: Tensor, value: Any) -> Tensor:
    """Write one value into all elements.

    Example:
        >>> import trine
        >>> trine.zeros(2).fill_(3)
        tensor([3., 3.])
    """
    return copy_(input, value)


def zero_(input: Tensor) -> Tensor:
    """Write 0 into all elements.

    Example:
        >>> import trine
        >>> trine.ones(2).zero_()
        tensor([0., 0.])
    """
    return assign(input, _constant(0, tuple(input.shape), input.dtype))


def random_(input: Tensor, low: int = 0, high: int | None = None, *, generator: Any = None) -> Tensor:
    """Write random integers from [low, high), or [0, low) if one bound is given, into all elements.

    Example:
        >>> import trine
        >>> bool((trine.zeros(5).random_(3) < 3).all())
        True
    """
    if high is None:
        largest = 2**24 if input.dtype.is_floating_point else 2 ** (8 * input.dtype.itemsize - 1) - 1
        low, high = (0, low) if low else (0, largest)
    return assign(input, randint_like(input, low, high, generator=generator))


def bernoulli_(input: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
    """Write 1 with probability p and 0 otherwise into all elements.

    Example:
        >>> import trine
        >>> trine.zeros(2).bernoulli_(1.0)
        tensor([1., 1.])
    """
    if isinstance(p, Tensor):
        return copy_(input, bernoulli(p.expand(tuple(input.shape)), generator=generator))
    return assign(input, bernoulli(input, p, generator=generator))


# --- the rest -----------------------------------------------------------------------------------------------------------------------------


def new_tensor(input: Tensor, data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Return a new tensor with a copy of the data and the dtype of this one unless given.

    Example:
        >>> import trine
        >>> trine.tensor([1.5]).new_tensor([2])
        tensor([2.])
    """
    return tensor(data, dtype=dtype or input.dtype, device=device, requires_grad=requires_grad)


def _sum_to_size(x: Node, shape: tuple[int, ...]) -> Node:
    return x if shape and shape == x.shape else b.sum_to(x if x.dtype.is_differentiable else as_dtype(x, dtypes.int64), shape)


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """Return the tensor summed over the axes along which `size` broadcasts to its shape.

    Example:
        >>> import trine
        >>> trine.ones(2, 3).sum_to_size(1, 3)
        tensor([[2., 2., 2.]])
    """
    result: Tensor = record(_sum_to_size, (input,), varargs(size))
    return result


def _view_as_real(x: Node) -> Node:
    rank = len(x.shape)
    return b.concat([b.unsqueeze(b.real(x), rank), b.unsqueeze(b.imag(x), rank)], rank)


def view_as_real(input: Tensor) -> Tensor:
    """Return a real tensor whose last axis holds real and imaginary parts: a view.

    Example:
        >>> import trine
        >>> trine.view_as_real(trine.tensor([1 + 2j]))
        tensor([[1., 2.]])
    """
    if not input.dtype.is_complex:
        raise DTypeError(message("view_as_real: the tensor is real", received=input.dtype.name, expected="complex64 or complex128"))
    return record_view(_view_as_real, input)


def _view_as_complex(x: Node) -> Node:
    if not x.shape or x.shape[-1] != 2:
        raise ArgumentError(message("view_as_complex: the last axis", received=f"shape {x.shape}", expected="a last axis of size 2"))
    rank = len(x.shape) - 1
    dtype = dtypes.COMPLEX_OF[x.dtype]
    parts = [b.reshape(b.slice(x, (*(0,) * rank, k), (*x.shape[:-1], k + 1)), x.shape[:-1]) for k in (0, 1)]
    return b.add(b.cast(parts[0], dtype), b.mul(b.cast(parts[1], dtype), b.const(1j, dtype)))


def view_as_complex(input: Tensor) -> Tensor:
    """Return a complex tensor from a last axis of real and imaginary parts: a view.

    Example:
        >>> import trine
        >>> trine.view_as_complex(trine.tensor([[1., 2.]])).imag
        tensor([2.])
    """
    return record_view(_view_as_complex, input)


def _read_as_real(x: Node, value: Node) -> Node:
    return _view_as_real(value)


def _read_as_complex(x: Node, value: Node) -> Node:
    return _view_as_complex(value)


def _new_layout(layout: ViewLayout, result: Node) -> ViewLayout:
    return ViewLayout.row_major(result.shape)


VIEW_INVERSES.update({_view_as_real: _read_as_complex, _view_as_complex: _read_as_real})
VIEW_LAYOUTS.update({_view_as_real: _new_layout, _view_as_complex: _new_layout})


def alias_copy(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return a copy of the tensor.

    Example:
        >>> import trine
        >>> trine.alias_copy(trine.tensor([1, 2]))
        tensor([1, 2])
    """
    return write_out(input.clone(), out)


_FEW_ROWS = 25
"""Up to this many rows distances are computed from differences; beyond, by one product (as PyTorch does)."""


def _euclidean(x: Node, y: Node) -> Node:
    """Return distances by ``norm(x)**2 + norm(y)**2 - 2 * x @ y.T``; a distance of 0 has a gradient of 0."""
    rows, columns = b.sum(b.mul(x, x), (len(x.shape) - 1,)), b.sum(b.mul(y, y), (len(y.shape) - 1,))
    rank = max(len(x.shape), len(y.shape))
    x, y = (b.reshape(node, (*(1,) * (rank - len(node.shape)), *node.shape)) for node in (x, y))
    product = b.dot(x, b.transpose(y))
    squares = b.sub(b.add(rows, b.transpose(columns)), b.mul(product, b.const(2, product.dtype)))
    is_zero = b.le(squares, b.const(0, squares.dtype))
    zero, one = b.const(0, squares.dtype), b.const(1, squares.dtype)
    return b.where(is_zero, zero, b.sqrt(b.where(is_zero, one, squares)))


def _cdist(x: Node, y: Node, p: float, by_product: bool = True) -> Node:
    from trine.ops.reduction import norm_keeping_axes

    rank = len(x.shape)
    if p == 2 and max(x.shape[-2], y.shape[-2]) > _FEW_ROWS and by_product:
        return _euclidean(x, y)
    difference = b.sub(b.unsqueeze(x, rank - 1), b.unsqueeze(y, len(y.shape) - 2))
    axis = len(difference.shape) - 1
    return b.squeeze(norm_keeping_axes(difference, (axis,), math.inf if p == math.inf else p), axis)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """Return the p-norm distances of all pairs of rows.

    Example:
        >>> import trine
        >>> trine.cdist(trine.tensor([[0., 0.]]), trine.tensor([[3., 4.]]))
        tensor([[5.]])
    """
    result: Tensor = record(_cdist, (x1, x2), float(p), compute_mode != "donot_use_mm_for_euclid_dist")
    return result
