"""NumPy reference of movement, concat, update, index, sort, reductions, scans and dot."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from trine.core.graph import Node
from trine.core.reference_base import Array, Implementation, decode, encode, quiet, rounded, widen
from trine.shapes import row_major_strides


def _pad(node: Node, x: Array) -> Array:
    low, high, value = node.attrs
    fill = encode(np.array(value), node.dtype)
    result = np.full(node.shape, fill, node.dtype.numpy)
    result[tuple([builtins.slice(a, a + n) for a, n in zip(low, x.shape, strict=True)])] = x
    return result


def _slice(node: Node, x: Array) -> Array:
    return x[tuple([builtins.slice(*bounds) for bounds in zip(*node.attrs, strict=True)])]


def _update(node: Node, base: Array, value: Array) -> Array:
    start, step = node.attrs
    result = np.array(base)
    box = tuple([builtins.slice(a, a + n * c, c) for a, n, c in zip(start, value.shape, step, strict=True)])
    result[box] = value
    return result


def _take(node: Node, x: Array, index: Array) -> Array:
    return np.take(x, index, axis=node.attrs[0])


def _take_along(node: Node, x: Array, index: Array) -> Array:
    return np.take_along_axis(x, index, axis=node.attrs[0])


def _put_positions(node: Node, index: Array) -> Array:
    """Return the flat position in x of each element of `value`, in the shape of `value`."""
    axis, shape = node.attrs[0], node.shape
    strides = row_major_strides(shape)
    along: Array = index.astype(np.int64) * strides[axis]
    others = [np.arange(n, dtype=np.int64) * s for n, s in zip(shape, strides, strict=True)]
    if node.op == "put_along":
        for d, offsets in enumerate(others):
            if d != axis:
                along = along + offsets.reshape([-1 if k == d else 1 for k in range(index.ndim)])
        return along
    tail = len(shape) - axis - 1
    positions: Array = along.reshape((*[1] * axis, *index.shape, *[1] * tail))
    rank = positions.ndim
    for d, offsets in enumerate(others):
        if d != axis:
            place = d if d < axis else d - 1 + index.ndim
            positions = positions + offsets.reshape([-1 if k == place else 1 for k in range(rank)])
    return positions


def _put(node: Node, x: Array, index: Array, value: Array) -> Array:
    # One flat list of positions in row-major order of `value`: NumPy then writes in order, so the last of two duplicates stays.
    mode = node.attrs[1]
    result = np.array(decode(x, node.dtype), order="C").reshape(-1)
    positions = np.broadcast_to(_put_positions(node, index), value.shape).reshape(-1)
    values = decode(value, node.dtype).reshape(-1)
    if mode == "set":
        result[positions] = values
    else:
        combine: Any = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}[mode]
        combine.at(result, positions, values)
    return encode(result.reshape(node.shape), node.dtype)


def _argsort(node: Node, x: Array) -> Array:
    axis, descending = node.attrs
    value = decode(x, node.inputs[0].dtype)
    if not descending:
        return np.argsort(value, axis=axis, kind="stable").astype(np.int64)
    # Reversed twice: equal elements keep their order and NaN comes first.
    backwards = np.flip(np.argsort(np.flip(value, axis), axis=axis, kind="stable"), axis)
    return np.asarray(x.shape[axis] - 1 - backwards, np.int64)


# --- reductions, scans, contraction ---------------------------------------------------------------------------------------------------


def _reduction(function: Callable[..., Any], wide: bool) -> Implementation:
    """Make a reference of a NumPy reduction; `wide` ones accumulate float32 in float64."""

    def run(node: Node, x: Array) -> Array:
        value = decode(x, node.dtype)
        if wide:
            value = widen(value)
            return encode(function(value, axis=node.attrs[0], keepdims=True, dtype=value.dtype), node.dtype)
        return encode(function(value, axis=node.attrs[0], keepdims=True), node.dtype)

    return quiet(run)


def _arg_reduction(function: Callable[..., Any]) -> Implementation:
    def run(node: Node, x: Array) -> Array:
        value = decode(x, node.inputs[0].dtype)
        return np.asarray(function(value, axis=node.attrs[0], keepdims=True)).astype(np.int64, copy=False)

    return run


def _scan(ufunc: Any, wide: bool) -> Implementation:
    def run(node: Node, x: Array) -> Array:
        axis, reverse = node.attrs
        value = decode(x, node.dtype)
        value = widen(value) if wide else value
        value = np.flip(value, axis) if reverse else value
        result = ufunc.accumulate(value, axis=axis, dtype=value.dtype)
        return encode(np.flip(result, axis) if reverse else result, node.dtype)

    return quiet(run)


MOVEMENT: dict[str, Implementation] = {
    "reshape": lambda node, x: x.reshape(node.shape),
    "permute": lambda node, x: x.transpose(node.attrs[0]),
    "expand": lambda node, x: np.broadcast_to(x, node.shape),
    "pad": quiet(_pad),
    "slice": _slice,
    "flip": lambda node, x: np.flip(x, node.attrs[0]),
    "concat": lambda node, *operands: np.concatenate(operands, axis=node.attrs[0]),
    "update": _update,
    "take": _take,
    "take_along": _take_along,
    "put": quiet(_put),
    "put_along": quiet(_put),
    "argsort": _argsort,
    "sum": _reduction(np.sum, wide=True),
    "prod": _reduction(np.prod, wide=True),
    "max": _reduction(np.max, wide=False),
    "min": _reduction(np.min, wide=False),
    "argmax": _arg_reduction(np.argmax),
    "argmin": _arg_reduction(np.argmin),
    "cumsum": _scan(np.add, wide=True),
    "cumprod": _scan(np.multiply, wide=True),
    "cummax": _scan(np.maximum, wide=False),
    "cummin": _scan(np.minimum, wide=False),
    "dot": rounded(np.matmul),
}
