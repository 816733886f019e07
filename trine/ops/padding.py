"""Padding, resampling and rearranging images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.arguments import check_choice
from trine.ops.movement import slice_axis
from trine.ops.promotion import as_dtype, number, size
from trine.tensor import Tensor, record

MODES = ("constant", "reflect", "replicate", "circular")


def _amounts(pad: Sequence[int], rank: int) -> list[tuple[int, int]]:
    """Return (low, high) per axis from PyTorch's order, last axis first."""
    if len(pad) % 2 or len(pad) > 2 * rank:
        raise ArgumentError(message("pad: wrong number of amounts", received=tuple(pad), expected=f"pairs, for at most {rank} axes"))
    pairs = [(pad[k], pad[k + 1]) for k in range(0, len(pad), 2)]
    return [(0, 0)] * (rank - len(pairs)) + pairs[::-1]


def _pad_constant(x: Node, pad: tuple[int, ...], value: float) -> Node:
    amounts = _amounts(pad, len(x.shape))
    # A negative amount crops.
    start = tuple([max(-low, 0) for low, _ in amounts])
    stop = tuple([n - max(-high, 0) for n, (_, high) in zip(x.shape, amounts, strict=True)])
    if any(a > z for a, z in zip(start, stop, strict=True)):
        raise ShapeError(message("pad: crops more than there is", received=f"{pad} for shape {x.shape}", expected="sizes of 0 or more"))
    x = b.slice(x, start, stop)
    return b.pad(x, tuple([max(low, 0) for low, _ in amounts]), tuple([max(high, 0) for _, high in amounts]), value)


def _mirrored(x: Node, axis: int, low: int, high: int) -> Node:
    n = x.shape[axis]
    if max(low, high) >= n:
        raise ShapeError(
            message("pad: reflects more than there is", received=f"({low}, {high}) for {n} elements", expected="less than the size")
        )
    before = b.flip(slice_axis(x, axis, 1, low + 1), (axis,))
    after = b.flip(slice_axis(x, axis, n - 1 - high, n - 1), (axis,))
    return b.concat([before, x, after], axis)


def _replicated(x: Node, axis: int, low: int, high: int) -> Node:
    n = x.shape[axis]

    def repeated(position: int, count: int) -> Node:
        edge = slice_axis(x, axis, position, position + 1)
        return b.expand(edge, (*x.shape[:axis], count, *x.shape[axis + 1 :]))

    return b.concat([repeated(0, low), x, repeated(n - 1, high)], axis)


def _wrapped(x: Node, axis: int, low: int, high: int) -> Node:
    n = x.shape[axis]
    if max(low, high) > n:
        raise ShapeError(message("pad: wraps more than once", received=f"({low}, {high}) for {n} elements", expected="at most the size"))
    return b.concat([slice_axis(x, axis, n - low, n), x, slice_axis(x, axis, 0, high)], axis)


_EXTENSIONS = {"reflect": _mirrored, "replicate": _replicated, "circular": _wrapped}


def _pad_extend(x: Node, pad: tuple[int, ...], mode: str) -> Node:
    for axis, (low, high) in enumerate(_amounts(pad, len(x.shape))):
        if low < 0 or high < 0:
            raise ArgumentError(
                message(f"pad: negative amounts in mode {mode!r}", received=pad, expected="0 or more", fix="slice the tensor")
            )
        if low or high:
            x = _EXTENSIONS[mode](x, axis, low, high)
    return x


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Add elements around a tensor: pairs of amounts, for the last axis first; negative amounts crop (constant mode).

    Args:
        mode: "constant" (with `value`), "reflect", "replicate" or "circular".

    Example:
        >>> import trine
        >>> trine.nn.functional.pad(trine.tensor([1, 2]), (1, 2))
        tensor([0, 1, 2, 0, 0])
    """
    check_choice("pad", "mode", mode, MODES)
    amounts = tuple([int(p) for p in pad])
    if mode == "constant":
        result: Tensor = record(_pad_constant, (input,), amounts, 0 if value is None else value)
    else:
        result = record(_pad_extend, (input,), amounts, mode)
    return result


# --- rearranging channels -----------------------------------------------------------------------------------------------------------------


def _pixel_shuffle(x: Node, factor: int) -> Node:
    *batch, channels, height, width = x.shape
    if channels % factor**2:
        raise ShapeError(message("pixel_shuffle: channels do not divide", received=channels, expected=f"a multiple of {factor**2}"))
    rank = len(batch)
    parts = b.reshape(x, (*batch, channels // factor**2, factor, factor, height, width))
    order = (*range(rank), rank, rank + 3, rank + 1, rank + 4, rank + 2)
    return b.reshape(b.permute(parts, order), (*batch, channels // factor**2, height * factor, width * factor))


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Rearrange (*, C * r**2, H, W) to (*, C, H * r, W * r).

    Example:
        >>> import trine
        >>> trine.nn.functional.pixel_shuffle(trine.zeros(1, 4, 2, 2), 2).shape
        trine.Size([1, 1, 4, 4])
    """
    result: Tensor = record(_pixel_shuffle, (input,), upscale_factor)
    return result


