"""Reductions over axes: sums, means, extrema, variances, norms, and the tests `all` and `any`.

``dim`` is an axis, a sequence of axes, or None for all of them. Reduced axes disappear unless ``keepdim``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import DTypeError, message
from trine.ops.arguments import Dim, hashable_dim, numpy_names, write_out, write_outs
from trine.ops.arithmetic import maximum, minimum
from trine.ops.elementwise import as_bool
from trine.ops.promotion import as_dtype, as_float, number, promote_float, size, with_zero_gradient
from trine.shapes import canonical_axes, canonical_axis
from trine.tensor import Tensor, record

StaticDim = int | tuple[int, ...] | None


class ValuesAndIndices(NamedTuple):
    """What a reduction or a sort along one axis gives: the elements and where they were."""

    values: Tensor
    indices: Tensor


def axes_of(x: Node, dim: StaticDim, op: str) -> tuple[int, ...]:
    """Return the axes that `dim` means; None and () mean all. A 0-d node has a virtual axis 0, as in PyTorch."""
    rank = len(x.shape)
    if dim is None or dim == ():
        return tuple(range(rank))
    if rank == 0:
        canonical_axes(dim, 1, op)
        return ()
    return canonical_axes(dim, rank, op)


def drop_axes(x: Node, axes: tuple[int, ...], keepdim: bool) -> Node:
    """Remove reduced axes of size 1 unless `keepdim`."""
    if keepdim or not axes:
        return x
    return b.reshape(x, tuple([s for k, s in enumerate(x.shape) if k not in axes]))


def count_of(x: Node, axes: tuple[int, ...]) -> int:
    """Return how many elements a reduction over `axes` combines."""
    return math.prod([x.shape[k] for k in axes])


def accumulator(x: Node, dtype: DType | None) -> Node:
    """Return the operand of a sum: cast to `dtype`, or integers and bool to int64."""
    if dtype is not None:
        return as_dtype(x, dtype)
    return x if x.dtype.is_differentiable else as_dtype(x, dtypes.int64)


def _sum(x: Node, dim: StaticDim, keepdim: bool, dtype: DType | None) -> Node:
    axes = axes_of(x, dim, "sum")
    if dtype is dtypes.bool_:
        return as_dtype(_any(x, dim, keepdim), dtype)
    return drop_axes(b.sum(accumulator(x, dtype), axes), axes, keepdim)


@numpy_names
def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """Return the sum over axes; integers and bool are summed in int64.

    Example:
        >>> import trine
        >>> trine.sum(trine.tensor([[1, 2], [3, 4]]), dim=0)
        tensor([4, 6])
    """
    result: Tensor = record(_sum, (input,), hashable_dim(dim), keepdim, dtype)
    return result if out is None else write_out(result, out)


def _nansum(x: Node, dim: StaticDim, keepdim: bool, dtype: DType | None) -> Node:
    if x.dtype.is_floating_point:
        x = b.where(b.isnan(x), number(0, x), x)
    return _sum(x, dim, keepdim, dtype)


@numpy_names
def nansum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """Return the sum over axes with NaN counted as 0.

    Example:
        >>> import trine
        >>> trine.nansum(trine.tensor([1.0, float('nan'), 2.0]))
        tensor(3.)
    """
    return write_out(record(_nansum, (input,), hashable_dim(dim), keepdim, dtype), out)


def mean_keeping_axes(x: Node, axes: tuple[int, ...]) -> Node:
    """Return the mean over `axes`, which keep size 1."""
    return b.div(b.sum(x, axes), size(count_of(x, axes), x.dtype))


def _mean(x: Node, dim: StaticDim, keepdim: bool, dtype: DType | None) -> Node:
    x = x if dtype is None else as_dtype(x, dtype)
    if not x.dtype.is_differentiable:
        raise DTypeError(
            message(
                "mean: not defined for integers",
                received=x.dtype.name,
                expected="a floating point or complex dtype",
                fix="x.float().mean()",
            )
        )
    axes = axes_of(x, dim, "mean")
    return drop_axes(mean_keeping_axes(x, axes), axes, keepdim)


@numpy_names
def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """Return the mean over axes; NaN where there are no elements.

    Raises:
        DTypeError: the input is not floating point or complex and no such `dtype` is given.

    Example:
        >>> import trine
        >>> trine.mean(trine.tensor([[1., 2.], [3., 5.]]), dim=1)
        tensor([1.5000, 4.0000])
    """
    result: Tensor = record(_mean, (input,), hashable_dim(dim), keepdim, dtype)
    return result if out is None else write_out(result, out)


def _nanmean(x: Node, dim: StaticDim, keepdim: bool, dtype: DType | None) -> Node:
    x = as_float(x) if dtype is None else as_dtype(x, dtype)
    axes = axes_of(x, dim, "nanmean")
    is_number = b.logical_not(b.isnan(x))
    total = b.sum(b.where(is_number, x, number(0, x)), axes)
    return drop_axes(b.div(total, b.sum(as_dtype(is_number, x.dtype), axes)), axes, keepdim)


@numpy_names
def nanmean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """Return the mean over axes of the elements that are not NaN.

    Example:
        >>> import trine
        >>> trine.nanmean(trine.tensor([1.0, float('nan'), 2.0]))
        tensor(1.5000)
    """
    return write_out(record(_nanmean, (input,), hashable_dim(dim), keepdim, dtype), out)


def _prod(x: Node, dim: StaticDim, keepdim: bool, dtype: DType | None) -> Node:
    axes = axes_of(x, dim, "prod")
    if dtype is dtypes.bool_:
        return as_dtype(_all(x, dim, keepdim), dtype)
    return drop_axes(b.prod(accumulator(x, dtype), axes), axes, keepdim)


@numpy_names
def prod(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None, out: Tensor | None = None) -> Tensor:
    """Return the product over axes; its gradient is exact also where elements are 0.

    Example:
        >>> import trine
        >>> trine.prod(trine.tensor([[1, 2], [3, 4]]), dim=1)
        tensor([ 2, 12])
    """
    return write_out(record(_prod, (input,), hashable_dim(dim), keepdim, dtype), out)


# --- extrema ------------------------------------------------------------------------------------------------------------------------

Reduce = Callable[[Node, tuple[int, ...]], Node]
NodeReduction = Callable[[Node, StaticDim, bool], Node]


def _extremum(primitive: Reduce, op: str) -> NodeReduction:
    def builder(x: Node, dim: StaticDim, keepdim: bool) -> Node:
        axes = axes_of(x, dim, op)
        return drop_axes(primitive(x, axes), axes, keepdim)

    return builder


amax_nodes = _extremum(b.max, "amax")
amin_nodes = _extremum(b.min, "amin")


def flatten_nodes(x: Node) -> Node:
    """Return the elements in one axis."""
    return b.reshape(x, (math.prod(x.shape),))


def _position(primitive: Callable[[Node, int], Node], op: str) -> Callable[[Node, int | None, bool], Node]:
    def builder(x: Node, dim: int | None, keepdim: bool) -> Node:
        if dim is None:
            index = primitive(flatten_nodes(x), 0)
            return b.reshape(index, (1,) * len(x.shape) if keepdim else ())
        if not x.shape:
            canonical_axis(dim, 1, op)
            return b.zeros_like(as_dtype(x, dtypes.int64))
        axis = canonical_axis(dim, len(x.shape), op)
        return drop_axes(primitive(x, axis), (axis,), keepdim)

    return builder


argmax_nodes = _position(b.argmax, "argmax")
argmin_nodes = _position(b.argmin, "argmin")


def _extremum_along(position: Callable[[Node, int], Node], op: str) -> Callable[[Node, int, bool], tuple[Node, Node]]:
    def builder(x: Node, dim: int, keepdim: bool) -> tuple[Node, Node]:
        if not x.shape:
            canonical_axis(dim, 1, op)
            return x, b.zeros_like(as_dtype(x, dtypes.int64))
        axis = canonical_axis(dim, len(x.shape), op)
        index = position(x, axis)
        # The value is gathered, so that the gradient goes to the one element that the index names.
        values = b.take_along(x, index, axis)
        return drop_axes(values, (axis,), keepdim), drop_axes(index, (axis,), keepdim)

    return builder


_max_along = _extremum_along(b.argmax, "max")
_min_along = _extremum_along(b.argmin, "min")


@numpy_names
def max(
    input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False, *, other: Tensor | None = None, out: Any = None
) -> Tensor | ValuesAndIndices:
    """Return the largest element; along one axis also its index; with a second tensor the elementwise `maximum`.

    Equal elements share the gradient of the full reduction evenly; along an axis it goes to the first one.

    Example:
        >>> import trine
        >>> trine.max(trine.tensor([1, 7, 3]))
        tensor(7)
        >>> trine.max(trine.tensor([[1, 7], [9, 3]]), dim=1).indices
        tensor([1, 0])
    """
    if other is not None or isinstance(dim, Tensor):
        return maximum(input, dim if other is None else other, out=out)  # type: ignore[arg-type]
    if dim is None:
        return write_out(record(amax_nodes, (input,), None, keepdim), out)
    return ValuesAndIndices(*write_outs(record(_max_along, (input,), dim, keepdim), out))


@numpy_names
def min(
    input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False, *, other: Tensor | None = None, out: Any = None
) -> Tensor | ValuesAndIndices:
    """Return the smallest element; along one axis also its index; with a second tensor the elementwise `minimum`.

    Example:
        >>> import trine
        >>> trine.min(trine.tensor([[1, 7], [9, 3]]), dim=1).values
        tensor([1, 3])
    """
    if other is not None or isinstance(dim, Tensor):
        return minimum(input, dim if other is None else other, out=out)  # type: ignore[arg-type]
    if dim is None:
        return write_out(record(amin_nodes, (input,), None, keepdim), out)
    return ValuesAndIndices(*write_outs(record(_min_along, (input,), dim, keepdim), out))


@numpy_names
def amax(input: Tensor, dim: Dim = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Return the largest element over axes; equal elements share the gradient evenly.

    Example:
        >>> import trine
        >>> trine.amax(trine.tensor([[1, 7], [9, 3]]), dim=0)
        tensor([9, 7])
    """
    return write_out(record(amax_nodes, (input,), hashable_dim(dim), keepdim), out)


