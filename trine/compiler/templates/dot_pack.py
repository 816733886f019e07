"""Packing of matrix operands into panels, which the micro-kernels stream through.

A packer has the signature

    void kernel(ptr source, i64 stride, i64 step, i64 count, i64 tile, i64 width, i64 k, ptr panels, i64 panel_stride)

It packs `count` rows (of a; columns of b) and k steps into panels of `tile` rows:
``panels[(i // tile) * panel_stride + k * width + i % tile] = source[i * stride + k * step]``.
`width`, a multiple of the vector length, is at least `tile`; what lies between is undefined, and ignored by the micro-kernels.
float16 and bfloat16 become float32 on the way. The kernel of `pack_kernel` packs a whole operand, in parallel.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from trine.compiler.ir import KERNEL_ARGUMENTS, Function, Module
from trine.compiler.program import Kernel
from trine.compiler.target import Target, llvm_type
from trine.compiler.templates.dot import Arithmetic, prefetch
from trine.compiler.templates.dot_driver import batch_offsets
from trine.compiler.templates.loop_convert import from_half_bits
from trine.compiler.templates.loop_types import Context
from trine.dtypes import DType

_PREFETCH_STEPS = 16

PACK_ARGUMENTS = (
    ("ptr noalias", "source"),
    ("i64", "stride"),
    ("i64", "step"),
    ("i64", "count"),
    ("i64", "tile"),
    ("i64", "width"),
    ("i64", "k"),
    ("ptr noalias", "panels"),
    ("i64", "panel_stride"),
)


def pack_layout(stride: int, step: int, source: DType) -> str:
    """Return the packer's layout for a stride between rows and a stride along k; blocks of small integers are not transposed."""
    if stride == 1:
        return "copy"
    return "transpose" if step == 1 and (source.itemsize >= 4 or source.is_half) else "gather"


@functools.cache
def packer(source: DType, dtype: DType, layout: str) -> Kernel:
    """Return the packer of a layout: "copy" (stride 1), "transpose" (step 1) or "gather" (any)."""
    emit = {"copy": _emit_copy, "transpose": _emit_transpose, "gather": _emit_gather}[layout]

    def text(target: Target) -> str:
        module = Module(target.vector_bits)
        f = module.function("kernel", PACK_ARGUMENTS)
        emit(_Source(f, target, source, dtype))
        f.ret()
        return module.text()

    return Kernel(("dot.pack", source.name, dtype.name, layout), text)


class _Source:
    """Reads the source as vectors or scalars of the packed type."""

    def __init__(self, f: Function, target: Target, source: DType, dtype: DType) -> None:
        self.f = f
        self.x = Arithmetic(f, target, dtype)
        self.source = source
        self.same = source is dtype
        self.target = target
        # A half element is loaded as its bits.
        self.element = llvm_type(dtype) if self.same else "i16"
        self.vector = f"<{self.x.lanes} x {self.element}>"

    def at(self, pointer: str, index: str | int) -> str:
        return self.f.gep(pointer, index, self.element) if index != 0 else pointer

    def load(self, pointer: str, mask: str = "") -> str:
        """Load a vector, or its masked elements (16-bit elements have no masked load before AVX-512: `has_mask` tells)."""
        x, f = self.x, self.f
        if mask:
            value = f.masked_load(self.vector, pointer, mask, x.lanes, self.source.itemsize)
        else:
            value = f.load(self.vector, pointer, self.source.itemsize)
        return value if self.same else from_half_bits(Context(f, self.target, x.lanes), value, self.source)

    @property
    def has_mask(self) -> bool:
        return self.x.has_mask and self.same

    def load_scalar(self, pointer: str) -> str:
        value = self.f.load(self.element, pointer, self.source.itemsize)
        return value if self.same else from_half_bits(Context(self.f, self.target, 1), value, self.source)


def _copy_elements(s: _Source, start: str, panel: str, low: str, high: str, k: tuple[str, str]) -> None:
    """Copy the rows [low, high) of a panel and the steps [k[0], k[1]) one by one; `start` is the panel's first element."""
    f, x = s.f, s.x
    with f.loop(*k) as step:
        source, target = s.at(start, f.mul("%step", step.index)), x.at(panel, f.mul("%width", step.index))
        with f.loop(low, high) as i:
            f.store(x.element, s.load_scalar(s.at(source, f.mul("%stride", i.index))), x.at(target, i.index), x.size)


