"""The driver of the weight gradient of a convolution.

``gw[tap, c, o] = sum over pixels of x[pixel * stride + tap, c] * gy[pixel, o]``: a matrix product whose inner axis is the pixels. A unit of
the parallel loop is (group, chunk of blocks of pixels, strip of input channels): for each block of its chunk it packs gy into panels of
output channels and each slice of input channels with its padding, then runs a micro-kernel per panel and tile of weights, which adds to
the chunk's own partial sums. Another kernel adds the chunks in order, so the result depends on shapes only.
"""

from __future__ import annotations

from dataclasses import dataclass

from trine.compiler.ir import KERNEL_ARGUMENTS, Function, Module
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.conv import (
    BLOCK_FIELDS,
    COPY_FIELDS,
    RowCopier,
    block_origin,
    emit_copy_functions,
    emit_padded_rows,
    load_entry,
    load_fields,
)
from trine.compiler.templates.conv_micro import VECTORS, Vectors
from trine.dtypes import DType

_FIELDS = (
    "chunks", "chunk_blocks", "num_blocks", "strips", "strip_slices", "slices", "slice_channels", "channels",
    "x_group", "y_group", "group_outputs", "panels",
    "y_stride_n", "y_stride_d", "y_stride_h", "y_stride_w",  # bytes of the gradient of the output
    "a_stride_n", "a_stride_d", "a_stride_h", "a_stride_w", "a_q", "a_p", "d_q",  # bytes in the padded slice, per output and within a tile
    "b_scratch", "partial_chunk", "partial_panel", "slice_bytes",
    "tiles", "first_tile",
)  # fmt: skip
FIELDS = BLOCK_FIELDS + COPY_FIELDS + _FIELDS
# A tile: byte offsets into the slice and into the partial sums, row and column of its tap, kernels of a whole slice and of the last.
TILE_FIELDS = ("a_offset", "d_offset", "tap_h", "tap_w", "k0", "k1")
OPERANDS = 3


@dataclass(frozen=True, slots=True)
class WeightForm:
    """The forms of the driver.

    Attributes:
        dense: one slice holds all channels of a pixel, and nothing else; else a slice has one vector (depthwise: one panel) for each pixel.
        depthwise: one input and one output channel per group.
        direct_x: tiles read x where it lies: no output reads padding.
        direct_gradient: tiles read the gradient of the output where it lies: a pixel is one panel, and blocks have whole rows.
    """

    dense: bool
    depthwise: bool
    direct_x: bool
    direct_gradient: bool


def weight_kernel(dtype: DType, form: WeightForm) -> Kernel:
    """Return the driver of a form."""
    key = ("conv_weight", dtype.name, form.dense, form.depthwise, form.direct_x, form.direct_gradient)
    return Kernel(key, lambda target: _emit(target, dtype, form))


class _SliceCopier(RowCopier):
    """Copies `count` channels of each pixel of a row to `vectors` whole vectors of the slice."""

    def __init__(self, f: Function, v: Vectors, pixel: str, count: str, vectors: int) -> None:
        self.f, self.v, self.pixel, self.vectors = f, v, pixel, vectors
        self.masks = [f.lane_mask(count, v.lanes, h * v.lanes) for h in range(vectors)]

    def emit(self, source: str, to: str, low: str, high: str, end: str, source_column: str) -> None:
        f, v = self.f, self.v
        size = self.vectors * v.bytes
        first = f.gep(source, f.mul(f.sub(source_column, low), self.pixel))
        for begin, stop, inside in ((0, low, False), (low, high, True), (high, end, False)):
            with f.loop(begin, stop) as column:
                for h, mask in enumerate(self.masks):
                    address = f.gep(f.gep(first, f.mul(column.index, self.pixel)), h * v.bytes) if inside else ""
                    value = v.load(address, mask) if inside else v.zero
                    v.store(value, f.gep(f.gep(to, f.mul(column.index, size)), h * v.bytes), aligned=True)


