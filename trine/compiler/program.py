"""Plain data between the compiler's stages: values, kernels, commands and the finished program."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trine.dtypes import DType

if TYPE_CHECKING:
    from trine.compiler.target import Target
    from trine.core.graph import Node


@dataclass(eq=False, slots=True)
class Value:
    """An array of a plan.

    Attributes:
        shape: logical shape.
        dtype: element type.
        strides: element strides, one per axis; dense, in any order of axes; row-major for inputs and outputs.
        kind: "input", "output", "temporary", or "prepared" (kept from run to run while the inputs that it is made of do not change).
        position: index among the inputs or the outputs; -1 for a temporary.
        slot, offset: where it lives in the run-time table, set by the memory pass (byte offset).
    """

    shape: tuple[int, ...]
    dtype: DType
    strides: tuple[int, ...]
    kind: str = "temporary"
    position: int = -1
    slot: int = -1
    offset: int = 0

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        count = self.dtype.itemsize
        for size in self.shape:
            count *= size
        return count


@dataclass(eq=False, slots=True)
class Kernel:
    """A kernel to be compiled: `key` names its structure, `emit(target)` gives the LLVM IR that defines `kernel`."""

    key: Hashable
    emit: Callable[[Target], str]


@dataclass(eq=False, slots=True)
class Operand:
    """An argument of a command: a value and a byte offset into it; `access` is "r", "w" or "rw"."""

    value: Value
    offset: int = 0
    access: str = "r"


@dataclass(eq=False, slots=True)
class Command:
    """One launch of a kernel.

    Attributes:
        kernel: what runs; see docs/architecture.md for the ABI.
        operands: arrays, in the order in which the kernel reads its (slot, offset) pairs.
        params: integers after the operands; a Kernel stands for the address of its function.
        units: size of the parallel loop (1: runs on the calling thread alone).
        cost: estimated bytes moved plus flops, by which the executor decides whether threads pay.
        scratch: bytes of per-thread scratch memory that the kernel needs.
        name: what the profiler calls it.
        nodes: the graph nodes that it computes.
        is_preparation: it only brings its operands into another form, which is worth keeping.
    """

    kernel: Kernel
    operands: list[Operand]
    params: list[int | Kernel]
    units: int
    cost: int = 0
    scratch: int = 0
    name: str = ""
    nodes: tuple[Node, ...] = ()
    is_preparation: bool = False


@dataclass(eq=False, slots=True)
class HostCommand:
    """A graph node without a native lowering: the NumPy reference runs it on row-major values."""

    node: Node
    inputs: list[Value]
    output: Value


@dataclass(frozen=True, slots=True)
class Preparation:
    """What the first commands of a program prepare.

    Attributes:
        commands: their number.
        nbytes: size of the memory that they write.
        inputs: positions of the inputs that they read.
    """

    commands: int = 0
    nbytes: int = 0
    inputs: tuple[int, ...] = ()


@dataclass(eq=False, slots=True)
class Program:
    """A compiled graph: commands in order, and the memory that they need.

    The first `preparation.commands` commands depend on the inputs at `preparation.inputs` alone.
    """

    commands: list[Command | HostCommand]
    inputs: list[Value]
    outputs: list[Value]
    arena_bytes: int = 0
    scratch_bytes: int = 0
    status_nodes: list[Node] = field(default_factory=list)
    preparation: Preparation = field(default_factory=Preparation)
