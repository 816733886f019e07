"""Indexing: ``x[...]``, ``x[...] = value``, and the functions that read and write by index tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.ops.arguments import check_choice
from trine.ops.arithmetic import Operand
from trine.ops.index_parsing import Box, box_view, integer_box, integer_indices, parse_index
from trine.ops.promotion import as_dtype, number, size
from trine.shapes import broadcast, canonical_axis
from trine.tensor import Tensor, record, record_view
from trine.tensor.convert import as_tensor, tensor

# --- advanced indexing as one take or put ---------------------------------------------------------------------------------------------


def _linear_index(shape: tuple[int, ...], axes: tuple[int, ...], indices: Sequence[Node]) -> Node:
    """Return positions in the merged axes (checked, row-major), broadcast over all indices."""
    total: Node | None = None
    for axis, index in zip(axes, indices, strict=True):
        index = index if index.dtype in (dtypes.int64, dtypes.int32) else as_dtype(index, dtypes.int64)
        checked = as_dtype(b.check_index(index, shape[axis]), dtypes.int64)
        stride = math.prod(shape[k] for k in axes if k > axis)
        scaled = checked if stride == 1 else b.mul(checked, size(stride, dtypes.int64))
        total = scaled if total is None else b.add(total, scaled)
    if total is None:
        raise ArgumentError(message("index: no index tensor", received="nothing", expected="at least one"))
    return total


def _merged(x: Node, axes: tuple[int, ...]) -> tuple[Node, int, tuple[int, ...]]:
    """Bring `axes` together in one: at the first one's place if they are neighbours, else in front. Also the order of the axes."""
    rank = len(x.shape)
    adjacent = axes == tuple(range(axes[0], axes[0] + len(axes)))
    place = axes[0] if adjacent else 0
    others = [k for k in range(rank) if k not in axes]
    order = (*others[:place], *axes, *others[place:])
    moved = b.permute(x, order)
    shape = moved.shape
    merged = b.reshape(moved, (*shape[:place], math.prod(shape[place : place + len(axes)]), *shape[place + len(axes) :]))
    return merged, place, order


def _take_indices(*arguments: Any) -> Node:
    x, *indices, axes = arguments
    merged, place, _ = _merged(x, axes)
    return b.take(merged, _linear_index(x.shape, axes, indices), place)


def _put_indices(*arguments: Any) -> Node:
    x, value, *indices, axes, accumulate = arguments
    merged, place, order = _merged(x, axes)
    index = _linear_index(x.shape, axes, indices)
    shape = (*merged.shape[:place], *index.shape, *merged.shape[place + 1 :])
    value = b.expand(_fitting(as_dtype(value, x.dtype), shape), shape)
    result = b.put(merged, index, value, place, "add" if accumulate else "set")
    inverse = [order.index(k) for k in range(len(order))]
    return b.permute(b.reshape(result, tuple([x.shape[k] for k in order])), inverse)


def _fitting(value: Node, shape: tuple[int, ...]) -> Node:
    """Drop leading axes of size 1 that the target does not have."""
    extra = len(value.shape) - len(shape)
    if extra > 0 and all(s == 1 for s in value.shape[:extra]):
        return b.reshape(value, value.shape[extra:])
    return value


def _selected(input: Tensor, box: Box) -> Tensor:
    """Return the view of a box, or the tensor itself where the box is all of it."""
    is_whole = box.shape == box.stop == tuple(input.shape) and not any(box.start) and all(s == 1 for s in box.step)
    return input if is_whole else record_view(box_view, input, box)


