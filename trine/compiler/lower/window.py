"""Lowering of window reductions (pooling) and of their gradients to commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trine import dtypes
from trine.compiler.lower.conv_geometry import MIN_UNITS, spatial_shape
from trine.compiler.lower.conv_half import lower_in_float32
from trine.compiler.lower.conv_layout import Temporaries, is_channels_last, layout_command, to_channels_last
from trine.compiler.program import Command, Kernel, Operand, Value
from trine.compiler.target import Target
from trine.compiler.templates.window import OPERANDS, WindowForm, window_kernel
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import UnsupportedError, message

__all__ = ["WindowAttributes", "lower_window"]

_FLOATS = (dtypes.float32, dtypes.float64)
_NUMBERS = (*_FLOATS, dtypes.int32, dtypes.int64, dtypes.uint32, dtypes.uint64)
_DTYPES = {"max": _NUMBERS, "sum": _NUMBERS, "argmax": _NUMBERS, "max_grad": _FLOATS, "sum_grad": _FLOATS}


@dataclass(frozen=True, slots=True)
class WindowAttributes:
    """Static attributes of a window reduction: window, stride, padding (low, high) and dilation per spatial axis."""

    window: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]


def lower_window(
    target: Target, kind: str, inputs: tuple[Value, ...], output: Value, attrs: WindowAttributes, temporaries: Temporaries,
    threads: int = 1, nodes: tuple[Node, ...] = (),
) -> list[Command]:  # fmt: skip
    """Return the commands of a window primitive.

    Args:
        target: what to compile for.
        kind: "max", "sum" or "argmax" of (x,); "max_grad" of (x, gy); "sum_grad" of (gy,).
        inputs, output: (N, C, *spatial), channels-last or row-major in memory; row-major ones cost a transpose.
        attrs: window, stride, padding, dilation.
        temporaries: makes a row-major temporary of a shape and dtype.
        threads: number of worker threads; results do not depend on it.
        nodes: graph nodes that the commands compute.

    Raises:
        UnsupportedError: a dtype without native kernels, or an operand without elements.
    """
    dtype = inputs[0].dtype
    if dtype.is_half:

        def lower(wide: Sequence[Value], result: Value) -> list[Command]:
            return lower_window(target, kind, tuple(wide), result, attrs, temporaries, threads, nodes)

        return lower_in_float32(target, lower, inputs, output, temporaries, threads, nodes)
    if dtype not in _DTYPES[kind]:
        expected = " or ".join(d.name for d in _DTYPES[kind])
        raise UnsupportedError(
            message(f"window_{kind}: no native kernel for this dtype", received=dtype.name, expected=expected,
                    fix="the reference computes it on the host")
        )  # fmt: skip
    if 0 in output.shape:
        return []
    if any(0 in value.shape for value in inputs):
        shapes = [value.shape for value in inputs]
        raise UnsupportedError(message(f"window_{kind}: an operand is empty", received=shapes, fix="the result is constant"))
    commands: list[Command] = []
    sources = [to_channels_last(target, value, temporaries, commands, nodes) for value in inputs]
    shape = output.shape
    to = output if is_channels_last(output) else temporaries((shape[0], *shape[2:], shape[1]), output.dtype)
    form = _form(target, dtype, shape[1], attrs)
    params, units, cost = _params(target, kind, inputs, output, attrs, form)
    kernel = window_kernel(kind, dtype, form)
    operands = [*(Operand(source) for source in sources), Operand(to, access="w")]
    commands.append(Command(kernel, operands, params, units, cost=cost, name=f"window_{kind}", nodes=nodes))
    if to is not output:
        commands.append(layout_command(target, to, output, shape, nodes, to_channels_first=True))
    return commands


def _form(target: Target, dtype: DType, channels: int, attrs: WindowAttributes) -> WindowForm:
    vectors = channels // target.lanes(dtype)
    reaches = ((k - 1) * d + 1 for k, d in zip(attrs.window, attrs.dilation, strict=True))
    disjoint = all(s >= reach for s, reach in zip(attrs.stride, reaches, strict=True))
    return WindowForm(4 if vectors >= 4 else 2 if vectors >= 2 else 1, max(attrs.dilation) > 1, disjoint)


def _params(
    target: Target, kind: str, inputs: tuple[Value, ...], output: Value, attrs: WindowAttributes, form: WindowForm
) -> tuple[list[int | Kernel], int, int]:
    """Return the parameters, the number of units and the cost."""
    is_gradient = len(inputs) + 1 == OPERANDS[kind] and kind.endswith("_grad")
    large, small = (output, inputs[-1]) if is_gradient else (inputs[0], output)
    lead = (1,) * (3 - len(attrs.window))
    extents, positions = spatial_shape(large.shape), spatial_shape(small.shape)
    images, channels = large.shape[:2]
    window = lead + attrs.window
    chunks, chunk_channels = 1, channels
    if kind == "max_grad":
        # Chunks of as many channels as one pass takes, where there are too few images to share out.
        grain = form.vectors * target.lanes(output.dtype)
        grains = -(-channels // grain)
        chunks = min(grains, -(-MIN_UNITS // images))
        chunk_channels = -(-grains // chunks) * grain
        chunks = -(-channels // chunk_channels)
        units = images * chunks
    else:
        units = images * (extents if is_gradient else positions)[0] * (extents if is_gradient else positions)[1]
    params: list[int | Kernel] = [
        *extents, *positions, *window, *lead, *attrs.stride, *(0 for _ in lead), *(low for low, _ in attrs.padding), *lead, *attrs.dilation,
        channels, chunks, chunk_channels,
    ]  # fmt: skip
    taps = window[0] * window[1] * window[2]
    return params, units, large.nbytes + images * channels * positions[0] * positions[1] * positions[2] * taps
