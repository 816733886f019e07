"""Running whole programs without LLVM: every loop nest by the slow evaluator, `dot` by NumPy on strided views, the rest by the reference.

Values live where the memory pass has put them, so that its mistakes show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import nest_reference
import numpy as np

from trine.compiler.nest import LoopNest
from trine.compiler.passes import commands as lowering
from trine.compiler.passes import heavy
from trine.compiler.passes.stages import Compilation
from trine.compiler.passes.verify import verify
from trine.compiler.pipeline import compile_stages
from trine.compiler.program import Command, HostCommand, Kernel, Operand, Value
from trine.compiler.target import Target, make_target
from trine.core.graph import Graph, Node
from trine.core.reference import apply

KERNEL = Kernel("reference", lambda target: "")
TARGET = make_target("generic", "x86_64")


class NestCommand(Command):
    """A loop nest that is evaluated."""

    nest: LoopNest


class DotCommand(Command):
    """A product of strided views."""

    views: Sequence[heavy.View]


def _lower_loop(target: Target, nest: LoopNest, temporaries: Any, threads: int, node_id: Any = None) -> list[Command]:
    stored = {access for _, access in nest.stores}
    operands = [Operand(a.value, 0, "w" if k in stored else "r") for k, a in enumerate(nest.accesses)]
    command = NestCommand(KERNEL, operands, [], 1, name="nest", nodes=nest.nodes)
    command.nest = nest
    return [command]


def _lower_dot(context: Any, node: Node, operands: Sequence[heavy.View], output: heavy.View) -> list[Command]:
    command = DotCommand(KERNEL, [*[Operand(v.value) for v in operands], Operand(output.value, 0, "w")], [], 1, name="dot", nodes=(node,))
    command.views = [*operands, output]
    return [command]


def compile_reference(graph: Graph) -> Compilation:
    """Compile a graph to commands that `run` understands, and check every stage."""
    with (
        patch.object(lowering, "lower_loop", _lower_loop),
        patch.dict(heavy.LOWERERS, {"dot": _lower_dot}, clear=True),
        patch.dict(heavy.WITH_EPILOGUE, clear=True),
    ):
        compilation = compile_stages(graph, TARGET, 1, explain_decisions=True)
    verify(compilation)
    return compilation


class _Memory(dict[Value, np.ndarray]):
    """Arrays of values, as views of the slots' memory."""

    def __init__(self, slots: dict[int, np.ndarray]) -> None:
        super().__init__()
        self._slots = slots

    def __missing__(self, value: Value) -> np.ndarray:
        raw = self._slots[value.slot][value.offset : value.offset + value.nbytes]
        flat = raw.view(value.dtype.numpy)
        strides = tuple(s * value.dtype.itemsize for s in value.strides)
        array = self[value] = np.lib.stride_tricks.as_strided(flat, value.shape, strides)
        return array


def run(compilation: Compilation, arrays: Sequence[np.ndarray], scalars: Sequence[float | int] = ()) -> list[np.ndarray]:
    """Run a compiled graph and return its outputs."""
    program = compilation.program
    slots = {3: np.array([np.float64(s).view(np.int64) if isinstance(s, float) else s for s in scalars] or [0], np.int64).view(np.uint8)}
    slots[4] = np.full(program.arena_bytes, 0xA5, np.uint8)
    for k, array in enumerate(arrays):
        slots[5 + k] = np.array(array, order="C").reshape(-1).view(np.uint8).copy()
    first = 5 + len(program.inputs)
    for j, value in enumerate(program.outputs):
        slots[first + j] = np.full(value.nbytes, 0xA5, np.uint8)
    for j, position in compilation.graph.donations:
        slots[first + j] = slots[5 + position]
    memory = _Memory(slots)
    with np.errstate(all="ignore"):
        for command in program.commands:
            if isinstance(command, HostCommand):
                memory[command.output][...] = apply(command.node, *[memory[v] for v in command.inputs])
            elif isinstance(command, NestCommand):
                for access, operand in zip(command.nest.accesses, command.operands, strict=True):
                    access.value = operand.value  # a donation may have changed it
                nest_reference.run(command.nest, memory, scalars)
            elif isinstance(command, DotCommand):
                command.views[2].value = command.operands[2].value  # a donation may have changed it
                a, b, c = [_view(memory, v) for v in command.views]
                c[...] = np.matmul(a, b)
            else:
                raise AssertionError(f"an unexpected command: {command.name}")
    return [memory[value].copy() for value in program.outputs]


def _view(memory: _Memory, view: heavy.View) -> np.ndarray:
    size = view.value.dtype.itemsize
    flat = nest_reference.flat_view(view.value, memory[view.value])[view.offset :]
    return np.lib.stride_tricks.as_strided(flat, view.shape, tuple(s * size for s in view.strides))
