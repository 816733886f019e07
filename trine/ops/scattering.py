"""Writing by index with a reduction, and by flat position: scatter and scatter_reduce, index_reduce, put, and their relatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import DTypeError, IndexOutOfRangeError, ShapeError, message
from trine.ops.arguments import check_choice, write_out
from trine.ops.arithmetic import Operand
from trine.ops.promotion import as_dtype, number, with_zero_gradient
from trine.shapes import canonical_axis
from trine.tensor import Tensor, record

__all__ = [
    "index_add",
    "index_copy",
    "index_fill",
    "index_reduce",
    "put",
    "scatter",
    "scatter_add",
    "scatter_reduce",
]

MODES = {None: "set", "add": "add", "sum": "add", "multiply": "mul", "prod": "mul", "amax": "max", "amin": "min", "mean": "mean"}
_BOOL_MODES = {"add": "max", "mul": "min"}


def checked_index(index: Node, extent: int, op: str = "index") -> Node:
    """Return an index whose values are wrapped and checked when the program runs."""
    if not index.dtype.is_integer:
        raise DTypeError(message(f"{op}: the index", received=index.dtype.name, expected="int64 or int32", fix="index.long()"))
    return b.check_index(index if index.dtype in (dtypes.int64, dtypes.int32) else as_dtype(index, dtypes.int64), extent)


def _with_axis(node: Node) -> Node:
    return node if node.shape else b.reshape(node, (1,))


def _neutral(mode: str, dtype: dtypes.DType) -> float | int | bool:
    """Return the number that a reduction begins with."""
    if dtype is dtypes.bool_:
        return mode == "min" or mode == "mul"
    if mode in ("add", "mean", "set"):
        return 0
    if mode == "mul":
        return 1
    if dtype.is_floating_point:
        return -math.inf if mode == "max" else math.inf
    info = np.iinfo(dtype.numpy)
    return int(info.min if mode == "max" else info.max)


def _combine(x: Node, index: Node, source: Node, axis: int, mode: str, include_self: bool, along: bool) -> Node:
    """Combine `source` into `x` at the index (checked): put_along if `along`, else put."""
    put = b.put_along if along else b.put
    if mode == "mean":
        return _mean(x, index, source, axis, include_self, along)
    if x.dtype is dtypes.bool_:
        mode = _BOOL_MODES.get(mode, mode)
    if not include_self:
        x = put(x, index, b.expand(number(_neutral(mode, x.dtype), x), source.shape), axis, "set")
    return put(x, index, source, axis, mode)


def _mean(x: Node, index: Node, source: Node, axis: int, include_self: bool, along: bool) -> Node:
    total = _combine(x, index, source, axis, "add", include_self, along)
    put = b.put_along if along else b.put
    kind = x.dtype if x.dtype.is_floating_point else dtypes.int64
    ones = b.full(1, source.shape, kind)
    counts = b.full(1, x.shape, kind)
    if not include_self:
        counts = put(counts, index, b.full(0, source.shape, kind), axis, "set")
    counts = put(counts, index, ones, axis, "add")
    if not x.dtype.is_integer:
        return b.div(total, as_dtype(b.maximum(counts, number(1, counts)), x.dtype))
    return b.floor_div(total, as_dtype(b.maximum(counts, number(1, counts)), x.dtype))


# --- scatter ------------------------------------------------------------------------------------------------------------------------------


def cropped(x: Node, index: Node, axis: int, op: str) -> Node:
    """Return `x` cut to the sizes of `index` on the axes other than `axis`."""
    if len(x.shape) != len(index.shape):
        received = f"{x.shape} and {index.shape}"
        raise ShapeError(message(f"{op}: numbers of axes differ", received=received, expected="as many axes in index and input"))
    stop = tuple([n if k == axis else m for k, (n, m) in enumerate(zip(x.shape, index.shape, strict=True))])
    if any(m > n for m, n in zip(stop, x.shape, strict=True)):
        expected = f"at most the input's sizes off axis {axis}"
        raise ShapeError(message(f"{op}: the index is too large", received=f"{index.shape} for {x.shape}", expected=expected))
    return b.slice(x, (0,) * len(stop), stop)


def scatter_nodes(x: Node, index: Node, source: Node, dim: int, mode: str, include_self: bool = True) -> Node:
    """Combine `source` (a number or an array at least as large as the index) into `x` at `index` along an axis."""
    shape = x.shape
    x, index = _with_axis(x), _with_axis(index)
    axis = canonical_axis(dim, len(x.shape), "scatter")
    if 0 in index.shape:
        return b.reshape(with_zero_gradient(x, source), shape)
    if source.op == "scalar" or (not source.shape and source.op == "const"):
        source = b.expand(as_dtype(source, x.dtype), index.shape)
    else:
        source = _with_axis(source)
        if source.dtype is not x.dtype:
            raise DTypeError(
                message("scatter: dtypes differ", received=f"{x.dtype.name} and {source.dtype.name}", expected="one dtype", fix="cast src")
            )
        fits = len(source.shape) == len(index.shape) and all(m <= n for m, n in zip(index.shape, source.shape, strict=True))
        if not fits:
            expected = "a src at least as large as the index on every axis"
            raise ShapeError(message("scatter: the index is too large", received=f"{index.shape} and {source.shape}", expected=expected))
        source = b.slice(source, (0,) * len(index.shape), index.shape)
    region = cropped(x, index, axis, "scatter")
    result = _combine(region, checked_index(index, x.shape[axis], "scatter"), source, axis, mode, include_self, True)
    if region.shape != x.shape:
        result = b.update(x, result, (0,) * len(x.shape), (1,) * len(x.shape))
    return b.reshape(result, shape)


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Operand | None = None,
    reduce: str | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Return `input` with ``out[index[i][j]][j] = src[i][j]`` (for dim 0); `src` may be a number; `reduce` "add" or "multiply" combines.

    Of duplicates the last one stays.

    Raises:
        ShapeError: the index is larger than `src` or `input`. IndexOutOfRangeError: an index is out of range (when the program runs).

    Example:
        >>> import trine
        >>> trine.scatter(trine.zeros(1, 3), 1, trine.tensor([[2]]), 5.0)
        tensor([[0., 0., 5.]])
    """
    check_choice("scatter", "reduce", reduce, (None, "add", "multiply"))
    return write_out(record(scatter_nodes, (input, index, value if src is None else src), dim, MODES[reduce]), out)


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return `input` with ``out[index[i][j]][j] += src[i][j]`` (for dim 0).

    Example:
        >>> import trine
        >>> trine.scatter_add(trine.zeros(3), 0, trine.tensor([0, 0, 2]), trine.ones(3))
        tensor([2., 0., 1.])
    """
    return write_out(record(scatter_nodes, (input, index, src), dim, "add"), out)


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True, out: Tensor | None = None
) -> Tensor:
    """Combine `src` into `input` at `index` by "sum", "prod", "mean", "amax" or "amin"; without `include_self` the old ones do not count.

    Example:
        >>> import trine
        >>> trine.scatter_reduce(trine.zeros(2), 0, trine.tensor([0, 0]), trine.tensor([3., 5.]), "amax")
        tensor([5., 0.])
    """
    check_choice("scatter_reduce", "reduce", reduce, ("sum", "prod", "mean", "amax", "amin"))
    return write_out(record(scatter_nodes, (input, index, src), dim, MODES[reduce], bool(include_self)), out)


# --- along one axis, whole slices ---------------------------------------------------------------------------------------------------------


def index_nodes(x: Node, index: Node, source: Node, dim: int, mode: str, include_self: bool = True) -> Node:
    """Combine slices of `source` into the slices of `x` that `index` names along an axis."""
    shape = x.shape
    x = _with_axis(x)
    axis = canonical_axis(dim, len(x.shape), "index_add")
    if len(index.shape) > 1:
        raise IndexOutOfRangeError(message("index_add: the index has several axes", received=index.shape, expected="at most 1 axis"))
    index = checked_index(b.reshape(index, (-1,)), x.shape[axis], "index_add")
    wanted = (*x.shape[:axis], index.shape[0], *x.shape[axis + 1 :])
    if source.shape and math.prod(source.shape) != math.prod(wanted) and source.op != "scalar":
        received = f"{source.shape} for {index.shape[0]} indices"
        raise IndexOutOfRangeError(message("index_add: the source does not fit", received=received, expected=f"shape {wanted}"))
    source = as_dtype(source, x.dtype)
    source = b.reshape(source, wanted) if math.prod(source.shape) == math.prod(wanted) else b.expand(source, wanted)
    return b.reshape(_combine(x, index, source, axis, mode, include_self, False), shape)


def _check_sources(op: str, input: Tensor, source: Any) -> None:
    if isinstance(source, Tensor) and source.dtype is not input.dtype:
        received = f"{input.dtype.name} and {source.dtype.name}"
        raise DTypeError(message(f"{op}: dtypes differ", received=received, expected="one dtype", fix="cast the source"))


def _index_add_scaled(x: Node, index: Node, source: Node, alpha: Node, dim: int) -> Node:
    if source.dtype is dtypes.bool_:
        return index_nodes(x, index, b.bitwise_and(source, as_dtype(alpha, dtypes.bool_)), dim, "add")
    return index_nodes(x, index, b.mul(source, as_dtype(alpha, source.dtype)), dim, "add")


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1, out: Tensor | None = None) -> Tensor:
    """Return `input` with ``alpha * source`` added at positions of an axis.

    Example:
        >>> import trine
        >>> trine.index_add(trine.zeros(3), 0, trine.tensor([0, 0]), trine.tensor([1., 2.]))
        tensor([3., 0., 0.])
    """
    _check_sources("index_add", input, source)
    if type(alpha) is int and alpha == 1:
        return write_out(record(index_nodes, (input, index, source), dim, "add"), out)
    return write_out(record(_index_add_scaled, (input, index, source, alpha), dim), out)


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return `input` with `source` written at positions of an axis.

    Example:
        >>> import trine
        >>> trine.index_copy(trine.zeros(3), 0, trine.tensor([2]), trine.tensor([7.]))
        tensor([0., 0., 7.])
    """
    _check_sources("index_copy", input, source)
    return write_out(record(index_nodes, (input, index, source), dim, "set"), out)


