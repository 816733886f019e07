"""Lowering of attention: sizes of blocks, micro-kernels and packers, strides. All choices depend on shapes and strides alone."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from trine.compiler.lower.dot import even
from trine.compiler.program import Command, Kernel, Operand, Value
from trine.compiler.target import Target
from trine.compiler.templates import attention as forward
from trine.compiler.templates import attention_grad as backward
from trine.compiler.templates.attention_base import tile_rows
from trine.compiler.templates.dot import micro_kernel, tile
from trine.compiler.templates.dot_pack import pack_layout, packer
from trine.core.attention_rules import Sizes
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import UnsupportedError, message

# Most queries of a unit, and keys that it takes at a time.
_Q_BLOCK = 64
_K_BLOCK = 128
# The same for the gradient: multiples of ROW_UNIT and of the columns of a panel.
_GRADIENT_Q_BLOCK = 48
# Wider blocks visit the queries less often, but a causal mask cuts them worse: they are for many keys.
_GRADIENT_K_BLOCKS = (96, 192)
_MANY_KEYS = 512


@dataclass(eq=False, slots=True)
class Rows:
    """Matrices, or (without `element`) rows' numbers, inside a value: offset and strides in elements; 0 for broadcast batch axes."""

    value: Value
    offset: int
    batch: tuple[int, ...]
    position: int
    element: int = 1

    def operand(self, access: str = "r") -> Operand:
        return Operand(self.value, self.offset * self.value.dtype.itemsize, access)


def shared_rows(extent: int, most: int, vectors: int) -> int:
    """Return how many rows of `extent` a micro-kernel takes at a time, by estimated time: ten sums at least hide the latency."""

    def cost(rows: int) -> float:
        full, rest = divmod(extent, rows)
        return full * (max(vectors * rows, 10) + 4) + (max(vectors * rest, 10) + 6 if rest else 0)

    return min(range(most, 0, -1), key=cost)


def check(target: Target, dtype: DType, found: Sizes, *adjacent: Rows) -> None:
    """Raise UnsupportedError for what the kernels do not take."""
    rows = tile_rows(target, dtype)
    if dtype.itemsize < 4 or min(found.queries, found.keys) < rows or not found.width or not found.value_width:
        received = f"{dtype.name}, {found.queries} queries, {found.keys} keys, widths {found.width} and {found.value_width}"
        raise UnsupportedError(message("attention: no kernel", received=received, expected=f"float32 or float64, and at least {rows} rows"))
    if any(x.element != 1 for x in adjacent):
        raise UnsupportedError(message("attention: no kernel", received="strided rows", expected="adjacent elements"))


def batch_entries(batch: Sequence[int], arrays: Sequence[Rows]) -> list[int]:
    """Return the entries of the batch: rank, then for each axis, innermost first, extent and strides."""
    axes: list[list[int]] = []
    for k in range(len(batch) - 1, -1, -1):
        if batch[k] == 1:
            continue
        strides = [x.batch[k] for x in arrays]
        if axes and all(s == axes[-1][0] * inner for s, inner in zip(strides, axes[-1][1:], strict=True)):
            axes[-1][0] *= batch[k]
        else:
            axes.append([batch[k], *strides])
    return [len(axes), *[entry for axis in axes for entry in axis]]


def scale_bits(scale: float) -> int:
    """Return a double as an integer of the same bits."""
    bits: int = struct.unpack("<q", struct.pack("<d", scale))[0]
    return bits


def rows_kernel(dtype: DType, rows: int, vectors: int) -> Kernel:
    """Return the micro-kernel of a transposed left operand; one row where none is needed."""
    return micro_kernel(dtype, "row", max(rows, 1), vectors)


def out_packer(dtype: DType, width: int, lanes: int) -> Kernel:
    """Return what stores a transposed panel row by row: a packer that writes whole vectors only where these fill the rows."""
    return packer(dtype, dtype, "transpose" if width % lanes == 0 else "gather")


