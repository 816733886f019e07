"""Order statistics: medians, quantiles and modes."""

from __future__ import annotations

from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, message
from trine.ops.arguments import write_out, write_outs
from trine.ops.promotion import as_dtype, number, size
from trine.ops.reduction import ValuesAndIndices
from trine.shapes import canonical_axis
from trine.tensor import Tensor, record


def _with_axis_last(x: Node, dim: int | None, op: str) -> tuple[Node, int]:
    """Return the node with the axis moved to the end (all axes in one for None; a 0-d node gets an axis), and where it was."""
    if dim is None or not x.shape:
        canonical_axis(0 if dim is None else dim, max(len(x.shape), 1), op)
        return b.reshape(x, (-1,)), 0
    axis = canonical_axis(dim, len(x.shape), op)
    order = (*[k for k in range(len(x.shape)) if k != axis], axis)
    return b.permute(x, order), axis


def _with_axis_back(x: Node, shape: tuple[int, ...], axis: int, keepdim: bool) -> Node:
    """Return the node, whose last axis has size 1, with that axis at its place or gone."""
    if not shape:
        return b.reshape(x, ())
    kept = tuple([s for k, s in enumerate(shape) if k != axis])
    return b.reshape(x, (*shape[:axis], 1, *shape[axis + 1 :]) if keepdim else kept)


def _middle(x: Node, dim: int | None, keepdim: bool, ignore_nan: bool, op: str) -> tuple[Node, Node]:
    moved, axis = _with_axis_last(x, dim, op)
    last = len(moved.shape) - 1
    extent = moved.shape[last]
    if extent == 0:
        raise ArgumentError(message(f"{op}: no elements", received=f"an axis of size 0 in shape {x.shape}", expected="at least one"))
    order = b.argsort(moved, last, False)
    nan = b.isnan(moved)
    count = b.sum(b.cast(b.logical_not(nan), dtypes.int64), (last,))
    middle = b.floor_div(b.sub(count, b.const(1, dtypes.int64)), b.const(2, dtypes.int64))
    if x.dtype.is_floating_point:
        # NaN sorts last: where one counts, the first of them is the median; without a number any will do.
        position = b.maximum(middle, b.const(0, dtypes.int64))
        if not ignore_nan:
            position = b.where(b.lt(count, b.const(extent, dtypes.int64)), count, position)
    else:
        position = middle
    index = b.take_along(order, position, last)
    values = b.take_along(moved, index, last)
    shape = () if dim is None else x.shape
    return _with_axis_back(values, shape, axis, keepdim), _with_axis_back(index, shape, axis, keepdim)


def _median(x: Node, dim: int, keepdim: bool) -> tuple[Node, Node]:
    return _middle(x, dim, keepdim, False, "median")


def _nanmedian(x: Node, dim: int, keepdim: bool) -> tuple[Node, Node]:
    return _middle(x, dim, keepdim, True, "nanmedian")


def _of_all(x: Node, ignore_nan: bool) -> Node:
    if 0 in x.shape and x.dtype.is_floating_point:
        return number(float("nan"), x)
    return _middle(x, None, False, ignore_nan, "nanmedian" if ignore_nan else "median")[0]


