"""Data movement around convolution by in-register transposes: layouts of activations, panels of weights, sums of weight gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trine import dtypes
from trine.compiler.ir import KERNEL_ARGUMENTS, Function, Module
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.conv_micro import VECTORS, Vectors
from trine.dtypes import DType


def transpose(f: Function, v: Vectors, rows: Sequence[str]) -> list[str]:
    """Transpose a square of vectors by log2(lanes) rounds of shuffles (exchange of off-diagonal blocks, J. O. Eklundh 1972)."""
    result, distance = list(rows), 1
    while distance < v.lanes:
        for i in range(v.lanes):
            if i & distance:
                continue
            upper, lower = result[i], result[i + distance]
            for k, lanes in (
                (i, [j if not j & distance else v.lanes + j - distance for j in range(v.lanes)]),
                (i + distance, [j + distance if not j & distance else v.lanes + j for j in range(v.lanes)]),
            ):
                indices = ", ".join(f"i32 {j}" for j in lanes)
                result[k] = f.value(f"shufflevector {v.type} {upper}, {v.type} {lower}, <{v.lanes} x i32> <{indices}>")
        distance *= 2
    return result


def _columns(f: Function, v: Vectors, count: str, body: Callable[[str, str], None]) -> None:
    """Call `body(first column, mask)` for squares of columns: whole ones without a mask, then the rest with one."""
    whole = f.band(count, -v.lanes)
    with f.loop(0, whole, v.lanes) as loop:
        body(loop.index, "")
    with f.when(f.icmp("slt", whole, count)):
        body(whole, f.lane_mask(f.sub(count, whole), v.lanes))


def _for_rows(f: Function, lanes: int, count: str, masked: bool, body: Callable[[int], None]) -> None:
    """Emit `body(i)` for i < lanes, each only where i < count if `masked`."""
    for i in range(lanes):
        if masked:
            with f.when(f.icmp("sgt", count, i)):
                body(i)
        else:
            body(i)


# --- layouts of activations --------------------------------------------------------------------------------------------------------------

# Only the size of an element matters to a copy.
_BITS = {4: dtypes.int32, 8: dtypes.int64}
LAYOUT_FIELDS = ("row_blocks", "rows", "columns")


def layout_kernel(dtype: DType) -> Kernel:
    """Return the kernel that transposes each matrix of a batch, ``(batch, rows, columns) -> (batch, columns, rows)``.

    A unit is a strip of rows; elements have 4 or 8 bytes.
    """
    bits = _BITS[dtype.itemsize]
    return Kernel(("conv_layout", bits.name), lambda target: _emit_layout(target, bits))


def _emit_layout(target: Target, dtype: DType) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    v = Vectors(f, target, dtype)
    row_blocks, rows, columns = (f.param(4 + i) for i in range(len(LAYOUT_FIELDS)))
    source, to = f.operand(0), f.operand(1)
    matrix, row_bytes, column_bytes = f.mul(rows, columns), f.mul(columns, v.size), f.mul(rows, v.size)
    with f.loop("%begin", "%end") as unit:
        batch = f.mul(f.mul(f.udiv(unit.index, row_blocks), matrix), v.size)
        first = f.mul(f.urem(unit.index, row_blocks), v.lanes)
        remaining = f.sub(rows, first)
        last = f.sub(remaining, 1)
        source_rows = f.gep(f.gep(source, batch), f.mul(first, row_bytes))
        pointers = [f.gep(source_rows, f.mul(f.min(i, last), row_bytes)) for i in range(v.lanes)]
        to_rows = f.gep(f.gep(to, batch), f.mul(first, v.size))
        row_mask = f.lane_mask(remaining, v.lanes)

        def square(column: str, mask: str) -> None:
            offset = f.mul(column, v.size)
            block = transpose(f, v, [v.load(f.gep(p, offset), mask) for p in pointers])
            base, count = f.gep(to_rows, f.mul(column, column_bytes)), f.sub(columns, column)
            _for_rows(f, v.lanes, count, bool(mask), lambda i: v.store(block[i], f.gep(base, f.mul(column_bytes, i)), row_mask))

        _columns(f, v, columns, square)
    f.ret()
    return module.text()


# --- panels of weights -------------------------------------------------------------------------------------------------------------------

PACK_FIELDS = (
    "group_panels", "group_bytes", "lane_count", "lane_bytes",  # source: groups, then lanes
    "outer", "outer_bytes", "columns", "taps",  # source: outer positions, then contiguous columns, the taps innermost
    "panel_bytes", "tap_table",  # destination
)  # fmt: skip


def pack_kernel(dtype: DType) -> Kernel:
    """Return the kernel that packs weights into panels ``[group, panel][k][lane]``, a unit a panel; lanes past the end are 0.

    Column j at outer position u goes to row ``table[j % taps] + j // taps + u`` of the panel.
    """
    return Kernel(("conv_pack", dtype.name), lambda target: _emit_pack(target, dtype))


def _emit_pack(target: Target, dtype: DType) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    v = Vectors(f, target, dtype)
    g = {name: f.param(4 + i) for i, name in enumerate(PACK_FIELDS)}
    source, to = f.operand(0), f.operand(1)
    with f.loop("%begin", "%end") as panel:
        emit_pack_panel(f, v, g, source, panel.index, f.gep(to, f.mul(panel.index, g["panel_bytes"])))
    f.ret()
    return module.text()


def emit_pack_panel(f: Function, v: Vectors, g: dict[str, str], source: str, panel: str, panel_to: str) -> None:
    """Write panel number `panel` of the weights `source` to `panel_to`; `g` are PACK_FIELDS (of which panel_bytes is not used)."""
    table = f.gep("%params", g["tap_table"], "i64")
    row_bytes = VECTORS * v.bytes
    group, within = f.udiv(panel, g["group_panels"]), f.urem(panel, g["group_panels"])
    panel_source = f.gep(source, f.mul(group, g["group_bytes"]))
    with f.loop(0, VECTORS) as half:
        first = f.add(f.mul(within, VECTORS * v.lanes), f.mul(half.index, v.lanes))
        remaining = f.sub(g["lane_count"], first)
        mask = f.lane_mask(remaining, v.lanes)
        # Lanes past the end read the last valid one and are cleared.
        lanes = [f.mul(f.min(f.add(first, i), f.sub(g["lane_count"], 1)), g["lane_bytes"]) for i in range(v.lanes)]
        half_to = f.gep(panel_to, f.mul(half.index, v.bytes))
        with f.loop(0, g["outer"]) as outer:
            base = f.gep(panel_source, f.mul(outer.index, g["outer_bytes"]))
            pointers = [f.gep(base, lane) for lane in lanes]

            def square(column: str, column_mask: str) -> None:
                offset = f.mul(column, v.size)
                block = transpose(f, v, [v.load(f.gep(p, offset), column_mask) for p in pointers])

                def put(i: int) -> None:
                    j = f.add(column, i)
                    tap = f.load("i64", f.gep(table, f.urem(j, g["taps"]), "i64"), 8)
                    row = f.add(f.add(tap, f.udiv(j, g["taps"])), outer.index)
                    value = f.value(f"select <{v.lanes} x i1> {mask}, {v.type} {block[i]}, {v.type} {v.zero}")
                    v.store(value, f.gep(half_to, f.mul(row, row_bytes)), aligned=True)

                _for_rows(f, v.lanes, f.sub(g["columns"], column), bool(column_mask), put)

            _columns(f, v, g["columns"], square)


# --- sums of partial weight gradients ----------------------------------------------------------------------------------------------------

UNPACK_FIELDS = (
    "group_panels", "chunks", "chunk_bytes", "panel_bytes", "lane_count", "lane_bytes", "group_bytes", "columns", "taps", "channels",
)  # fmt: skip


def unpack_kernel(dtype: DType) -> Kernel:
    """Return the kernel that adds up partial weight gradients.

    It reads ``[group][chunk][panel][tap, channel][lane]``, adds in the order of the chunks and writes ``[group, lane][channel, tap]``;
    a unit is one vector of lanes.
    """
    return Kernel(("conv_unpack", dtype.name), lambda target: _emit_unpack(target, dtype))


def _emit_unpack(target: Target, dtype: DType) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    v = Vectors(f, target, dtype)
    g = {name: f.param(4 + i) for i, name in enumerate(UNPACK_FIELDS)}
    source, to = f.operand(0), f.operand(1)
    row_bytes = VECTORS * v.bytes
    group_vectors = f.mul(g["group_panels"], VECTORS)
    with f.loop("%begin", "%end") as unit:
        group, within = f.udiv(unit.index, group_vectors), f.urem(unit.index, group_vectors)
        first = f.mul(within, v.lanes)
        remaining = f.sub(g["lane_count"], first)
        partial = f.gep(source, f.mul(group, f.mul(g["chunks"], g["chunk_bytes"])))
        partial = f.gep(partial, f.mul(f.udiv(within, VECTORS), g["panel_bytes"]))
        partial = f.gep(partial, f.mul(f.urem(within, VECTORS), v.bytes))
        to_rows = f.gep(f.gep(to, f.mul(group, g["group_bytes"])), f.mul(first, g["lane_bytes"]))

        def square(column: str, mask: str) -> None:
            sums = []
            for i in range(v.lanes):
                j = f.min(f.add(column, i), f.sub(g["columns"], 1)) if mask else f.add(column, i)
                row = f.add(f.mul(f.urem(j, g["taps"]), g["channels"]), f.udiv(j, g["taps"]))
                address = f.gep(partial, f.mul(row, row_bytes))
                first_sum = v.load(address, aligned=True)
                with f.loop(1, g["chunks"], 1, [(v.type, first_sum)]) as chunk:
                    value = v.load(f.gep(address, f.mul(chunk.index, g["chunk_bytes"])), aligned=True)
                    chunk.next = [f.value(f"fadd {v.type} {chunk.carried[0]}, {value}")]
                sums.append(chunk.out[0])
            block = transpose(f, v, sums)
            offset = f.mul(column, v.size)
            _for_rows(
                f, v.lanes, remaining, True, lambda i: v.store(block[i], f.gep(f.gep(to_rows, f.mul(g["lane_bytes"], i)), offset), mask)
            )

        with f.when(f.icmp("sgt", remaining, 0)):
            _columns(f, v, g["columns"], square)
    f.ret()
    return module.text()
