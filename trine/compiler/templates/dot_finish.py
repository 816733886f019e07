"""The second half of a matrix product whose first half left float32 or float64 partial results: add them, round once, store, apply the epilogue."""

from __future__ import annotations

import functools

from trine import dtypes
from trine.compiler.ir import KERNEL_ARGUMENTS, Function, Module
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.dot import Arithmetic
from trine.compiler.templates.dot_driver import batch_offsets, call_epilogue
from trine.dtypes import DType

# The partial results are a dense array (batch, parts, m, n); a unit is (batch, block of rows).
PARAMETERS = (
    *("m", "n", "parts", "m_blocks", "m_block"),
    "c_m",  # stride between rows of c
    "epilogue",
    "batch_rank",  # followed by batch_rank times (extent, stride in c), innermost first
)
OPERANDS = 2


@functools.cache
def finish_kernel(dtype: DType, result: DType, epilogue_entries: int) -> Kernel:
    """Return the kernel for partial results of `dtype`; the operands are the partial results, c and those of the epilogue."""
    key = ("dot.finish", dtype.name, result.name, epilogue_entries)
    return Kernel(key, lambda target: _emit(target, dtype, result, epilogue_entries))


def float_to_half(f: Function, value: str, lanes: int, result: DType, *, native: bool) -> str:
    """Round `<lanes x float>` to float16 or bfloat16 (to nearest, ties to even); return the bits as `<lanes x i16>`."""
    half, wide = f"<{lanes} x i16>", f"<{lanes} x i32>"

    def splat(number: int) -> str:
        return "<" + ", ".join([f"i32 {number}"] * lanes) + ">"

    def do(op: str, a: str, b: str) -> str:
        return f.value(f"{op} {wide} {a}, {b}")

    def choose(condition: str, a: str, b: str) -> str:
        return f.value(f"select <{lanes} x i1> {condition}, {wide} {a}, {wide} {b}")

    if result is dtypes.float16 and native:
        rounded = f.value(f"fptrunc <{lanes} x float> {value} to <{lanes} x half>")
        return f.value(f"bitcast <{lanes} x half> {rounded} to {half}")
    bits = f.value(f"bitcast <{lanes} x float> {value} to {wide}")
    magnitude = do("and", bits, splat(0x7FFFFFFF))
    is_nan = do("icmp ugt", magnitude, splat(0x7F800000))
    if result is dtypes.bfloat16:
        high = do("lshr", bits, splat(16))
        tie = do("and", high, splat(1))
        rounded = do("lshr", do("add", do("add", bits, splat(0x7FFF)), tie), splat(16))
        return f.value(f"trunc {wide} {choose(is_nan, do('or', high, splat(0x40)), rounded)} to {half}")
    # Normal results: rebias the exponent and round at bit 13. Subnormal ones: adding 0.5 aligns the mantissa and rounds in hardware.
    tie = do("and", do("lshr", magnitude, splat(13)), splat(1))
    normal = do("lshr", do("add", do("add", magnitude, splat(0xFFF - (112 << 23))), tie), splat(13))
    real = f"<{lanes} x float>"
    aligned = f.value(f"fadd {real} {f.value(f'bitcast {wide} {magnitude} to {real}')}, {f.value(f'bitcast {wide} {splat(126 << 23)} to {real}')}")
    subnormal = do("sub", f.value(f"bitcast {real} {aligned} to {wide}"), splat(126 << 23))
    small = do("icmp ult", magnitude, splat(113 << 23))
    large = do("icmp uge", magnitude, splat(143 << 23))
    special = choose(is_nan, splat(0x7E00), splat(0x7C00))
    unsigned = choose(large, special, choose(small, subnormal, normal))
    sign = do("lshr", do("and", bits, splat(0x80000000)), splat(16))
    return f.value(f"trunc {wide} {do('or', unsigned, sign)} to {half}")


def _emit(target: Target, dtype: DType, result: DType, epilogue_entries: int) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    x = Arithmetic(f, target, dtype)
    first = 2 * OPERANDS + epilogue_entries
    p = {name: f.param(first + i) for i, name in enumerate(PARAMETERS)}
    epilogue = f.param(first + PARAMETERS.index("epilogue"), "ptr")
    partials, result_base = f.operand(0), f.operand(1)
    element = x.element if result is dtype else "i16"
    plane = f.mul(p["m"], p["n"])
    with f.loop("%begin", "%end") as unit:
        batch = f.udiv(unit.index, p["m_blocks"])
        block = f.sub(unit.index, f.mul(batch, p["m_blocks"]))
        low = f.mul(block, p["m_block"])
        high = f.min(f.add(low, p["m_block"]), p["m"])
        (offset,) = batch_offsets(f, batch, first + len(PARAMETERS) - 1, 1)
        source = x.at(partials, f.mul(batch, f.mul(plane, p["parts"])))
        c = f.gep(result_base, offset, element)
        with f.loop(low, high) as row:
            row_source, row_c = x.at(source, f.mul(row.index, p["n"])), f.gep(c, f.mul(row.index, p["c_m"]), element)
            start: str = "0"
            for lanes in (x.lanes, 1):
                end = f.band(p["n"], -lanes)
                with f.loop(start, end, lanes) as column:
                    _sum_and_store(
                        x, x.at(row_source, column.index), plane, p["parts"], f.gep(row_c, column.index, element), (target, dtype, result), lanes
                    )
                start = end
        with f.when(f.icmp("ne", p["epilogue"], 0)):
            call_epilogue(f, epilogue, OPERANDS, (low, f.sub(high, low)), ("0", p["n"]), batch)
    f.ret()
    return module.text()


def _sum_and_store(
    x: Arithmetic, source: str, plane: str, parts: str, pointer: str, types: tuple[Target, DType, DType], lanes: int
) -> None:
    """Add the parts in order, from the first one, and store `lanes` adjacent results."""
    f = x.f
    target, dtype, result = types
    type_ = f"<{lanes} x {x.element}>"
    with f.loop(1, parts, 1, [("ptr", source), (type_, f.load(type_, source, x.size))]) as part:
        at = x.at(part.carried[0], plane)
        part.next = [at, x.add(part.carried[1], f.load(type_, at, x.size), type_)]
    total = part.out[1]
    if result is dtype:
        f.store(type_, total, pointer, x.size)
    else:
        bits = float_to_half(f, total, lanes, result, native=target.has_half_conversion)
        f.store(f"<{lanes} x i16>", bits, pointer, result.itemsize)
