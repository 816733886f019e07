"""Lowering of matrix multiplication: from a `dot` to the commands that compute it.

All choices depend on shapes and strides alone, never on the number of threads, and K is walked in the same order in every block: the result is
the same bit for bit however the units are shared out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from trine import dtypes
from trine.compiler.nest import LoopNest
from trine.compiler.program import Command, Kernel, Operand, Value
from trine.compiler.target import Target
from trine.compiler.templates.dot import VECTOR_WIDTH, Tile, inner_columns, micro_kernel, tile
from trine.compiler.templates.dot_driver import driver_kernel
from trine.compiler.templates.dot_finish import finish_kernel
from trine.compiler.templates.dot_integer import integer_kernel
from trine.compiler.templates.dot_pack import pack_layout, packer
from trine.core.graph import Node
from trine.dtypes import DType

# Up to this many rows a transposed b is used as it lies, by scalar products; from then on packing it pays.
_INNER_ROWS = 8
_INNER_TILE_ROWS = 4
# How much of K one pass takes: panels of a (rows x this) and of b (columns x this) must fit the caches.
_K_STEP = 384
# Multiply-adds that make a unit worth handing to another thread, and bounds of a block.
_UNIT_WORK = 1 << 19
_N_BLOCK = 512
_M_BLOCK_TILES = 8
# Results with fewer blocks than this split a long K, in parts of at least _K_SHARE.
_FEW_BLOCKS = 8
_K_SHARE = 2048


@dataclass(eq=False, slots=True)
class Matrix:
    """A strided batch of matrices inside a value.

    Attributes:
        value: the array.
        offset: elements from its start.
        batch_strides: elements per batch axis; 0 means broadcast.
        row_stride, column_stride: elements.
    """

    value: Value
    offset: int
    batch_strides: tuple[int, ...]
    row_stride: int
    column_stride: int


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
        temporaries: makes a temporary value of a shape and dtype.
        threads: number of threads that will run it; the result does not depend on it.
        nodes: the graph nodes that the commands compute.
    """
    if not m or not n or 0 in batch:
        return []
    problem = _normalize(batch, m, n, k, a, b, c)
    if not dtype.is_floating_point:
        return [_integer_command(problem, dtype, nodes)]
    return _float_commands(target, problem, dtype, temporaries, nodes)


def _normalize(batch: tuple[int, ...], m: int, n: int, k: int, a: Matrix, b: Matrix, c: Matrix) -> _Problem:
    """Merge batch axes, move a batch that b does not see into the rows, and transpose where c has adjacent rows."""
    a_m, a_k, b_k, b_n, c_m, c_n = a.row_stride, a.column_stride, b.row_stride, b.column_stride, c.row_stride, c.column_stride
    axes: list[tuple[int, int, int, int]] = []
    count = 1
    for i in range(len(batch) - 1, -1, -1):
        extent, sa, sb, sc = batch[i], a.batch_strides[i], b.batch_strides[i], c.batch_strides[i]
        if extent == 1:
            continue
        if not axes:
            if not sb and (m == 1 or (sa == m * a_m and sc == m * c_m)):
                if m == 1:
                    a_m, c_m = sa, sc
                m *= extent
                continue
            if not sa and (n == 1 or (sb == n * b_n and sc == n * c_n)):
                if n == 1:
                    b_n, c_n = sb, sc
                n *= extent
                continue
        count *= extent
        if axes:
            e, ia, ib, ic = axes[-1]
            if sa == e * ia and sb == e * ib and sc == e * ic:
                axes[-1] = (e * extent, ia, ib, ic)
                continue
        axes.append((extent, sa, sb, sc))
    if (c_n != 1 and n != 1) or (n == 1 and m != 1 and c_m == 1):
        axes = [(e, sb, sa, sc) for e, sa, sb, sc in axes]
        return _Problem(n, m, k, b, a, c, b_n, b_k, a_k, a_m, c_n, axes, count)
    return _Problem(m, n, k, a, b, c, a_m, a_k, b_k, b_n, c_m, axes, count)


def _operands(p: _Problem, dtype: DType) -> list[Operand]:
    size = dtype.itemsize
    return [
        Operand(p.a.value, p.a.offset * size),
        Operand(p.b.value, p.b.offset * size),
        Operand(p.c.value, p.c.offset * size, "w"),
    ]


def _cost(p: _Problem, dtype: DType) -> int:
    return p.batch * (2 * p.m * p.n * p.k + dtype.itemsize * (p.m * p.k + p.k * p.n + p.m * p.n))


def _integer_command(p: _Problem, dtype: DType, nodes: tuple[Node, ...]) -> Command:
    params = [p.m, p.n, p.k, p.a_m, p.a_k, p.b_k, p.b_n, p.c_m, p.n if p.b_n == 1 else 0, 0, len(p.axes)]
    for axis in p.axes:
        params += axis
    kernel = integer_kernel(dtype, 0)
    return Command(kernel, _operands(p, dtype), params, p.batch * p.m, _cost(p, dtype), 0, "dot", nodes)


