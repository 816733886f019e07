"""Matrix multiplication of integers (modulo 2**bits) and booleans (or of ands), for any strides."""

from __future__ import annotations

import functools

from trine.compiler.ir import KERNEL_ARGUMENTS, Function, Module
from trine.compiler.program import Kernel
from trine.compiler.target import Target, llvm_type
from trine.compiler.templates.dot_driver import batch_offsets, call_epilogue
from trine.dtypes import DType

# A unit is (batch, block of ROWS rows).
ROWS = 4
PARAMETERS = (
    *("m", "n", "k"),
    *("a_m", "a_k", "b_k", "b_n", "c_m"),
    "adjacent",  # columns that may be computed by vectors: n if b_n is 1, else 0
    "epilogue",
    "batch_rank",  # followed by batch_rank times (extent, stride in a, stride in b, stride in c), innermost first
)
OPERANDS = 3
_VECTORS = 2


@functools.cache
def integer_kernel(dtype: DType, epilogue_entries: int) -> Kernel:
    """Return the kernel; the operands are a, b, c and those of the epilogue."""
    width = "bool" if dtype.code == "b" else dtype.itemsize
    return Kernel(("dot.integer", width, epilogue_entries), lambda target: _emit(target, dtype, epilogue_entries))


def _emit(target: Target, dtype: DType, epilogue_entries: int) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    first = 2 * OPERANDS + epilogue_entries
    p = {name: f.param(first + i) for i, name in enumerate(PARAMETERS)}
    epilogue = f.param(first + PARAMETERS.index("epilogue"), "ptr")
    element = llvm_type(dtype)
    arrays = [f.operand(i) for i in range(OPERANDS)]
    blocks = f.udiv(f.add(p["m"], ROWS - 1), ROWS)
    with f.loop("%begin", "%end") as unit:
        batch = f.udiv(unit.index, blocks)
        low = f.mul(f.sub(unit.index, f.mul(batch, blocks)), ROWS)
        # The last block repeats the last row where it has fewer.
        rows = [f.min(f.add(low, r), f.sub(p["m"], 1)) for r in range(ROWS)]
        offsets = batch_offsets(f, batch, first + len(PARAMETERS) - 1, 3)
        a, b, c = (f.gep(array, offset, element) for array, offset in zip(arrays, offsets, strict=True))
        a_rows = [f.gep(a, f.mul(row, p["a_m"]), element) for row in rows]
        c_rows = [f.gep(c, f.mul(row, p["c_m"]), element) for row in rows]
        start: str = "0"
        for lanes in (_VECTORS * target.lanes(dtype), 1):
            end = f.band(p["adjacent"], -lanes) if lanes > 1 else p["n"]
            with f.loop(start, end, lanes) as column:
                totals = _products(f, p, dtype, a_rows, f.gep(b, f.mul(column.index, p["b_n"]), element), lanes)
                for c_row, total in zip(c_rows, totals, strict=True):
                    f.store(f"<{lanes} x {element}>", total, f.gep(c_row, column.index, element), dtype.itemsize)
            start = end
        with f.when(f.icmp("ne", p["epilogue"], 0)):
            call_epilogue(f, epilogue, OPERANDS, (low, f.min(f.sub(p["m"], low), ROWS)), ("0", p["n"]), batch)
    f.ret()
    return module.text()


def _products(f: Function, p: dict[str, str], dtype: DType, a_rows: list[str], b: str, lanes: int) -> list[str]:
    """Emit the loop over k for `lanes` adjacent columns of some rows."""
    element = llvm_type(dtype)
    vector = f"<{lanes} x {element}>"
    multiply, add = ("and", "or") if dtype.code == "b" else ("mul", "add")
    with f.loop(0, p["k"], 1, [("ptr", b), *[(vector, "zeroinitializer")] * len(a_rows)]) as step:
        at, *totals = step.carried
        right = f.load(vector, at, dtype.itemsize)
        offset = f.mul(step.index, p["a_k"])
        for r, a in enumerate(a_rows):
            scalar = f.splat(f.load(element, f.gep(a, offset, element), dtype.itemsize), lanes, element)
            totals[r] = f.value(f"{add} {vector} {totals[r]}, {f.value(f'{multiply} {vector} {scalar}, {right}')}")
        step.next = [f.gep(at, p["b_k"], element), *totals]
    return step.out[1:]
