"""Creation functions of the array API standard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine import ops
from trine.dtypes import DType
from trine.errors import ArgumentError, message
from trine.tensor import Tensor
from trine.tensor.convert import defaults
from trine.tensor.convert import from_dlpack as _from_dlpack
from trine.tensor.device import check_device

Array = Tensor
Shape = int | Sequence[int]

__all__ = """arange asarray empty empty_like eye from_dlpack full full_like linspace meshgrid ones ones_like tril triu zeros
zeros_like""".split()


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: DType | None = None, device: Any = None) -> Array:
    """Return numbers from `start` up to, without, `stop`; nothing where the step leads away from it."""
    if stop is None:
        start, stop = 0, start
    if step != 0 and (stop - start) * step <= 0:
        is_integer = all(isinstance(v, int) for v in (start, stop, step))
        return ops.empty((0,), dtype=dtype or (ops.asarray([0]).dtype if is_integer else defaults.dtype), device=device)
    return ops.arange(start, stop, step, dtype=dtype, device=device)


def asarray(obj: Any, /, *, dtype: DType | None = None, device: Any = None, copy: bool | None = None) -> Array:
    """Return the object (an array, a buffer, a number or nested sequences) as an array."""
    return ops.asarray(obj, dtype=dtype, device=device, copy=copy)


def empty(shape: Shape, *, dtype: DType | None = None, device: Any = None) -> Array:
    """Return an array without defined values."""
    return ops.empty(shape, dtype=dtype, device=device)


def zeros(shape: Shape, *, dtype: DType | None = None, device: Any = None) -> Array:
    """Return an array of zeros."""
    return ops.zeros(shape, dtype=dtype, device=device)


def ones(shape: Shape, *, dtype: DType | None = None, device: Any = None) -> Array:
    """Return an array of ones."""
    return ops.ones(shape, dtype=dtype, device=device)


def full(shape: Shape, fill_value: Any, *, dtype: DType | None = None, device: Any = None) -> Array:
    """Return an array of one value."""
    return ops.full(shape, fill_value, dtype=dtype, device=device)


def empty_like(x: Array, /, *, dtype: DType | None = None, device: Any = None) -> Array:
    """Return an array without defined values, of the shape and dtype of `x`."""
    return ops.empty_like(x, dtype=dtype, device=device)


def zeros_like(x: Array, /, *, dtype: DType | None = None, device: Any = None) -> Array:
    """Return zeros of the shape and dtype of `x`."""
    return ops.zeros_like(x, dtype=dtype, device=device)


def ones_like(x: Array, /, *, dtype: DType | None = None, device: Any = None) -> Array:
    """Return ones of the shape and dtype of `x`."""
    return ops.ones_like(x, dtype=dtype, device=device)


def full_like(x: Array, /, fill_value: Any, *, dtype: DType | None = None, device: Any = None) -> Array:
    """Return an array of one value, of the shape and dtype of `x`."""
    return ops.full_like(x, fill_value, dtype=dtype, device=device)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: DType | None = None, device: Any = None) -> Array:
    """Return a matrix with ones on diagonal `k`."""
    columns = n_rows if n_cols is None else n_cols
    rows = ops.arange(n_rows).reshape(n_rows, 1)
    result: Array = (ops.arange(columns) - rows == k).to(dtype or defaults.dtype)
    return result


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Array:
    """Return an array that shares memory with an object that speaks DLPack."""
    if device is not None:
        check_device(device)
    return _from_dlpack(x, copy=copy)


def linspace(start: Any, stop: Any, /, num: int, *, dtype: DType | None = None, device: Any = None, endpoint: bool = True) -> Array:
    """Return `num` numbers at equal distances from `start` to `stop`, which is left out unless `endpoint`."""
    is_complex = isinstance(start, complex) or isinstance(stop, complex)
    if is_complex:
        real = linspace(complex(start).real, complex(stop).real, num, device=device, endpoint=endpoint)
        imaginary = linspace(complex(start).imag, complex(stop).imag, num, device=device, endpoint=endpoint)
        joined = ops.complex(real, imaginary)
        return joined if dtype is None else joined.to(dtype)
    if endpoint or num == 0:
        return ops.linspace(start, stop, num, dtype=dtype, device=device)
    return ops.linspace(start, stop, num + 1, dtype=dtype, device=device)[:-1]


def meshgrid(*arrays: Array, indexing: str = "xy") -> list[Array]:
    """Return the coordinates of a grid, one array for each axis."""
    return list(ops.meshgrid(*arrays, indexing=indexing)) if arrays else []


def _check_matrix(op: str, x: Array) -> None:
    if x.ndim < 2:
        raise ArgumentError(message(f"{op}: not a matrix", received=f"shape {tuple(x.shape)}", expected="two axes or more"))


def tril(x: Array, /, *, k: int = 0) -> Array:
    """Return the lower triangles of matrices, up to diagonal `k`."""
    _check_matrix("tril", x)
    return ops.tril(x, k)


def triu(x: Array, /, *, k: int = 0) -> Array:
    """Return the upper triangles of matrices, from diagonal `k` on."""
    _check_matrix("triu", x)
    return ops.triu(x, k)
