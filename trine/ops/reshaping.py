"""In-place changes of shape (`squeeze_`, `transpose_` …), which make a tensor a view of its own memory, and writes to diagonals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trine.core import build as b
from trine.core.graph import Node
from trine.errors import InPlaceError, ShapeError, message
from trine.ops import movement, viewing
from trine.ops.promotion import as_dtype
from trine.tensor import Tensor, record
from trine.tensor.alias import assign, is_leaf
from trine.tensor.recorder import held_back, local


def become_view(tensor: Tensor, view: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """Make a tensor what ``view(tensor, *arguments)`` shows, and return it.

    Raises:
        InPlaceError: the tensor is a leaf that requires grad.
    """
    if tensor.requires_grad and is_leaf(tensor) and local.grad_enabled:
        raise InPlaceError(
            message("in-place change of the shape of a leaf", received="requires_grad=True", fix="use the out-of-place operation")
        )
    with held_back():
        shown = view(tensor, *arguments)
        trace = local.trace
        was_listed = tensor._buffer is None and tensor._trace is trace
        for name in ("_trace", "_slot", "_meta", "_buffer", "_alias", "_path", "_alias_version", "_fragment"):
            setattr(tensor, name, getattr(shown, name))
        if tensor._buffer is None and not was_listed:
            trace.handles.append(tensor)
    tensor._version += 1
    return tensor


def squeeze_(input: Tensor, dim: Any = None) -> Tensor:
    """Remove axes of size 1 in place; see `trine.squeeze`.

    Example:
        >>> import trine
        >>> trine.zeros(1, 2).squeeze_().shape
        trine.Size([2])
    """
    return become_view(input, movement.squeeze, dim)


def unsqueeze_(input: Tensor, dim: int) -> Tensor:
    """Insert an axis of size 1 in place; see `trine.unsqueeze`.

    Example:
        >>> import trine
        >>> trine.zeros(2).unsqueeze_(0).shape
        trine.Size([1, 2])
    """
    return become_view(input, movement.unsqueeze, dim)


def transpose_(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchange two axes in place; see `trine.transpose`.

    Example:
        >>> import trine
        >>> trine.zeros(2, 3).transpose_(0, 1).shape
        trine.Size([3, 2])
    """
    return become_view(input, movement.transpose, dim0, dim1)


def t_(input: Tensor) -> Tensor:
    """Transpose a matrix in place; see `trine.t`.

    Example:
        >>> import trine
        >>> trine.zeros(2, 3).t_().shape
        trine.Size([3, 2])
    """
    return become_view(input, movement.t)


def as_strided_(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """Give the tensor other sizes and strides in its memory, in place; see `trine.as_strided`.

    Example:
        >>> import trine
        >>> trine.arange(4).as_strided_((2,), (2,))
        tensor([0, 2])
    """
    return become_view(input, viewing.as_strided, size, stride, storage_offset)


def _with_diagonal(x: Node, value: Node, wrap: bool) -> Node:
    rows, columns = x.shape[-2:]
    if len(x.shape) > 2:
        place = b.iota(x.shape, 0)
        same = b.eq(place, b.iota(x.shape, 1))
        for axis in range(2, len(x.shape)):
            same = b.bitwise_and(same, b.eq(place, b.iota(x.shape, axis)))
    else:
        row = b.iota(x.shape, 0)
        row = b.remainder(row, b.const(columns + 1, row.dtype)) if wrap and rows > columns else row
        same = b.eq(row, b.iota(x.shape, 1))
    return b.where(same, as_dtype(value, x.dtype), x)


def fill_diagonal_(input: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Write a number to the main diagonal in place; with `wrap` the diagonal begins again below a tall matrix, after an empty row.

    Raises:
        ShapeError: less than two axes, or more than two of different sizes.

    Example:
        >>> import trine
        >>> trine.zeros(2, 2).fill_diagonal_(5)
        tensor([[5., 0.],
                [0., 5.]])
    """
    shape = tuple(input.shape)
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise ShapeError(message("fill_diagonal_: the shape", received=str(shape), expected="a matrix, or more axes of equal sizes"))
    return assign(input, record(_with_diagonal, (input, fill_value), wrap))


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Return whether two tensors have the same shape.

    Example:
        >>> import trine
        >>> trine.zeros(2).is_same_size(trine.ones(2))
        True
    """
    return tuple(input.shape) == tuple(other.shape)