def _pixel_unshuffle(x: Node, factor: int) -> Node:
    *batch, channels, height, width = x.shape
    if height % factor or width % factor:
        raise ShapeError(message("pixel_unshuffle: sizes do not divide", received=(height, width), expected=f"multiples of {factor}"))
    rank = len(batch)
    parts = b.reshape(x, (*batch, channels, height // factor, factor, width // factor, factor))
    order = (*range(rank), rank, rank + 2, rank + 4, rank + 1, rank + 3)
    return b.reshape(b.permute(parts, order), (*batch, channels * factor**2, height // factor, width // factor))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Rearrange (*, C, H * r, W * r) to (*, C * r**2, H, W).

    Example:
        >>> import trine
        >>> trine.nn.functional.pixel_unshuffle(trine.zeros(1, 1, 4, 4), 2).shape
        trine.Size([1, 4, 2, 2])
    """
    result: Tensor = record(_pixel_unshuffle, (input,), downscale_factor)
    return result


def _channel_shuffle(x: Node, groups: int) -> Node:
    batch, channels, *rest = x.shape
    if channels % groups:
        raise ShapeError(
            message("channel_shuffle: groups do not divide", received=f"{groups} groups, {channels} channels", expected="a divisor")
        )
    parts = b.reshape(x, (batch, groups, channels // groups, *rest))
    return b.reshape(b.transpose(parts, 1, 2), x.shape)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Interleave the channels of groups.

    Example:
        >>> import trine
        >>> trine.nn.functional.channel_shuffle(trine.arange(4).reshape(1, 4, 1), 2).flatten()
        tensor([0, 2, 1, 3])
    """
    result: Tensor = record(_channel_shuffle, (input,), groups)
    return result


# --- resampling ---------------------------------------------------------------------------------------------------------------------------


def _source(extent: int, count: int, align_corners: bool, scale: float | None, dtype: dtypes.DType) -> Node:
    """Return the source coordinate of each result position."""
    position = b.cast(b.iota((count,), 0), dtype)
    if align_corners:
        step = b.div(size(extent - 1, dtype), size(max(count - 1, 1), dtype)) if count > 1 else number(0, position)
        return b.mul(position, step)
    step = number(1 / scale, position) if scale is not None else b.div(size(extent, dtype), size(count, dtype))
    half = number(0.5, position)
    return b.sub(b.mul(b.add(position, half), step), half)


def _nearest(x: Node, axis: int, count: int, scale: float | None, exact: bool) -> Node:
    extent = x.shape[axis]
    if count == extent and scale is None:
        return x
    if not exact and count % extent == 0 and (scale is None or scale == count // extent):
        shape = x.shape
        wide = b.expand(b.unsqueeze(x, axis + 1), (*shape[: axis + 1], count // extent, *shape[axis + 1 :]))
        return b.reshape(wide, (*shape[:axis], count, *shape[axis + 1 :]))
    position = b.cast(b.iota((count,), 0), dtypes.float32)
    if exact:
        position = b.add(position, number(0.5, position))
    step = number(1 / scale, position) if scale is not None else b.div(size(extent, dtypes.float32), size(count, dtypes.float32))
    index = b.cast(b.floor(b.mul(position, step)), dtypes.int64)
    return b.take(x, b.minimum(index, size(extent - 1, dtypes.int64)), axis)


def _linear(x: Node, axis: int, count: int, scale: float | None, align_corners: bool) -> Node:
    extent = x.shape[axis]
    if count == extent and scale is None:
        return x
    wide = dtypes.float64 if x.dtype is dtypes.float64 else dtypes.float32
    source = _source(extent, count, align_corners, scale, wide)
    source = b.maximum(source, number(0, source))
    low = b.floor(source)
    last = size(extent - 1, dtypes.int64)
    below = b.minimum(b.cast(low, dtypes.int64), last)
    above = b.minimum(b.add(below, b.const(1, dtypes.int64)), last)
    weight = b.minimum(b.sub(source, b.cast(below, wide)), number(1, source))
    weight = b.reshape(as_dtype(weight, x.dtype), (count, *(1,) * (len(x.shape) - axis - 1)))
    first, second = b.take(x, below, axis), b.take(x, above, axis)
    return b.add(b.mul(first, b.sub(number(1, weight), weight)), b.mul(second, weight))


def _cubic(x: Node, axis: int, count: int, scale: float | None, align_corners: bool) -> Node:
    """Cubic convolution with a = -0.75 (Keys, 1981), as PyTorch."""
    extent = x.shape[axis]
    if count == extent and scale is None:
        return x
    wide = dtypes.float64 if x.dtype is dtypes.float64 else dtypes.float32
    source = _source(extent, count, align_corners, scale, wide)
    low = b.floor(source)
    t = b.sub(source, low)
    one = number(1, t)
    base = b.cast(low, dtypes.int64)
    last, zero = size(extent - 1, dtypes.int64), b.const(0, dtypes.int64)

    def inner(d: Node) -> Node:
        return b.add(b.mul(b.mul(b.sub(b.mul(number(1.25, d), d), number(2.25, d)), d), d), one)

    def outer(d: Node) -> Node:
        terms = b.add(b.mul(b.sub(b.mul(number(-0.75, d), d), number(-3.75, d)), d), number(-6.0, d))
        return b.add(b.mul(terms, d), number(3.0, d))

    weights = (outer(b.add(t, one)), inner(t), inner(b.sub(one, t)), outer(b.sub(number(2, t), t)))
    total: Node | None = None
    for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
        index = b.maximum(b.minimum(b.add(base, b.const(offset, dtypes.int64)), last), zero)
        weight = b.reshape(as_dtype(weight, x.dtype), (count, *(1,) * (len(x.shape) - axis - 1)))
        term = b.mul(b.take(x, index, axis), weight)
        total = term if total is None else b.add(total, term)
    return x if total is None else total


def _area(x: Node, axis: int, count: int) -> Node:
    from trine.ops.pooling import _averaging_matrix

    extent = x.shape[axis]
    moved = b.transpose(x, axis, len(x.shape) - 1)
    rows = b.reshape(moved, (math.prod(moved.shape[:-1]), extent))
    pooled = b.reshape(b.dot(rows, _averaging_matrix(extent, count, x.dtype)), (*moved.shape[:-1], count))
    return b.transpose(pooled, axis, len(x.shape) - 1)


def _interpolate(x: Node, sizes: tuple[int, ...], scales: tuple[float | None, ...], mode: str, align_corners: bool) -> Node:
    for axis, (count, scale) in enumerate(zip(sizes, scales, strict=True), 2):
        if mode in ("nearest", "nearest-exact"):
            x = _nearest(x, axis, count, scale, mode == "nearest-exact")
        elif mode == "area":
            x = _area(x, axis, count)
        else:
            x = (_cubic if mode == "bicubic" else _linear)(x, axis, count, scale, align_corners)
    return x


_LINEAR_MODES = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resample images (N, C, *spatial) to a size, or by a factor.

    Args:
        mode: "nearest", "nearest-exact", "area", "linear" (1 spatial axis), "bilinear", "bicubic" (2) or "trilinear" (3).
        align_corners: the corner elements keep their place (linear modes).

    Raises:
        ArgumentError: neither or both of size and scale_factor, or a mode that does not fit the axes.

    Example:
        >>> import trine
        >>> trine.nn.functional.interpolate(trine.tensor([[[1., 2.]]]), scale_factor=2)
        tensor([[[1., 1., 2., 2.]]])
    """
    check_choice("interpolate", "mode", mode, ("nearest", "nearest-exact", "area", *_LINEAR_MODES))
    rank = input.dim() - 2
    if antialias:
        raise ArgumentError(
            message("interpolate: antialias is not available", received="antialias=True", expected="antialias=False", fix="mode='area'")
        )
    if (size is None) == (scale_factor is None):
        raise ArgumentError(
            message("interpolate: size or scale_factor", received=f"{size}, {scale_factor}", expected="exactly one of them")
        )
    if rank < 1 or _LINEAR_MODES.get(mode, rank) != rank:
        raise ShapeError(
            message(f"interpolate: mode {mode!r} does not fit", received=f"shape {tuple(input.shape)}", expected="(N, C, *spatial)")
        )
    scales: list[Any]
    if size is not None:
        sizes = [size] * rank if isinstance(size, int) else list(size)
        scales = [None] * rank
    else:
        scales = [float(scale_factor)] * rank if isinstance(scale_factor, (int, float)) else [float(s) for s in scale_factor or ()]
        sizes = [math.floor(n * s) for n, s in zip(input.shape[2:], scales, strict=True)]
        if recompute_scale_factor:
            scales = [None] * rank
    result: Tensor = record(_interpolate, (input,), tuple(sizes), tuple(scales), mode, bool(align_corners))
    return result


upsample = interpolate
