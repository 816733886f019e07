"""Resampling of images, signals and volumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, UnsupportedError, message
from trine.ops.arguments import check_choice
from trine.ops.pooling import averaging_matrix
from trine.ops.promotion import as_dtype, number, size
from trine.tensor import Tensor, record


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


def _weighted(x: Node, axis: int, weights: Node) -> Node:
    """Return the sums over an axis with the columns of the matrix (extent, count) as weights."""
    extent, count = weights.shape
    moved = b.transpose(x, axis, len(x.shape) - 1)
    rows = b.reshape(moved, (math.prod(moved.shape[:-1]), extent))
    return b.transpose(b.reshape(b.dot(rows, as_dtype(weights, x.dtype)), (*moved.shape[:-1], count)), axis, len(x.shape) - 1)


def _area(x: Node, axis: int, count: int, scale: float | None, align_corners: bool) -> Node:
    return _weighted(x, axis, averaging_matrix(x.shape[axis], count, x.dtype))


# --- antialiasing: the filter is as wide as the elements of the result ----------------------------------------------------------------


def _triangle(t: Node) -> Node:
    return b.maximum(b.sub(number(1, t), b.abs(t)), number(0, t))


def _keys(t: Node) -> Node:
    """Cubic convolution with a = -0.5 (Keys, 1981)."""
    d = b.abs(t)
    square = b.mul(d, d)
    inner = b.add(b.mul(b.sub(b.mul(number(1.5, d), d), number(2.5, d)), square), number(1, d))
    outer = b.sub(b.mul(b.add(b.mul(b.sub(number(2.5, d), b.mul(number(0.5, d), d)), d), number(-4, d)), d), number(-2, d))
    return b.where(b.lt(d, number(1, d)), inner, b.where(b.lt(d, number(2, d)), outer, number(0, d)))


def _lanczos(t: Node) -> Node:
    """The sinc function, windowed by one that is three times as wide (Duchon, 1979)."""
    angle = b.mul(t, number(math.pi, t))
    third = b.mul(angle, number(1 / 3, t))
    is_centre = b.eq(t, number(0, t))
    area = b.where(is_centre, number(1, t), b.mul(angle, third))
    inside = b.where(is_centre, number(1, t), b.div(b.mul(b.sin(angle), b.sin(third)), area))
    return b.where(b.lt(b.abs(t), number(3, t)), inside, number(0, t))


_FILTERS: dict[str, tuple[Callable[[Node], Node], float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_keys, 2.0),
    "lanczos": (_lanczos, 3.0),
}
"""Mode -> filter, and where it ends."""


def _filtered(x: Node, axis: int, count: int, scale: float | None, align_corners: bool, mode: str) -> Node:
    extent = x.shape[axis]
    if count == extent and scale is None:
        return x
    kernel, radius = _FILTERS[mode]
    if align_corners:
        step = (extent - 1) / (count - 1) if count > 1 else 0.0
    else:
        step = 1 / scale if scale is not None else extent / count
    wide = dtypes.float64 if x.dtype is dtypes.float64 else dtypes.float32
    grid = (extent, count)
    row, column = b.cast(b.iota(grid, 0), wide), b.cast(b.iota(grid, 1), wide)
    half = number(0.5, row)
    centre = b.mul(b.add(column, half), number(step, row))
    support = number(radius * max(step, 1.0), row)
    first = b.trunc(b.add(b.sub(centre, support), half))
    end = b.trunc(b.add(b.add(centre, support), half))
    is_inside = b.bitwise_and(b.ge(row, first), b.lt(row, end))
    distance = b.mul(b.add(b.sub(row, centre), half), number(1 / max(step, 1.0), row))
    weights = b.where(is_inside, kernel(distance), number(0, row))
    return _weighted(x, axis, b.div(weights, b.sum(weights, (0,))))


# --- interpolate ----------------------------------------------------------------------------------------------------------------------


def _nearest_floor(x: Node, axis: int, count: int, scale: float | None, align_corners: bool) -> Node:
    return _nearest(x, axis, count, scale, False)


def _nearest_exact(x: Node, axis: int, count: int, scale: float | None, align_corners: bool) -> Node:
    return _nearest(x, axis, count, scale, True)


_METHODS: dict[str, Callable[..., Node]] = {
    "nearest": _nearest_floor,
    "nearest-exact": _nearest_exact,
    "area": _area,
    "linear": _linear,
    "bilinear": _linear,
    "trilinear": _linear,
    "bicubic": _cubic,
}


def _interpolate(
    x: Node, sizes: tuple[int, ...], scales: tuple[float | None, ...], mode: str, align_corners: bool, antialias: bool
) -> Node:
    for axis, (count, scale) in enumerate(zip(sizes, scales, strict=True), 2):
        if antialias:
            x = _filtered(x, axis, count, scale, align_corners, mode)
        else:
            x = _METHODS[mode](x, axis, count, scale, align_corners)
    return x


_LINEAR_MODES = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3, "lanczos": 2}
"""Modes that know `align_corners` -> number of spatial axes."""


def _sizes_and_scales(
    spatial: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """Return the size of the result per axis, and the factor where it counts."""
    rank = len(spatial)
    if (size is None) == (scale_factor is None):
        received = f"size={size}, scale_factor={scale_factor}"
        raise ArgumentError(message("interpolate: size or scale_factor", received=received, expected="exactly one of them"))
    name, value = ("size", size) if size is not None else ("scale_factor", scale_factor)
    values = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    if len(values) != rank:
        raise ArgumentError(message(f"interpolate: {name} does not fit", received=value, expected=f"a number, or {rank} of them"))
    if size is not None:
        if recompute:
            what, fix = "interpolate: recompute_scale_factor", "leave one of them away"
            raise ArgumentError(message(what, received=f"size={size}", expected="a scale_factor", fix=fix))
        return tuple([v.__index__() for v in values]), (None,) * rank
    scales = tuple([float(s) for s in values])
    sizes = tuple([math.floor(n * s) for n, s in zip(spatial, scales, strict=True)])
    return sizes, (None,) * rank if recompute else scales


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
        mode: "nearest", "nearest-exact", "area", "linear" (1 spatial axis), "bilinear", "bicubic" (2), "trilinear" (3) or, with
            antialias, "lanczos" (2).
        align_corners: the corner elements keep their place (linear modes).
        recompute_scale_factor: use the factor between the sizes, which are integers, instead of the one given.
        antialias: widen the filter when shrinking, as Pillow does (bilinear, bicubic, lanczos).

    Raises:
        ArgumentError: neither or both of size and scale_factor, or a mode that does not fit the axes.

    Example:
        >>> import trine
        >>> trine.nn.functional.interpolate(trine.tensor([[[1., 2.]]]), scale_factor=2)
        tensor([[[1., 1., 2., 2.]]])
    """
    check_choice("interpolate", "mode", mode, (*_METHODS, "lanczos"))
    rank = input.dim() - 2
    if align_corners is not None and mode not in _LINEAR_MODES:
        what, received = "interpolate: align_corners", f"align_corners={align_corners}, mode={mode!r}"
        raise ArgumentError(message(what, received=received, expected=f"one of the modes {', '.join(_LINEAR_MODES)}"))
    if antialias and not (mode in _FILTERS and rank == 2) or (mode == "lanczos" and not antialias):
        received, expected = f"mode={mode!r}, antialias={antialias}, {input.dim()} axes", f"{', '.join(_FILTERS)} with (N, C, H, W)"
        raise ArgumentError(message("interpolate: antialias", received=received, expected=expected))
    if not 1 <= rank <= 3 or _LINEAR_MODES.get(mode, rank) != rank:
        received = f"shape {tuple(input.shape)}"
        raise _NoSuchRank(message(f"interpolate: mode {mode!r} does not fit", received=received, expected="(N, C, *spatial)"))
    sizes, scales = _sizes_and_scales(tuple(input.shape[2:]), size, scale_factor, bool(recompute_scale_factor))
    if min(sizes) < 1:
        raise ShapeError(message("interpolate: the result is empty", received=f"size {sizes}", expected="sizes of 1 or more"))
    if mode == "area":
        scales = (None,) * rank
    result: Tensor = record(_interpolate, (input,), sizes, scales, mode, bool(align_corners), bool(antialias))
    return result


class _NoSuchRank(ShapeError, UnsupportedError):
    """PyTorch raises NotImplementedError where a mode does not exist for so many axes."""


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Return ``interpolate(input, size, scale_factor, mode, align_corners)``: the older name.

    Example:
        >>> import trine
        >>> trine.nn.functional.upsample(trine.tensor([[[1., 2.]]]), scale_factor=2)
        tensor([[[1., 1., 2., 2.]]])
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None) -> Tensor:
    """Return ``interpolate(…, mode="nearest")``: the older name.

    Example:
        >>> import trine
        >>> trine.nn.functional.upsample_nearest(trine.tensor([[[1., 2.]]]), 4)
        tensor([[[1., 1., 2., 2.]]])
    """
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(
    input: Tensor, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None
) -> Tensor:
    """Return ``interpolate(…, mode="bilinear", align_corners=True)``: the older name.

    Example:
        >>> import trine
        >>> trine.nn.functional.upsample_bilinear(trine.tensor([[[[1., 2.]]]]), (1, 3))
        tensor([[[[1.0000, 1.5000, 2.0000]]]])
    """
    return interpolate(input, size, scale_factor, "bilinear", True)
