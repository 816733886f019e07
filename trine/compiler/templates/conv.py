"""The driver of direct convolution: blocks of output pixels, a zero-padded copy of the input that each needs, tiles by micro-kernels.

All coordinates have three spatial axes (d, h, w); fewer are written with extent 1. A *job* is a convolution from the padded input into a
strided grid of outputs: a forward convolution is one job, the input gradient of a strided one is a job for each phase of the stride. Within
a job, k = (taps, input channels) is cut into *k blocks*, each a list of *runs* (byte offset from the pixel, number of elements, row of
the tap), so that a panel of weights stays in cache while all tiles of the block use it.
"""

from __future__ import annotations

from dataclasses import dataclass

from trine.compiler.ir import KERNEL_ARGUMENTS, Function, Module
from trine.compiler.program import Kernel
from trine.compiler.target import Target

# Integers of a command after its operands (input, packed weights, output); strides in bytes.
BLOCK_FIELDS = (
    "blocks_d", "blocks_h", "blocks_w",  # blocks along each spatial axis
    "block_n", "block_d", "block_h", "block_w",  # outputs of a block along each axis
    "count_n", "count_d", "count_h", "count_w",  # outputs of all blocks (the most of any job)
)  # fmt: skip
COPY_FIELDS = (
    "low_d", "low_h", "low_w",  # zeros before the input (negative: elements left out)
    "step_d", "step_h", "step_w",  # convolution stride
    "reach_d", "reach_h", "reach_w",  # extent of all taps
    "in_d", "in_h", "in_w",  # extents of the input
    "in_stride_n", "in_stride_d", "in_stride_h",  # strides of the input
    "pixel",  # bytes of a pixel
    "copy_stride_n", "copy_stride_d", "copy_stride_h",  # strides of the padded copy
)  # fmt: skip
_TILE_FIELDS = (
    "chunks", "chunk_panels", "panels", "group_panels",  # panels of weights, in chunks by unit; panels of a group
    "x_stride_n", "x_stride_d", "x_stride_h", "x_stride_w",  # input bytes per output, to begin a block without a copy
    "a_stride_n", "a_stride_d", "a_stride_h", "a_stride_w",  # the same within a block (copy or input)
    "a_group", "a_panel", "y_group", "y_panel", "group_channels", "panel_bytes", "panel_channels",
    "tile_q", "tile_p", "jobs", "first_job",
)  # fmt: skip
FIELDS = BLOCK_FIELDS + COPY_FIELDS + _TILE_FIELDS
# A job: counts, output offset and strides, kernels [full or last panel][whole or rest of q][whole or rest of p], k blocks.
JOB_FIELDS = (
    "count_d", "count_h", "count_w", "y_offset", "y_stride_n", "y_stride_d", "y_stride_h", "y_stride_w",
    "k000", "k001", "k010", "k011", "k100", "k101", "k110", "k111", "k_blocks", "first_k_block",
)  # fmt: skip
# A k block: where its runs begin in the parameters, how many there are, where its weights begin in a panel.
K_BLOCK_FIELDS = ("first_run", "runs", "b_offset")
OPERANDS = 3
_AXES = "ndhw"


def conv_kernel(copy: bool, q_axis: str, epilogue_entries: int = 0) -> Kernel:
    """Return the driver.

    Args:
        copy: tiles read a padded copy in scratch memory, not the input itself.
        q_axis: "n" or "h", the axis of a tile's rows.
        epilogue_entries: entries of an epilogue, which stand before the driver's own integers: the (slot, offset) pairs of its operands,
            the integers and the address of its tile function (`trine.compiler.templates.loop.emit_tile_function`).
    """
    return Kernel(("conv", copy, q_axis, epilogue_entries), lambda target: _Driver(target, copy, q_axis, epilogue_entries).emit())


def load_fields(f: Function, names: tuple[str, ...], first: int) -> dict[str, str]:
    """Load parameters number first, first + 1, … under their names."""
    return {name: f.param(first + i) for i, name in enumerate(names)}