def median(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Return the median, the lower one of two; along an axis also where it was. NaN if there is one.

    Example:
        >>> import trine
        >>> trine.median(trine.tensor([3, 1, 2, 4]))
        tensor(2)
        >>> trine.median(trine.tensor([[3, 1, 2]]), dim=1).indices
        tensor([2])
    """
    if dim is None:
        return write_out(record(_of_all, (input,), False), out)
    return ValuesAndIndices(*write_outs(record(_median, (input,), dim, keepdim), out))


def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Return the median of the elements that are not NaN; NaN where there are none.

    Example:
        >>> import trine
        >>> trine.nanmedian(trine.tensor([3.0, float('nan'), 2.0, 4.0]))
        tensor(3.)
    """
    if dim is None:
        return write_out(record(_of_all, (input,), True), out)
    return ValuesAndIndices(*write_outs(record(_nanmedian, (input,), dim, keepdim), out))


def _mode(x: Node, dim: int, keepdim: bool) -> tuple[Node, Node]:
    """Sort; the length of the run so far is largest at the end of the longest run, and the first of equals has the smallest value."""
    moved, axis = _with_axis_last(x, dim, "mode")
    last = len(moved.shape) - 1
    order = b.argsort(moved, last, False)
    ordered = b.take_along(moved, order, last)
    extent = moved.shape[last]
    position = b.iota(moved.shape, last)
    if extent > 1:
        starts, stops = (0,) * last, moved.shape[:-1]
        later = b.slice(ordered, (*starts, 1), (*stops, extent))
        earlier = b.slice(ordered, (*starts, 0), (*stops, extent - 1))
        begins = b.pad(b.ne(later, earlier), (*starts, 1), (0,) * (last + 1), True)
        position = b.sub(position, b.cummax(b.where(begins, position, b.const(0, dtypes.int64)), last, False))
    end = b.argmax(position, last)
    index = b.take_along(order, end, last)
    values = b.take_along(moved, index, last)
    return _with_axis_back(values, x.shape, axis, keepdim), _with_axis_back(index, x.shape, axis, keepdim)


def mode(input: Tensor, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> ValuesAndIndices:
    """Return the most frequent element along an axis (the smallest of equally frequent ones) and its last position.

    Example:
        >>> import trine
        >>> trine.mode(trine.tensor([3, 1, 2, 3]))
        ValuesAndIndices(values=tensor(3), indices=tensor(3))
    """
    return ValuesAndIndices(*write_outs(record(_mode, (input,), dim, keepdim), out))


# --- quantiles ----------------------------------------------------------------------------------------------------------------------

INTERPOLATIONS = ("linear", "lower", "higher", "nearest", "midpoint")


def _bracket(position: Node, interpolation: str) -> tuple[Node, Node]:
    """Return the positions of the two elements between which a quantile lies."""
    low, high = b.floor(position), b.ceil(position)
    if interpolation == "nearest":
        low = high = b.round(position)
    elif interpolation in ("lower", "higher"):
        low = high = low if interpolation == "lower" else high
    return low, high


def _quantile(x: Node, q: Node, dim: int | None, keepdim: bool, interpolation: str, ignore_nan: bool) -> Node:
    """Return quantiles: positions are computed at run time, for each row where NaNs are left out, and gathered from the sorted axis."""
    moved, axis = _with_axis_last(x, dim, "quantile")
    last = len(moved.shape) - 1
    ordered = b.take_along(moved, b.argsort(moved, last, False), last)
    extent = size(moved.shape[last], x.dtype)
    one, zero = number(1, x), number(0, x)
    count = b.sum(as_dtype(b.logical_not(b.isnan(moved)), x.dtype), (last,))
    levels = b.reshape(as_dtype(q, x.dtype), (-1,))
    top = b.maximum(b.sub(count if ignore_nan else b.expand(extent, count.shape), one), zero)
    position = b.mul(b.expand(top, (*top.shape[:-1], levels.shape[0])), levels)
    low, high = _bracket(position, interpolation)
    below, above = (b.take_along(ordered, b.cast(p, dtypes.int64), last) for p in (low, high))
    weight = number(0.5, position) if interpolation == "midpoint" else b.sub(position, low)
    result = b.add(below, b.mul(weight, b.sub(above, below)))
    if not ignore_nan:
        # A NaN sorts last: it makes the quantile NaN.
        result = b.where(b.lt(count, extent), number(float("nan"), x), result)
    result = b.permute(result, (last, *range(last)))
    rows = (1,) * len(x.shape) if dim is None else (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    kept = rows if keepdim else () if dim is None else tuple([s for k, s in enumerate(x.shape) if k != axis])
    return b.reshape(result, (*q.shape, *(kept if x.shape else ())))


def _quantiles(
    op: str, input: Tensor, q: float | Tensor, dim: int | None, keepdim: bool, interpolation: str, ignore_nan: bool, out: Tensor | None
) -> Tensor:
    if interpolation not in INTERPOLATIONS:
        raise ArgumentError(message(f"{op}: no such interpolation", received=repr(interpolation), expected=", ".join(INTERPOLATIONS)))
    if not input.dtype.is_floating_point:
        raise DTypeError(message(f"{op}: wrong dtype", received=input.dtype.name, expected="float32 or float64", fix="x.float()"))
    if isinstance(q, Tensor):
        if q.dtype is not input.dtype or q.dim() > 1:
            received = f"{q.dtype.name} of shape {tuple(q.shape)}"
            raise DTypeError(message(f"{op}: q does not fit", received=received, expected=f"{input.dtype.name}, 0 or 1 axes"))
    elif not 0 <= q <= 1:
        raise ArgumentError(message(f"{op}: q is out of range", received=q, expected="a number from 0 to 1"))
    if input.numel() == 0:
        raise ArgumentError(message(f"{op}: no elements", received=f"shape {tuple(input.shape)}", expected="at least one element"))
    operands = (input, q if isinstance(q, Tensor) else float(q))
    return write_out(record(_quantile, operands, dim, keepdim, interpolation, ignore_nan), out)


def quantile(
    input: Tensor,
    q: float | Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """Return quantiles of the elements, of the flat tensor or along an axis; several q add a first axis. NaN where there is a NaN.

    Raises:
        ArgumentError: q lies outside [0, 1], or there are no elements. DTypeError: the input is not floating point.

    Example:
        >>> import trine
        >>> trine.quantile(trine.tensor([1., 2., 3., 4.]), 0.5)
        tensor(2.5000)
    """
    return _quantiles("quantile", input, q, dim, keepdim, interpolation, False, out)


def nanquantile(
    input: Tensor,
    q: float | Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """Return quantiles of the elements that are not NaN; NaN where there are none.

    Example:
        >>> import trine
        >>> trine.nanquantile(trine.tensor([1., float('nan'), 3.]), 0.5)
        tensor(2.)
    """
    return _quantiles("nanquantile", input, q, dim, keepdim, interpolation, True, out)
