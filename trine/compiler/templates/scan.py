"""Kernels of the scans: cumsum, cumprod, cummax, cummin along one axis of (outer, axis, inner), sequential along the axis.

Sums and products of float32 accumulate in float64, those of half types in float32; each element is rounded when it is stored. Forward
or reverse is a sign: a start position and a step.
"""

from __future__ import annotations

from trine.compiler.ir import Function
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.index_rows import Lane, alignment, begin_kernel, combine, end_kernel, pair_loop, rounded_to_memory, row_loop
from trine.compiler.templates.loop_convert import cast, from_memory, memory_type
from trine.compiler.templates.loop_types import Context
from trine.dtypes import DType, float32, float64

KINDS = {"cumsum": "add", "cumprod": "mul", "cummax": "max", "cummin": "min"}
ROW_GROUP = 4  # contiguous rows that are scanned at once, so that their chains of dependent operations overlap


def scan_columns_kernel(kind: str, dtype: DType) -> Kernel:
    """Scan columns (inner > 1) in vectors.

    Operands x, out; params axis_size, inner, columns of a block, blocks, position of the first element, step (1 or -1);
    units outer * blocks.
    """
    return Kernel(("scan_columns", kind, dtype.name), lambda target: _emit_columns(target, kind, dtype))


def scan_rows_kernel(kind: str, dtype: DType) -> Kernel:
    """Scan contiguous rows (inner = 1). Operands x, out; params rows, axis_size, first, step; units: groups of `ROW_GROUP` rows."""
    return Kernel(("scan_rows", kind, dtype.name, ROW_GROUP), lambda target: _emit_rows(target, kind, dtype))


def _accumulator(kind: str, dtype: DType) -> DType:
    return float64 if dtype is float32 and kind in ("cumsum", "cumprod") else dtype


def _widened(c: Context, value: str, dtype: DType, wide: DType) -> str:
    """Convert what was loaded to the accumulator's type."""
    return cast(c, from_memory(c, value, dtype), dtype, wide)


def _rounded(c: Context, total: str, dtype: DType, wide: DType) -> str:
    """Convert an accumulator to what is stored."""
    return rounded_to_memory(c, cast(c, total, wide, dtype), dtype)


def _emit_columns(target: Target, kind: str, dtype: DType) -> str:
    f = begin_kernel(target)
    element, wide = memory_type(dtype), _accumulator(kind, dtype)
    x, out = f.operand(0), f.operand(1)
    axis_size, inner, width, blocks, first, step = (f.param(k) for k in range(4, 10))
    stride = f.mul(step, inner)
    with pair_loop(f, blocks) as (_, outer, block):
        low = f.mul(block, width)
        high = f.min(f.add(low, width), inner)
        start = f.mul(f.add(f.mul(outer, axis_size), first), inner)

        def body(lane: Lane) -> None:
            c = lane.c
            value = lane.load(element, f.gep(x, start, element))
            lane.store(element, value, f.gep(out, start, element))
            register = _widened(c, value, dtype, wide)
            with f.loop(1, axis_size, carried=[(c.type(wide), register), ("i64", start)]) as k:
                at = f.add(k.carried[1], stride)
                new = _widened(c, lane.load(element, f.gep(x, at, element)), dtype, wide)
                total = combine(c, KINDS[kind], wide, k.carried[0], new)
                lane.store(element, _rounded(c, total, dtype, wide), f.gep(out, at, element))
                k.next = [total, at]

        row_loop(f, target, dtype.itemsize, low, high, body)
    return end_kernel(f)


def _emit_rows(target: Target, kind: str, dtype: DType) -> str:
    f = begin_kernel(target)
    x, out = f.operand(0), f.operand(1)
    rows, axis_size, first, step = (f.param(k) for k in range(4, 8))
    with f.loop("%begin", "%end") as unit:
        low = f.mul(unit.index, ROW_GROUP)
        high = f.min(f.add(low, ROW_GROUP), rows)
        whole = f.select(f.icmp("eq", f.sub(high, low), ROW_GROUP), high, low)
        with f.loop(low, whole, ROW_GROUP) as group:
            _scan_rows(f, target, kind, dtype, (x, out), [f.add(group.index, k) for k in range(ROW_GROUP)], (axis_size, first, step))
        with f.loop(whole, high) as row:
            _scan_rows(f, target, kind, dtype, (x, out), [row.index], (axis_size, first, step))
    return end_kernel(f)


def _scan_rows(
    f: Function, target: Target, kind: str, dtype: DType, arrays: tuple[str, str], rows: list[str], walk: tuple[str, str, str]
) -> None:
    """Scan some rows side by side."""
    c = Context(f, target, 1)
    element, align, wide = memory_type(dtype), alignment(dtype.itemsize), _accumulator(kind, dtype)
    axis_size, first, step = walk
    starts = [f.add(f.mul(row, axis_size), first) for row in rows]
    sources = [f.gep(arrays[0], start, element) for start in starts]
    destinations = [f.gep(arrays[1], start, element) for start in starts]
    registers = []
    for source, destination in zip(sources, destinations, strict=True):
        value = f.load(element, source, align)
        f.store(element, value, destination, align)
        registers.append(_widened(c, value, dtype, wide))
    carried = [("i64", "0"), *((c.type(wide), register) for register in registers)]
    with f.loop(1, axis_size, carried=carried) as k:
        at = f.add(k.carried[0], step)
        totals = []
        for old, source, destination in zip(k.carried[1:], sources, destinations, strict=True):
            new = _widened(c, f.load(element, f.gep(source, at, element), align), dtype, wide)
            total = combine(c, KINDS[kind], wide, old, new)
            f.store(element, _rounded(c, total, dtype, wide), f.gep(destination, at, element), align)
            totals.append(total)
        k.next = [at, *totals]
