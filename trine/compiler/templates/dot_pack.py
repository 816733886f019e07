"""Packing of matrix operands into panels: ``panel[k * width + i] = source[i * stride + k * step]``.

A packer has the signature

    void kernel(ptr source, i64 stride, i64 step, i64 count, i64 width, i64 k, ptr panel)

It packs `count` <= `width` rows (or columns) and k steps; what lies between count and width is undefined, and ignored by the micro-kernels.
float16 and bfloat16 become float32 on the way. The kernel of `pack_command_kernel` packs a whole operand, in parallel.
"""

from __future__ import annotations

import functools

from trine import dtypes
from trine.compiler.ir import KERNEL_ARGUMENTS, Function, Module
from trine.compiler.program import Kernel
from trine.compiler.target import Target, llvm_type
from trine.compiler.templates.dot import Arithmetic
from trine.dtypes import DType

PACK_ARGUMENTS = (
    ("ptr noalias", "source"),
    ("i64", "stride"),
    ("i64", "step"),
    ("i64", "count"),
    ("i64", "width"),
    ("i64", "k"),
    ("ptr noalias", "panel"),
)


def pack_layout(stride: int, step: int) -> str:
    """Return the packer's layout for a stride between rows and a stride along k."""
    return "copy" if stride == 1 else "transpose" if step == 1 else "gather"


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


def half_to_float(f: Function, bits: str, lanes: int, source: DType, *, native: bool) -> str:
    """Convert `<lanes x i16>` bit patterns of float16 or bfloat16 to `<lanes x float>`, exactly."""
    half, wide, real = f"<{lanes} x i16>", f"<{lanes} x i32>", f"<{lanes} x float>"

    def splat(value: int) -> str:
        return "<" + ", ".join([f"i32 {value}"] * lanes) + ">"

    if source is dtypes.float16 and native:
        return f.value(f"fpext <{lanes} x half> {f.value(f'bitcast {half} {bits} to <{lanes} x half>')} to {real}")
    x = f.value(f"zext {half} {bits} to {wide}")
    if source is dtypes.bfloat16:
        return f.value(f"bitcast {wide} {f.value(f'shl {wide} {x}, {splat(16)}')} to {real}")
    # The bits of the magnitude, moved to a float's place, are the value times 2**-112; the multiplication also normalises subnormals.
    magnitude = f.value(f"and {wide} {x}, {splat(0x7FFF)}")
    shifted = f.value(f"bitcast {wide} {f.value(f'shl {wide} {magnitude}, {splat(13)}')} to {real}")
    scale = "<" + ", ".join(["float 0x46F0000000000000"] * lanes) + ">"
    scaled = f.value(f"bitcast {real} {f.value(f'fmul {real} {shifted}, {scale}')} to {wide}")
    special = f.value(f"icmp uge {wide} {magnitude}, {splat(0x7C00)}")
    exponent = f.value(f"select <{lanes} x i1> {special}, {wide} {splat(0x7F800000)}, {wide} zeroinitializer")
    sign = f.value(f"shl {wide} {f.value(f'and {wide} {x}, {splat(0x8000)}')}, {splat(16)}")
    signed = f.value(f"or {wide} {f.value(f'or {wide} {scaled}, {exponent}')}, {sign}")
    return f.value(f"bitcast {wide} {signed} to {real}")


class _Source:
    """Reads the source as vectors or scalars of the packed type."""

    def __init__(self, f: Function, target: Target, source: DType, dtype: DType) -> None:
        self.f = f
        self.x = Arithmetic(f, target, dtype)
        self.source = source
        self.same = source is dtype
        self.native = target.has_half_conversion
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
        return value if self.same else half_to_float(f, value, x.lanes, self.source, native=self.native)

    @property
    def has_mask(self) -> bool:
        return self.x.has_mask and self.same

    def load_scalar(self, pointer: str) -> str:
        f = self.f
        value = f.load(self.element, pointer, self.source.itemsize)
        if self.same:
            return value
        one = f.value(f"insertelement <1 x i16> poison, i16 {value}, i64 0")
        return f.value(f"extractelement <1 x float> {half_to_float(f, one, 1, self.source, native=self.native)}, i64 0")


def _copy_elements(s: _Source, low: str, high: str, k_low: str, k_high: str) -> None:
    """Copy the rows [low, high) and the steps [k_low, k_high) element by element."""
    f, x = s.f, s.x
    with f.loop(k_low, k_high) as k:
        source, panel = s.at("%source", f.mul("%step", k.index)), x.at("%panel", f.mul("%width", k.index))
        with f.loop(low, high) as i:
            value = s.load_scalar(s.at(source, f.mul("%stride", i.index)))
            f.store(x.element, value, x.at(panel, i.index), x.size)


def _emit_gather(s: _Source) -> None:
    _copy_elements(s, "0", "%count", "0", "%k")


def _emit_copy(s: _Source) -> None:
    f, x = s.f, s.x
    start: str = "0"
    for vectors in (4, 2, 1):
        end = f.band("%count", -(vectors * x.lanes))
        with f.loop(start, end, vectors * x.lanes) as i:
            with f.loop(0, "%k", 1, [("ptr", s.at("%source", i.index)), ("ptr", x.at("%panel", i.index))]) as k:
                source, panel = k.carried
                for v, value in enumerate([s.load(s.at(source, v * x.lanes)) for v in range(vectors)]):
                    x.store(value, x.at(panel, v * x.lanes))
                k.next = [s.at(source, "%step"), x.at(panel, "%width")]
        start = end
    if not s.has_mask:
        _copy_elements(s, start, "%count", "0", "%k")
        return
    with f.when(f.icmp("slt", start, "%count")):
        mask = f.lane_mask(f.sub("%count", start), x.lanes)
        with f.loop(0, "%k", 1, [("ptr", s.at("%source", start)), ("ptr", x.at("%panel", start))]) as k:
            source, panel = k.carried
            x.store(s.load(source, mask), panel)
            k.next = [s.at(source, "%step"), x.at(panel, "%width")]


def _emit_transpose(s: _Source) -> None:
    """Transpose square blocks in registers; rows beyond `count` repeat the last one."""
    f, x = s.f, s.x
    last = f.sub("%count", 1)
    whole = f.band("%k", -x.lanes)
    with f.loop(0, "%count", x.lanes) as i:
        rows = [s.at("%source", f.mul("%stride", f.min(last, f.add(i.index, r)))) for r in range(x.lanes)]
        panel = x.at("%panel", i.index)

        def block(k: str, mask: str = "") -> None:
            columns = transpose(x, [s.load(s.at(row, k), mask) for row in rows])
            at = x.at(panel, f.mul("%width", k))
            for column in columns:
                x.store(column, at)
                at = x.at(at, "%width")

        with f.loop(0, whole, x.lanes) as k:
            block(k.index)
        if s.has_mask:
            # The columns of the last block that lie beyond k would overrun the panel: store those that exist.
            with f.when(f.icmp("slt", whole, "%k")):
                rest = f.sub("%k", whole)
                mask = f.lane_mask(rest, x.lanes)
                columns = transpose(x, [s.load(s.at(row, whole), mask) for row in rows])
                at = x.at(panel, f.mul("%width", whole))
                done = f.label("done")
                for number, column in enumerate(columns[:-1]):
                    x.store(column, at)
                    at = x.at(at, "%width")
                    following = f.label("column")
                    f.cond_br(f.icmp("sgt", rest, number + 1), following, done)
                    f.at(following)
                f.br(done)
                f.at(done)
    if not s.has_mask:
        _copy_elements(s, "0", "%count", whole, "%k")


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
