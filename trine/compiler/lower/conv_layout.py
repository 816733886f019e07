"""Orders of axes in memory: channels-last for the kernels of convolutions and windows, row-major by a transpose."""

from __future__ import annotations

from collections.abc import Callable

from trine.compiler.program import Command, Operand, Value
from trine.compiler.target import Target
from trine.compiler.templates.conv_pack import layout_kernel
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import UnsupportedError, message

Temporaries = Callable[[tuple[int, ...], DType], Value]


def is_channels_last(value: Value) -> bool:
    """Return True if a dense (N, C, *spatial) value has its channels innermost (axes of one position do not count)."""
    shape = value.shape
    return _has_strides(value, (0, *range(2, len(shape)), 1))


def is_row_major(value: Value) -> bool:
    """Return True if a value is dense in the order of its axes."""
    return _has_strides(value, tuple(range(len(value.shape))))


def _has_strides(value: Value, order: tuple[int, ...]) -> bool:
    expected = 1
    for axis in reversed(order):
        size = value.shape[axis]
        if size != 1 and value.strides[axis] != expected:
            return False
        expected *= size
    return True


def to_channels_last(target: Target, x: Value, temporaries: Temporaries, commands: list[Command], nodes: tuple[Node, ...]) -> Value:
    """Return `x`, or a temporary (N, *spatial, C) that an appended command fills with it.

    Raises:
        UnsupportedError: `x` is neither channels-last nor row-major.
    """
    if is_channels_last(x):
        return x
    last = temporaries((x.shape[0], *x.shape[2:], x.shape[1]), x.dtype)
    commands.append(layout_command(target, x, last, x.shape, nodes, to_channels_first=False))
    return last


def layout_command(
    target: Target, source: Value, to: Value, shape: tuple[int, ...], nodes: tuple[Node, ...], *, to_channels_first: bool
) -> Command:
    """Return the command that transposes an (N, C, *spatial) array between row-major and channels-last order."""
    row_major = to if to_channels_first else source
    if not is_row_major(row_major):
        raise UnsupportedError(
            message("conv: no native kernel for this order of axes", received=f"strides {row_major.strides} of shape {row_major.shape}",
                    expected="row-major or channels-last", fix="convert the layout first")
        )  # fmt: skip
    channels, positions = shape[1], 1
    for size in shape[2:]:
        positions *= size
    rows, columns = (positions, channels) if to_channels_first else (channels, positions)
    row_blocks = -(-rows // target.lanes(source.dtype))
    return Command(
        layout_kernel(source.dtype), [Operand(source), Operand(to, access="w")], [row_blocks, rows, columns], shape[0] * row_blocks,
        cost=2 * source.nbytes, name="conv.layout", nodes=nodes,
    )  # fmt: skip
