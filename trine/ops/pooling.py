"""Pooling over windows of one to three spatial axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.ops.arguments import spatial
from trine.ops.convolution import _batched
from trine.ops.promotion import number, size
from trine.ops.reduction import mean_keeping_axes
from trine.tensor import Tensor, record

Size = int | Sequence[int]


def output_sizes(
    op: str,
    extents: Sequence[int],
    window: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> tuple[int, ...]:
    """Return the number of windows per axis; in ceil mode a last window may reach beyond the end, but must begin inside."""
    result = []
    for n, k, s, p, d in zip(extents, window, stride, padding, dilation, strict=True):
        if s < 1 or d < 1 or k < 1 or not 0 <= 2 * p <= k + (k - 1) * (d - 1):
            received = f"window {k}, stride {s}, padding {p}, dilation {d}"
            raise ArgumentError(message(f"{op}: impossible window", received=received, expected="padding of at most half of the window"))
        span = n + 2 * p - d * (k - 1) - 1
        count = (-(-span // s) if ceil_mode else span // s) + 1
        if ceil_mode and (count - 1) * s >= n + p:
            count -= 1
        if count < 1:
            raise ShapeError(
                message(f"{op}: the window is larger than the padded input", received=f"{n} elements, window {k}, padding {p}")
            )
        result.append(count)
    return tuple(result)


def _pairs(
    extents: Sequence[int], counts: Sequence[int], window: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[tuple[int, int], ...]:
    """Return (low, high) paddings that give exactly `counts` windows."""
    rows = zip(extents, counts, window, stride, padding, dilation, strict=True)
    return tuple([(p, max((c - 1) * s + (k - 1) * d + 1 - n - p, 0)) for n, c, k, s, p, d in rows])


def _max_pool(
    x: Node,
    op: str,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool,
    with_indices: bool,
) -> Any:
    x, is_single = _batched(x, len(window), op)
    counts = output_sizes(op, x.shape[2:], window, stride, padding, dilation, ceil_mode)
    pairs = _pairs(x.shape[2:], counts, window, stride, padding, dilation)
    attrs = (window, stride, pairs, dilation)
    results = [b.window_max(x, *attrs)] + ([b.window_argmax(x, *attrs)] if with_indices else [])
    results = [b.squeeze(y, 0) for y in results] if is_single else results
    return tuple(results) if with_indices else results[0]


def _make_max_pool(rank: int) -> Callable[..., Any]:
    op = f"max_pool{rank}d"

    def max_pool(
        input: Tensor,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        window = spatial(op, "kernel_size", kernel_size, rank)
        strides = window if stride is None or stride == () or stride == [] else spatial(op, "stride", stride, rank)
        pads, dilations = spatial(op, "padding", padding, rank), spatial(op, "dilation", dilation, rank)
        return record(_max_pool, (input,), op, window, strides, pads, dilations, bool(ceil_mode), bool(return_indices))

    ones = ", ".join(["1"] * (rank + 1))
    max_pool.__name__ = max_pool.__qualname__ = op
    max_pool.__module__ = __name__
    max_pool.__doc__ = f"""Return the largest element of each window; of equal ones the first gets the gradient.

    Args:
        input: (N, C, *spatial) or (C, *spatial), {rank} spatial axes.
        stride: the kernel size unless given. ceil_mode: keep a last window that reaches beyond the end.
        return_indices: return also the flat position of each maximum in its spatial plane.

    Example:
        >>> import trine
        >>> trine.nn.functional.{op}(trine.arange(4.0).reshape({ones}, 4), ({"1, " * (rank - 1)}2,)).flatten()
        tensor([1., 3.])
    """
    return max_pool


max_pool1d, max_pool2d, max_pool3d = _make_max_pool(1), _make_max_pool(2), _make_max_pool(3)


def _window_counts(extent: int, count: int, window: int, stride: int, padding: int, include_pad: bool, dtype: dtypes.DType) -> Node:
    """Return how many elements each window of an axis has, without what ceil mode adds (and without padding)."""
    integer = dtypes.int64
    start = b.sub(b.mul(b.iota((count,), 0), b.const(stride, integer)), b.const(padding, integer))
    end = b.minimum(b.add(start, b.const(window, integer)), size(extent + padding, integer))
    if not include_pad:
        start, end = b.maximum(start, b.const(0, integer)), b.minimum(end, size(extent, integer))
    return b.cast(b.sub(end, start), dtype)


def _avg_pool(
    x: Node,
    op: str,
    window: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    ceil_mode: bool,
    include_pad: bool,
    divisor: int | None,
) -> Node:
    rank = len(window)
    if x.dtype is dtypes.bool_ or x.dtype.is_complex:
        raise DTypeError(message(f"{op}: not defined for {x.dtype.name}", expected="a floating point or integer dtype", fix="x.float()"))
    x, is_single = _batched(x, rank, op)
    extents, ones = x.shape[2:], (1,) * rank
    counts = output_sizes(op, extents, window, stride, padding, ones, ceil_mode)
    pairs = _pairs(extents, counts, window, stride, padding, ones)
    total = b.window_sum(x, window, stride, pairs, ones)
    exceeds = any(high > p for (_, high), p in zip(pairs, padding, strict=True))
    if divisor is not None:
        y = _quotient(total, number(divisor, x))
    elif not exceeds and (include_pad or not any(padding)):
        whole = math.prod(window)
        y = b.mul(total, number(1 / whole, x)) if x.dtype.is_floating_point else _quotient(total, number(whole, x))
    else:
        elements: Node | None = None
        for axis, row in enumerate(zip(extents, counts, window, stride, padding, strict=True)):
            counted = b.reshape(_window_counts(*row, include_pad, x.dtype), (row[1], *(1,) * (rank - 1 - axis)))
            elements = counted if elements is None else b.mul(elements, counted)
        y = total if elements is None else _quotient(total, elements)
    return b.squeeze(y, 0) if is_single else y


def _quotient(total: Node, count: Node) -> Node:
    """Return total / count; of integers, rounded towards zero."""
    if total.dtype.is_floating_point:
        return b.div(total, count)
    quotient = b.floor_div(b.abs(total), b.abs(count))
    return b.mul(quotient, b.mul(b.sign(total), b.sign(count)))


def _make_avg_pool(rank: int) -> Callable[..., Tensor]:
    op = f"avg_pool{rank}d"

    def avg_pool(
        input: Tensor,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        window = spatial(op, "kernel_size", kernel_size, rank)
        strides = window if stride is None or stride == () or stride == [] else spatial(op, "stride", stride, rank)
        pads = spatial(op, "padding", padding, rank)
        if divisor_override == 0:
            raise ArgumentError(message(f"{op}: the divisor is 0", received=0, expected="another number"))
        result: Tensor = record(_avg_pool, (input,), op, window, strides, pads, bool(ceil_mode), bool(count_include_pad), divisor_override)
        return result

    ones = ", ".join(["1"] * (rank + 1))
    avg_pool.__name__ = avg_pool.__qualname__ = op
    avg_pool.__module__ = __name__
    avg_pool.__doc__ = f"""Return the mean of each window.

    Args:
        input: (N, C, *spatial) or (C, *spatial), {rank} spatial axes.
        count_include_pad: padding counts as zeros; otherwise only the elements inside are averaged.
        divisor_override: divide the sums by this number.

    Example:
        >>> import trine
        >>> trine.nn.functional.{op}(trine.ones({ones}, 2), ({"1, " * (rank - 1)}2,)).flatten()
        tensor([1.])
    """
    return avg_pool


avg_pool1d, avg_pool2d, avg_pool3d = _make_avg_pool(1), _make_avg_pool(2), _make_avg_pool(3)


def _lp_pool(x: Node, op: str, p: float, window: tuple[int, ...], stride: tuple[int, ...], ceil_mode: bool) -> Node:
    rank = len(window)
    zeros, ones = (0,) * rank, (1,) * rank
    if math.isinf(p):
        largest = _max_pool(b.abs(x) if p > 0 else b.neg(b.abs(x)), op, window, stride, zeros, ones, ceil_mode, False)
        return largest if p > 0 else b.neg(largest)
    # The mean times the size of a window: one that ceil mode cuts off counts as a whole one.
    mean = _avg_pool(b.pow(x, number(p, x)), op, window, stride, zeros, ceil_mode, True, None)
    return b.pow(b.mul(mean, number(math.prod(window), x)), number(1 / p, x))


def _make_lp_pool(rank: int) -> Callable[..., Tensor]:
    op = f"lp_pool{rank}d"

    def lp_pool(input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False) -> Tensor:
        window = spatial(op, "kernel_size", kernel_size, rank)
        strides = window if stride is None or stride == () or stride == [] else spatial(op, "stride", stride, rank)
        result: Tensor = record(_lp_pool, (input,), op, float(norm_type), window, strides, bool(ceil_mode))
        return result

    lp_pool.__name__ = lp_pool.__qualname__ = op
    lp_pool.__module__ = __name__
    lp_pool.__doc__ = f"""Return the p-norm of each window, ``sum(x ** p) ** (1 / p)``; the largest magnitude for p = infinity.

    Args:
        input: (N, C, *spatial) or (C, *spatial), {rank} spatial axes.
        norm_type: p. stride: the kernel size unless given. ceil_mode: keep a last window that reaches beyond the end.

    Example:
        >>> import trine
        >>> trine.nn.functional.{op}(trine.tensor([3.0, 4.0]).reshape({"1, " * rank}2), 2, ({"1, " * (rank - 1)}2,)).flatten()
        tensor([5.])
    """
    return lp_pool


lp_pool1d, lp_pool2d, lp_pool3d = _make_lp_pool(1), _make_lp_pool(2), _make_lp_pool(3)


# --- adaptive pooling ---------------------------------------------------------------------------------------------------------------------


def _adaptive_sizes(op: str, output_size: Any, rank: int) -> tuple[int | None, ...]:
    values = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * rank
    if len(values) != rank or any(v is not None and (not isinstance(v, int) or v < 1) for v in values):
        raise ArgumentError(
            message(f"{op}: output_size does not fit", received=repr(output_size), expected=f"a positive int or None, or {rank} of them")
        )
    return values


def averaging_matrix(extent: int, count: int, dtype: dtypes.DType) -> Node:
    """Return the matrix (extent, count) whose columns average the windows [floor(i n / m), ceil((i + 1) n / m))."""
    grid = (extent, count)
    row, column = b.iota(grid, 0), b.iota(grid, 1)
    n, m, one = size(extent, dtypes.int64), size(count, dtypes.int64), b.const(1, dtypes.int64)
    start = b.floor_div(b.mul(column, n), m)
    end = b.floor_div(b.sub(b.add(b.mul(b.add(column, one), n), m), one), m)
    inside = b.bitwise_and(b.ge(row, start), b.lt(row, end))
    length = b.cast(b.sub(end, start), dtype)
    return b.where(inside, b.reciprocal(length), number(0, length))


def _adaptive_avg_pool(x: Node, op: str, output: tuple[int | None, ...]) -> Node:
    rank = len(output)
    x, is_single = _batched(x, rank, op)
    extents = x.shape[2:]
    sizes = tuple([n if m is None else m for n, m in zip(extents, output, strict=True)])
    if all(m == 1 for m in sizes):
        y = mean_keeping_axes(x, tuple(range(2, rank + 2)))
    elif all(n % m == 0 for n, m in zip(extents, sizes, strict=True)):
        window = tuple([n // m for n, m in zip(extents, sizes, strict=True)])
        total = b.window_sum(x, window, window, ((0, 0),) * rank, (1,) * rank)
        y = b.mul(total, number(1 / math.prod(window), x))
    else:
        y = x
        for axis, (n, m) in enumerate(zip(extents, sizes, strict=True), 2):
            if n != m:
                moved = b.transpose(y, axis, len(y.shape) - 1)
                rows = b.reshape(moved, (math.prod(moved.shape[:-1]), n))
                pooled = b.reshape(b.dot(rows, averaging_matrix(n, m, x.dtype)), (*moved.shape[:-1], m))
                y = b.transpose(pooled, axis, len(y.shape) - 1)
    return b.squeeze(y, 0) if is_single else y


def _adaptive_positions(extent: int, count: int) -> list[list[int]]:
    """Return the positions of each window of an axis, repeated to the longest length."""
    bounds = [(i * extent // count, -(-(i + 1) * extent // count)) for i in range(count)]
    longest = max(high - low for low, high in bounds)
    return [[min(low + k, high - 1) for k in range(longest)] for low, high in bounds]


def _adaptive_max_pool(x: Node, index: Node, op: str, sizes: tuple[int, ...]) -> tuple[Node, Node]:
    """Maxima of the windows whose flat positions are given as (windows, elements)."""
    x, is_single = _batched(x, len(sizes), op)
    batch = x.shape[:2]
    elements = b.take(b.reshape(x, (*batch, math.prod(x.shape[2:]))), index, 2)
    where = b.argmax(elements, 3)
    values = b.take_along(elements, where, 3)
    positions = b.take_along(b.expand(index, elements.shape), where, 3)
    shape = (*batch, *sizes)
    results = [b.reshape(values, shape), b.reshape(positions, shape)]
    return (b.squeeze(results[0], 0), b.squeeze(results[1], 0)) if is_single else (results[0], results[1])


def _make_adaptive(rank: int) -> tuple[Callable[..., Tensor], Callable[..., Any]]:
    avg_op, max_op = f"adaptive_avg_pool{rank}d", f"adaptive_max_pool{rank}d"

    def adaptive_avg_pool(input: Tensor, output_size: Any) -> Tensor:
        result: Tensor = record(_adaptive_avg_pool, (input,), avg_op, _adaptive_sizes(avg_op, output_size, rank))
        return result

    def adaptive_max_pool(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        import numpy as np

        from trine.tensor.convert import tensor

        extents = tuple(input.shape[-rank:])
        wanted = _adaptive_sizes(max_op, output_size, rank)
        sizes = tuple([n if m is None else m for n, m in zip(extents, wanted, strict=True)])
        if not return_indices and all(n % m == 0 for n, m in zip(extents, sizes, strict=True)):
            window = tuple([n // m for n, m in zip(extents, sizes, strict=True)])
            return record(_max_pool, (input,), max_op, window, window, (0,) * rank, (1,) * rank, False, False)
        axes = [np.array(_adaptive_positions(n, m)) for n, m in zip(extents, sizes, strict=True)]
        flat: Any = np.zeros((1, 1), np.int64)
        for extent, positions in zip(extents, axes, strict=True):
            flat = flat[:, None, :, None] * extent + positions[None, :, None, :]
            flat = flat.reshape(flat.shape[0] * flat.shape[1], -1)
        values, indices = record(_adaptive_max_pool, (input, tensor(flat)), max_op, sizes)
        return (values, indices) if return_indices else values

    shape = ", ".join(["1"] * (rank + 1))
    for function, op, what in ((adaptive_avg_pool, avg_op, "mean"), (adaptive_max_pool, max_op, "maximum")):
        function.__name__ = function.__qualname__ = op
        function.__module__ = __name__
        function.__doc__ = f"""Return the {what} of windows of nearly equal size: `output_size` per axis, None for as many as elements.

    Example:
        >>> import trine
        >>> trine.nn.functional.{op}(trine.ones({shape}, 4), 1).flatten()
        tensor([1.])
    """
    return adaptive_avg_pool, adaptive_max_pool


adaptive_avg_pool1d, adaptive_max_pool1d = _make_adaptive(1)
adaptive_avg_pool2d, adaptive_max_pool2d = _make_adaptive(2)
adaptive_avg_pool3d, adaptive_max_pool3d = _make_adaptive(3)


def _with_indices(function: Callable[..., Any], example: str) -> Callable[..., Any]:
    """Return the form of a pooling that always returns the places too."""
    name = f"{function.__name__}_with_indices"

    def pool(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **{**kwargs, "return_indices": True})

    pool.__name__ = pool.__qualname__ = name
    pool.__module__ = __name__
    pool.__doc__ = f"""Return `{function.__name__}` and the flat place of each maximum in its spatial plane.

    Example:
        >>> import trine
        >>> trine.nn.functional.{name}({example})[1].flatten()
        tensor([0])
    """
    return pool


max_pool1d_with_indices = _with_indices(max_pool1d, "trine.ones(1, 1, 2), 2")
max_pool2d_with_indices = _with_indices(max_pool2d, "trine.ones(1, 1, 2, 2), 2")
max_pool3d_with_indices = _with_indices(max_pool3d, "trine.ones(1, 1, 2, 2, 2), 2")
adaptive_max_pool1d_with_indices = _with_indices(adaptive_max_pool1d, "trine.ones(1, 1, 2), 1")
adaptive_max_pool2d_with_indices = _with_indices(adaptive_max_pool2d, "trine.ones(1, 1, 2, 2), 1")
adaptive_max_pool3d_with_indices = _with_indices(adaptive_max_pool3d, "trine.ones(1, 1, 2, 2, 2), 1")
