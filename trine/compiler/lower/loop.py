"""Loop nests to commands: the form of the kernel, its parallel units, its parameters."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from trine.compiler.lower.loop_canonical import Canonical, Walk, canonical
from trine.compiler.lower.loop_split import chunking, is_single_pass, split
from trine.compiler.nest import Instruction, LoopNest
from trine.compiler.program import Command, Kernel, Operand, Value
from trine.compiler.target import Target
from trine.compiler.templates.loop import emit_loop, emit_tile, vector_copies, vector_lanes
from trine.compiler.templates.loop_body import is_supported
from trine.compiler.templates.loop_random import BLOCK
from trine.compiler.templates.loop_structure import (
    AccessInfo,
    InstructionInfo,
    LoopStructure,
    Schedule,
    cost,
    parameters,
    schedule,
)
from trine.compiler.templates.loop_types import round_constant
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, UnsupportedError, message

UNIT_BYTES = 32768  # memory that a unit of the parallel loop touches, about
SHORT_ROW = 16  # rows up to this length are computed side by side, one per lane
COLUMN_BLOCK = 256
TRANSPOSED_BLOCK = 32
STREAM_ROWS = 8
STREAM_BLOCK = 2048  # columns whose accumulators are held in scratch memory
STREAM_BYTES = 1024  # rows of at least that many bytes are read one after the other
KEPT_BYTES = 1 << 21  # scratch memory per thread above which values are computed again
SMALL_CONSTANTS = frozenset(repr(c) for v in (0, 1, -1, 2, -2) for c in (v, float(v))) | {"0.5", "-0.5", "inf", "-inf", "nan", "-0.0"}
# Integer constants in these stay in the code, where they become shifts and masks.
_STRENGTH_REDUCED = frozenset("bitwise_and bitwise_or bitwise_xor shift_left shift_right floor_div remainder fmod".split())
_LEAVES = frozenset({"load", "const", "scalar", "iota", "random_bits"})
NodeId = Callable[[Node | None], int]


@dataclass(slots=True)
class Template:
    """A kernel and what the computation of its parameters needs to know."""

    structure: LoopStructure
    kernel: Kernel
    plan: Schedule
    names: list[tuple[Any, ...]]
    lanes: int
    copies: int
    flops: int


_templates: dict[tuple[str, LoopStructure], Template] = {}
_MAX_TEMPLATES = 4096


def unsupported(op: str, dtype: DType) -> bool:
    """Return True if the native engine has no code for an elementwise primitive on operands of `dtype`."""
    if op in _LEAVES:
        return dtype.is_complex
    return not is_supported(op, dtype)


def lower_loop(
    target: Target,
    nest: LoopNest,
    temporaries: Callable[[tuple[int, ...], DType], Value],
    threads: int,
    node_id: NodeId = lambda node: 0,
) -> list[Command]:
    """Return the commands that compute a nest.

    Raises UnsupportedError if an instruction has no code (see `unsupported`).

    Args:
        target: what the kernels are compiled for.
        nest: the fused kernel.
        temporaries: makes a row-major temporary (for the partial results of long reductions).
        threads: number of threads that will run it. The commands do not depend on it: results are the same for any number.
        node_id: gives the number by which the status block names a `check_index` node.
    """
    if any(axis.extent == 0 and not axis.reduced for axis in nest.axes):
        return []
    c = canonical(nest)
    chunks = chunking(c, SHORT_ROW)
    if chunks is None:
        return [_command(target, nest, c, (), 0, node_id)]
    partial, combination = split(nest, c, chunks, temporaries)
    first = _command(target, nest, partial, chunks.axes, chunks.size, node_id)
    return [first, *lower_loop(target, combination, temporaries, threads, node_id)]


def lower_tile(nest: LoopNest, node_id: NodeId = lambda node: 0) -> tuple[Kernel, list[int]]:
    """Return the function that computes an elementwise nest over axes (..., m, n) on rectangles, and its integers.

    The function's signature is that of `trine.compiler.templates.loop.emit_tile_function`; its parameter block begins with a
    (slot, offset) pair for each of `tile_operands(nest)`, which the integers follow. An access may be loaded and stored (a tile
    updated in place).

    Raises:
        ArgumentError: the nest has fewer than two axes, or reduces.
    """
    if len(nest.axes) < 2 or any(axis.reduced for axis in nest.axes):
        raise ArgumentError(
            message(
                "tile: not an elementwise nest over matrices",
                received=f"axes {nest.axes}",
                expected="at least two axes, none of them reduced",
                fix="lower it as a command of its own",
            )
        )
    walks = [Walk(a, list(a.strides), list(a.bounds)) for a in nest.accesses]
    iotas = {i: list(n.attrs[0]) for i, n in enumerate(nest.instructions) if n.op == "iota"}
    extents = [axis.extent for axis in nest.axes]
    c = Canonical(extents, [False] * len(extents), walks, nest.instructions, iotas, nest.stores)
    vector = len(extents) - 1
    infos = _instruction_info(c, vector, False)
    s = LoopStructure(vector, 0, False, _access_info(c, vector), infos, tuple(c.stores), (), (), False, False, False)
    params = [_parameter(name, c, node_id) for name in parameters(s, 0, tile=True)]
    kernel = _tiles.get(s)
    if kernel is None:
        if len(_tiles) > 4096:
            _tiles.clear()
        kernel = _tiles[s] = Kernel(("loop.tile", s), lambda target: emit_tile(s, target))
    return kernel, params


_tiles: dict[LoopStructure, Kernel] = {}


def tile_operands(nest: LoopNest) -> list[Operand]:
    """Return the operands of a tile function, in the order of its parameter block."""
    modes = _modes(nest.instructions, nest.stores)
    return [Operand(a.value, a.offset * a.value.dtype.itemsize, modes.get(n, "r")) for n, a in enumerate(nest.accesses)]


# --- forms --------------------------------------------------------------------------------------------------------------------------


def arrange(c: Canonical, lanes: int) -> tuple[Canonical, int, int, bool]:
    """Order the axes: outer, inner, vector. Return the nest, the numbers of outer and inner axes, whether the vector axis is reduced."""
    parallel = [k for k, r in enumerate(c.reduced) if not r]
    reduced = [k for k, r in enumerate(c.reduced) if r]
    if not parallel and not reduced:
        c = Canonical([1], [False], c.walks, c.instructions, {i: [0] for i in c.coefficients}, c.stores)
        for walk in c.walks:
            walk.strides = [1]
        return c, 0, 0, False
    along = bool(reduced) and c.reduced[-1]
    if along and parallel and prod(c.extents[k] for k in reduced) <= SHORT_ROW and c.extents[parallel[-1]] >= lanes // 2:
        along = False
    vector = reduced[-1] if along else parallel[-1]
    outer = [k for k in parallel if k != vector]
    inner = [k for k in reduced if k != vector]
    return c.permuted([*outer, *inner, vector]), len(outer), len(inner), along


def _access_info(c: Canonical, vector: int) -> tuple[AccessInfo, ...]:
    infos = []
    for walk in c.walks:
        dtype = walk.access.value.dtype
        classes = ["0" if stride == 0 else "s" for stride in walk.strides]
        stride = walk.strides[vector]
        if stride == 1:
            classes[vector] = "1"
        elif abs(stride) * dtype.itemsize * 64 >= 1 << 31:
            classes[vector] = "S"
        bounds = tuple(b[0] for b in walk.bounds)
        if vector in bounds and stride == 0:
            classes[vector] = "s"
        infos.append(AccessInfo(dtype.name, "".join(classes), bounds, repr(walk.access.fill) if bounds else "0"))
    return tuple(infos)


def _instruction_info(c: Canonical, vector: int, single: bool) -> tuple[InstructionInfo, ...]:
    """Return the key's form of the instructions; `single`: no reduced axis is left, so that reductions are over one element."""
    users: dict[int, set[str]] = {}
    for instruction in c.instructions:
        for a in instruction.args:
            users.setdefault(a, set()).add(instruction.op)
    infos = []
    for i, instruction in enumerate(c.instructions):
        op, args, dtype, attrs = instruction.op, instruction.args, instruction.dtype, instruction.attrs
        if op == "const":
            text = _number_text(attrs[0], dtype)
            embedded = text in SMALL_CONSTANTS or dtype.code == "b" or (dtype.is_integer and bool(users.get(i, set()) & _STRENGTH_REDUCED))
            attrs = ("", text) if embedded else ("param",)
        elif op == "iota":
            row = c.coefficients[i]
            attrs = ("".join("0" if q == 0 else "1" if q == 1 and k == vector else "s" for k, q in enumerate(row)),)
        elif op == "check_index":
            attrs = () if attrs[1] else ("from 0",)
        elif op == "cast" or op == "bitcast":
            attrs = ()
        elif op == "reduce" and single:
            op, args, attrs = ("const", (), ("", "0")) if attrs[0].startswith("arg") else ("stop_gradient", args, ())
        infos.append(InstructionInfo(op, args, dtype.name, attrs))
    return tuple(infos)


