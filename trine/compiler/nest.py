"""Loop nests: what a fused kernel computes, before it becomes LLVM IR.

A nest iterates over `axes` (outermost first). Each axis is parallel or reduced. `instructions` are in SSA order and refer to one
another by index. An instruction has a *level*: "full" instructions are evaluated at every point of the nest, "row" instructions once per
point of the parallel axes (results of reductions, and what is computed from these, from constants or from loads that do not depend on a
reduced axis). A full instruction may use a row value (softmax: `exp(x - max(x))`), which makes the nest a multi-pass one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trine.compiler.program import Value
from trine.core.graph import Node
from trine.dtypes import DType


@dataclass(frozen=True, slots=True)
class Axis:
    """A loop: its extent (a run-time parameter of the kernel) and whether it is reduced."""

    extent: int
    reduced: bool = False


@dataclass(eq=False, slots=True)
class Access:
    """How a nest walks one array.

    Element address = base + offset + sum(strides[k] * i[k]) in elements, i[k] being the position on axis k.

    Attributes:
        value: the array.
        offset: elements from the value's start to position 0 of all axes.
        strides: elements, one per axis of the nest; 0 means broadcast; may be negative (flip).
        bounds: (axis, low, high): where i[axis] is outside [low, high) nothing is read and `fill` is the result (padding).
        fill: the padding value.
    """

    value: Value
    offset: int
    strides: tuple[int, ...]
    bounds: tuple[tuple[int, int, int], ...] = ()
    fill: float | int | bool = 0


@dataclass(eq=False, slots=True)
class Instruction:
    """One value of the nest.

    `op` is an elementwise primitive of the closed table (unary, binary, where, cast, bitcast, check_index; operands already have
    one dtype, as in the graph) or one of

    - ``load``: attrs = (number of the access,)
    - ``const``: attrs = (Python number,)
    - ``scalar``: attrs = (position,), dtype float64 or int64: run-time scalar
    - ``iota``: attrs = (coefficients per axis, offset): sum(coefficient[k] * i[k]) + offset
    - ``random_bits``: args = (seed, offset, linear index), uint32; Philox as in `trine.core.random_bits`
    - ``reduce``: attrs = (kind,), kind in sum prod max min argmax argmin: over all reduced axes; a row value. argmax and argmin
      give int64 positions along the reduced axes in row-major order, first occurrence, NaN wins.
    """

    op: str
    args: tuple[int, ...]
    dtype: DType
    attrs: tuple[Any, ...] = ()
    row: bool = False
    node: Node | None = None


@dataclass(eq=False, slots=True)
class LoopNest:
    """A fused kernel: axes, the arrays that it walks, its instructions, and what it stores.

    `stores` are (instruction, access) pairs. A row instruction is stored once per row; its access has stride 0 on reduced axes.
    The order of the axes is chosen by the fusion pass: the last parallel or reduced axis is the one to vectorise. Trailing reduced
    axes make a row kernel (softmax), leading ones a column kernel (bias gradient), all of them a full reduction; leading and trailing ones
    together are allowed (batch norm of NCHW arrays).
    """

    axes: list[Axis]
    accesses: list[Access] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    stores: list[tuple[int, int]] = field(default_factory=list)
    nodes: tuple[Node, ...] = ()