def _emit(target: Target, dtype: DType, form: WeightForm) -> str:
    module = Module(target.vector_bits)
    depthwise = form.depthwise
    if form.dense and not form.direct_x:
        emit_copy_functions(module)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    v = Vectors(f, target, dtype)
    g = load_fields(f, FIELDS, 2 * OPERANDS)
    x, gy, partial = (f.operand(i) for i in range(OPERANDS))
    b_scratch = f.scratch()
    a_scratch = f.gep(b_scratch, g["b_scratch"])
    with f.loop("%begin", "%end") as unit:
        strip, rest = f.urem(unit.index, g["strips"]), f.udiv(unit.index, g["strips"])
        chunk, group = f.urem(rest, g["chunks"]), f.udiv(rest, g["chunks"])
        first_block = f.mul(chunk, g["chunk_blocks"])
        last_block = f.min(g["num_blocks"], f.add(first_block, g["chunk_blocks"]))
        first_slice = f.mul(strip, g["strip_slices"])
        last_slice = f.min(g["slices"], f.add(first_slice, g["strip_slices"]))
        x_group = f.gep(x, f.mul(group, g["x_group"]))
        gy_group = f.gep(gy, f.mul(group, g["y_group"]))
        sums = f.gep(partial, f.mul(rest, g["partial_chunk"]))
        with f.loop(first_block, last_block) as block:
            start, extent = block_origin(f, g, block.index)
            b_block = _Gradient(f, v, g, form, gy_group, b_scratch, start, extent)
            if not depthwise:
                b_block.pack("0", g["panels"])
            continued = f.value(f"zext i1 {f.icmp('sgt', block.index, first_block)} to i64")
            with f.loop(first_slice, last_slice) as part:
                first_channel = f.mul(part.index, g["slice_channels"])
                count = f.min(g["slice_channels"], f.sub(g["channels"], first_channel))
                if depthwise:
                    b_block.pack(part.index, f.add(part.index, 1))
                a = f.gep(x_group, f.mul(first_channel, v.size))
                if form.direct_x:
                    for axis in "ndhw":
                        a = f.gep(a, f.mul(start[axis], g["a_stride_" + axis]))
                else:
                    copier = RowCopier(f, g) if form.dense else _SliceCopier(f, v, g["pixel"], count, VECTORS if depthwise else 1)
                    emit_padded_rows(f, g, a, a_scratch, start, extent, copier)
                    a = a_scratch
                last = f.icmp("slt", count, g["slice_channels"])
                panels = (part.index, f.add(part.index, 1)) if depthwise else ("0", g["panels"])
                with f.loop(*panels) as panel:
                    d = f.gep(sums, f.mul(panel.index, g["partial_panel"]))
                    if not depthwise:
                        d = f.gep(d, f.mul(part.index, g["slice_bytes"]))
                    b = b_block.panel("0" if depthwise else panel.index)
                    _emit_tiles(f, v, g, form, start, extent, a, b, b_block, d, last, continued)
    f.ret()
    return module.text()


