"""Convolutions with a window of one position: matrix products over the channels."""

from __future__ import annotations

from trine import dtypes
from trine.compiler.lower.conv_geometry import ConvAttributes
from trine.compiler.lower.conv_layout import Temporaries, is_channels_last, is_row_major
from trine.compiler.lower.dot import Matrix, lower_dot
from trine.compiler.nest import LoopNest
from trine.compiler.program import Command, Value
from trine.compiler.target import Target
from trine.core.graph import Node

# With fewer channels the direct kernel, which packs nothing but the weights, is faster.
_CHANNELS = 128
_WEIGHT_CHANNELS = 64
_HALVES = (dtypes.float16, dtypes.bfloat16)
_DTYPES = (dtypes.float32, dtypes.float64, *_HALVES)


def is_pointwise(w: Value, attrs: ConvAttributes) -> bool:
    """Return True if an output reads one position, and every position is read."""
    taps = w.shape[2:]
    return attrs.groups == 1 and max(taps) == 1 and max(attrs.stride) == 1 and all(pair == (0, 0) for pair in attrs.padding)


def serves(w: Value, attrs: ConvAttributes, inputs: int, *values: Value) -> bool:
    """Return True if a matrix product is the better kernel of a convolution of `inputs` channels; `values` are its activations."""
    if not is_pointwise(w, attrs) or w.dtype not in _DTYPES or any(0 in v.shape or v.dtype is not w.dtype for v in (w, *values)):
        return False
    last = all(is_channels_last(v) for v in values)
    return w.dtype in _HALVES or inputs >= _CHANNELS or (not last and all(is_row_major(v) or is_channels_last(v) for v in values))


def serves_weight(gw: Value, attrs: ConvAttributes, x: Value, gy: Value) -> bool:
    """Return True if a matrix product is the better kernel of a weight gradient."""
    return serves(gw, attrs, _CHANNELS, x, gy) and min(gw.shape[:2]) >= _WEIGHT_CHANNELS and is_channels_last(x) and is_channels_last(gy)


def _activations(value: Value) -> Matrix:
    """Return (N, C, *spatial) as matrices (last spatial axis, C), one for each position along the other axes."""
    channels, *spatial = value.shape[1:]
    strides = [channels if is_channels_last(value) else 1]
    for size in reversed(spatial[1:]):
        strides.append(strides[-1] * size)
    image, (*batch, row) = channels * _positions(value), strides[::-1]
    return Matrix(value, 0, (image, *batch), row, 1 if is_channels_last(value) else _positions(value))


def lower_pointwise(
    target: Target, x: Value, w: Value, y: Value, temporaries: Temporaries, threads: int, nodes: tuple[Node, ...], *, transposed: bool,
    epilogue: LoopNest | None = None,
) -> list[Command]:  # fmt: skip
    """Return the commands of ``y = x @ w.T`` over the channels, or of ``y = x @ w`` if `transposed` (the input gradient).

    The axes of `epilogue` are (N, *spatial, channels).
    """
    outputs, inputs = w.shape[:2]
    images, _, *batch, m = y.shape
    strides = (inputs, 1) if transposed else (1, inputs)
    weights = Matrix(w, 0, (0,) * (1 + len(batch)), *strides)
    n, k = (inputs, outputs) if transposed else (outputs, inputs)
    return lower_dot(
        target, (images, *batch), m, n, k, _activations(x), weights, _activations(y), y.dtype, epilogue,
        temporaries=temporaries, threads=threads, nodes=nodes,
    )  # fmt: skip


def lower_pointwise_weight(
    target: Target, x: Value, gy: Value, gw: Value, temporaries: Temporaries, threads: int, nodes: tuple[Node, ...]
) -> list[Command]:
    """Return the commands of ``gw = gy.T @ x`` over all positions of channels-last activations."""
    outputs, inputs = gw.shape[:2]
    a, b, c = Matrix(gy, 0, (), 1, outputs), Matrix(x, 0, (), inputs, 1), Matrix(gw, 0, (), inputs, 1)
    k = x.shape[0] * _positions(x)
    return lower_dot(target, (), outputs, inputs, k, a, b, c, gw.dtype, temporaries=temporaries, threads=threads, nodes=nodes)


def _positions(value: Value) -> int:
    return value.nbytes // (value.dtype.itemsize * value.shape[0] * value.shape[1])