@functools.lru_cache(4096)
def tile_rows(m: int, most: int) -> int:
    """Return the rows of a tile: no remainder where that costs little, else as few tiles as possible, of nearly equal size."""
    if m <= most:
        return m
    for rows in range(most, most * 2 // 3, -1):
        if m % rows == 0:
            return rows
    if m > 8 * most:
        return most
    return -(-m // -(-m // most))


def _even(total: int, most: int, unit: int) -> int:
    """Return the size of the fewest nearly equal blocks of at most `most`, a multiple of `unit`."""
    blocks = -(-total // most)
    return -(-total // (blocks * unit)) * unit


def _walk(p: _Problem, geometry: Tile, is_direct: bool) -> tuple[str, int, int]:
    """Return the micro-kernels' walk, and the rows and columns of a tile."""
    if is_direct and p.m == 1 and p.b_n == 1:
        return "vector", 1, VECTOR_WIDTH * geometry.lanes
    if is_direct and p.m <= _INNER_ROWS and p.b_k == 1 and p.a_k == 1 and p.b_n != 1:
        rows = _even(p.m, _INNER_TILE_ROWS, 1)
        return "inner", rows, inner_columns(rows)
    return "row", tile_rows(p.m, geometry.rows), geometry.columns


def _float_commands(
    target: Target, p: _Problem, dtype: DType, temporaries: Callable[[tuple[int, ...], DType], Value], nodes: tuple[Node, ...]
) -> list[Command]:
    compute = dtypes.float32 if dtype.is_half else dtype
    geometry = tile(target, compute)
    is_direct = compute is dtype
    walk, rows, columns = _walk(p, geometry, is_direct)
    m, n, k = p.m, p.n, p.k
    commands: list[Command] = []

    # How a is walked.
    pack_a, a_step = 0, p.a_m
    if walk == "row":
        if is_direct and p.a_k == 1 and n <= 2 * columns:
            walk = "column"
        elif is_direct and p.a_m == 1 and n <= 2 * columns:
            a_step = p.a_k
        else:
            pack_a = 1
    elif walk == "vector":
        a_step = p.a_k

    # Blocks: first along n, then along m, until the units are small enough.
    k_step = k if k <= _K_STEP * 3 // 2 else _even(k, _K_STEP, 4)
    if walk in ("vector", "inner"):
        m_block, n_block = m, max(columns, min(n, _even(_UNIT_WORK // 8 // max(m * k, 1) + 1, 1 << 30, columns)))
        k_step = max(k, 1)
    else:
        m_block, n_block = _blocks(m, n, k, rows, columns)
    m_blocks, n_blocks = -(-m // m_block), -(-n // n_block)

    # How b is walked.
    b_step = p.b_n if walk == "inner" else p.b_k
    b_k, b_n = p.b_k, p.b_n
    packed_from = n
    b_operand = Operand(p.b.value, p.b.offset * dtype.itemsize)
    axes = p.axes
    if walk in ("row", "column"):
        if is_direct and b_n == 1 and m <= rows:
            packed_from = n - n % columns
        else:
            packed_from = 0
    size = compute.itemsize
    panel = geometry.panel
    b_scratch = pack_a * -(-m_block // rows) * panel * max(k_step, 1) * size
    b_scratch = -(-b_scratch // 64) * 64
    scratch = b_scratch
    if packed_from < n:
        width = min(n_block, n - packed_from)
        scratch += (-(-width // columns) * columns) * max(k_step, 1) * size
    scratch += 64 if scratch else 0

    rest = m_block % rows or rows
    last = (m - (m_blocks - 1) * m_block) % rows or rows
    rest = last if last != rows else rest
    micro = micro_kernel(compute, walk, rows)
    params: list[int | Kernel] = [
        *(m, n, k, m_blocks, n_blocks, 1, m_block, n_block, k, rows, columns, max(k_step, 1)),
        *(p.a_m, p.a_k, b_k, b_n, p.c_m, 0, a_step, b_step, pack_a, packed_from, b_scratch),
        *(micro, micro if rest == rows else micro_kernel(compute, walk, rest)),
        packer(dtype, compute, pack_layout(p.a_m, p.a_k)) if pack_a else 0,
        packer(dtype, compute, pack_layout(b_n, b_k)) if packed_from < n else 0,
        *(0, len(axes)),
    ]
    for axis in axes:
        params += axis
    operands = [Operand(p.a.value, p.a.offset * dtype.itemsize), b_operand]
    units = p.batch * m_blocks * n_blocks
    if is_direct:
        operands.append(Operand(p.c.value, p.c.offset * size, "w"))
        commands.append(Command(driver_kernel(dtype, compute, 0), operands, params, units, _cost(p, dtype), scratch, "dot", nodes))
        return commands
    raise NotImplementedError


def _blocks(m: int, n: int, k: int, rows: int, columns: int) -> tuple[int, int]:
    """Return the block's rows and columns."""
    n_block = _even(n, _N_BLOCK, columns)
    m_block = _even(m, rows * _M_BLOCK_TILES, rows)
    return m_block, n_block
