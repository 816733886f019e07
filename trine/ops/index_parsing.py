"""Reading an index expression: the basic part becomes a strided box, the rest index tensors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, IndexOutOfRangeError, message
from trine.tensor import Tensor
from trine.tensor.convert import tensor


class Box(NamedTuple):
    """The basic part of an index: a strided box, which of its axes stay, and where new axes go.

    Attributes:
        start, stop, step: bounds per axis of the tensor.
        shape: shape of the view (dropped axes gone, new axes of size 1).
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]
    step: tuple[int, ...]
    shape: tuple[int, ...]


def box_view(x: Node, box: Box) -> Node:
    """Return the elements of a box: movement primitives only."""
    return b.reshape(b.slice(x, box.start, box.stop, box.step), box.shape)


def _as_index_item(item: Any) -> Any:
    """Return an int, slice, None, Ellipsis or index tensor."""
    if isinstance(item, bool) or item is None or item is Ellipsis or isinstance(item, (int, slice, Tensor)):
        if isinstance(item, Tensor) and item.dtype is dtypes.uint8:
            return item.bool()
        return item
    if isinstance(item, (list, tuple, np.ndarray, range)):
        found = tensor(list(item) if isinstance(item, range) else item)
        if found.numel() == 0 and found.dtype is not dtypes.bool_:
            found = found.long()
        return found
    if hasattr(item, "__index__"):
        return item.__index__()
    raise IndexOutOfRangeError(
        message(
            "index: not an index",
            received=f"{item!r} of type {type(item).__name__}",
            expected="integers, slices, None, ..., integer or bool tensors, and sequences of these",
        )
    )


def _is_several(index: Any) -> bool:
    """Return True for a tuple of indices, and for a (short) list that holds more than numbers, which PyTorch reads as one."""
    if isinstance(index, tuple):
        return True
    kinds = (list, tuple, range, np.ndarray, Tensor, slice, type(None), type(Ellipsis))
    return isinstance(index, list) and len(index) < 32 and any(isinstance(item, kinds) for item in index)


def _is_position(item: Any) -> bool:
    return isinstance(item, Tensor) and item.dim() == 0 and item.dtype.is_integer


def _is_advanced(item: Any) -> bool:
    return isinstance(item, bool) or (isinstance(item, Tensor) and not _is_position(item))


def _consumed(item: Any) -> int:
    """Return how many axes of the tensor an item indexes."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.dim() if isinstance(item, Tensor) and item.dtype is dtypes.bool_ else 1


def _expand_ellipsis(items: list[Any], rank: int) -> list[Any]:
    """Replace ... by full slices, and add the missing ones at the end."""
    used = sum(_consumed(item) for item in items)
    if used > rank:
        raise IndexOutOfRangeError(
            message("index: too many indices", received=used, expected=f"at most {rank} for a tensor with {rank} axes")
        )
    places = [k for k, item in enumerate(items) if item is Ellipsis]
    if len(places) > 1:
        raise IndexOutOfRangeError(message("index: several ellipses", received=len(places), expected="at most one ..."))
    place = places[0] if places else len(items)
    return items[:place] + [slice(None)] * (rank - used) + items[place + 1 :]


def _slice_bounds(item: slice, extent: int) -> tuple[int, int, int]:
    step = 1 if item.step is None else item.step.__index__()
    if step <= 0:
        raise ArgumentError(
            message("index: the step of a slice must be positive", received=step, expected="1 or more", fix="use flip to reverse")
        )
    start, stop, _ = slice(item.start, item.stop, step).indices(extent)
    return start, max(start, stop), step


def parse_index(index: Any, shape: Sequence[int]) -> tuple[Box, dict[int, Any]]:
    """Split an index into a box and the index tensors that apply to axes of its view.

    Returns:
        The box, and index tensors (or bool, for True and False) by axis of the view; a bool tensor covers as many axes as it has.
    """
    items = [_as_index_item(item) for item in (tuple(index) if _is_several(index) else (index,))]
    if any(_is_position(item) for item in items) and any(_is_advanced(item) for item in items):
        # beside other index tensors it selects where it stands, as an integer does
        items = [item.item() if _is_position(item) else item for item in items]
    start, stop, step, view_shape = [], [], [], []
    advanced: dict[int, Any] = {}
    axis = 0
    for item in _expand_ellipsis(items, len(shape)):
        if item is None:
            view_shape.append(1)
            continue
        if isinstance(item, bool):
            advanced[len(view_shape)] = item
            view_shape.append(1)
            continue
        if isinstance(item, Tensor):
            advanced[len(view_shape)] = item
        count = _consumed(item)
        for extent in shape[axis : axis + count]:
            if isinstance(item, slice):
                low, high, stride = _slice_bounds(item, extent)
                view_shape.append((high - low + stride - 1) // stride)
            elif isinstance(item, int):
                low, stride = _checked_position(item, extent, axis), 1
                high = low + 1
            else:
                low, high, stride = 0, extent, 1
                view_shape.append(extent)
            start.append(low)
            stop.append(high)
            step.append(stride)
        if count == 0 and isinstance(item, Tensor):
            view_shape.append(1)
        axis += count
    return Box(tuple(start), tuple(stop), tuple(step), tuple(view_shape)), advanced


def _checked_position(index: int, extent: int, axis: int) -> int:
    if not -extent <= index < extent:
        raise IndexOutOfRangeError(
            message(
                "index: out of range",
                received=f"{index} on axis {axis}",
                expected=f"from {-extent} to {extent - 1} (the axis has {extent} elements)",
            )
        )
    return index % extent


@lru_cache(maxsize=1 << 14)
def integer_box(index: int, shape: tuple[int, ...]) -> Box:
    """Return the box of ``x[index]`` for an x of this shape (what `parse_index` finds, known again at once)."""
    return parse_index(index, shape)[0]


def integer_indices(advanced: dict[int, Any], view_shape: tuple[int, ...]) -> dict[int, Tensor]:
    """Replace masks by the positions of their True elements (which observes the masks), one integer tensor per axis."""
    indices: dict[int, Tensor] = {}
    for axis, item in advanced.items():
        if isinstance(item, bool):
            indices[axis] = tensor(np.zeros(int(item), np.int64))
        elif item.dtype is dtypes.bool_:
            covered = view_shape[axis : axis + max(item.dim(), 1)]
            if item.dim() and tuple(item.shape) != covered:
                raise IndexOutOfRangeError(
                    message("index: the mask does not fit", received=f"mask of shape {tuple(item.shape)}", expected=f"shape {covered}")
                )
            mask = item.detach().numpy()
            positions = np.nonzero(mask) if item.dim() else (np.zeros(int(mask), np.int64),)
            for k, position in enumerate(positions):
                indices[axis + k] = tensor(position.astype(np.int64))
        elif item.dtype.is_integer:
            indices[axis] = item
        else:
            raise IndexOutOfRangeError(
                message(
                    "index: tensors used as indices must be integer or bool",
                    received=item.dtype.name,
                    expected="int64, int32, uint8 or bool",
                )
            )
    return indices
