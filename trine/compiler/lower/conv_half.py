"""float16 and bfloat16 operands of convolutions and windows: computed in float32, rounded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trine import dtypes
from trine.compiler.lower.conv_layout import Temporaries
from trine.compiler.lower.loop import lower_loop
from trine.compiler.nest import Access, Axis, Instruction, LoopNest
from trine.compiler.program import Command, Value
from trine.compiler.target import Target
from trine.core.graph import Node


def lower_in_float32(
    target: Target, lower: Callable[[Sequence[Value], Value], list[Command]], inputs: Sequence[Value], output: Value,
    temporaries: Temporaries, threads: int, nodes: tuple[Node, ...],
) -> list[Command]:  # fmt: skip
    """Return the commands that widen half `inputs`, those of `lower(inputs, output)`, and the one that rounds a half `output`."""
    commands: list[Command] = []
    wide = []
    for value in inputs:
        if value.dtype.is_half:
            wide.append(_like(value, temporaries))
            commands += _cast(target, value, wide[-1], temporaries, threads, nodes)
        else:
            wide.append(value)
    result = _like(output, temporaries) if output.dtype.is_half else output
    commands += lower(wide, result)
    if result is not output:
        commands += _cast(target, result, output, temporaries, threads, nodes)
    return commands


def _like(value: Value, temporaries: Temporaries) -> Value:
    """Return a float32 temporary with the shape of a value and its order of axes in memory."""
    result = temporaries(value.shape, dtypes.float32)
    result.strides = value.strides
    return result


def _cast(target: Target, source: Value, to: Value, temporaries: Temporaries, threads: int, nodes: tuple[Node, ...]) -> list[Command]:
    """Return the commands that convert a dense value element by element, in the order of memory."""
    accesses = [Access(source, 0, (1,)), Access(to, 0, (1,))]
    load = Instruction("load", (), source.dtype, (0,))
    cast = Instruction("cast", (0,), to.dtype, (to.dtype,))
    nest = LoopNest([Axis(source.nbytes // source.dtype.itemsize)], accesses, [load, cast], [(1, 1)], nodes)
    return lower_loop(target, nest, temporaries, threads)