@contextmanager
def _panels(s: _Source) -> Iterator[tuple[str, str, str]]:
    """Emit the loop over the panels; yields the first element of each in the source, its address, and its number of rows."""
    f = s.f
    with f.loop(0, "%count", "%tile", [("ptr", "%panels")]) as i:
        i.next = [s.x.at(i.carried[0], "%panel_stride")]
        yield s.at("%source", f.mul("%stride", i.index)), i.carried[0], f.min(f.sub("%count", i.index), "%tile")


def _emit_gather(s: _Source) -> None:
    with _panels(s) as (start, panel, rows):
        _copy_elements(s, start, panel, "0", rows, ("0", "%k"))


def _emit_copy(s: _Source) -> None:
    """Copy adjacent elements. The outer loop is over k, so that a row of the source is read from end to end."""
    f, x = s.f, s.x
    low: str = "0"
    for steps in (4, 1):
        high = f.band("%k", -steps)
        with f.loop(low, high, steps) as k:
            at = s.at("%source", f.mul("%step", k.index))
            sources = [s.at(at, f.mul("%step", u) if u else 0) for u in range(steps)]
            ahead = f.mul("%step", _PREFETCH_STEPS)
            first = f.mul("%width", k.index)
            targets = [first if not u else f.add(first, f.mul("%width", u)) for u in range(steps)]
            with f.loop(0, "%count", "%tile", [("ptr", "%panels")]) as i:
                i.next = [x.at(i.carried[0], "%panel_stride")]
                rows = f.min(f.sub("%count", i.index), "%tile")
                if steps > 1:
                    for source in sources:
                        prefetch(f, s.at(source, f.add(i.index, ahead)))
                _copy_rows(s, [s.at(p, i.index) for p in sources], [x.at(i.carried[0], t) for t in targets], rows)
        low = high


def _copy_rows(s: _Source, sources: list[str], targets: list[str], rows: str) -> None:
    """Copy the first `rows` adjacent elements of every source."""
    f, x = s.f, s.x
    whole = f.band(rows, -x.lanes)
    with f.loop(0, whole, x.lanes) as i:
        for source, target in zip(sources, targets, strict=True):
            x.store(s.load(s.at(source, i.index)), x.at(target, i.index))
    if not s.has_mask:
        with f.loop(whole, rows) as i:
            for source, target in zip(sources, targets, strict=True):
                f.store(x.element, s.load_scalar(s.at(source, i.index)), x.at(target, i.index), x.size)
        return
    with f.when(f.icmp("slt", whole, rows)):
        mask = f.lane_mask(f.sub(rows, whole), x.lanes)
        for source, target in zip(sources, targets, strict=True):
            x.store(s.load(s.at(source, whole), mask), x.at(target, whole))


def _emit_transpose(s: _Source) -> None:
    """Transpose square blocks in registers; rows beyond the last one repeat it."""
    f, x = s.f, s.x
    whole = f.band("%k", -x.lanes)
    with _panels(s) as (start, panel, count):
        last = f.sub(count, 1)
        with f.loop(0, count, x.lanes) as i:
            rows = [s.at(start, f.mul("%stride", f.min(last, f.add(i.index, r)))) for r in range(x.lanes)]
            target = x.at(panel, i.index)
            with f.loop(0, whole, x.lanes) as k:
                at = x.at(target, f.mul("%width", k.index))
                for column in transpose(x, [s.load(s.at(row, k.index)) for row in rows]):
                    x.store(column, at)
                    at = x.at(at, "%width")
            if s.has_mask:
                with f.when(f.icmp("slt", whole, "%k")):
                    _transpose_rest(s, rows, whole, x.at(target, f.mul("%width", whole)))
        if not s.has_mask:
            _copy_elements(s, start, panel, "0", count, (whole, "%k"))


def _transpose_rest(s: _Source, rows: list[str], whole: str, at: str) -> None:
    """Transpose the last steps, fewer than a block: what lies beyond k would overrun the panel."""
    f, x = s.f, s.x
    rest = f.sub("%k", whole)
    mask = f.lane_mask(rest, x.lanes)
    done = f.label("done")
    for number, column in enumerate(transpose(x, [s.load(s.at(row, whole), mask) for row in rows])[:-1]):
        x.store(column, at)
        at = x.at(at, "%width")
        following = f.label("column")
        f.cond_br(f.icmp("sgt", rest, number + 1), following, done)
        f.at(following)
    f.br(done)
    f.at(done)


