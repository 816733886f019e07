"""The driver of 3x3 convolutions by Winograd's minimal filtering: for each block of tiles the transformed input in scratch memory, a matrix
product in each of the 16 planes for some panels of output channels, their outputs at once.

A unit is (block of tiles, share of the panels). The weights come transformed and in panels, ``[panel][plane][input channel][lane]``.
"""

from __future__ import annotations

from trine.compiler.ir import KERNEL_ARGUMENTS, Function, Module
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.conv import load_fields
from trine.compiler.templates.conv_micro import VECTORS, Pixels, Vectors, broadcast_rows
from trine.compiler.templates.conv_pack import PACK_FIELDS, emit_pack_panel
from trine.compiler.templates.winograd_transform import (
    PLANES,
    TileRows,
    emit_input_transform,
    emit_output_transform,
    transform_weight,
)
from trine.dtypes import DType

# Integers of a command after its operands and its epilogue; strides and sizes in bytes.
IMAGE_FIELDS = (
    "tile_rows",  # of an image
    "low_h", "low_w",  # zeros before the input
    "in_h", "in_w", "x_image", "x_row", "pixel",  # input: extents, strides
    "out_h", "out_w", "y_image", "y_row", "y_pixel",  # output
)  # fmt: skip
BLOCK_FIELDS = (
    "all_rows", "block_rows",  # tile rows of all images, of a block
    "tile_columns", "block_columns", "column_blocks",
)  # fmt: skip
FIELDS = IMAGE_FIELDS + BLOCK_FIELDS + (
    "splits", "split_panels", "panels", "chunk_panels",  # panels of a unit, and those that are computed together
    "inputs", "outputs", "v_row", "v_plane", "m_row", "m_plane", "v_at", "m_at", "spare_at",
    "panel_bytes", "plane_bytes",
)  # fmt: skip
OPERANDS = 3
# Rows of a register tile of a product. More do not help, and a number that divides 12 fits the usual numbers of tiles.
_ROWS = {"avx512": 12, "avx2": 6, "generic": 4}


def tile_rows(target: Target) -> int:
    """Return how many tiles (or input channels, in a weight gradient) one register tile of the products takes."""
    return _ROWS[target.name]


def winograd_kernel(dtype: DType, epilogue_entries: int = 0) -> Kernel:
    """Return the driver; for `epilogue_entries` see `trine.compiler.templates.conv.conv_kernel`."""
    return Kernel(("winograd", dtype.name, epilogue_entries), lambda target: _emit(target, dtype, epilogue_entries))


def block_of(f: Function, g: dict[str, str], block: str) -> tuple[str, str, str, str]:
    """Return the first tile row of a block, their number, the first tile column, their number."""
    row = f.mul(f.udiv(block, g["column_blocks"]), g["block_rows"])
    column = f.mul(f.urem(block, g["column_blocks"]), g["block_columns"])
    rows, columns = f.sub(g["all_rows"], row), f.sub(g["tile_columns"], column)
    return row, f.min(rows, g["block_rows"]), column, f.min(columns, g["block_columns"])


def emit_clear(f: Function, v: Vectors, to: str, size: str) -> None:
    """Clear `size` bytes, whole vectors."""
    with f.loop(0, size, v.bytes) as byte:
        v.store(v.zero, f.gep(to, byte.index), aligned=True)


