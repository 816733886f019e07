"""NumPy reference of the convolutions and windows, over strided views of the padded operand."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine.core.graph import Node
from trine.core.reference_base import Array, Implementation, decode, encode, quiet, widen
from trine.core.window_rules import Padding
from trine.shapes import Shape, size_of


def _pad_spatial(x: Array, padding: Padding, fill: Any) -> Array:
    return np.pad(x, [(0, 0), (0, 0), *padding], constant_values=fill)


def _windows(padded: Array, window: Shape, stride: Shape, dilation: Shape) -> Array:
    """Return a view (N, C, *output, *window) of a padded operand."""
    rank = len(window)
    reach = tuple([(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)])
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, 2 + rank)))
    steps = [slice(None, None, s) for s in (*stride, *dilation)]
    return view[(slice(None), slice(None), *steps)]


def _scatter_windows(values: Array, shape: Shape, stride: Shape, padding: Padding, dilation: Shape, window: Shape) -> Array:
    """Add values (N, C, *output, *window) where `_windows` read them, and take the padding off: the transpose of reading windows."""
    spatial = shape[2:]
    rank = len(spatial)
    output = values.shape[2 : 2 + rank]
    padded = np.zeros((*shape[:2], *[n + a + b for n, (a, b) in zip(spatial, padding, strict=True)]), values.dtype)
    for offset in np.ndindex(window):
        rows = zip(offset, dilation, stride, output, strict=True)
        box = tuple([slice(o * d, o * d + (n - 1) * s + 1, s) for o, d, s, n in rows])
        padded[(slice(None), slice(None), *box)] += values[(..., *offset)]
    return padded[(slice(None), slice(None), *[slice(a, a + n) for n, (a, _) in zip(spatial, padding, strict=True)])]


def _wide(node: Node, operands: tuple[Array, ...]) -> list[Array]:
    return [widen(decode(a, i.dtype)) for a, i in zip(operands, node.inputs, strict=True)]


def _conv(node: Node, *operands: Array) -> Array:
    stride, padding, dilation, groups = node.attrs
    x, w = _wide(node, operands)
    rank = w.ndim - 2
    view = _windows(_pad_spatial(x, padding, 0), w.shape[2:], stride, dilation)
    kernel_axes = list(range(2 + rank, 2 + 2 * rank))
    weight_axes = list(range(2, 2 + rank))
    parts = [
        np.moveaxis(np.tensordot(xg, wg, axes=([1, *kernel_axes], [1, *weight_axes])), -1, 1)
        for xg, wg in zip(np.split(view, groups, axis=1), np.split(w, groups, axis=0), strict=True)
    ]
    return encode(np.concatenate(parts, axis=1), node.dtype)


def _conv_input_grad(node: Node, *operands: Array) -> Array:
    shape, stride, padding, dilation, groups = node.attrs
    gy, w = _wide(node, operands)
    rank = w.ndim - 2
    parts = [
        np.moveaxis(np.tensordot(gg, wg, axes=([1], [0])), 1 + rank, 1)  # (N, *output, C, *kernel) -> (N, C, *output, *kernel)
        for gg, wg in zip(np.split(gy, groups, axis=1), np.split(w, groups, axis=0), strict=True)
    ]
    return encode(_scatter_windows(np.concatenate(parts, axis=1), shape, stride, padding, dilation, w.shape[2:]), node.dtype)


def _conv_weight_grad(node: Node, *operands: Array) -> Array:
    shape, stride, padding, dilation, groups = node.attrs
    x, gy = _wide(node, operands)
    output_axes = list(range(2, gy.ndim))
    view = _windows(_pad_spatial(x, padding, 0), shape[2:], stride, dilation)
    parts = [
        np.moveaxis(np.tensordot(xg, gg, axes=([0, *output_axes], [0, *output_axes])), -1, 0)
        for xg, gg in zip(np.split(view, groups, axis=1), np.split(gy, groups, axis=1), strict=True)
    ]
    return encode(np.concatenate(parts, axis=0), node.dtype)


def _lowest(x: Array) -> Any:
    return np.iinfo(x.dtype).min if x.dtype.kind in "iu" else -np.inf


def _window_max(node: Node, x: Array) -> Array:
    window, stride, padding, dilation = node.attrs
    value = decode(x, node.dtype)
    view = _windows(_pad_spatial(value, padding, _lowest(value)), window, stride, dilation)
    return encode(view.max(axis=tuple(range(x.ndim, view.ndim))), node.dtype)


def _max_positions(x: Array, window: Shape, stride: Shape, padding: Padding, dilation: Shape) -> Array:
    """Return the flat index in the spatial plane of each window's first maximum (NaN wins); -1 where a window is all padding."""
    plane = np.arange(size_of(x.shape[2:])).reshape(1, 1, *x.shape[2:])
    positions = _windows(_pad_spatial(plane, padding, -1), window, stride, dilation)
    view = _windows(_pad_spatial(x, padding, _lowest(x)), window, stride, dilation)
    values = view.reshape(*view.shape[: x.ndim], -1)
    positions = np.broadcast_to(positions, view.shape).reshape(values.shape)
    largest = values.max(axis=-1, keepdims=True)
    is_largest = (positions >= 0) & ((values == largest) | (values != values))
    first = is_largest.argmax(axis=-1)[..., None]
    return np.where(is_largest.any(axis=-1), np.take_along_axis(positions, first, axis=-1)[..., 0], -1)


def _window_argmax(node: Node, x: Array) -> Array:
    return _max_positions(decode(x, node.inputs[0].dtype), *node.attrs).astype(np.int64)


def _window_sum(node: Node, x: Array) -> Array:
    window, stride, padding, dilation = node.attrs
    value = widen(decode(x, node.dtype))
    view = _windows(_pad_spatial(value, padding, 0), window, stride, dilation)
    return encode(view.sum(axis=tuple(range(x.ndim, view.ndim)), dtype=value.dtype), node.dtype)


def _window_max_grad(node: Node, x: Array, gy: Array) -> Array:
    positions = _max_positions(decode(x, node.dtype), *node.attrs)
    values = widen(decode(gy, node.dtype))
    planes, plane = size_of(x.shape[:2]), size_of(x.shape[2:])
    result = np.zeros(planes * plane, values.dtype)
    flat = np.arange(planes).reshape(*x.shape[:2], *[1] * (x.ndim - 2)) * plane + positions
    np.add.at(result, flat[positions >= 0], values[positions >= 0])
    return encode(result.reshape(node.shape), node.dtype)


def _window_sum_grad(node: Node, gy: Array) -> Array:
    shape, window, stride, padding, dilation = node.attrs
    values = widen(decode(gy, node.dtype))
    spread = np.broadcast_to(values.reshape(*values.shape, *[1] * len(window)), (*values.shape, *window))
    return encode(_scatter_windows(spread, shape, stride, padding, dilation, window), node.dtype)


WINDOW: dict[str, Implementation] = {
    "conv": quiet(_conv),
    "conv_input_grad": quiet(_conv_input_grad),
    "conv_weight_grad": quiet(_conv_weight_grad),
    "window_max": quiet(_window_max),
    "window_sum": quiet(_window_sum),
    "window_argmax": quiet(_window_argmax),
    "window_max_grad": quiet(_window_max_grad),
    "window_sum_grad": quiet(_window_sum_grad),
}
