"""Sampling of images at the places of a grid, and the grids of affine maps (Jaderberg et al., 2015)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.ops.arguments import check_choice
from trine.ops.promotion import as_dtype, number, size
from trine.tensor import Tensor, record

# --- coordinates ----------------------------------------------------------------------------------------------------------------------


def _unnormalized(x: Node, extent: int, align_corners: bool) -> Node:
    """Map [-1, 1] to places: the centres of the corner elements, or the edges of the image."""
    n, one, half = size(extent, x.dtype), number(1, x), number(0.5, x)
    if align_corners:
        return b.mul(b.mul(b.add(x, one), half), b.sub(n, one))
    return b.mul(b.sub(b.mul(b.add(x, one), n), one), half)


def _clipped(x: Node, extent: int) -> Node:
    """Limit places to the image; the gradient is 0 at the limits and beyond."""
    low, high = number(0, x), size(extent - 1, x.dtype)
    return b.where(b.gt(x, low), b.where(b.lt(x, high), x, high), low)


def _reflected(x: Node, extent: int, align_corners: bool) -> Node:
    """Fold places back into the image, at the centres of the corner elements or at the edges."""
    span = extent - 1 if align_corners else extent
    if span < 1:
        return b.zeros_like(x)
    low = number(0.0 if align_corners else -0.5, x)
    length = size(span, x.dtype)
    distance = b.abs(b.sub(x, low))
    folds = b.floor(b.div(distance, length))
    rest = b.sub(distance, b.mul(b.stop_gradient(folds), length))
    is_even = b.eq(b.fmod(folds, number(2, x)), number(0, x))
    return b.add(b.where(is_even, rest, b.sub(length, rest)), low)


def _inside(x: Node, extent: int, padding_mode: str, align_corners: bool) -> Node:
    if padding_mode == "zeros":
        return x
    if padding_mode == "reflection":
        x = _reflected(x, extent, align_corners)
    return _clipped(x, extent)


# --- sampling -------------------------------------------------------------------------------------------------------------------------


def _values(x: Node, places: Sequence[Node]) -> Node:
    """Return the elements (N, C, points) of an image (N, C, *spatial) at integral places (N, points) per axis, 0 outside."""
    batch, channels, *extents = x.shape
    is_inside: Node | None = None
    flat: Node | None = None
    for place, extent in zip(places, extents, strict=True):
        last = size(extent - 1, place.dtype)
        low = number(0, place)
        fits = b.bitwise_and(b.ge(place, low), b.le(place, last))
        is_inside = fits if is_inside is None else b.bitwise_and(is_inside, fits)
        index = b.cast(b.where(fits, place, low), dtypes.int64)
        flat = index if flat is None else b.add(b.mul(flat, size(extent, dtypes.int64)), index)
    if flat is None or is_inside is None:
        raise ShapeError(message("grid_sample: no spatial axes", received=x.shape, expected="(N, C, *spatial)"))
    points = flat.shape[1]
    index = b.expand(b.reshape(flat, (batch, 1, points)), (batch, channels, points))
    values = b.take_along(b.reshape(x, (batch, channels, math.prod(extents))), index, 2)
    return b.where(b.reshape(is_inside, (batch, 1, points)), values, number(0, values))


def _product(weights: Sequence[Node]) -> Node:
    product_of = reduce(b.mul, weights)
    return b.reshape(product_of, (product_of.shape[0], 1, product_of.shape[1]))


def _sample_nearest(x: Node, places: Sequence[Node], bounded: Sequence[Callable[[Node], Node]]) -> Node:
    values = _values(x, [b.round(bound(p)) for p, bound in zip(places, bounded, strict=True)])
    # The nearest element does not change with the grid: its gradient is 0, but there is one.
    unused = as_dtype(_product(places), values.dtype)
    return b.where(b.const(True, dtypes.bool_), values, unused)


def _sample_linear(x: Node, places: Sequence[Node], bounded: Sequence[Callable[[Node], Node]]) -> Node:
    places = [bound(p) for p, bound in zip(places, bounded, strict=True)]
    lows = [b.floor(p) for p in places]
    shares = [b.sub(p, b.stop_gradient(low)) for p, low in zip(places, lows, strict=True)]
    corners = []
    for corner in product((0, 1), repeat=len(places)):
        at = [low if c == 0 else b.add(low, number(1, low)) for c, low in zip(corner, lows, strict=True)]
        weights = [b.sub(number(1, t), t) if c == 0 else t for c, t in zip(corner, shares, strict=True)]
        corners.append(b.mul(_values(x, at), as_dtype(_product(weights), x.dtype)))
    return reduce(b.add, corners)


def _cubic_weights(t: Node) -> list[Node]:
    """Cubic convolution with a = -0.75 (Keys, 1981): the weights of the elements at -1, 0, 1, 2."""

    def inner(d: Node) -> Node:
        return b.add(b.mul(b.mul(b.sub(b.mul(number(1.25, d), d), number(2.25, d)), d), d), number(1, d))

    def outer(d: Node) -> Node:
        terms = b.add(b.mul(b.add(b.mul(number(-0.75, d), d), number(3.75, d)), d), number(-6.0, d))
        return b.add(b.mul(terms, d), number(3.0, d))

    one = number(1, t)
    return [outer(b.add(t, one)), inner(t), inner(b.sub(one, t)), outer(b.sub(number(2, t), t))]


def _sample_cubic(x: Node, places: Sequence[Node], bounded: Sequence[Callable[[Node], Node]]) -> Node:
    lows = [b.floor(p) for p in places]
    weights = [_cubic_weights(b.sub(p, b.stop_gradient(low))) for p, low in zip(places, lows, strict=True)]
    terms = []
    for offsets in product(range(4), repeat=len(places)):
        at = [b.stop_gradient(bound(b.add(low, number(k - 1, low)))) for k, low, bound in zip(offsets, lows, bounded, strict=True)]
        chosen = [row[k] for k, row in zip(offsets, weights, strict=True)]
        terms.append(b.mul(_values(x, at), as_dtype(_product(chosen), x.dtype)))
    return reduce(b.add, terms)


_SAMPLERS = {"bilinear": _sample_linear, "nearest": _sample_nearest, "bicubic": _sample_cubic}
_PADDINGS = ("zeros", "border", "reflection")


def _grid_sample(x: Node, grid: Node, mode: str, padding_mode: str, align_corners: bool) -> Node:
    rank = len(x.shape) - 2
    fits = rank in (2, 3) and len(grid.shape) == rank + 2 and grid.shape[0] == x.shape[0] and grid.shape[-1] == rank
    if not fits or 0 in x.shape[2:]:
        expected = "input (N, C, H, W) and grid (N, H', W', 2), or input (N, C, D, H, W) and grid (N, D', H', W', 3)"
        raise ShapeError(message("grid_sample: shapes do not fit", received=f"input {x.shape}, grid {grid.shape}", expected=expected))
    if x.dtype is not grid.dtype or not x.dtype.is_floating_point:
        received = f"input {x.dtype.name}, grid {grid.dtype.name}"
        raise DTypeError(message("grid_sample: dtypes do not fit", received=received, expected="one floating point dtype"))
    batch, result = x.shape[0], grid.shape[1:-1]
    points = b.reshape(grid, (batch, math.prod(result), rank))
    points = as_dtype(points, dtypes.float32) if points.dtype.is_half else points
    places, bounds = [], []
    for axis in range(rank):
        extent = x.shape[2 + axis]
        column = rank - 1 - axis  # a grid names the last axis first
        place = b.reshape(b.slice(points, (0, 0, column), (*points.shape[:2], column + 1)), points.shape[:2])
        places.append(_unnormalized(place, extent, align_corners))
        bounds.append(lambda p, extent=extent: _inside(p, extent, padding_mode, align_corners))
    sampled = _SAMPLERS[mode](x, places, bounds)
    return b.reshape(sampled, (batch, x.shape[1], *result))


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """Return the values of images at the places of a grid.

    Args:
        input: (N, C, H, W) or (N, C, D, H, W). grid: (N, H', W', 2) or (N, D', H', W', 3), with places (x, y[, z]) in [-1, 1].
        mode: "bilinear" (trilinear for volumes), "nearest" or "bicubic" (images only).
        padding_mode: what lies outside: "zeros", the "border", or a "reflection".
        align_corners: -1 and 1 are the centres of the corner elements instead of the edges of the image.

    Returns:
        (N, C, H', W') or (N, C, D', H', W').

    Example:
        >>> import trine
        >>> trine.nn.functional.grid_sample(trine.tensor([[[[1., 3.]]]]), trine.zeros(1, 1, 1, 2), align_corners=True)
        tensor([[[[2.]]]])
    """
    check_choice("grid_sample", "mode", mode, tuple(_SAMPLERS))
    check_choice("grid_sample", "padding_mode", padding_mode, _PADDINGS)
    if mode == "bicubic" and input.dim() != 4:
        received = f"{input.dim()} axes"
        raise ShapeError(message("grid_sample: mode 'bicubic' is for images", received=received, expected="input (N, C, H, W)"))
    result: Tensor = record(_grid_sample, (input, grid), mode, padding_mode, bool(align_corners))
    return result


# --- grids ----------------------------------------------------------------------------------------------------------------------------


def _axis_places(extent: int, align_corners: bool, dtype: dtypes.DType) -> Node:
    """Return the places of an axis in [-1, 1]."""
    if extent == 1:
        return b.full(0, (1,), dtype)
    position = b.cast(b.iota((extent,), 0), dtype)
    one, two = number(1, position), number(2, position)
    if align_corners:
        return b.sub(b.div(b.mul(position, two), size(extent - 1, dtype)), one)
    return b.sub(b.div(b.add(b.mul(position, two), one), size(extent, dtype)), one)


def _affine_grid(theta: Node, spatial: tuple[int, ...], align_corners: bool) -> Node:
    rank, batch = len(spatial), theta.shape[0]
    columns = []
    for axis in reversed(range(rank)):
        places = _axis_places(spatial[axis], align_corners, theta.dtype)
        shape = tuple([spatial[axis] if k == axis else 1 for k in range(rank)])
        columns.append(b.reshape(b.expand(b.reshape(places, shape), spatial), (math.prod(spatial), 1)))
    columns.append(b.full(1, (math.prod(spatial), 1), theta.dtype))
    base = b.unsqueeze(b.concat(columns, 1), 0)
    return b.reshape(b.dot(base, b.transpose(theta, 1, 2)), (batch, *spatial, rank))


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Return the grid of `grid_sample` for affine maps.

    Args:
        theta: (N, 2, 3) for images, (N, 3, 4) for volumes. size: of the result, (N, C, H, W) or (N, C, D, H, W).
        align_corners: as for `grid_sample`.

    Example:
        >>> import trine
        >>> identity = trine.tensor([[[1., 0., 0.], [0., 1., 0.]]])
        >>> trine.nn.functional.affine_grid(identity, (1, 1, 1, 2), align_corners=False)
        tensor([[[[-0.5000,  0.0000],
                  [ 0.5000,  0.0000]]]])
    """
    sizes = tuple([int(s) for s in size])
    rank = len(sizes) - 2
    if not theta.dtype.is_floating_point:
        raise DTypeError(message("affine_grid: theta", received=theta.dtype.name, expected="a floating point dtype"))
    if rank not in (2, 3) or tuple(theta.shape) != (sizes[0], rank, rank + 1):
        expected = "theta (N, 2, 3) and size (N, C, H, W), or theta (N, 3, 4) and size (N, C, D, H, W)"
        raise ShapeError(message("affine_grid: shapes do not fit", received=f"theta {tuple(theta.shape)}, size {sizes}", expected=expected))
    if min(sizes) < 1:
        raise ArgumentError(message("affine_grid: an empty size", received=sizes, expected="sizes of 1 or more"))
    result: Tensor = record(_affine_grid, (theta,), sizes[2:], bool(align_corners))
    return result