def _emit(target: Target, dtype: DType, epilogue_entries: int) -> str:
    module = Module(target.vector_bits)
    _emit_product(module, target, dtype)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    v = Vectors(f, target, dtype)
    first = 2 * OPERANDS + epilogue_entries
    g = load_fields(f, FIELDS, first)
    x, weights, y = (f.operand(i) for i in range(OPERANDS))
    epilogue = f.param(first - 1, "ptr") if epilogue_entries else ""
    zeros = f.scratch()
    transformed, product, spare = (f.gep(zeros, g[name]) for name in ("v_at", "m_at", "spare_at"))
    emit_clear(f, v, zeros, g["v_row"])
    count = _ROWS[target.name]
    with f.loop("%begin", "%end") as unit:
        row, rows, column, columns = block_of(f, g, f.udiv(unit.index, g["splits"]))
        emit_input_transform(f, v, g, x, (row, rows, column, columns), g["inputs"], zeros, transformed)
        groups = f.udiv(f.add(f.mul(rows, columns), count - 1), count)
        first_panel = f.mul(f.urem(unit.index, g["splits"]), g["split_panels"])
        last_panel = f.min(g["panels"], f.add(first_panel, g["split_panels"]))
        with f.loop(first_panel, last_panel, g["chunk_panels"]) as chunk:
            last = f.min(last_panel, f.add(chunk.index, g["chunk_panels"]))
            with f.loop(0, PLANES) as plane:
                a = f.gep(transformed, f.mul(plane.index, g["v_plane"]))
                m = f.gep(product, f.mul(plane.index, g["m_plane"]))
                b_plane = f.gep(weights, f.mul(plane.index, g["plane_bytes"]))
                with f.loop(chunk.index, last) as panel:
                    to = f.gep(m, f.mul(f.sub(panel.index, chunk.index), VECTORS * v.bytes))
                    b = f.gep(b_plane, f.mul(panel.index, g["panel_bytes"]))
                    f.call_pointer(
                        "void", "@product", ("ptr", a), ("i64", g["v_row"]), ("i64", groups), ("ptr", b), ("i64", g["inputs"]),
                        ("ptr", to), ("i64", g["m_row"]),
                    )  # fmt: skip
            first_channel = f.mul(chunk.index, VECTORS * v.lanes)
            end_channel = f.min(g["outputs"], f.mul(last, VECTORS * v.lanes))
            y_chunk = f.gep(y, f.mul(first_channel, v.size))

            def finish(at: TileRows) -> None:
                channels = f.sub(end_channel, first_channel)
                emit_output_transform(f, v, g, y_chunk, at, column, columns, channels, spare, product)
                if epilogue:
                    low = f.mul(column, 2)
                    high = f.min(g["out_w"], f.add(low, f.mul(columns, 2)))
                    with f.loop(at.row, f.min(f.add(at.row, 2), g["out_h"])) as line:
                        f.call_pointer(
                            "void", epilogue, ("ptr", "%table"), ("ptr", f.gep("%params", 2 * OPERANDS, "i64")), ("i64", low),
                            ("i64", high), ("i64", first_channel), ("i64", end_channel),
                            ("i64", f.add(f.mul(at.image, g["out_h"]), line.index)),
                        )  # fmt: skip

            TileRows(f, g, row, rows, finish)
    f.ret()
    return module.text()


def _emit_product(module: Module, target: Target, dtype: DType) -> None:
    """Define ``product(a, a_row, groups, b, depth, m, m_row)``: m = a b for a group of rows after the other and a panel of columns."""
    arguments = (("ptr noalias", "a"), ("i64", "a_row"), ("i64", "groups"), ("ptr noalias", "b"), ("i64", "depth"))
    f = module.function("product", (*arguments, ("ptr noalias", "m"), ("i64", "m_row")), internal=True)
    v, count = Vectors(f, target, dtype), _ROWS[target.name]
    inputs, outputs = Pixels(f, 1, count, "0", "%a_row"), Pixels(f, 1, count, "0", "%m_row")
    a_group, m_group = f.mul("%a_row", count), f.mul("%m_row", count)
    with f.loop(0, "%groups", 1, [("ptr", "%a"), ("ptr", "%m")]) as group:
        a, m = group.carried
        sums = broadcast_rows(f, v, inputs, inputs.pointers(a), "%b", [v.zero] * (count * VECTORS), "%depth", VECTORS)
        pointers = outputs.pointers(m)
        for row in range(count):
            address = outputs.address(pointers, row)
            for h in range(VECTORS):
                v.store(sums[row * VECTORS + h], f.gep(address, h * v.bytes) if h else address, aligned=True)
        group.next = [f.gep(a, a_group), f.gep(m, m_group)]
    f.ret()


# --- weights ---------------------------------------------------------------------------------------------------------------------------

WEIGHT_FIELDS = (*PACK_FIELDS, "channels", "to_panel", "to_plane")


def winograd_weight_kernel(dtype: DType) -> Kernel:
    """Return the kernel that transforms weights and packs them as `winograd_kernel` reads them; a unit is a panel.

    Its integers are those of `trine.compiler.templates.conv_pack.pack_kernel` for panels ``[tap, input channel][lane]`` of scratch memory,
    the number of input channels, and the strides of panels and planes in the result.
    """
    return Kernel(("winograd_weight", dtype.name), lambda target: _emit_weight(target, dtype))


def _emit_weight(target: Target, dtype: DType) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    v = Vectors(f, target, dtype)
    g = {name: f.param(4 + i) for i, name in enumerate(WEIGHT_FIELDS)}
    source, to = f.operand(0), f.operand(1)
    packed = f.scratch()
    width = VECTORS * v.bytes
    tap_bytes = f.mul(g["channels"], width)
    with f.loop("%begin", "%end") as panel:
        emit_pack_panel(f, v, g, source, panel.index, packed)
        to_panel = f.gep(to, f.mul(panel.index, g["to_panel"]))
        with f.loop(0, tap_bytes, v.bytes) as byte:
            at = f.gep(packed, byte.index)
            taps = [v.load(f.gep(at, f.mul(tap_bytes, tap)) if tap else at, aligned=True) for tap in range(9)]
            to_here = f.gep(to_panel, byte.index)
            for plane, value in enumerate(transform_weight(f, v, taps)):
                v.store(value, f.gep(to_here, f.mul(g["to_plane"], plane)) if plane else to_here, aligned=True)
    f.ret()
    return module.text()
