"""The end of a matrix product that left float32 or float64 partial results: add them, round once, store, apply the epilogue."""

from __future__ import annotations

import functools

from trine.compiler.ir import KERNEL_ARGUMENTS, Module
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.dot import Arithmetic
from trine.compiler.templates.dot_driver import batch_offsets, call_epilogue
from trine.compiler.templates.loop_convert import round_to_half, to_half_bits
from trine.compiler.templates.loop_types import Context, vector_type
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
                    total = _sum_parts(x, x.at(row_source, column.index), plane, p["parts"], lanes)
                    pointer = f.gep(row_c, column.index, element)
                    if result is not dtype:
                        context = Context(f, target, lanes)
                        total = to_half_bits(context, round_to_half(context, total, result), result)
                    f.store(vector_type(element, lanes), total, pointer, result.itemsize)
                start = end
        with f.when(f.icmp("ne", p["epilogue"], 0)):
            call_epilogue(f, epilogue, OPERANDS, (low, f.sub(high, low)), ("0", p["n"]), batch)
    f.ret()
    return module.text()


def _sum_parts(x: Arithmetic, source: str, plane: str, parts: str, lanes: int) -> str:
    """Add the parts of `lanes` adjacent results in order, from the first one."""
    f = x.f
    type_ = vector_type(x.element, lanes)
    with f.loop(1, parts, 1, [("ptr", source), (type_, f.load(type_, source, x.size))]) as part:
        at = x.at(part.carried[0], plane)
        part.next = [at, x.add(part.carried[1], f.load(type_, at, x.size), type_)]
    return part.out[1]