class _Gradient:
    """A block of the gradient of the output as panels: planes, then images, rows, columns; a pixel is one panel wide."""

    def __init__(
        self, f: Function, v: Vectors, g: dict[str, str], form: WeightForm, gy: str, scratch: str, start: dict[str, str],
        extent: dict[str, str],
    ) -> None:  # fmt: skip
        self.f, self.v, self.g, self.form, self.scratch, self.extent = f, v, g, form, scratch, extent
        self.block = gy
        for axis in "ndhw":
            self.block = f.gep(self.block, f.mul(start[axis], g["y_stride_" + axis]))
        if form.direct_gradient:
            self.row, self.image, self.plane = g["y_stride_h"], g["y_stride_n"], g["y_stride_d"]
        else:
            self.row = f.mul(extent["w"], VECTORS * v.bytes)
            self.image = f.mul(self.row, extent["h"])
            self.plane = f.mul(self.image, extent["n"])

    def panel(self, number: str) -> str:
        """Return the address of a panel."""
        if self.form.direct_gradient:
            return self.block
        return self.f.gep(self.scratch, self.f.mul(number, self.f.mul(self.plane, self.extent["d"])))

    def pack(self, low: str, high: str) -> None:
        """Copy panels [low, high) to scratch memory, one after the other; channels past the end are 0."""
        if self.form.direct_gradient:
            return
        f, v, g = self.f, self.v, self.g
        with f.loop(low, high, 1, [("ptr", self.scratch)]) as panel:
            first = f.mul(panel.index, VECTORS * v.lanes)
            masks = [f.lane_mask(f.sub(g["group_outputs"], first), v.lanes, h * v.lanes) for h in range(VECTORS)]
            panel.next = [self._pack_axis("dnhw", f.gep(self.block, f.mul(first, v.size)), panel.carried[0], masks)]

    def _pack_axis(self, axes: str, source: str, to: str, masks: list[str]) -> str:
        f, v, axis = self.f, self.v, axes[0]
        with f.loop(0, self.extent[axis], 1, [("ptr", to)]) as loop:
            here = f.gep(source, f.mul(loop.index, self.g["y_stride_" + axis]))
            if axis != "w":
                loop.next = [self._pack_axis(axes[1:], here, loop.carried[0], masks)]
            else:
                for h, mask in enumerate(masks):
                    v.store(v.load(f.gep(here, h * v.bytes), mask), f.gep(loop.carried[0], h * v.bytes), aligned=True)
                loop.next = [f.gep(loop.carried[0], VECTORS * v.bytes)]
        return loop.out[0]


def _emit_tiles(
    f: Function, v: Vectors, g: dict[str, str], form: WeightForm, start: dict[str, str], extent: dict[str, str], a: str, b: str,
    gradient: _Gradient, d: str, last: str, continued: str,
) -> None:  # fmt: skip
    """All tiles of weights of a slice and a panel."""
    with f.loop(0, g["tiles"]) as number:
        tile = load_entry(f, TILE_FIELDS, f.add(g["first_tile"], f.mul(number.index, len(TILE_FIELDS))))
        kernel = f.select(last, tile["k1"], tile["k0"], "ptr")
        a_tile, b_tile, d_tile = f.gep(a, tile["a_offset"]), b, f.gep(d, tile["d_offset"])
        count = {"h": extent["h"], "w": extent["w"]}
        if not form.dense and not form.depthwise:
            # A tile of one tap: only the outputs that it connects to the input, not to padding.
            for axis, b_stride in (("h", gradient.row), ("w", str(VECTORS * v.bytes))):
                low, count[axis] = _inside(f, g, axis, start[axis], extent[axis], tile["tap_" + axis])
                a_tile, b_tile = f.gep(a_tile, f.mul(low, g["a_stride_" + axis])), f.gep(b_tile, f.mul(low, b_stride))
        with f.loop(0, extent["d"], 1, [("ptr", b_tile), ("i64", continued)]) as plane:
            f.call_pointer(
                "void", kernel,
                ("ptr", f.gep(a_tile, f.mul(plane.index, g["a_stride_d"]))), ("i64", g["a_stride_n"]), ("i64", g["a_stride_h"]),
                ("i64", g["a_stride_w"]), ("i64", g["a_q"]), ("i64", g["a_p"]), ("ptr", plane.carried[0]), ("i64", gradient.image),
                ("i64", gradient.row), ("i64", extent["n"]), ("i64", count["h"]), ("i64", count["w"]), ("ptr", d_tile), ("i64", g["d_q"]),
                ("i64", plane.carried[1]),
            )  # fmt: skip
            plane.next = [f.gep(plane.carried[0], gradient.plane), "1"]


def _inside(f: Function, g: dict[str, str], axis: str, start: str, extent: str, tap: str) -> tuple[str, str]:
    """Return the first output of a block that meets the input at a tap, and the number of them."""
    step = g["step_" + axis]
    round_up = f.sub(step, 1)
    position = f.add(f.sub(f.mul(start, step), g["low_" + axis]), tap)
    low = f.udiv(f.add(f.max(f.sub(0, position), 0), round_up), step)
    high = f.udiv(f.add(f.max(f.sub(g["in_" + axis], position), 0), round_up), step)
    return low, f.max(0, f.sub(f.min(high, extent), low))