def _number_text(value: Any, dtype: DType) -> str:
    if dtype.code == "b":
        return repr(bool(value))
    return repr(float(value)) if dtype.is_floating_point else repr(int(value))


def _aligned(c: Canonical, vector: int, along: bool) -> bool:
    """Return True if every random number's flat index is a multiple of 64 at the start of each row of vectors."""
    found = False
    for instruction in c.instructions:
        if instruction.op == "random_bits":
            row = c.coefficients.get(instruction.args[2])
            if row is None or along:
                return False
            offset = c.instructions[instruction.args[2]].attrs[1]
            found = row[vector] == 1 and offset % BLOCK == 0 and all(q % BLOCK == 0 for k, q in enumerate(row) if k != vector)
            if not found:
                return False
    return found


def _is_transposed(c: Canonical, outer: int, inner: int) -> bool:
    """Return True if an array is walked in strides along the vector axis but lies in order along the next axis.

    Then a narrow block of columns is carried through all rows, so that every cache line that a row touches serves the following rows too.
    """
    if not outer or inner:
        return False
    return any(abs(walk.strides[outer - 1]) == 1 and walk.strides[-1] not in (0, 1) for walk in c.walks)


def _is_streamed(c: Canonical, inner: int, along: bool) -> bool:
    """Return True if a column reduction reads its array row by row, with its accumulators in memory: one pass over long rows."""
    if along or not inner or c.row_size() < STREAM_ROWS:
        return False
    if c.extents[-1] * max(w.access.value.dtype.itemsize for w in c.walks) < STREAM_BYTES:
        return False
    if any(walk.strides[-1] not in (0, 1) for walk in c.walks):
        return False
    return is_single_pass(c)


