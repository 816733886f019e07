"""Indexing: ``x[...]``, ``x[...] = value``, and the functions that read and write by index tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, IndexOutOfRangeError, ShapeError, message
from trine.ops.arguments import write_out
from trine.ops.arithmetic import Operand
from trine.ops.index_parsing import Box, box_view, integer_box, integer_indices, parse_index
from trine.ops.promotion import as_dtype, size, with_zero_gradient
from trine.ops.scattering import checked_index, cropped, index_copy
from trine.shapes import broadcast, canonical_axis
from trine.tensor import Tensor, record, record_view
from trine.tensor.convert import as_tensor, tensor

# --- advanced indexing as one take or put ---------------------------------------------------------------------------------------------


def _linear_index(shape: tuple[int, ...], axes: tuple[int, ...], indices: Sequence[Node]) -> Node:
    """Return positions in the merged axes (checked, row-major), broadcast over all indices."""
    _check_broadcast([index.shape for index in indices])
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


def _check_broadcast(shapes: list[tuple[int, ...]]) -> None:
    try:
        broadcast("index", *shapes)
    except ShapeError as error:
        received = " and ".join(str(shape) for shape in shapes)
        expected = "shapes that broadcast together"
        raise IndexOutOfRangeError(message("index: the index tensors do not fit", received=received, expected=expected)) from error


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
    mode = "set" if not accumulate else "max" if x.dtype is dtypes.bool_ else "add"
    result = b.put(merged, index, value, place, mode)
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


def _index_select(x: Node, index: Node, dim: int) -> Node:
    if len(index.shape) > 1:
        raise ShapeError(message("index_select: the index has several axes", received=index.shape, expected="at most 1 axis"))
    if not x.shape:
        return x
    axis = canonical_axis(dim, len(x.shape), "index_select")
    return b.take(x, checked_index(b.reshape(index, (-1,)), x.shape[axis]), axis)


def index_select(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the positions `index` of an axis.

    Example:
        >>> import trine
        >>> trine.index_select(trine.tensor([[1, 2], [3, 4]]), 1, trine.tensor([1, 0]))
        tensor([[2, 1],
                [4, 3]])
    """
    return write_out(record(_index_select, (input, index), dim), out)


def _gather(x: Node, index: Node, dim: int) -> Node:
    shape = index.shape
    x, index = (node if node.shape else b.reshape(node, (1,)) for node in (x, index))
    axis = canonical_axis(dim, len(x.shape), "gather")
    if 0 in index.shape:
        return with_zero_gradient(b.full(0, shape, x.dtype), x)
    return b.reshape(b.take_along(cropped(x, index, axis, "gather"), checked_index(index, x.shape[axis], "gather"), axis), shape)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Tensor | None = None) -> Tensor:
    """Return ``out[i][j] = input[index[i][j]][j]`` (for dim 0): one index per element of the result.

    Example:
        >>> import trine
        >>> trine.gather(trine.tensor([[1, 2], [3, 4]]), 1, trine.tensor([[0], [1]]))
        tensor([[1],
                [4]])
    """
    return write_out(record(_gather, (input, index), dim), out)


def _take_along_dim(x: Node, index: Node, dim: int) -> Node:
    axis = canonical_axis(dim, len(x.shape), "take_along_dim")
    shape = list(broadcast("take_along_dim", *[(*s[:axis], 1, *s[axis + 1 :]) for s in (x.shape, index.shape)]))
    shape[axis] = x.shape[axis]
    index_shape = (*shape[:axis], index.shape[axis], *shape[axis + 1 :])
    return b.take_along(b.expand(x, tuple(shape)), b.expand(checked_index(index, x.shape[axis]), index_shape), axis)


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None, *, out: Tensor | None = None) -> Tensor:
    """Return the elements at `indices` along an axis, as `numpy.take_along_axis` (other axes broadcast); of the flat tensor for None.

    Example:
        >>> import trine
        >>> trine.take_along_dim(trine.tensor([[3, 1]]), trine.tensor([[1, 0]]), dim=1)
        tensor([[1, 3]])
    """
    if dim is None:
        input, indices, dim = input.reshape(-1), indices.reshape(-1), 0
    return write_out(record(_take_along_dim, (input, indices), dim), out)


def _take(x: Node, index: Node) -> Node:
    flat = b.reshape(x, (-1,))
    return b.take(flat, checked_index(index, flat.shape[0]), 0)


def take(input: Tensor, index: Tensor) -> Tensor:
    """Return the elements at positions of the flat tensor.

    Example:
        >>> import trine
        >>> trine.take(trine.tensor([[1, 2], [3, 4]]), trine.tensor([0, 3]))
        tensor([1, 4])
    """
    result: Tensor = record(_take, (input, index))
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


def masked_select(input: Tensor, mask: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the elements where a mask is True, in one axis (observes the mask).

    Example:
        >>> import trine
        >>> trine.masked_select(trine.tensor([1, 2, 3]), trine.tensor([True, False, True]))
        tensor([1, 3])
    """
    shape = broadcast("masked_select", tuple(input.shape), tuple(mask.shape))
    return write_out(getitem(input.expand(shape), mask.expand(shape)), out)


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


def nonzero(input: Tensor, *, as_tuple: bool = False, out: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
    """Return the indices of the elements that are not zero, one row each, or one tensor per axis (observes the input).

    Example:
        >>> import trine
        >>> trine.nonzero(trine.tensor([0, 3, 0, 1]))
        tensor([[1],
                [3]])
    """
    array = input._numbers()
    positions = np.nonzero(array) if array.ndim else np.nonzero(array.reshape(1))[:0]
    if as_tuple:
        return tuple([tensor(p.astype(np.int64)) for p in (positions or np.nonzero(array.reshape(1)))])
    if not array.ndim:
        return write_out(tensor(np.zeros((int(array != 0), 0), np.int64)), out)
    return write_out(tensor(np.stack(positions, axis=1).astype(np.int64)), out)


def argwhere(input: Tensor) -> Tensor:
    """Return the indices of the elements that are not zero, one row each (observes the input).

    Example:
        >>> import trine
        >>> trine.argwhere(trine.tensor([0, 3]))
        tensor([[1]])
    """
    result: Any = nonzero(input)
    return result  # type: ignore[no-any-return]


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1, out: Tensor | None = None) -> Tensor:
    """Return the indices of the first `size` elements that are not zero, one row each; rows that are left over hold `fill_value`.

    Example:
        >>> import trine
        >>> trine.nonzero_static(trine.tensor([0, 3, 0, 1]), size=3)
        tensor([[ 1],
                [ 3],
                [-1]])
    """
    if size < 0:
        raise ArgumentError(message("nonzero_static: the size", received=size, expected="0 or more"))
    found = np.argwhere(input._numbers())[:size].astype(np.int64)
    rows = np.full((size, input.dim()), fill_value, np.int64)
    rows[: len(found)] = found
    return write_out(tensor(rows), out)


def where(condition: Tensor, input: Operand | None = None, other: Operand | None = None, *, out: Tensor | None = None) -> Any:
    """Return `input` where the condition holds and `other` elsewhere; with the condition alone, `nonzero` as a tuple.

    Example:
        >>> import trine
        >>> trine.where(trine.tensor([True, False]), 1.0, 0.0)
        tensor([1., 0.])
    """
    from trine.ops.selection import where_nodes

    if input is None or other is None:
        return nonzero(condition, as_tuple=True)
    return write_out(record(where_nodes, (condition, input, other)), out)
