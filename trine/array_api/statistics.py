"""Statistical, searching, sorting, set and utility functions of the array API standard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from trine import dtypes, ops
from trine.dtypes import DType
from trine.errors import ArgumentError, message
from trine.tensor import Tensor

Array = Tensor
Axes = int | Sequence[int] | None

__all__ = """all any argmax argmin argsort count_nonzero cumulative_prod cumulative_sum diff max mean min nonzero prod searchsorted
sort std sum unique_all unique_counts unique_inverse unique_values var where""".split()


def _axes(axis: Axes) -> int | tuple[int, ...] | None:
    return axis if axis is None or isinstance(axis, int) else tuple(axis)


def _without_axes(function: Callable[..., Array], x: Array, axis: Axes, keepdims: bool, **options: Any) -> Array:
    """Call a reduction; over no axes at all it leaves each element alone."""
    if axis == ():
        widened = function(x.reshape(*x.shape, 1), -1, False, **options)
        return widened
    return function(x, _axes(axis), keepdims, **options)


def _accumulator(x: Array, dtype: DType | None) -> DType | None:
    """Return the dtype of sums and products: the default integer, or the widest unsigned one."""
    if dtype is not None or not x.dtype.is_integer:
        return dtype if dtype is not None else None
    return dtypes.int64 if x.dtype.is_signed else dtypes.uint64


def sum(x: Array, /, *, axis: Axes = None, dtype: DType | None = None, keepdims: bool = False) -> Array:
    """Return the sum over axes; unsigned integers are summed in uint64, signed ones in int64."""
    return _without_axes(ops.sum, x, axis, keepdims, dtype=_accumulator(x, dtype))


def prod(x: Array, /, *, axis: Axes = None, dtype: DType | None = None, keepdims: bool = False) -> Array:
    """Return the product over axes."""
    return _without_axes(ops.prod, x, axis, keepdims, dtype=_accumulator(x, dtype))


def mean(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Return the mean over axes."""
    return _without_axes(ops.mean, x, axis, keepdims)


def max(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Return the largest element over axes."""
    return _without_axes(ops.amax, x, axis, keepdims)


def min(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Return the smallest element over axes."""
    return _without_axes(ops.amin, x, axis, keepdims)


def _spread(function: Callable[..., Any], x: Array, axis: Axes, correction: float, keepdims: bool) -> Array:
    if axis == ():
        x, axis, keepdims = x.reshape(*x.shape, 1), -1, False
    result: Array = function(x, _axes(axis), correction=correction, keepdim=keepdims)
    return result


def std(x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """Return the standard deviation over axes; the divisor is the count less `correction`."""
    return _spread(ops.std, x, axis, correction, keepdims)


def var(x: Array, /, *, axis: Axes = None, correction: float = 0.0, keepdims: bool = False) -> Array:
    """Return the variance over axes; the divisor is the count less `correction`."""
    return _spread(ops.var, x, axis, correction, keepdims)


def _running(function: Callable[..., Array], start: int, x: Array, axis: int | None, dtype: DType | None, include_initial: bool) -> Array:
    result = function(x.reshape(-1) if x.ndim == 0 else x, 0 if axis is None else axis, dtype=_accumulator(x, dtype))
    if include_initial:
        shape = list(result.shape)
        shape[0 if axis is None else axis] = 1
        result = ops.cat([ops.full(shape, start, dtype=result.dtype), result], 0 if axis is None else axis)
    return result if x.ndim or include_initial else result.reshape(())


def cumulative_sum(x: Array, /, *, axis: int | None = None, dtype: DType | None = None, include_initial: bool = False) -> Array:
    """Return the running sum along an axis; with a 0 before it if `include_initial`."""
    return _running(ops.cumsum, 0, x, axis, dtype, include_initial)


def cumulative_prod(x: Array, /, *, axis: int | None = None, dtype: DType | None = None, include_initial: bool = False) -> Array:
    """Return the running product along an axis; with a 1 before it if `include_initial`."""
    return _running(ops.cumprod, 1, x, axis, dtype, include_initial)


def all(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Return True where no element along axes is zero."""
    result: Array = _without_axes(ops.all, x, axis, keepdims).bool()
    return result


def any(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Return True where some element along axes is not zero."""
    result: Array = _without_axes(ops.any, x, axis, keepdims).bool()
    return result


def diff(x: Array, /, *, axis: int = -1, n: int = 1, prepend: Array | None = None, append: Array | None = None) -> Array:
    """Return the n-th differences of neighbours along an axis."""
    return ops.diff(x, n, axis, prepend, append)


def count_nonzero(x: Array, /, *, axis: Axes = None, keepdims: bool = False) -> Array:
    """Return the number of elements that are not zero, over axes."""
    return sum(ops.ne(x, 0).long(), axis=axis, keepdims=keepdims)


# --- searching and sorting ----------------------------------------------------------------------------------------------------------


def argmax(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Return the position of the largest element."""
    return ops.argmax(x, axis, keepdims)


def argmin(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """Return the position of the smallest element."""
    return ops.argmin(x, axis, keepdims)


def argsort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """Return the positions that sort an axis."""
    return ops.argsort(x, axis, descending)


def sort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """Return the elements in order along an axis."""
    return ops.sort(x, axis, descending)[0]


def nonzero(x: Array, /) -> tuple[Array, ...]:
    """Return the positions of the elements that are not zero, an array for each axis.

    Raises:
        ArgumentError: the array has no axes.
    """
    if x.ndim == 0:
        raise ArgumentError(message("nonzero: no axes", received="shape ()", expected="one axis or more"))
    positions: Any = ops.nonzero(x)
    return tuple(positions.unbind(1))


def searchsorted(x1: Array, x2: Array, /, *, side: str = "left", sorter: Array | None = None) -> Array:
    """Return where each element of `x2` would be inserted into `x1`, sorted or in the order of `sorter`."""
    ordered = x1 if sorter is None else x1[sorter]
    result: Array = ops.searchsorted(ordered, x2, right=side == "right")
    return result


def where(condition: Array, x1: Any, x2: Any, /) -> Array:
    """Return the elements of `x1` where the condition holds, else those of `x2`."""
    result: Array = ops.where(condition, x1, x2)
    return result


class UniqueAll(NamedTuple):
    """What `unique_all` gives."""

    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives."""

    values: Array
    counts: Array


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives."""

    values: Array
    inverse_indices: Array


def unique_all(x: Array, /) -> UniqueAll:
    """Return the different elements in order (every NaN is one), where each occurs first, where each element went, and the counts."""
    import numpy as np

    array = x._numbers()
    values, indices, inverse, counts = np.unique(array, return_index=True, return_inverse=True, return_counts=True, equal_nan=False)
    parts = (indices, inverse.reshape(array.shape), counts)
    return UniqueAll(ops.asarray(values, dtype=x.dtype), *[ops.asarray(p.astype(np.int64)) for p in parts])


def unique_counts(x: Array, /) -> UniqueCounts:
    """Return the different elements in order, and how often each occurs."""
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Array, /) -> UniqueInverse:
    """Return the different elements in order, and where each element went."""
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: Array, /) -> Array:
    """Return the different elements in order."""
    return unique_all(x).values