def getitem(input: Tensor, index: Any) -> Tensor:
    """Return ``input[index]``: a view for integers, slices, None and ...; a copy for index tensors and masks.

    Masks are observed, since the size of the result depends on them. An integer index out of range raises at once, an index tensor's
    when the result is computed.

    Example:
        >>> import trine
        >>> x = trine.arange(6).reshape(2, 3)
        >>> x[:, 1]
        tensor([1, 4])
        >>> x[trine.tensor([1, 0]), trine.tensor([2, 0])]
        tensor([5, 0])
    """
    if type(index) is int:
        return record_view(box_view, input, integer_box(index, input._meta.shape))
    box, advanced = parse_index(index, input.shape)
    if not advanced:
        return record_view(box_view, input, box)
    view = _selected(input, box)
    indices = integer_indices(advanced, box.shape)
    axes = tuple(sorted(indices))
    result: Tensor = record(_take_indices, (view, *[indices[axis] for axis in axes]), axes)
    return result


def setitem(input: Tensor, index: Any, value: Any) -> None:
    """Write ``input[index] = value`` in place; `value` broadcasts.

    Where an index tensor names an element twice, the last value stays.

    Example:
        >>> import trine
        >>> x = trine.zeros(3)
        >>> x[1:] = 5
        >>> x
        tensor([0., 5., 5.])
    """
    box, advanced = parse_index(index, input.shape)
    view = _selected(input, box)
    if not advanced:
        view.copy_(_broadcastable(value, view))
        return
    if len(advanced) == 1 and isinstance(value, (int, float)):
        (item,) = advanced.values()
        if isinstance(item, Tensor) and item.dtype is dtypes.bool_ and item.dim() == len(box.shape) and tuple(item.shape) == box.shape:
            view.copy_(record(_fill_where, (view, item, value)))
            return
    indices = integer_indices(advanced, box.shape)
    axes = tuple(sorted(indices))
    operand = value if isinstance(value, (int, float, Tensor)) else as_tensor(value)
    view.copy_(record(_put_indices, (view, operand, *[indices[axis] for axis in axes]), axes, False))


def _fill_where(x: Node, mask: Node, value: Node) -> Node:
    return b.where(mask, as_dtype(value, x.dtype), x)


def _broadcastable(value: Any, view: Tensor) -> Any:
    if not isinstance(value, (int, float, complex, Tensor)):
        value = as_tensor(value, dtype=view.dtype)
    if isinstance(value, Tensor) and value.dim() > view.dim():
        extra = value.dim() - view.dim()
        if all(s == 1 for s in value.shape[:extra]):
            return value.reshape(value.shape[extra:])
    return value


# --- functions --------------------------------------------------------------------------------------------------------------------------


def _checked(index: Node, extent: int) -> Node:
    if not index.dtype.is_integer:
        raise DTypeError(message("index: wrong dtype", received=index.dtype.name, expected="int64 or int32", fix="index.long()"))
    index = index if index.dtype in (dtypes.int64, dtypes.int32) else as_dtype(index, dtypes.int64)
    return b.check_index(index, extent)