def index_fill(input: Tensor, dim: int, index: Tensor, value: Operand) -> Tensor:
    """Return `input` with a number written at positions of an axis.

    Example:
        >>> import trine
        >>> trine.index_fill(trine.zeros(3), 0, trine.tensor([0, 2]), 1)
        tensor([1., 0., 1.])
    """
    if isinstance(value, Tensor) and value.dim():
        raise ShapeError(message("index_fill: the value", received=f"shape {tuple(value.shape)}", expected="a number or a 0-d tensor"))
    result: Tensor = record(index_nodes, (input, index, value), dim, "set")
    return result


def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True, out: Tensor | None = None
) -> Tensor:
    """Combine `source` into positions of an axis by "prod", "mean", "amax" or "amin".

    Example:
        >>> import trine
        >>> trine.index_reduce(trine.ones(2), 0, trine.tensor([0, 0]), trine.tensor([3., 5.]), "prod")
        tensor([15.,  1.])
    """
    check_choice("index_reduce", "reduce", reduce, ("prod", "mean", "amax", "amin"))
    _check_sources("index_reduce", input, source)
    return write_out(record(index_nodes, (input, index, source), dim, MODES[reduce], bool(include_self)), out)


def _put(x: Node, index: Node, source: Node, accumulate: bool) -> Node:
    if math.prod(index.shape) != math.prod(source.shape):
        expected = "as many elements in the source as in the index"
        raise ShapeError(message("put: sizes differ", received=f"{index.shape} and {source.shape}", expected=expected))
    flat, index = b.reshape(x, (-1,)), b.reshape(index, (-1,))
    if not index.shape[0]:
        return with_zero_gradient(x, source)
    checked = checked_index(index, flat.shape[0], "put")
    written = _combine(flat, checked, b.reshape(source, (-1,)), 0, "add" if accumulate else "set", True, False)
    return b.reshape(written, x.shape)


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """Return `input` with the elements of `source` written (or added) at positions of the flat tensor.

    Example:
        >>> import trine
        >>> trine.put(trine.zeros(2, 2), trine.tensor([3, 0]), trine.tensor([5., 6.]))
        tensor([[6., 0.],
                [0., 5.]])
    """
    _check_sources("put", input, source)
    result: Tensor = record(_put, (input, index, source), bool(accumulate))
    return result