def _template(target: Target, s: LoopStructure) -> Template:
    found = _templates.get((target.name, s))
    if found is None:
        if len(_templates) >= _MAX_TEMPLATES:
            _templates.clear()
        _check_supported(s)
        plan = schedule(s)
        kernel = Kernel(("loop", s), lambda t: emit_loop(s, t))
        lanes = vector_lanes(s, plan, target)
        flops = sum(cost(s, i) for p in plan.passes for i in p.needed) + sum(cost(s, i) for i in plan.rows if plan.is_vector[i])
        names = parameters(s, len(plan.kept))
        found = Template(s, kernel, plan, names, lanes, vector_copies(s, plan, lanes), flops)
        _templates[target.name, s] = found
    return found


def _check_supported(s: LoopStructure) -> None:
    for number, instruction in enumerate(s.instructions):
        source = s.dtype(instruction.args[0] if instruction.args else number)
        if instruction.op == "where":
            source = s.dtype(number)
        lacks = source.is_complex if instruction.op in _LEAVES or instruction.op == "reduce" else unsupported(instruction.op, source)
        if lacks or s.dtype(number).is_complex:
            raise UnsupportedError(
                message(
                    "loop kernel: no code for this instruction",
                    received=f"{instruction.op} of {source.name}",
                    expected="a primitive for which unsupported(op, dtype) is False",
                    fix="run it on the host",
                )
            )