def _index_select(x: Node, index: Node, dim: int) -> Node:
    if len(index.shape) > 1:
        raise ShapeError(message("index_select: the index has several axes", received=index.shape, expected="at most 1 axis"))
    if not x.shape:
        return x
    axis = canonical_axis(dim, len(x.shape), "index_select")
    return b.take(x, _checked(b.reshape(index, (-1,)), x.shape[axis]), axis)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return the positions `index` of an axis.

    Example:
        >>> import trine
        >>> trine.index_select(trine.tensor([[1, 2], [3, 4]]), 1, trine.tensor([1, 0]))
        tensor([[2, 1],
                [4, 3]])
    """
    result: Tensor = record(_index_select, (input, index), dim)
    return result


def _cropped(x: Node, index: Node, axis: int) -> Node:
    """Return `x` cut to the sizes of `index` on the axes other than `axis`."""
    if len(x.shape) != len(index.shape):
        raise ShapeError(
            message("gather: numbers of axes differ", received=f"{x.shape} and {index.shape}", expected="as many axes in index and input")
        )
    stop = tuple([n if k == axis else m for k, (n, m) in enumerate(zip(x.shape, index.shape, strict=True))])
    if any(m > n for m, n in zip(stop, x.shape, strict=True)):
        raise ShapeError(
            message(
                "gather: the index is too large",
                received=f"{index.shape} for {x.shape}",
                expected=f"at most the input's sizes off axis {axis}",
            )
        )
    return b.slice(x, (0,) * len(stop), stop)


def _gather(x: Node, index: Node, dim: int) -> Node:
    if not x.shape:
        return b.expand(x, index.shape) if index.shape else x
    axis = canonical_axis(dim, len(x.shape), "gather")
    return b.take_along(_cropped(x, index, axis), _checked(index, x.shape[axis]), axis)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """Return ``out[i][j] = input[index[i][j]][j]`` (for dim 0): one index per element of the result.

    Example:
        >>> import trine
        >>> trine.gather(trine.tensor([[1, 2], [3, 4]]), 1, trine.tensor([[0], [1]]))
        tensor([[1],
                [4]])
    """
    result: Tensor = record(_gather, (input, index), dim)
    return result


def _take_along_dim(x: Node, index: Node, dim: int) -> Node:
    axis = canonical_axis(dim, len(x.shape), "take_along_dim")
    shape = list(broadcast("take_along_dim", *[(*s[:axis], 1, *s[axis + 1 :]) for s in (x.shape, index.shape)]))
    shape[axis] = x.shape[axis]
    index_shape = (*shape[:axis], index.shape[axis], *shape[axis + 1 :])
    return b.take_along(b.expand(x, tuple(shape)), b.expand(_checked(index, x.shape[axis]), index_shape), axis)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Return the elements at `indices` along an axis, as `numpy.take_along_axis` (other axes broadcast); of the flat tensor for None.

    Example:
        >>> import trine
        >>> trine.take_along_dim(trine.tensor([[3, 1]]), trine.tensor([[1, 0]]), dim=1)
        tensor([[1, 3]])
    """
    if dim is None:
        input, indices, dim = input.reshape(-1), indices.reshape(-1), 0
    result: Tensor = record(_take_along_dim, (input, indices), dim)
    return result


def _take(x: Node, index: Node) -> Node:
    flat = b.reshape(x, (-1,))
    return b.take(flat, _checked(index, flat.shape[0]), 0)


def take(input: Tensor, index: Tensor) -> Tensor:
    """Return the elements at positions of the flat tensor.

    Example:
        >>> import trine
        >>> trine.take(trine.tensor([[1, 2], [3, 4]]), trine.tensor([0, 3]))
        tensor([1, 4])
    """
    result: Tensor = record(_take, (input, index))
    return result


_REDUCE_MODES = {None: "set", "add": "add", "sum": "add", "amax": "max", "amin": "min"}


def _scatter(x: Node, index: Node, source: Node, dim: int, mode: str) -> Node:
    if not x.shape:
        x1, index1 = b.reshape(x, (1,)), b.reshape(index, (1,))
        return b.reshape(_scatter(x1, index1, b.reshape(source, (1,)) if source.shape == () else source, 0, mode), ())
    axis = canonical_axis(dim, len(x.shape), "scatter")
    source = as_dtype(source, x.dtype)
    value = b.expand(source, index.shape) if not source.shape else _cropped(source, index, -1)
    cropped = _cropped(x, index, axis)
    result = b.put_along(cropped, _checked(index, x.shape[axis]), value, axis, mode)
    return result if cropped.shape == x.shape else b.update(x, result, (0,) * len(x.shape))


