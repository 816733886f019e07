"""Tensors from and to the outside: Python data, NumPy arrays, DLPack, pickles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trine import dtypes
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.runtime.memory import allocate, from_array
from trine.tensor.device import check_device
from trine.tensor.recorder import flush, new_trace, record
from trine.tensor.state import Meta, automaton
from trine.tensor.tensor import Tensor, from_buffer, wrap_as
from trine.tensor.view_layout import VIEW_LAYOUTS, layout_of


class Defaults:
    """Process-wide defaults: the dtype of Python floats, and that of Python complex numbers."""

    dtype: DType = dtypes.float32

    @property
    def complex_dtype(self) -> DType:
        """The dtype of Python complex numbers: twice the floating-point one (never below complex64)."""
        return dtypes.complex128 if self.dtype is dtypes.float64 else dtypes.complex64


defaults = Defaults()


def set_default_dtype(dtype: DType) -> None:
    """Set the dtype that Python floats become (float32 or float64, or a half type)."""
    if not isinstance(dtype, DType) or not dtype.is_floating_point:
        raise DTypeError(message("set_default_dtype", received=dtype, expected="a floating-point dtype"))
    flush()
    defaults.dtype = dtype
    automaton.clear()  # what was inferred before holds no longer
    new_trace()


def get_default_dtype() -> DType:
    """Return the dtype that Python floats become."""
    return defaults.dtype


def tensor(data: Any, *, dtype: DType | None = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:
    """Return a new tensor with a copy of `data` (numbers, nested sequences, a NumPy array, or a tensor).

    Raises:
        ShapeError: if nested sequences are ragged. DTypeError: if the data is not numeric.

    >>> import trine
    >>> trine.tensor([[1, 2], [3, 4]]).dtype
    trine.int64
    """
    if device is not None:
        check_device(device)
    if dtype is not None and not isinstance(dtype, DType):
        raise DTypeError(message("tensor: not a dtype", received=repr(dtype), expected="a dtype such as trine.float32"))
    if isinstance(data, Tensor):
        result = data.detach().clone()
        result = result if dtype is None else result.to(dtype)
        result = from_buffer(result._value(), Meta.of(result._meta.shape, result._meta.dtype))
    else:
        array, dtype = _array_of(data, dtype)
        buffer = allocate(array.nbytes)
        np.copyto(buffer.array(array.dtype, array.shape), array)
        result = from_buffer(buffer, Meta.of(array.shape, dtype))
    return result.requires_grad_() if requires_grad else result


def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """Return `data` as a tensor, sharing memory with a NumPy array or a tensor where the dtype allows it."""
    if device is not None:
        check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None or data.dtype is dtype else data.to(dtype)
    if isinstance(data, np.ndarray) and (dtype is None or dtypes.from_numpy(data.dtype) is dtype):
        return from_numpy(data)
    return tensor(data, dtype=dtype)


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """Return a tensor that shares memory with a NumPy array (a copy if it is not C-contiguous).

    Raises:
        DTypeError: if the array's dtype has no counterpart (objects, strings, dates).
    """
    if not isinstance(array, np.ndarray):
        raise DTypeError(message("from_numpy", received=type(array).__name__, expected="a numpy.ndarray", fix="use trine.tensor(...)"))
    dtype = _dtype_of(array)
    return from_buffer(from_array(array), Meta.of(array.shape, dtype))


def _dtype_of(array: np.ndarray[Any, Any]) -> DType:
    try:
        return dtypes.from_numpy(array.dtype)
    except DTypeError:
        raise DTypeError(
            message(
                "a NumPy array that is not numeric cannot become a tensor",
                received=f"dtype {array.dtype}",
                expected="bool, an integer, floating-point or complex dtype",
                fix="convert it first, for example array.astype('float32')",
            )
        ) from None


def _array_of(data: Any, dtype: DType | None) -> tuple[np.ndarray[Any, Any], DType]:
    """Return (array in the storage dtype, dtype) of Python or NumPy data."""
    typed = isinstance(data, np.ndarray | np.generic) or (hasattr(data, "__array__") and not isinstance(data, list | tuple))
    if isinstance(data, list | tuple) and _holds_tensors(data):
        data = _to_lists(data)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ShapeError(message("tensor: ragged nested sequence", received=str(error), expected="rows of equal length")) from None
    except OverflowError as error:
        raise ArgumentError(message("tensor: a number is too large", received=str(error), expected="numbers that fit into int64")) from None
    if not typed and (array.dtype.hasobject or array.dtype == np.uint64) and _is_beyond_int64(array):
        raise ArgumentError(
            message(
                "tensor: a number is too large",
                received="an integer outside of int64",
                expected="integers that fit into int64: from -2**63 to 2**63 - 1",
                fix="use floats, or an array of dtype uint64",
            )
        )
    if array.dtype.hasobject and not typed:
        expected = "numbers, or nested sequences of numbers"
        raise DTypeError(message("tensor: data is not numeric", received=_describe(data), expected=expected))
    found = _dtype_of(array)
    if not typed:
        if not isinstance(_first(data), np.generic):
            found = {"f": defaults.dtype, "i": dtypes.int64, "u": dtypes.int64, "c": defaults.complex_dtype}.get(found.code, found)
        if array.size == 0 and not isinstance(data, np.ndarray):
            found = defaults.dtype
    dtype = dtype or found
    if dtype is dtypes.bfloat16:
        return dtypes.to_bfloat16_bits(array.astype(np.float32)), dtype
    if not typed and array.size and dtype.is_integer and array.dtype.kind in "iu":
        _check_fits(array, dtype)
    with np.errstate(all="ignore"):
        return array.astype(dtype.numpy), dtype


def _check_fits(array: np.ndarray[Any, Any], dtype: DType) -> None:
    """Raise for integers that an integer dtype cannot hold; what is negative wraps around in an unsigned one."""
    high = np.iinfo(dtype.numpy).max
    low = -high if dtype.code == "u" else np.iinfo(dtype.numpy).min
    for value in (int(array.min()), int(array.max())):
        if not low <= value <= high:
            expected = f"from {low} to {high}"
            raise ArgumentError(message(f"tensor: a number does not fit into {dtype.name}", received=value, expected=expected))


def _is_beyond_int64(array: np.ndarray[Any, Any]) -> bool:
    """Say whether the array holds integers only, one of which int64 cannot hold."""
    if array.dtype.hasobject and not all(isinstance(v, int) for v in array.flat):
        return False
    return any(not -(2**63) <= int(v) < 2**63 for v in array.flat)


def _first(data: Any) -> Any:
    """Return the first element of nested sequences."""
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return data


def _holds_tensors(data: Sequence[Any]) -> bool:
    return isinstance(_first(data), Tensor)


def _to_lists(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data.tolist()
    return [_to_lists(d) for d in data] if isinstance(data, list | tuple) else data


def _describe(data: Any) -> str:
    return f"{type(data).__name__} with {type(_first(data)).__name__} inside"


def rebuild(cls: type[Tensor], array: np.ndarray[Any, Any], dtype: DType, requires_grad: bool) -> Any:
    """Make a tensor again from its pickled parts."""
    made = from_buffer(from_array(array).copy(), Meta.of(array.shape, dtype, requires_grad))
    return made if cls is Tensor else wrap_as(cls, made)


def numpy_view(view: Tensor) -> np.ndarray[Any, Any]:
    """Return a NumPy view into the memory of a view's base; a copy where the view's steps cannot be one."""
    group = view._alias
    if group is None:
        return view._array()
    layout = layout_of(view)
    if not layout.is_view or view._meta.dtype is not group.base._meta.dtype:
        return view._value().array(view._meta.dtype.numpy, view._meta.shape)
    base = group.base._array(shared=True)
    if any(builder in VIEW_LAYOUTS for builder, _ in view._path):
        strides = [stride * base.itemsize for stride in layout.strides]
        return np.lib.stride_tricks.as_strided(base.reshape(-1)[layout.offset :], layout.shape, strides)
    nodes = [Node("input", (), (0,), group.base._meta.shape, group.base._meta.dtype)]
    node = nodes[0]
    for builder, attrs in view._path:
        node = builder(node, *attrs)
    return _replay(node, nodes[0], base)


def _replay(node: Node, source: Node, base: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    chain = []
    while node is not source:
        chain.append(node)
        node = node.inputs[0]
    for step in reversed(chain):
        base = _NUMPY_STEPS[step.op](base, step)
    return base


_NUMPY_STEPS: dict[str, Any] = {
    "reshape": lambda a, n: a.reshape(n.shape),
    "permute": lambda a, n: a.transpose(n.attrs[0]),
    "expand": lambda a, n: np.broadcast_to(a, n.shape),
    "slice": lambda a, n: a[tuple(slice(b, e, s) for b, e, s in zip(*n.attrs, strict=True))],
    "flip": lambda a, n: np.flip(a, n.attrs[0]),
    "stop_gradient": lambda a, n: a,
    "bitcast": lambda a, n: a.view(n.dtype.numpy),
}


def to_dlpack(source: Tensor, **options: Any) -> Any:
    """Return a DLPack capsule that shares the tensor's memory.

    Raises:
        GradientError: if the tensor requires grad.
    """
    from trine.runtime import dlpack

    if source.requires_grad:
        from trine.errors import GradientError

        raise GradientError(message("__dlpack__", received="a tensor that requires grad", fix="use x.detach()"))
    buffer = source._value()
    buffer.external = True
    return dlpack.to_capsule(buffer, source._meta.dtype, source._meta.shape, **options)


def from_dlpack(source: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """Return a tensor that shares memory with any object that speaks DLPack (a copy where it is not row-major)."""
    from trine.runtime import dlpack

    buffer, dtype, shape = dlpack.from_dlpack(source, copy)
    return from_buffer(buffer, Meta.of(shape, dtype))


def identity(node: Node) -> Node:
    """Return the node itself."""
    return node


def snapshot(source: Tensor) -> Tensor:
    """Return a new handle on the tensor's present value, outside its alias group."""
    return record(identity, (source,))  # type: ignore[no-any-return]