def block_origin(f: Function, g: dict[str, str], block: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the first output of a block and its extent along each axis (n outermost)."""
    index, start = block, {}
    for axis in "whd":
        start[axis] = f.mul(f.urem(index, g["blocks_" + axis]), g["block_" + axis])
        index = f.udiv(index, g["blocks_" + axis])
    start["n"] = f.mul(index, g["block_n"])
    extent = {axis: f.min(g["block_" + axis], f.sub(g["count_" + axis], start[axis])) for axis in _AXES}
    return start, extent


def emit_copy_functions(module: Module) -> None:
    """Define ``copy(to, from, bytes)`` and ``clear(to, bytes)`` for multiples of 4 bytes (no C library is linked)."""
    size = module.vector_bits // 8
    vector = f"<{size // 4} x i32>"
    for name, source in (("copy", True), ("clear", False)):
        arguments = [("ptr noalias", "to"), *([("ptr noalias", "from")] if source else []), ("i64", "bytes")]
        f = module.function(name, arguments, internal=True)
        whole = f.band("%bytes", -size)
        for low, high, step, type_, zero in ((0, whole, size, vector, "zeroinitializer"), (whole, "%bytes", 4, "i32", "0")):
            with f.loop(low, high, step) as byte:
                value = f.load(type_, f.gep("%from", byte.index), 4) if source else zero
                f.store(type_, value, f.gep("%to", byte.index), 4)
        f.ret()


def emit_padded_rows(
    f: Function, g: dict[str, str], x: str, to: str, start: dict[str, str], extent: dict[str, str], row: RowCopier
) -> None:
    """Copy the input of a block with its padding to `to`: images, planes and rows with the strides of the copy; `row` copies one row."""
    reach, first = {}, {}
    for axis in "dhw":
        step = g["step_" + axis]
        reach[axis] = f.add(f.mul(f.sub(extent[axis], 1), step), g["reach_" + axis])
        first[axis] = f.sub(f.mul(start[axis], step), g["low_" + axis])
    # Columns [left, right) of a row come from the input.
    left = f.max(0, f.min(f.sub(0, first["w"]), reach["w"]))
    right = f.max(left, f.min(f.sub(g["in_w"], first["w"]), reach["w"]))
    source_column = f.add(first["w"], left)
    with f.loop(0, extent["n"]) as n:
        x_n = f.gep(x, f.mul(f.add(start["n"], n.index), g["in_stride_n"]))
        to_n = f.gep(to, f.mul(n.index, g["copy_stride_n"]))
        with f.loop(0, reach["d"]) as d:
            in_d = f.add(first["d"], d.index)
            x_d = f.gep(x_n, f.mul(in_d, g["in_stride_d"]))
            to_d = f.gep(to_n, f.mul(d.index, g["copy_stride_d"]))
            inside_d = f.icmp("ult", in_d, g["in_d"])
            with f.loop(0, reach["h"]) as h:
                in_h = f.add(first["h"], h.index)
                inside = f.value(f"and i1 {inside_d}, {f.icmp('ult', in_h, g['in_h'])}")
                low = f.select(inside, left, reach["w"])
                high = f.select(inside, right, reach["w"])
                x_h = f.gep(x_d, f.mul(in_h, g["in_stride_h"]))
                row.emit(x_h, f.gep(to_d, f.mul(h.index, g["copy_stride_h"])), low, high, reach["w"], source_column)


class RowCopier:
    """Copies a row of whole pixels: zeros, the input's pixels, zeros."""

    def __init__(self, f: Function, g: dict[str, str]) -> None:
        self.f, self.pixel = f, g["pixel"]

    def emit(self, source: str, to: str, low: str, high: str, end: str, source_column: str) -> None:
        """Columns [low, high) of [0, end) come from `source`, beginning at its column `source_column`."""
        f, pixel = self.f, self.pixel
        low_bytes, high_bytes = f.mul(low, pixel), f.mul(high, pixel)
        f.call_pointer("void", "@clear", ("ptr", to), ("i64", low_bytes))
        size = f.sub(high_bytes, low_bytes)
        f.call_pointer("void", "@copy", ("ptr", f.gep(to, low_bytes)), ("ptr", f.gep(source, f.mul(source_column, pixel))), ("i64", size))
        f.call_pointer("void", "@clear", ("ptr", f.gep(to, high_bytes)), ("i64", f.sub(f.mul(end, pixel), high_bytes)))


def load_entry(f: Function, names: tuple[str, ...], first: str) -> dict[str, str]:
    """Load the parameters from number `first` (a run-time value) on; names such as k0 are those of kernels, which are pointers."""
    base = f.gep("%params", first, "i64")
    pointers = {name: f.gep(base, i, "i64") for i, name in enumerate(names)}
    return {name: f.load("ptr" if name[0] == "k" and name[1:].isdigit() else "i64", p, 8) for name, p in pointers.items()}


class _Driver:
    """The driver being emitted."""

    def __init__(self, target: Target, copy: bool, q_axis: str, epilogue_entries: int) -> None:
        self.copy, self.q_axis = copy, q_axis
        self.module = Module(target.vector_bits)
        if copy:
            emit_copy_functions(self.module)
        self.f = f = self.module.function("kernel", KERNEL_ARGUMENTS)
        first = 2 * OPERANDS + epilogue_entries
        self.g = load_fields(f, FIELDS, first)
        self.x, self.weights, self.y = (f.operand(i) for i in range(OPERANDS))
        # The last entry of an epilogue is its function.
        self.epilogue = f.param(first - 1, "ptr") if epilogue_entries else ""
        self.start: dict[str, str] = {}

    def emit(self) -> str:
        """Return the module."""
        f, g = self.f, self.g
        scratch = f.scratch() if self.copy else ""
        with f.loop("%begin", "%end") as unit:
            chunk = f.urem(unit.index, g["chunks"])
            self.start, extent = block_origin(f, g, f.udiv(unit.index, g["chunks"]))
            if self.copy:
                emit_padded_rows(f, g, self.x, scratch, self.start, extent, RowCopier(f, g))
                a = scratch
            else:
                a = self.x
                for axis in _AXES:
                    a = f.gep(a, f.mul(self.start[axis], g["x_stride_" + axis]))
            first_panel = f.mul(chunk, g["chunk_panels"])
            last_panel = f.min(g["panels"], f.add(first_panel, g["chunk_panels"]))
            with f.loop(0, g["jobs"]) as number:
                job = load_entry(f, JOB_FIELDS, f.add(g["first_job"], f.mul(number.index, len(JOB_FIELDS))))
                self._job(job, a, first_panel, last_panel)
        f.ret()
        return self.module.text()

    def _job(self, job: dict[str, str], a: str, first_panel: str, last_panel: str) -> None:
        """All tiles of a block for one job: k blocks, then panels of weights, then tiles."""
        f, g = self.f, self.g
        extent = {axis: f.min(g["block_" + axis], f.sub(job["count_" + axis], self.start[axis])) for axis in "dhw"}
        extent["n"] = f.min(g["block_n"], f.sub(g["count_n"], self.start["n"]))
        y_block = f.gep(self.y, job["y_offset"])
        for axis in _AXES:
            y_block = f.gep(y_block, f.mul(self.start[axis], job["y_stride_" + axis]))
        with f.loop(0, job["k_blocks"]) as number:
            entry = f.add(job["first_k_block"], f.mul(number.index, len(K_BLOCK_FIELDS)))
            block = load_entry(f, K_BLOCK_FIELDS, entry)
            runs = f.gep("%params", block["first_run"], "i64")
            is_last = f.icmp("eq", f.add(number.index, 1), job["k_blocks"]) if self.epilogue else ""
            with f.loop(first_panel, last_panel) as panel:
                group, within = f.udiv(panel.index, g["group_panels"]), f.urem(panel.index, g["group_panels"])
                b = f.gep(f.gep(self.weights, f.mul(panel.index, g["panel_bytes"])), block["b_offset"])
                a_panel = f.gep(f.gep(a, f.mul(group, g["a_group"])), f.mul(within, g["a_panel"]))
                y_panel = f.gep(f.gep(y_block, f.mul(group, g["y_group"])), f.mul(within, g["y_panel"]))
                first_channel = f.mul(within, g["panel_channels"])
                remaining = f.sub(g["group_channels"], first_channel)
                partial = f.icmp("slt", remaining, g["panel_channels"])
                tiles = _Tiles(
                    {key: f.select(partial, job["k1" + key], job["k0" + key], "ptr") for key in ("00", "01", "10", "11")},
                    (("ptr", runs), ("i64", block["runs"]), ("ptr", b)),
                    (("i64", remaining), ("i64", number.index)),
                    f.add(f.mul(group, g["group_channels"]), first_channel) if self.epilogue else "",
                    f.min(remaining, g["panel_channels"]) if self.epilogue else "",
                    is_last,
                )
                self._nest(_AXES, job, extent, a_panel, y_panel, "false", tiles, {})

    def _nest(
        self, axes: str, job: dict[str, str], extent: dict[str, str], a: str, y: str, rest_q: str, tiles: _Tiles, at: dict[str, str]
    ) -> None:
        """Loops over the tiles of a block along `axes`; `at` holds the positions along the axes outside."""
        f, g, axis = self.f, self.g, axes[0]
        step = g["tile_p"] if axis == "w" else g["tile_q"] if axis == self.q_axis else 1
        with f.loop(0, extent[axis], step) as loop:
            a_here = f.gep(a, f.mul(loop.index, g["a_stride_" + axis]))
            y_here = f.gep(y, f.mul(loop.index, job["y_stride_" + axis]))
            if axis == self.q_axis:
                rest_q = f.icmp("slt", f.sub(extent[axis], loop.index), step)
            if axis != "w":
                at = {**at, axis: loop.index}
                if axis == "h":
                    at["first_row"], at["end_row"] = self._rows(loop.index)
                self._nest(axes[1:], job, extent, a_here, y_here, rest_q, tiles, at)
            else:
                rest_p = f.icmp("slt", f.sub(extent[axis], loop.index), step)
                row0 = f.select(rest_p, tiles.kernels["01"], tiles.kernels["00"], "ptr")
                row1 = f.select(rest_p, tiles.kernels["11"], tiles.kernels["10"], "ptr")
                values = (
                    ("ptr", a_here), ("i64", g["a_stride_" + self.q_axis]), ("i64", g["a_stride_w"]),
                    ("i64", at["first_row"]), ("i64", at["end_row"]), *tiles.fixed,
                    ("ptr", y_here), ("i64", job["y_stride_" + self.q_axis]), ("i64", job["y_stride_w"]), *tiles.tail,
                )  # fmt: skip
                f.call_pointer("void", f.select(rest_q, row1, row0, "ptr"), *values)
            if axis == "h" and self.epilogue:
                with f.when(tiles.is_last):
                    self._finish(extent, at, tiles)

    def _rows(self, h: str) -> tuple[str, str]:
        """Return the range of tap rows that meet the input in some row of the tiles at `h`."""
        f, g = self.f, self.g
        if not self.copy:
            return "0", str(1 << 62)
        first = f.sub(g["low_h"], f.mul(f.add(self.start["h"], h), g["step_h"]))
        end = f.add(first, g["in_h"])
        if self.q_axis == "h":
            first = f.sub(first, f.mul(f.sub(g["tile_q"], 1), g["step_h"]))
        return first, end

    def _finish(self, extent: dict[str, str], at: dict[str, str], tiles: _Tiles) -> None:
        """Apply the epilogue to the rows of outputs of a row of tiles: matrices (w, channel) numbered by (n, d, h)."""
        f, g, q_axis = self.f, self.g, self.q_axis
        rows = f.min(g["tile_q"], f.sub(extent[q_axis], at[q_axis]))
        with f.loop(0, rows) as row:
            number = "0"
            for axis in "ndh":
                position = f.add(self.start[axis], at[axis])
                if axis == q_axis:
                    position = f.add(position, row.index)
                number = f.add(f.mul(number, g["count_" + axis]), position)
            low, first = self.start["w"], tiles.first_channel
            f.call_pointer(
                "void", self.epilogue, ("ptr", "%table"), ("ptr", f.gep("%params", 2 * OPERANDS, "i64")),
                ("i64", low), ("i64", f.add(low, extent["w"])), ("i64", first), ("i64", f.add(first, tiles.channels)), ("i64", number),
            )  # fmt: skip


Arguments = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Tiles:
    """What the tiles of a panel share: kernels, arguments before and after those of the tile, and for an epilogue its channels."""

    kernels: dict[str, str]
    fixed: Arguments
    tail: Arguments
    first_channel: str
    channels: str
    is_last: str