def lower_attention(
    target: Target,
    found: Sizes,
    query: Rows,
    key: Rows,
    value: Rows,
    mask: Rows | None,
    out: Rows,
    lse: Rows,
    scale: float,
    causal: bool,
    nodes: tuple[Node, ...] = (),
) -> list[Command]:
    """Return the command of an attention.

    Args:
        found: the sizes. query, key, value, mask, out, lse: where they lie; elements of key, value and out are adjacent.

    Raises:
        UnsupportedError: no kernel for these sizes, dtype or strides.
    """
    dtype = query.value.dtype
    check(target, dtype, found, key, value, out, lse)
    geometry, rows = tile(target, dtype), tile_rows(target, dtype)
    columns, vectors = geometry.columns, geometry.vectors
    q_block = even(found.queries, _Q_BLOCK, columns)
    k_block = even(found.keys, _K_BLOCK, 1)
    value_rows = shared_rows(found.value_width, rows, vectors)
    parts, scratch = layout(
        dtype.itemsize,
        geometry.lanes,
        queries=q_block * found.width,
        head=rows * columns,
        scores=(k_block + rows) * columns,
        mask=k_block * columns if mask else 0,
        out=q_block * found.value_width,
        largest=q_block,
        total=q_block,
    )
    arrays = [query, key, value, *([mask] if mask else []), out, lse]
    strides = (query.position, query.element, key.position, value.position, *((mask.position, mask.element) if mask else (0, 0)))
    integers = [-(-found.queries // q_block), q_block, k_block, found.queries, found.keys, found.width, found.value_width]
    integers += [scale_bits(scale), *strides, out.position, rows, value_rows]
    integers += [parts[name] for name in ("scores", "mask", "out", "largest", "total")]
    pack_mask = pack_layout(mask.position, mask.element, dtype) if mask else "gather"
    functions = [
        micro_kernel(dtype, "column", rows, vectors),
        rows_kernel(dtype, value_rows, vectors),
        rows_kernel(dtype, found.value_width % value_rows, vectors),
        packer(dtype, dtype, pack_layout(query.position, query.element, dtype)),
        packer(dtype, dtype, pack_mask),
        out_packer(dtype, found.value_width, geometry.lanes),
    ]
    units = integers[0]
    for size in found.batch:
        units *= size
    cost = units * q_block * found.keys * (2 * (found.width + found.value_width) + 40) // (2 if causal else 1)
    operands = [x.operand("w" if x is out or x is lse else "r") for x in arrays]
    kernel = forward.attention_kernel(dtype, mask is not None, causal)
    params: list[int | Kernel] = [*integers, *functions, *batch_entries(found.batch, arrays)]
    return [Command(kernel, operands, params, units, cost, scratch, "attention", nodes)]


def lower_attention_grad(
    target: Target,
    found: Sizes,
    operands: Sequence[Rows],
    mask: Rows | None,
    results: Sequence[Rows],
    scale: float,
    causal: bool,
    nodes: tuple[Node, ...] = (),
) -> list[Command]:
    """Return the command of an attention's gradient.

    Args:
        found: the sizes. operands: query, key, value, gradient, row sums and deltas. results: the gradients of query, key and value.

    Raises:
        UnsupportedError: no kernel for these sizes, dtype or strides; elements of query, gradient and results are adjacent.
    """
    query, key, value, gradient, lse, delta = operands
    dtype = query.value.dtype
    check(target, dtype, found, query, gradient, *results)
    geometry, rows = tile(target, dtype), tile_rows(target, dtype)
    columns, vectors = geometry.columns, geometry.vectors
    q_block, k_block = _GRADIENT_Q_BLOCK, _GRADIENT_K_BLOCKS[found.keys >= _MANY_KEYS]
    width_rows, value_rows = shared_rows(found.width, rows, vectors), shared_rows(found.value_width, rows, vectors)
    row = k_block + columns  # not a power of two, so that a column's elements do not share a set of the cache
    head, block = rows * row, q_block * row
    parts, scratch = layout(
        dtype.itemsize,
        geometry.lanes,
        keys=k_block * found.width,
        values=k_block * found.value_width,
        rows=k_block * even(found.width, found.width, columns),
        dk=k_block * found.width,
        dv=k_block * found.value_width,
        head=head,
        scores=block + head,  # the second head
        slopes=block,
        mask=q_block * columns if mask else 0,
    )
    arrays = [*operands, *([mask] if mask else []), *results]
    strides = [query.position, key.position, key.element, value.position, value.element, gradient.position, lse.position, delta.position]
    strides += [*((mask.position, mask.element) if mask else (0, 0)), *[x.position for x in results]]
    integers = [q_block, k_block, found.queries, found.keys, found.width, found.value_width, scale_bits(scale), *strides]
    integers += [rows, width_rows, value_rows, row, *[parts[name] for name in ("values", "rows", "dk", "dv", "scores", "slopes", "mask")]]
    functions = [
        micro_kernel(dtype, "column", rows, vectors),
        micro_kernel(dtype, "column", max(found.queries % rows, 1), vectors),
        rows_kernel(dtype, width_rows, vectors),
        rows_kernel(dtype, found.width % width_rows, vectors),
        rows_kernel(dtype, value_rows, vectors),
        rows_kernel(dtype, found.value_width % value_rows, vectors),
        packer(dtype, dtype, pack_layout(key.position, key.element, dtype)),
        packer(dtype, dtype, pack_layout(value.position, value.element, dtype)),
        packer(dtype, dtype, pack_layout(key.element, key.position, dtype)),
        packer(dtype, dtype, pack_layout(mask.element, mask.position, dtype) if mask else "gather"),
        out_packer(dtype, found.width, geometry.lanes),
        out_packer(dtype, found.value_width, geometry.lanes),
    ]
    units = 1
    for size in found.batch:
        units *= size
    cost = units * found.queries * found.keys * (6 * found.width + 4 * found.value_width + 50) // (2 if causal else 1)
    accesses = [x.operand("rw" if x is results[0] else "w" if x in results else "r") for x in arrays]
    kernel = backward.attention_grad_kernel(dtype, mask is not None, causal)
    params: list[int | Kernel] = [*integers, *functions, *batch_entries(found.batch, arrays)]
    return [Command(kernel, accesses, params, units, cost, scratch, "attention_grad", nodes)]


def layout(itemsize: int, lanes: int, **sizes: int) -> tuple[dict[str, int], int]:
    """Return where parts of the scratch memory begin, in elements, and the bytes of all; each begins at a cache line."""
    places, at = {}, 0
    line = 64 // itemsize
    for name, size in sizes.items():
        places[name] = at
        at += -(-max(size, lanes) // line) * line
    return places, at * itemsize