@numpy_names
def amin(input: Tensor, dim: Dim = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Return the smallest element over axes; equal elements share the gradient evenly.

    Example:
        >>> import trine
        >>> trine.amin(trine.tensor([[1, 7], [9, 3]]), dim=0)
        tensor([1, 3])
    """
    return write_out(record(amin_nodes, (input,), hashable_dim(dim), keepdim), out)


class MinMax(NamedTuple):
    """What `aminmax` gives."""

    min: Tensor
    max: Tensor


@numpy_names
def aminmax(input: Tensor, *, dim: Dim = None, keepdim: bool = False, out: Any = None) -> MinMax:
    """Return the smallest and the largest element over axes.

    Example:
        >>> import trine
        >>> trine.aminmax(trine.tensor([3, 1, 2])).max
        tensor(3)
    """
    return MinMax(*write_outs((amin(input, dim, keepdim), amax(input, dim, keepdim)), out))


@numpy_names
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Return the position of the largest element (the first of equal ones; NaN counts as largest), in the flat tensor if `dim` is None.

    Example:
        >>> import trine
        >>> trine.argmax(trine.tensor([[1, 7], [9, 3]]), dim=1)
        tensor([1, 0])
    """
    return write_out(record(argmax_nodes, (input,), dim, keepdim), out)


@numpy_names
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Return the position of the smallest element (the first of equal ones; NaN counts as smallest).

    Example:
        >>> import trine
        >>> trine.argmin(trine.tensor([[1, 7], [9, 3]]), dim=1)
        tensor([0, 1])
    """
    return write_out(record(argmin_nodes, (input,), dim, keepdim), out)


# --- logsumexp, norms, tests --------------------------------------------------------------------------------------------------------


def _logsumexp(x: Node, dim: StaticDim, keepdim: bool) -> Node:
    x = as_float(x)
    axes = axes_of(x, dim, "logsumexp")
    if 0 in x.shape:
        return drop_axes(b.log(b.sum(b.exp(x), axes)), axes, keepdim)
    largest = b.stop_gradient(b.max(b.real(x), axes))
    # An infinite maximum would make inf - inf.
    largest = as_dtype(b.where(b.isfinite(largest), largest, number(0, largest)), x.dtype)
    return drop_axes(b.add(b.log(b.sum(b.exp(b.sub(x, largest)), axes)), largest), axes, keepdim)


@numpy_names
def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Return ``log(sum(exp(input)))`` over axes without overflow.

    Example:
        >>> import trine
        >>> trine.logsumexp(trine.tensor([[1000., 1000.]]), dim=1)
        tensor([1000.6932])
    """
    return write_out(record(_logsumexp, (input,), hashable_dim(dim), keepdim), out)


def norm_keeping_axes(x: Node, axes: tuple[int, ...], p: float) -> Node:
    """Return the p-norm over `axes`, which keep size 1. Its gradient at the zero vector is 0, as in PyTorch."""
    if p == 2:
        total = b.sum(b.real(b.mul(x, b.conj(x))) if x.dtype.is_complex else b.mul(x, x), axes)
        is_zero = b.eq(total, number(0, total))
        return b.where(is_zero, number(0, total), b.sqrt(b.where(is_zero, number(1, total), total)))
    magnitude = b.abs(x)
    if p == 0:
        return with_zero_gradient(b.sum(as_dtype(b.ne(magnitude, number(0, magnitude)), magnitude.dtype), axes), x)
    if p == 1:
        return b.sum(magnitude, axes)
    if math.isinf(p):
        return b.max(magnitude, axes) if p > 0 else b.min(magnitude, axes)
    # The power of 0 has an infinite derivative for p < 1: zeros are left out before, not after.
    is_none = b.eq(magnitude, number(0, magnitude))
    powers = b.pow(b.where(is_none, number(1, magnitude), magnitude), number(p, magnitude))
    nothing = number(0 if p > 0 else math.inf, magnitude)
    total = b.sum(b.where(is_none, nothing, powers), axes)
    is_zero = b.eq(total, number(0, total))
    root = b.pow(b.where(is_zero, number(1, total), total), number(1 / p, total))
    return b.where(is_zero, number(0, total), root)


def _norm(x: Node, p: float, dim: StaticDim, keepdim: bool, dtype: DType | None) -> Node:
    x = x if dtype is None else as_dtype(x, dtype)
    if not x.dtype.is_differentiable:
        raise DTypeError(
            message("norm: not defined for integers", received=x.dtype.name, expected="a floating point or complex dtype", fix="x.float()")
        )
    axes = axes_of(x, dim, "norm")
    return drop_axes(norm_keeping_axes(x, axes, p), axes, keepdim)


@numpy_names
def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: Dim = None,
    keepdim: bool = False,
    out: Tensor | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """Return the p-norm of the elements over axes; "fro" and None mean 2.

    Example:
        >>> import trine
        >>> trine.norm(trine.tensor([3., 4.]))
        tensor(5.)
    """
    if p == "nuc":
        from trine.ops.matrix import nuclear_norm  # which needs this module

        return write_out(nuclear_norm(input if dtype is None else input.to(dtype), dim, keepdim), out)  # type: ignore[arg-type]
    order = 2.0 if p is None or p == "fro" else float(p)
    return write_out(record(_norm, (input,), order, hashable_dim(dim), keepdim, dtype), out)


def _dist(x: Node, y: Node, p: float) -> Node:
    x, y = promote_float(x, y)
    return _norm(b.sub(x, y), p, None, False, None)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """Return the p-norm of ``input - other``, which broadcast.

    Example:
        >>> import trine
        >>> trine.dist(trine.tensor([0., 0.]), trine.tensor([3., 4.]))
        tensor(5.)
    """
    result: Tensor = record(_dist, (input, other), float(p))
    return result


def vector_norm(
    x: Tensor, ord: float = 2, dim: Dim = None, keepdim: bool = False, *, dtype: DType | None = None, out: Tensor | None = None
) -> Tensor:
    """Return the p-norm of vectors, as `torch.linalg.vector_norm`.

    Example:
        >>> import trine
        >>> trine.ops.reduction.vector_norm(trine.tensor([3., -4.]), ord=1)
        tensor(7.)
    """
    return write_out(record(_norm, (x,), float(ord), hashable_dim(dim), keepdim, dtype), out)


def _as_truth(result: Node, x: Node) -> Node:
    """Return a result of `all` or `any`: bool, but uint8 for uint8, as in PyTorch."""
    return as_dtype(result, dtypes.uint8) if x.dtype is dtypes.uint8 else result


def _all(x: Node, dim: StaticDim, keepdim: bool) -> Node:
    axes = axes_of(x, dim, "all")
    if 0 in [x.shape[k] for k in axes]:
        return _as_truth(
            drop_axes(b.full(True, tuple([1 if k in axes else s for k, s in enumerate(x.shape)]), dtypes.bool_), axes, keepdim), x
        )
    return _as_truth(drop_axes(b.min(as_bool(x), axes), axes, keepdim), x)


def _any(x: Node, dim: StaticDim, keepdim: bool) -> Node:
    axes = axes_of(x, dim, "any")
    if 0 in [x.shape[k] for k in axes]:
        return _as_truth(
            drop_axes(b.full(False, tuple([1 if k in axes else s for k, s in enumerate(x.shape)]), dtypes.bool_), axes, keepdim), x
        )
    return _as_truth(drop_axes(b.max(as_bool(x), axes), axes, keepdim), x)


@numpy_names
def all(input: Tensor, dim: Dim = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Return True where no element along the axes is zero.

    Example:
        >>> import trine
        >>> trine.all(trine.tensor([[1, 0], [2, 3]]), dim=1)
        tensor([False,  True])
    """
    return write_out(record(_all, (input,), hashable_dim(dim), keepdim), out)


@numpy_names
def any(input: Tensor, dim: Dim = None, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """Return True where some element along the axes is not zero.

    Example:
        >>> import trine
        >>> trine.any(trine.tensor([[1, 0], [0, 0]]), dim=1)
        tensor([ True, False])
    """
    return write_out(record(_any, (input,), hashable_dim(dim), keepdim), out)


def _count_nonzero(x: Node, dim: StaticDim) -> Node:
    axes = axes_of(x, dim, "count_nonzero")
    return drop_axes(b.sum(as_dtype(as_bool(x), dtypes.int64), axes), axes, False)


@numpy_names
def count_nonzero(input: Tensor, dim: Dim = None) -> Tensor:
    """Return the number of elements that are not zero.

    Example:
        >>> import trine
        >>> trine.count_nonzero(trine.tensor([0, 3, 0, 1]))
        tensor(2)
    """
    result: Tensor = record(_count_nonzero, (input,), hashable_dim(dim))
    return result