def scatter(
    input: Tensor, dim: int, index: Tensor, src: Operand | None = None, *, value: Operand | None = None, reduce: str | None = None
) -> Tensor:
    """Return `input` with ``out[index[i][j]][j] = src[i][j]`` (for dim 0); of duplicates the last one stays.

    Args:
        src, value: a tensor at least as large as `index`, or a number.
        reduce: None, or "add" to add instead.

    Example:
        >>> import trine
        >>> trine.scatter(trine.zeros(1, 3), 1, trine.tensor([[2]]), 5.0)
        tensor([[0., 0., 5.]])
    """
    check_choice("scatter", "reduce", reduce, (None, "add"))
    result: Tensor = record(_scatter, (input, index, value if src is None else src), dim, _REDUCE_MODES[reduce])
    return result


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Return `input` with ``out[index[i][j]][j] += src[i][j]`` (for dim 0).

    Example:
        >>> import trine
        >>> trine.scatter_add(trine.zeros(3), 0, trine.tensor([0, 0, 2]), trine.ones(3))
        tensor([2., 0., 1.])
    """
    result: Tensor = record(_scatter, (input, index, src), dim, "add")
    return result


def _scatter_mean(x: Node, index: Node, source: Node, dim: int, include_self: bool) -> Node:
    ones = b.ones_like(source)
    base = x if include_self else _scatter(x, index, number(0, x), dim, "set")
    count = b.ones_like(x) if include_self else _scatter(b.ones_like(x), index, number(0, x), dim, "set")
    return b.div(_scatter(base, index, source, dim, "add"), _scatter(count, index, as_dtype(ones, x.dtype), dim, "add"))


_NEUTRAL = {"add": 0.0, "max": -math.inf, "min": math.inf}


def _scatter_reduce(x: Node, index: Node, source: Node, dim: int, mode: str, include_self: bool) -> Node:
    if not include_self:
        if x.dtype.is_floating_point:
            neutral: float = _NEUTRAL[mode]
        else:
            info = np.iinfo(x.dtype.numpy)
            neutral = {"add": 0, "max": int(info.min), "min": int(info.max)}[mode]
        x = _scatter(x, index, number(neutral, x), dim, "set")
    return _scatter(x, index, source, dim, mode)


def scatter_reduce(input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True) -> Tensor:
    """Combine `src` into `input` at `index` by "sum", "mean", "amax" or "amin".

    Example:
        >>> import trine
        >>> trine.scatter_reduce(trine.zeros(2), 0, trine.tensor([0, 0]), trine.tensor([3., 5.]), "amax")
        tensor([5., 0.])
    """
    check_choice("scatter_reduce", "reduce", reduce, ("sum", "mean", "amax", "amin"))
    if reduce == "mean":
        result: Tensor = record(_scatter_mean, (input, index, src), dim, include_self)
    else:
        result = record(_scatter_reduce, (input, index, src), dim, _REDUCE_MODES[reduce], include_self)
    return result


def _index_write(x: Node, index: Node, source: Node, dim: int, mode: str) -> Node:
    axis = canonical_axis(dim, len(x.shape), "index_add")
    index = b.reshape(_checked(index, x.shape[axis]), (-1,))
    shape = (*x.shape[:axis], index.shape[0], *x.shape[axis + 1 :])
    return b.put(x, index, b.expand(as_dtype(source, x.dtype), shape), axis, mode)


def _index_add_scaled(x: Node, index: Node, source: Node, alpha: Node, dim: int) -> Node:
    return _index_write(x, index, b.mul(source, as_dtype(alpha, source.dtype)), dim, "add")


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """Return `input` with ``alpha * source`` added at positions of an axis.

    Example:
        >>> import trine
        >>> trine.index_add(trine.zeros(3), 0, trine.tensor([0, 0]), trine.tensor([1., 2.]))
        tensor([3., 0., 0.])
    """
    if alpha == 1:
        result: Tensor = record(_index_write, (input, index, source), dim, "add")
    else:
        result = record(_index_add_scaled, (input, index, source, alpha), dim)
    return result


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """Return `input` with `source` written at positions of an axis.

    Example:
        >>> import trine
        >>> trine.index_copy(trine.zeros(3), 0, trine.tensor([2]), trine.tensor([7.]))
        tensor([0., 0., 7.])
    """
    result: Tensor = record(_index_write, (input, index, source), dim, "set")
    return result


def index_fill(input: Tensor, dim: int, index: Tensor, value: Operand) -> Tensor:
    """Return `input` with a number written at positions of an axis.

    Example:
        >>> import trine
        >>> trine.index_fill(trine.zeros(3), 0, trine.tensor([0, 2]), 1)
        tensor([1., 0., 1.])
    """
    result: Tensor = record(_index_write, (input, index, value), dim, "set")
    return result


def index_put(input: Tensor, indices: Sequence[Tensor | None], values: Operand, accumulate: bool = False) -> Tensor:
    """Return `input` with `values` written (or added) at index tensors, one per axis.

    Example:
        >>> import trine
        >>> trine.index_put(trine.zeros(3), [trine.tensor([0, 0])], trine.tensor(1.0), accumulate=True)
        tensor([2., 0., 0.])
    """
    items = tuple([slice(None) if item is None else item for item in indices])
    box, advanced = parse_index(items, input.shape)
    found = integer_indices(advanced, box.shape)
    axes = tuple(sorted(found))
    result: Tensor = record(_put_indices, (input, values, *[found[axis] for axis in axes]), axes, accumulate)
    return result


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """Return the elements where a mask is True, in one axis (observes the mask).

    Example:
        >>> import trine
        >>> trine.masked_select(trine.tensor([1, 2, 3]), trine.tensor([True, False, True]))
        tensor([1, 3])
    """
    shape = broadcast("masked_select", tuple(input.shape), tuple(mask.shape))
    return getitem(input.expand(shape), mask.expand(shape))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Return `input` with the elements where `mask` is True replaced by those of `source`, in order (observes the mask).

    Example:
        >>> import trine
        >>> trine.masked_scatter(trine.zeros(3), trine.tensor([True, False, True]), trine.tensor([1., 2.]))
        tensor([1., 0., 2.])
    """
    shape = broadcast("masked_scatter", tuple(input.shape), tuple(mask.shape))
    positions = np.nonzero(np.broadcast_to(mask.detach().numpy(), shape).reshape(-1))[0]
    if len(positions) > source.numel():
        raise ShapeError(message("masked_scatter: too few elements", received=source.numel(), expected=f"at least {len(positions)}"))
    flat = index_copy(input.expand(shape).reshape(-1), 0, tensor(positions.astype(np.int64)), source.reshape(-1)[: len(positions)])
    result: Tensor = flat.reshape(shape)
    return result


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Tensor | tuple[Tensor, ...]:
    """Return the indices of the elements that are not zero, one row each, or one tensor per axis (observes the input).

    Example:
        >>> import trine
        >>> trine.nonzero(trine.tensor([0, 3, 0, 1]))
        tensor([[1],
                [3]])
    """
    array = input.detach().numpy()
    positions = np.nonzero(array) if array.ndim else np.nonzero(array.reshape(1))[:0]
    if as_tuple:
        return tuple([tensor(p.astype(np.int64)) for p in (positions or np.nonzero(array.reshape(1)))])
    if not array.ndim:
        return tensor(np.zeros((int(array != 0), 0), np.int64))
    return tensor(np.stack(positions, axis=1).astype(np.int64))


argwhere = nonzero


def where(condition: Tensor, input: Operand | None = None, other: Operand | None = None) -> Any:
    """Return `input` where the condition holds and `other` elsewhere; with the condition alone, `nonzero` as a tuple.

    Example:
        >>> import trine
        >>> trine.where(trine.tensor([True, False]), 1.0, 0.0)
        tensor([1., 0.])
    """
    from trine.ops.selection import where_nodes

    if input is None or other is None:
        return nonzero(condition, as_tuple=True)
    result: Tensor = record(where_nodes, (condition, input, other))
    return result