def _command(target: Target, nest: LoopNest, c: Canonical, split_axes: tuple[int, ...], chunk: int, node_id: NodeId) -> Command:
    c, outer, inner, along = arrange(c, target.vector_bits // 32)
    vector = outer + inner
    units = tuple(range(outer)) if along else (-1, *range(outer)) if _is_transposed(c, outer, inner) else (*range(outer), -1)
    # The chunk axis is the first outer one; the split axis is given by its number among the reduced axes.
    placed = (0, outer + split_axes[1]) if split_axes else ()
    s = LoopStructure(
        *(outer, inner, along, _access_info(c, vector), _instruction_info(c, vector, not any(c.reduced)), tuple(c.stores)),
        *(units, placed, True, _aligned(c, vector, along), _is_streamed(c, inner, along)),
    )
    template = _template(target, s)
    scratch, kept = _kept_buffers(template, c)
    if scratch > KEPT_BYTES:
        template = _template(target, s._replace(keep=False))
        scratch, kept = 0, {}
    sizes = _unit_sizes(template, c)
    values = {**sizes, **kept, ("chunk",): chunk}
    for i, instruction in enumerate(template.structure.instructions):
        if template.structure.streamed and instruction.op == "reduce":
            values["stream", i] = scratch
            scratch += STREAM_BLOCK * 8
    params: list[int | Kernel] = [values[name] if name in values else _parameter(name, c, node_id) for name in template.names]
    modes = _modes(c.instructions, c.stores)
    operands = [Operand(w.access.value, w.access.offset * w.access.value.dtype.itemsize, modes.get(a, "r")) for a, w in enumerate(c.walks)]
    points = prod(c.extents)
    moved = sum(_bytes(c, a) for a in range(len(c.walks)))
    total, group = sizes["total",], sizes["group",]
    name = "row" if along else "column" if inner else "elementwise"
    return Command(
        *(template.kernel, operands, params, -(-total // group)),
        cost=moved + points * template.flops // template.lanes,
        scratch=scratch,
        name=name,
        nodes=nest.nodes,
    )


def _modes(instructions: list[Instruction], stores: list[tuple[int, int]]) -> dict[int, str]:
    """Return how each access that is stored to is used: "w", or "rw" if it is loaded too."""
    loaded = {i.attrs[0] for i in instructions if i.op == "load"}
    return {a: "rw" if a in loaded else "w" for _, a in stores}


def _bytes(c: Canonical, a: int) -> int:
    """Return the bytes that an access touches, at least."""
    walk = c.walks[a]
    return prod(e for e, stride in zip(c.extents, walk.strides, strict=True) if stride) * walk.access.value.dtype.itemsize


def _kept_buffers(t: Template, c: Canonical) -> tuple[int, dict[tuple[Any, ...], int]]:
    """Return the scratch bytes that a kernel needs, and the parameters that describe its buffers."""
    if not t.plan.kept:
        return 0, {}
    s = t.structure
    block = t.lanes * max(t.copies, 4)
    pitch = -(-c.extents[s.vector] // block) * block if s.along else block
    values: dict[tuple[Any, ...], int] = {}
    for k in range(s.vector - 1, s.outer - 1, -1):
        values["pitch", k] = pitch
        pitch *= max(c.extents[k], 1)
    at = 0
    for n, i in enumerate(t.plan.kept):
        values["kept", n] = at
        dtype = s.dtype(i)
        at += -(-pitch * (4 if dtype.is_half else dtype.itemsize) // 64) * 64
    return at, values


def _unit_sizes(t: Template, c: Canonical) -> dict[tuple[Any, ...], int]:
    """Return how the parallel loop is cut into units; by the shapes alone."""
    s = t.structure
    extent = c.extents[s.vector]
    rows = prod(c.extents[: s.outer])
    per_point = sum(w.access.value.dtype.itemsize for w in c.walks if any(w.strides)) or 1
    row_bytes = max(1, per_point * prod(c.extents[s.outer :]))
    if s.along:
        return {("group",): max(1, UNIT_BYTES // row_bytes), ("total",): rows, ("block",): 0, ("blocks",): 1}
    per_column = max(1, per_point * prod(c.extents[s.outer : s.vector]))
    block = max(UNIT_BYTES // per_column, COLUMN_BLOCK if s.inner else 1024)
    block = -(-block // 64) * 64
    if s.streamed:
        block = STREAM_BLOCK
    elif s.split:
        block = max(block, 4096)
    if s.units[0] == -1 and s.outer:
        block = TRANSPOSED_BLOCK
        total = rows * max(1, -(-extent // block))
        group = max(1, UNIT_BYTES // (per_point * min(block, extent)))
        return {("group",): group, ("total",): total, ("block",): block, ("blocks",): total // rows}
    blocks = max(1, -(-extent // block))
    group = max(1, UNIT_BYTES // row_bytes) if blocks == 1 else 1
    return {("group",): group, ("total",): rows * blocks, ("block",): block, ("blocks",): blocks}


def _parameter(name: tuple[Any, ...], c: Canonical, node_id: NodeId) -> int:
    """Return the value of a parameter (see `parameters`): (kind, number of an axis, access or instruction, further numbers)."""
    kind: str = name[0]
    number: int = name[1]
    if kind == "stride":
        walk = c.walks[number]
        return walk.strides[int(name[2])] * walk.access.value.dtype.itemsize
    if kind == "extent":
        return c.extents[number]
    if kind == "low" or kind == "high":
        bound = c.walks[number].bounds[int(name[2])]
        return bound[1] if kind == "low" else bound[2]
    if kind == "linear":
        return prod(c.extents[k] for k in range(number + 1, len(c.extents)) if c.reduced[k])
    instruction = c.instructions[number]
    if kind == "coefficient":
        return c.coefficients[number][int(name[2])]
    if kind == "offset":
        return int(instruction.attrs[1])
    if kind == "const":
        return constant_bits(instruction)
    return node_id(instruction.node) if kind == "node" else int(instruction.attrs[0])


def constant_bits(instruction: Instruction) -> int:
    """Return the 8 bytes, as a signed integer, in which a kernel reads a constant: the register's bits in the low part."""
    value, dtype = instruction.attrs[0], instruction.dtype
    if dtype.is_integer:
        wrapped = int(value) & 0xFFFFFFFFFFFFFFFF
        return wrapped - (1 << 64) if wrapped >> 63 else wrapped
    number = round_constant(float(value), dtype)
    data = struct.pack("<d", number) if dtype.itemsize == 8 else struct.pack("<f", number) + bytes(4)
    return int(struct.unpack("<q", data)[0])
