"""Lowering of matrix multiplication: from a `dot` to the commands that compute it.

K is walked in an order that depends on shapes and strides alone: the result is the same bit for bit for any number of threads, however
the units are shared out. The number of threads matters only for how wide some blocks are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from trine import dtypes
from trine.compiler.lower.loop import lower_tile, tile_operands
from trine.compiler.nest import Access, Axis, Instruction, LoopNest
from trine.compiler.program import Command, Kernel, Operand, Value
from trine.compiler.target import Target
from trine.compiler.templates.dot import Tile, inner_tile, micro_kernel, tile
from trine.compiler.templates.dot_driver import driver_function, driver_kernel
from trine.compiler.templates.dot_finish import finish_kernel
from trine.compiler.templates.dot_integer import ROWS as INTEGER_ROWS
from trine.compiler.templates.dot_integer import integer_kernel
from trine.compiler.templates.dot_pack import pack_kernel, pack_layout, packer
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import UnsupportedError, message

# Up to this many rows (or columns) a transposed b is used as it lies, by scalar products; beyond it packing pays.
_INNER_ROWS = 8
# Up to this k a product is bound by the stores of its result, which whole rows serve best.
_OUTER_K = 4
# How much of K one pass takes: a panel of b (columns x this) stays in the first-level cache while those of a block of a pass.
_K_STEP = 256
# Most columns and rows of a block. A packed block of a (rows x _K_STEP) fits the second-level cache; all rows are one block if they do.
_N_BLOCK = 512
_M_BLOCK = 144
_WHOLE_ROWS = 264
# Columns of b that are packed at a time, just before they are used; from this many blocks of rows on, all of b is packed once beforehand.
_N_GROUP = 64
_MANY_BLOCKS = 5
# Columns for which it pays to pack a once more; half of them where a thread would have nothing to do otherwise.
_UNIT_COLUMNS = 128
# A product is cut in this many units if each then has at least so many multiply-adds.
_UNITS = 16
_UNIT_WORK = 1 << 18
# With few units, a long K is cut in parts of at least this length.
_K_SHARE = 1024
# Up to this many rows, tiles without remainder are preferred.
_FEW_ROWS = 128
# From this many rows on, integer columns that are not adjacent are made so first.
_INTEGER_PACK_ROWS = 8
# Multiply-adds of a unit of the kernels that are bound by memory.
_MEMORY_UNIT_WORK = 1 << 16
# A vector times a matrix: the most columns of a block (its part of the result stays in the first-level cache), the rows of b that a
# pass reads, and the multiply-adds that make a share of k worth a unit.
_VECTOR_COLUMNS = 8192
_VECTOR_STEP = 8
_VECTOR_SHARE = 1 << 17
# Elements that a unit packs.
_PACK_UNIT = 1 << 15


@dataclass(eq=False, slots=True)
class Matrix:
    """A strided batch of matrices inside a value.

    Attributes:
        value: the array.
        offset: elements from its start.
        batch_strides: elements per batch axis; 0 means broadcast.
        row_stride, column_stride: elements.
        is_shared: whether other products of the plan have the same operand, which is worth packing once for all of them.
    """

    value: Value
    offset: int
    batch_strides: tuple[int, ...]
    row_stride: int
    column_stride: int
    is_shared: bool = False


Packed = dict[Hashable, Value]
"""What was packed, by a key that tells all about its layout."""


@dataclass(eq=False, slots=True)
class _Problem:
    """A product in normal form: c has adjacent columns, batch axes (extent, stride in a, b, c) are few and innermost first."""

    m: int
    n: int
    k: int
    a: Matrix
    b: Matrix
    c: Matrix
    a_m: int
    a_k: int
    b_k: int
    b_n: int
    c_m: int
    axes: list[tuple[int, int, int, int]]
    batch: int
    epilogue: LoopNest | None


def lower_dot(
    target: Target,
    batch: tuple[int, ...],
    m: int,
    n: int,
    k: int,
    a: Matrix,
    b: Matrix,
    c: Matrix,
    dtype: DType,
    epilogue: LoopNest | None = None,
    *,
    temporaries: Callable[[tuple[int, ...], DType], Value],
    packed: Packed | None = None,
    threads: int = 1,
    nodes: tuple[Node, ...] = (),
) -> list[Command]:
    """Return the commands that compute ``c = a @ b`` for each matrix of a batch.

    Args:
        target: what the kernels are compiled for.
        batch: extents of the batch axes.
        m, n, k: a is m x k, b is k x n, c is m x n. With k = 0 the result is zeros; with nothing to compute there are no commands.
        a, b: operands, any strides.
        c: the result; adjacent columns (column_stride 1) or adjacent rows (row_stride 1).
        dtype: of all three. float16 and bfloat16 accumulate in float32 and round once.
        epilogue: an elementwise nest over (batch..., m, n) that is applied to each tile of c right after it is computed; its access 0
            is c.
        temporaries: makes a temporary value of a shape and dtype.
        packed: operands that earlier products of the plan packed; takes those of this one.
        threads: number of threads that will run it; the result does not depend on it.
        nodes: the graph nodes that the commands compute.

    Raises:
        UnsupportedError: c has neither adjacent columns nor adjacent rows.
    """
    if not m or not n or 0 in batch:
        return []
    problem = _normalize(batch, m, n, k, a, b, c, epilogue)
    if epilogue is not None:
        nodes += epilogue.nodes
    if not dtype.is_floating_point:
        return _integer_commands(target, problem, dtype, temporaries, nodes)
    return _float_commands(target, problem, dtype, temporaries, {} if packed is None else packed, threads, nodes)


def _normalize(batch: tuple[int, ...], m: int, n: int, k: int, a: Matrix, b: Matrix, c: Matrix, epilogue: LoopNest | None) -> _Problem:
    """Merge batch axes, move a batch that b does not see into the rows, and transpose where c has adjacent rows."""
    a_m, a_k, b_k, b_n, c_m, c_n = a.row_stride, a.column_stride, b.row_stride, b.column_stride, c.row_stride, c.column_stride
    axes: list[tuple[int, int, int, int]] = []
    count = 1
    for i in range(len(batch) - 1, -1, -1):
        extent, sa, sb, sc = batch[i], a.batch_strides[i], b.batch_strides[i], c.batch_strides[i]
        if extent == 1:
            continue
        # An operand that is the same for all of the innermost axis lets that axis join the rows (columns) of the other.
        if not axes and not sb and ((sa == m * a_m and sc == m * c_m) if m != 1 else (c_n == 1 or n == 1 or sc == 1)):
            folded = epilogue and _fold(epilogue, i, -2)
            if folded or not epilogue:
                a_m, c_m = (a_m, c_m) if m != 1 else (sa, sc)
                m, epilogue = m * extent, folded
                continue
        if not axes and not sa and ((sb == n * b_n and sc == n * c_n) if n != 1 else (c_m == 1 or m == 1 or sc == 1)):
            folded = epilogue and _fold(epilogue, i, -1)
            if folded or not epilogue:
                b_n, c_n = (b_n, c_n) if n != 1 else (sb, sc)
                n, epilogue = n * extent, folded
                continue
        count *= extent
        if axes:
            e, ia, ib, ic = axes[-1]
            if sa == e * ia and sb == e * ib and sc == e * ic:
                axes[-1] = (e * extent, ia, ib, ic)
                continue
        axes.append((extent, sa, sb, sc))
    # The stride of an axis of size 1 says nothing: let it count as adjacent.
    a_m, c_m = (a_m, c_m) if m != 1 else (1, 1)
    b_n, c_n = (b_n, c_n) if n != 1 else (1, 1)
    a_k, b_k = (a_k, b_k) if k != 1 else (1, 1)
    if c_n != 1 or (n == 1 and c_m == 1):
        axes = [(e, sb, sa, sc) for e, sa, sb, sc in axes]
        m, n, a, b, a_m, a_k, b_k, b_n, c_m, c_n = n, m, b, a, b_n, b_k, a_k, a_m, c_n, c_m
        epilogue = epilogue and _swap(epilogue)
    if c_n != 1:
        raise UnsupportedError(
            message(
                "dot: neither the rows nor the columns of the result are adjacent in memory",
                received=f"row stride {c.row_stride}, column stride {c.column_stride}",
                expected="one of them 1",
            )
        )
    return _Problem(m, n, k, a, b, c, a_m, a_k, b_k, b_n, c_m, axes, count, epilogue)


def _fold(nest: LoopNest, i: int, into: int) -> LoopNest | None:
    """Return the nest with axis i merged into the axis `into` (-2: m, -1: n), i varying slower; None where an access forbids it."""
    into += len(nest.axes)
    extent = nest.axes[into].extent
    merged: list[tuple[int, ...]] = []
    iotas = [instruction.attrs[0] for instruction in nest.instructions if instruction.op == "iota"]
    for strides in [*(access.strides for access in nest.accesses), *iotas]:
        if extent != 1 and strides[i] != extent * strides[into]:
            return None
        joined = [*strides]
        joined[into] = strides[i] if extent == 1 else strides[into]
        del joined[i]
        merged.append(tuple(joined))
    if any(axis in (i, into) for access in nest.accesses for axis, _, _ in access.bounds):
        return None
    extents = [axis.extent for axis in nest.axes]
    extents[into] *= extents[i]
    del extents[i]
    order = [k for k in range(len(nest.axes)) if k != i]
    return _rebuilt(nest, extents, merged, order)


def _swap(nest: LoopNest) -> LoopNest:
    """Return the nest with its last two axes exchanged."""
    order = [*range(len(nest.axes) - 2), len(nest.axes) - 1, len(nest.axes) - 2]
    iotas = [instruction.attrs[0] for instruction in nest.instructions if instruction.op == "iota"]
    strides = [tuple(row[k] for k in order) for row in [*(access.strides for access in nest.accesses), *iotas]]
    return _rebuilt(nest, [nest.axes[k].extent for k in order], strides, order)


def _rebuilt(nest: LoopNest, extents: list[int], strides: list[tuple[int, ...]], order: list[int]) -> LoopNest:
    """Return the nest on new axes: `strides` for each access, then for each iota; `order`: the old number of each new axis."""
    number = {old: new for new, old in enumerate(order)}
    rows = iter(strides)
    accesses = [
        Access(x.value, x.offset, next(rows), tuple((number[axis], low, high) for axis, low, high in x.bounds), x.fill)
        for x in nest.accesses
    ]
    instructions = [
        Instruction(x.op, x.args, x.dtype, (next(rows), *x.attrs[1:]), x.row, x.node) if x.op == "iota" else x for x in nest.instructions
    ]
    return LoopNest([Axis(extent) for extent in extents], accesses, instructions, nest.stores, nest.nodes)


@dataclass(slots=True)
class _Epilogue:
    """What a command that applies an epilogue needs of it: operands, parameters, the function (0: none), their entries, its cost."""

    operands: list[Operand]
    params: list[int]
    function: Kernel | int
    entries: int
    cost: int


_NO_EPILOGUE = _Epilogue([], [], 0, 0, 0)


def _epilogue(p: _Problem) -> _Epilogue:
    if p.epilogue is None:
        return _NO_EPILOGUE
    function, params = lower_tile(p.epilogue)
    operands = tile_operands(p.epilogue)
    cost = p.batch * p.m * p.n * (len(p.epilogue.instructions) + sum(access.value.dtype.itemsize for access in p.epilogue.accesses))
    return _Epilogue(operands, params, function, 2 * len(operands) + len(params), cost)


def _operands(p: _Problem, dtype: DType) -> list[Operand]:
    size = dtype.itemsize
    return [
        Operand(p.a.value, p.a.offset * size),
        Operand(p.b.value, p.b.offset * size),
        Operand(p.c.value, p.c.offset * size, "w"),
    ]


def _cost(p: _Problem, dtype: DType) -> int:
    return p.batch * (2 * p.m * p.n * p.k + dtype.itemsize * (p.m * p.k + p.k * p.n + p.m * p.n))


def _integer_commands(
    target: Target, p: _Problem, dtype: DType, temporaries: Callable[[tuple[int, ...], DType], Value], nodes: tuple[Node, ...]
) -> list[Command]:
    e = _epilogue(p)
    commands: list[Command] = []
    operands, b_k, b_n, axes = _operands(p, dtype), p.b_k, p.b_n, p.axes
    if b_n != 1 and p.m >= _INTEGER_PACK_ROWS:
        # One panel as wide as b: its columns become adjacent.
        width = -(-p.n // target.lanes(dtype)) * target.lanes(dtype)
        operands[1], axes, packing = _pack_command(p, width, dtype, dtype, temporaries, {}, nodes)
        commands += packing
        b_k, b_n = width, 1
    params: list[int | Kernel] = [*e.params, p.m, p.n, p.k, p.a_m, p.a_k, b_k, b_n, p.c_m, p.n if b_n == 1 else 0, e.function, len(axes)]
    for axis in axes:
        params += axis
    units = p.batch * -(-p.m // INTEGER_ROWS)
    kernel = integer_kernel(dtype, e.entries)
    commands.append(Command(kernel, operands + e.operands, params, units, _cost(p, dtype) + e.cost, 0, "dot", nodes))
    return commands


# --- choices ----------------------------------------------------------------------------------------------------------------------------


@functools.lru_cache(4096)
def tile_shape(m: int, most: int, vectors: int) -> tuple[int, int]:
    """Return the rows and vectors of a tile by estimated time, for m rows and a full tile of `most` rows and `vectors` vectors.

    A remainder of rows takes another kernel, which few rows are not worth.
    """
    shapes = [(m, vectors)] if m <= most else [(rows, vectors) for rows in range(most, most // 2, -1)]
    # One more vector and fewer rows need as many registers, and serve few rows that the full tile does not divide.
    taller = (most * vectors) // (vectors + 1)
    if _FEW_ROWS // 2 >= m > most and taller > 1:
        shapes.append((taller, vectors + 1))
    penalty = 1.1 if m <= _FEW_ROWS else 1.02

    def cycles(rows: int, width: int) -> float:
        # A multiply-add for each vector and row; under ten of them wait for one another.
        return (max(width * rows, 10) + 4) / width if rows else 0

    def cost(shape: tuple[int, int]) -> float:
        rows, width = shape
        rest = m % rows
        return (m // rows * cycles(rows, width) + cycles(rest, width)) * (penalty if rest else 1.0)

    return min(shapes, key=cost)


def even(total: int, most: int, unit: int) -> int:
    """Return the size, a multiple of `unit`, of the fewest nearly equal blocks of at most `most`."""
    blocks = -(-total // max(most, unit))
    return -(-total // (blocks * unit)) * unit


@dataclass(slots=True)
class _Plan:
    """The choices for a floating-point product: micro-kernel, tile, blocks, and what is packed when.

    `pack_a`: a is packed by each unit. `pack_b`: "" (never), "edge" (the last columns, by each unit), "unit", or "before" (by a command).
    `n_group`: columns that are packed, and that the epilogue goes on with, at a time.
    """

    walk: str
    rows: int
    columns: int
    vectors: int
    pack_a: bool
    pack_b: str
    m_block: int
    n_block: int
    k_block: int
    k_step: int
    n_group: int
    m_blocks: int = 1
    n_blocks: int = 1
    k_blocks: int = 1


def _plan(target: Target, p: _Problem, geometry: Tile, is_direct: bool, threads: int) -> _Plan:
    m, n, k = p.m, p.n, p.k
    if is_direct and p.b_n == 1 and (m == 1 or k <= _OUTER_K):
        return _vector_plan(p)
    if is_direct and p.b_k == 1 and p.a_k == 1 and min(m, n) <= _INNER_ROWS:
        return _inner_plan(p, *inner_tile(target, m))
    rows, vectors = tile_shape(m, geometry.rows, min(geometry.vectors, -(-n // geometry.lanes)))
    columns = vectors * geometry.lanes
    # A packed a pays where its elements are used often enough.
    pack_a = not (is_direct and n <= 2 * geometry.columns and (p.a_k == 1 or p.a_m == 1))
    walk = "column" if not pack_a and p.a_k == 1 else "row"
    share = max(1, min(-(-_UNITS // p.batch), m * n * k // _UNIT_WORK))
    m_block = m if m <= _WHOLE_ROWS else even(m, _M_BLOCK, rows)
    m_blocks = -(-m // m_block)
    if m <= rows and is_direct and p.b_n == 1:
        pack_b = "edge"
    else:
        pack_b = "unit" if m_blocks < _MANY_BLOCKS and not p.b.is_shared else "before"
    n_block = even(n, min(_N_BLOCK, max(n * m_blocks // share, 4 * columns)), columns)
    # The shares of k decide the order of additions, so they must not depend on the number of threads.
    k_blocks = max(1, min(k // _K_SHARE, share // (m_blocks * -(-n // n_block))))
    if k_blocks == 1 and m_blocks == 1:
        # Every unit packs all of a: no more units than the threads need, and as many for each.
        most = max(n // _UNIT_COLUMNS, min(threads, n // (_UNIT_COLUMNS // 2)))
        blocks = min(share, (4 if m > _FEW_ROWS else 2) * threads, most) if threads > 1 else 1
        n_block = even(n, min(_N_BLOCK, -(-n // max(blocks // threads * threads, min(blocks, threads), 1))), columns)
    k_block = even(k, -(-k // k_blocks), 4) if k_blocks > 1 else max(k, 1)
    k_step = k_block if k_block <= _K_STEP * 3 // 2 else even(k_block, _K_STEP, 4)
    counts = (m_blocks, -(-n // n_block), -(-k // k_block) or 1)
    n_group = max(columns, _N_GROUP // columns * columns)
    return _Plan(walk, rows, columns, vectors, pack_a, pack_b, m_block, n_block, k_block, k_step, n_group, *counts)


def _vector_plan(p: _Problem) -> _Plan:
    """Plan a row times a row-major matrix, or an outer product: both are bound by memory, and read or written row by row."""
    n, k = p.n, max(p.k, 1)
    n_block = even(n, _VECTOR_COLUMNS, 64)
    n_blocks = -(-n // n_block)
    # Blocks of rows of b keep memory accesses adjacent, as blocks of columns would not.
    share = min(-(-_UNITS // p.batch) // n_blocks, n * k // _VECTOR_SHARE) if p.m == 1 else 1
    k_block = even(k, -(-k // share), _VECTOR_STEP) if share > 1 else k
    k_step = _VECTOR_STEP if p.m == 1 and n * k > _VECTOR_SHARE else k_block
    m_block = min(p.m, max(1, _MEMORY_UNIT_WORK // (k * n_block)))
    # The kernel takes any number of columns, so its tile is the block.
    return _Plan(
        "vector", 1, n_block, 0, False, "", m_block, n_block, k_block, k_step, n_block, -(-p.m // m_block), n_blocks, -(-k // k_block)
    )


def _inner_plan(p: _Problem, rows: int, columns: int) -> _Plan:
    """Plan a few rows times a column-major matrix: nothing is packed, a unit is some columns."""
    k = max(p.k, 1)
    n_block = even(p.n, columns * max(1, _MEMORY_UNIT_WORK // (rows * columns * k)), columns)
    return _Plan("inner", rows, columns, columns, False, "", p.m, n_block, k, k, n_block, 1, -(-p.n // n_block))


# --- commands ---------------------------------------------------------------------------------------------------------------------------


def _float_commands(
    target: Target,
    p: _Problem,
    dtype: DType,
    temporaries: Callable[[tuple[int, ...], DType], Value],
    packed: Packed,
    threads: int,
    nodes: tuple[Node, ...],
) -> list[Command]:
    compute = dtypes.float32 if dtype.is_half else dtype
    geometry = tile(target, compute)
    plan = _plan(target, p, geometry, compute is dtype, threads)
    commands: list[Command] = []
    a, b, c = _operands(p, dtype)
    b_dtype, b_k, b_n, c_m, axes = dtype, p.b_k, p.b_n, p.c_m, p.axes
    if plan.pack_b == "before":
        b, axes, packing = _pack_command(p, plan.columns, dtype, compute, temporaries, packed, nodes)
        commands += packing
        b_dtype, b_k, b_n = compute, plan.columns, p.k
    finishes = plan.k_blocks > 1 or compute is not dtype
    c_split = 0
    if finishes:
        partials = temporaries((p.batch, plan.k_blocks, p.m, p.n), compute)
        c, c_m, c_split = Operand(partials, 0, "w"), p.n, p.m * p.n
        stride, dense = plan.k_blocks * c_split, []
        for extent, sa, sb, _ in axes:
            dense.append((extent, sa, sb, stride))
            stride *= extent
        axes = dense
    e = _epilogue(p)
    tail = _NO_EPILOGUE if finishes else e
    params, scratch = _driver_params(p, plan, geometry.panel, dtype, compute, (b_k, b_n, c_m, c_split))
    params = [*tail.params, driver_function(dtype, b_dtype, compute), *params, tail.function, len(axes)]
    for axis in axes:
        params += axis
    units = p.batch * plan.m_blocks * plan.n_blocks * plan.k_blocks
    cost = _cost(p, dtype) + tail.cost
    commands.append(Command(driver_kernel(tail.entries), [a, b, c, *tail.operands], params, units, cost, scratch, "dot", nodes))
    if finishes:
        commands.append(_finish_command(p, plan.k_blocks, c.value, dtype, compute, e, nodes))
    return commands


def _driver_params(
    p: _Problem, plan: _Plan, panel: int, dtype: DType, compute: DType, strides: tuple[int, int, int, int]
) -> tuple[list[int | Kernel], int]:
    """Return the driver's parameters up to the epilogue, and its bytes of scratch memory. `strides`: b_k, b_n, c_m, c_split."""
    rows, columns, walk = plan.rows, plan.columns, plan.walk
    b_k, b_n, c_m, c_split = strides
    step_bytes = plan.k_step * compute.itemsize
    packed_from = {"unit": 0, "edge": p.n - p.n % columns}.get(plan.pack_b, p.n)
    b_scratch = -(-plan.m_block // rows) * panel * step_bytes + 63 & -64 if plan.pack_a else 0
    scratch = b_scratch
    if packed_from < p.n:
        scratch += -(-min(plan.n_group, plan.n_block, p.n - packed_from) // columns) * columns * step_bytes
    rest = p.m % rows or rows
    micro = micro_kernel(compute, walk, rows, plan.vectors)
    params: list[int | Kernel] = [
        *(
            p.m,
            p.n,
            p.k,
            plan.m_blocks,
            plan.n_blocks,
            plan.k_blocks,
            plan.m_block,
            plan.n_block,
            plan.k_block,
            rows,
            columns,
            plan.k_step,
            plan.n_group,
        ),
        *(p.a_m, p.a_m * rows, p.a_k, b_k, b_n, c_m, c_split),
        p.a_k if walk in ("row", "vector") else p.a_m,
        b_n if walk == "inner" else b_k,
        *(int(plan.pack_a), packed_from, b_scratch),
        *(micro, micro if rest == rows else micro_kernel(compute, walk, rest, plan.vectors)),
        packer(dtype, compute, pack_layout(p.a_m, p.a_k, dtype)) if plan.pack_a else 0,
        packer(dtype, compute, pack_layout(b_n, b_k, dtype)) if packed_from < p.n else 0,
    ]
    return params, scratch


def _pack_command(
    p: _Problem,
    columns: int,
    dtype: DType,
    compute: DType,
    temporaries: Callable[[tuple[int, ...], DType], Value],
    known: Packed,
    nodes: tuple[Node, ...],
) -> tuple[Operand, list[tuple[int, int, int, int]], list[Command]]:
    """Return b packed into panels of some columns, the batch axes with its strides, and the command that packs it, if `known` lacks it.

    Equal matrices of the batch are packed once.
    """
    n, k = p.n, p.k
    panels = -(-n // columns)
    size = panels * k * columns
    axes, pack_axes, batch = [], [], 1
    for extent, sa, sb, sc in p.axes:
        axes.append((extent, sa, batch * size if sb else 0, sc))
        if sb:
            pack_axes.append((extent, sb, batch * size))
            batch *= extent
    key = (p.b.value, p.b.offset, p.b_n, p.b_k, n, k, columns, compute.name, *pack_axes)
    packed = known.get(key)
    if packed is not None:
        return Operand(packed), axes, []
    packed = known[key] = temporaries((batch, panels, k, columns), compute)
    layout = pack_layout(p.b_n, p.b_k, dtype)
    # Units read memory in the order in which it lies: some whole rows of k, or a long part of a panel.
    n_block, k_block = (n, max(1, _PACK_UNIT // n)) if layout == "copy" else (columns, max(64, _PACK_UNIT // columns & -64))
    n_blocks, k_blocks = -(-n // n_block), -(-k // k_block) or 1
    params: list[int | Kernel] = [n, k, n_blocks, k_blocks, n_block, k_block, p.b_n, p.b_k, columns, columns]
    params += (packer(dtype, compute, layout), len(pack_axes))
    for axis in pack_axes:
        params += axis
    operands = [Operand(p.b.value, p.b.offset * dtype.itemsize), Operand(packed, 0, "w")]
    cost = batch * k * n * (dtype.itemsize + compute.itemsize)
    units = batch * n_blocks * k_blocks
    return Operand(packed), axes, [Command(pack_kernel(dtype, compute), operands, params, units, cost, 0, "dot.pack", nodes)]


def _finish_command(
    p: _Problem, parts: int, partials: Value, dtype: DType, compute: DType, e: _Epilogue, nodes: tuple[Node, ...]
) -> Command:
    """Return the command that adds the partial results, rounds and stores, then applies the epilogue."""
    m_block = max(1, min(p.m, _MEMORY_UNIT_WORK // (p.n * parts)))
    m_blocks = -(-p.m // m_block)
    params: list[int | Kernel] = [*e.params, p.m, p.n, parts, m_blocks, m_block, p.c_m, e.function, len(p.axes)]
    for extent, _, _, stride in p.axes:
        params += (extent, stride)
    operands = [Operand(partials), Operand(p.c.value, p.c.offset * dtype.itemsize, "w"), *e.operands]
    cost = p.batch * p.m * p.n * (parts * compute.itemsize + dtype.itemsize) + e.cost
    return Command(finish_kernel(compute, dtype, e.entries), operands, params, p.batch * m_blocks, cost, 0, "dot.finish", nodes)
