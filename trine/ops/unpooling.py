"""Unpooling, which puts maxima back where they came from, and fractional pooling, whose windows have random places."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.arguments import spatial
from trine.ops.convolution import _batched
from trine.ops.pooling import Size, _with_indices
from trine.ops.promotion import as_dtype, size
from trine.tensor import Tensor, record

# --- unpooling ------------------------------------------------------------------------------------------------------------------------


def _max_unpool(x: Node, indices: Node, op: str, sizes: tuple[int, ...]) -> Node:
    rank = len(sizes)
    if x.shape != indices.shape:
        raise ShapeError(
            message(f"{op}: the indices do not fit", received=f"input {x.shape}, indices {indices.shape}", expected="one shape")
        )
    x, is_single = _batched(x, rank, op)
    batch, elements = x.shape[:2], math.prod(x.shape[2:])
    places = math.prod(sizes)
    # A place is not a Python index: a negative one moves below the range that check_index wraps.
    flat = as_dtype(b.reshape(indices, (*batch, elements)), dtypes.int64)
    negative = b.lt(flat, b.const(0, dtypes.int64))
    flat = b.check_index(b.where(negative, b.sub(flat, size(places, dtypes.int64)), flat), places)
    plane = b.put_along(b.full(0, (*batch, places), x.dtype), flat, b.reshape(x, (*batch, elements)), 2, "set")
    result = b.reshape(plane, (*batch, *sizes))
    return b.squeeze(result, 0) if is_single else result


def _unpooled_sizes(
    op: str, extents: Sequence[int], window: Sequence[int], stride: Sequence[int], padding: Sequence[int], wanted: Sequence[int] | None
) -> tuple[int, ...]:
    """Return the sizes before pooling: those wanted, if pooling can have led from them to `extents`."""
    rank = len(window)
    natural = [(n - 1) * s + k - 2 * p for n, k, s, p in zip(extents, window, stride, padding, strict=True)]
    if wanted is None:
        return tuple(natural)
    sizes = tuple(wanted)[-rank:]
    if len(wanted) not in (rank, rank + 1, rank + 2):
        raise ArgumentError(message(f"{op}: output_size does not fit", received=tuple(wanted), expected=f"{rank} sizes"))
    if any(not n - s < w < n + s for n, s, w in zip(natural, stride, sizes, strict=True)):
        received, expected = f"output_size {sizes}", f"about {tuple(natural)}, closer than the stride {tuple(stride)}"
        raise ArgumentError(message(f"{op}: no pooling leads from this size here", received=received, expected=expected))
    return sizes


def _make_max_unpool(rank: int) -> Callable[..., Tensor]:
    op = f"max_unpool{rank}d"

    def max_unpool(
        input: Tensor,
        indices: Tensor,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        output_size: Sequence[int] | None = None,
    ) -> Tensor:
        window = spatial(op, "kernel_size", kernel_size, rank)
        strides = window if stride is None or stride == () or stride == [] else spatial(op, "stride", stride, rank)
        sizes = _unpooled_sizes(op, input.shape[-rank:], window, strides, spatial(op, "padding", padding, rank), output_size)
        result: Tensor = record(_max_unpool, (input, indices), op, sizes)
        return result

    ones = "1, " * rank
    max_unpool.__name__ = max_unpool.__qualname__ = op
    max_unpool.__module__ = __name__
    max_unpool.__doc__ = f"""Return zeros with the elements of the input at `indices`: a partial inverse of `max_pool{rank}d`.

    Args:
        input, indices: what ``max_pool{rank}d(…, return_indices=True)`` gave; an index is a place in the flat spatial plane.
        kernel_size, stride, padding: those of the pooling. output_size: the size before it, where several lead here.

    Raises:
        ArgumentError: no pooling leads from `output_size` to the input. IndexError: an index lies outside of the plane.

    Example:
        >>> import trine
        >>> x, places = trine.tensor([5.0]).reshape({ones}1), trine.tensor([1]).reshape({ones}1)
        >>> trine.nn.functional.{op}(x, places, ({"1, " * (rank - 1)}2,)).flatten()
        tensor([0., 5.])
    """
    return max_unpool


max_unpool1d, max_unpool2d, max_unpool3d = _make_max_unpool(1), _make_max_unpool(2), _make_max_unpool(3)


# --- fractional pooling ---------------------------------------------------------------------------------------------------------------


def _starts(sample: Node, extent: int, count: int, window: int) -> Node:
    """Return the first element of each window of an axis, (N, C, count), for random numbers (N, C)."""
    wide = dtypes.float64 if sample.dtype is dtypes.float64 else dtypes.float32
    end = size(extent - window, dtypes.int64)
    shape = (*sample.shape, count)
    if count == 1:
        return b.expand(b.reshape(end, (1, 1, 1)), shape)
    alpha = b.div(as_dtype(end, wide), size(count - 1, wide))
    shift = b.unsqueeze(as_dtype(sample, wide), 2)
    position = b.iota(shape, 2)
    moved = b.trunc(b.mul(b.add(b.cast(position, wide), shift), alpha))
    start = b.cast(b.sub(moved, b.trunc(b.mul(shift, alpha))), dtypes.int64)
    return b.where(b.eq(position, size(count - 1, dtypes.int64)), end, start)


def _fractional_max_pool(x: Node, samples: Node, op: str, window: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[Node, Node]:
    """Return maxima and their places; `samples` has the shape (N, C, axes)."""
    rank = len(window)
    x, is_single = _batched(x, rank, op)
    extents, batch = x.shape[2:], x.shape[:2]
    if any(w < 1 or m < 1 or m + w - 1 > n for n, w, m in zip(extents, window, sizes, strict=True)):
        received, expected = f"window {window}, output size {sizes} for {extents}", "output size + window - 1 of at most the input size"
        raise ShapeError(message(f"{op}: the windows do not fit", received=received, expected=expected))
    if samples.shape != (*batch, rank):
        raise ShapeError(message(f"{op}: _random_samples", received=f"shape {samples.shape}", expected=f"shape {(*batch, rank)}"))
    # The plane goes through its axes in order, save that in two dimensions the first number belongs to the width.
    order = (1, 0) if rank == 2 else tuple(range(rank))
    grid = (*batch, *sizes, *window)
    flat: Node | None = None
    for axis in range(rank):
        sample = b.reshape(b.slice(samples, (0, 0, order[axis]), (*batch, order[axis] + 1)), batch)
        start = _starts(sample, extents[axis], sizes[axis], window[axis])
        start = b.reshape(start, (*batch, *(sizes[k] if k == axis else 1 for k in range(rank)), *(1,) * rank))
        place = b.add(start, b.iota(grid, 2 + rank + axis))
        flat = place if flat is None else b.add(b.mul(flat, size(extents[axis], dtypes.int64)), place)
    count, elements = math.prod(sizes), math.prod(window)
    places = b.reshape(flat if flat is not None else samples, (*batch, count * elements))
    values = b.reshape(b.take_along(b.reshape(x, (*batch, math.prod(extents))), places, 2), (*batch, count, elements))
    chosen = b.argmax(values, 3)
    results = (b.take_along(values, chosen, 3), b.take_along(b.reshape(places, values.shape), chosen, 3))
    maxima, where = [b.reshape(r, (*batch, *sizes)) for r in results]
    return (b.squeeze(maxima, 0), b.squeeze(where, 0)) if is_single else (maxima, where)


def _fractional_sizes(op: str, extents: Sequence[int], output_size: Any, output_ratio: Any) -> tuple[int, ...]:
    rank = len(extents)
    if (output_size is None) == (output_ratio is None):
        received = f"output_size={output_size}, output_ratio={output_ratio}"
        raise ArgumentError(message(f"{op}: output_size or output_ratio", received=received, expected="one of them"))
    if output_size is not None:
        return spatial(op, "output_size", output_size, rank)
    ratios = (output_ratio,) * rank if isinstance(output_ratio, (int, float)) else tuple(output_ratio)
    if len(ratios) != rank:
        raise ArgumentError(message(f"{op}: output_ratio does not fit", received=output_ratio, expected=f"a number, or {rank} of them"))
    return tuple([int(n * r) for n, r in zip(extents, ratios, strict=True)])


def _make_fractional(rank: int) -> Callable[..., Any]:
    op = f"fractional_max_pool{rank}d"

    def fractional_max_pool(
        input: Tensor,
        kernel_size: Size,
        output_size: Size | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> Any:
        from trine.ops.random import uniform_like

        window = spatial(op, "kernel_size", kernel_size, rank)
        sizes = _fractional_sizes(op, input.shape[-rank:], output_size, output_ratio)
        if _random_samples is None:
            batch = input.shape[:2] if input.dim() == rank + 2 else (1, input.shape[0])
            _random_samples = uniform_like(input.new_empty((*batch, rank)))
        values, indices = record(_fractional_max_pool, (input, _random_samples), op, window, sizes)
        return (values, indices) if return_indices else values

    ones = ", ".join(["1"] * (rank + 1))
    fractional_max_pool.__name__ = fractional_max_pool.__qualname__ = op
    fractional_max_pool.__module__ = __name__
    fractional_max_pool.__doc__ = f"""Return the maxima of overlapping windows at random places (Graham, 2014).

    Args:
        input: (N, C, *spatial) or (C, *spatial), {rank} spatial axes.
        output_size: number of windows per axis; or output_ratio: that number as a share of the input size.
        return_indices: return also the flat place of each maximum in its spatial plane.

    Example:
        >>> import trine
        >>> trine.nn.functional.{op}(trine.ones({ones}, 4), ({"1, " * (rank - 1)}2,), ({"1, " * (rank - 1)}2,)).flatten()
        tensor([1., 1.])
    """
    return fractional_max_pool


fractional_max_pool2d, fractional_max_pool3d = _make_fractional(2), _make_fractional(3)
fractional_max_pool2d_with_indices = _with_indices(fractional_max_pool2d, "trine.ones(1, 1, 1, 1), 1, 1")
fractional_max_pool3d_with_indices = _with_indices(fractional_max_pool3d, "trine.ones(1, 1, 1, 1, 1), 1, 1")