def transpose(x: Arithmetic, rows: list[str]) -> list[str]:
    """Transpose a square block of vectors: first within blocks of 128 bits, then the blocks (every step is one instruction on x86)."""
    unit = 16 // x.size
    blocks = x.lanes // unit

    def zip_blocks(a: str, b: str, width: int, high: int) -> str:
        """Interleave groups of `width` elements from the lower or upper half of every 128-bit block of a and b."""
        order = []
        for start in range(0, x.lanes, unit):
            for group in range(unit // (2 * width)):
                at = start + high * unit // 2 + group * width
                order += [at + i for i in range(width)] + [x.lanes + at + i for i in range(width)]
        return x.shuffle(a, b, order)

    within: list[list[str]] = []
    for g in range(blocks):
        v = rows[g * unit : (g + 1) * unit]
        if unit == 2:
            within.append([zip_blocks(v[0], v[1], 1, h) for h in (0, 1)])
            continue
        low = [zip_blocks(v[0], v[1], 1, h) for h in (0, 1)]
        high = [zip_blocks(v[2], v[3], 1, h) for h in (0, 1)]
        within.append([zip_blocks(low[j // 2], high[j // 2], 2, j % 2) for j in range(4)])
    columns = [""] * x.lanes
    for j in range(unit):
        for b, column in enumerate(_transpose_blocks(x, [within[g][j] for g in range(blocks)], unit)):
            columns[b * unit + j] = column
    return columns


def _transpose_blocks(x: Arithmetic, rows: list[str], unit: int) -> list[str]:
    """Transpose 1, 2 or 4 vectors of as many 128-bit blocks."""
    blocks = len(rows)

    def pick(a: str, b: str, chosen: tuple[int, ...]) -> str:
        """Return the chosen blocks of a, then the same of b."""
        return x.shuffle(a, b, [base + c * unit + i for base in (0, x.lanes) for c in chosen for i in range(unit)])

    if blocks == 1:
        return rows
    if blocks == 2:
        return [pick(rows[0], rows[1], (b,)) for b in (0, 1)]
    even, odd = (0, 2), (1, 3)
    first = [(pick(rows[0], rows[1], half), pick(rows[2], rows[3], half)) for half in (even, odd)]
    return [pick(*first[0], even), pick(*first[1], even), pick(*first[0], odd), pick(*first[1], odd)]


# A unit is (batch, block of rows, block of steps); the panels are a dense array (batch, panel, k, width) of full tiles.
PACK_PARAMETERS = (
    *("count", "k", "count_blocks", "k_blocks", "count_block", "k_block"),
    *("stride", "step", "tile", "width"),
    "packer",
    "batch_rank",  # followed by batch_rank times (extent, stride in the source, stride in the panels), innermost first
)


@functools.cache
def pack_kernel(source: DType, dtype: DType) -> Kernel:
    """Return the kernel that packs a whole operand; its operands are the source and the panels, its parameters `PACK_PARAMETERS`."""
    return Kernel(("dot.pack_all", source.itemsize, dtype.itemsize), lambda target: _emit_pack(target, source, dtype))


def _emit_pack(target: Target, source: DType, dtype: DType) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    first = 4
    p = {name: f.param(first + i) for i, name in enumerate(PACK_PARAMETERS)}
    function = f.param(first + PACK_PARAMETERS.index("packer"), "ptr")
    source_base, panels_base = f.operand(0), f.operand(1)
    source_element, element = f"i{8 * source.itemsize}", f"i{8 * dtype.itemsize}"
    panel_stride = f.mul(p["k"], p["width"])
    with f.loop("%begin", "%end") as unit:
        rest = f.udiv(unit.index, p["k_blocks"])
        k_low = f.mul(f.sub(unit.index, f.mul(rest, p["k_blocks"])), p["k_block"])
        batch = f.udiv(rest, p["count_blocks"])
        low = f.mul(f.sub(rest, f.mul(batch, p["count_blocks"])), p["count_block"])
        offsets = batch_offsets(f, batch, first + len(PACK_PARAMETERS) - 1, 2)
        inside = f.add(f.mul(low, p["stride"]), f.mul(k_low, p["step"]))
        start = f.gep(f.gep(source_base, offsets[0], source_element), inside, source_element)
        inside = f.add(f.mul(f.udiv(low, p["tile"]), panel_stride), f.mul(k_low, p["width"]))
        panels = f.gep(f.gep(panels_base, offsets[1], element), inside, element)
        count, steps = f.min(p["count_block"], f.sub(p["count"], low)), f.min(p["k_block"], f.sub(p["k"], k_low))
        arguments = (("ptr", start), ("i64", p["stride"]), ("i64", p["step"]), ("i64", count), ("i64", p["tile"]))
        f.call_pointer("void", function, *arguments, ("i64", p["width"]), ("i64", steps), ("ptr", panels), ("i64", panel_stride))
    f.ret()
    return module.text()
