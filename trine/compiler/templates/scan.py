"""Kernels of the scans: cumsum, cumprod, cummax, cummin along one axis of (outer, axis, inner), sequential along the axis.

Half types accumulate in float32 and round when stored. Forward or reverse is a sign: a start position and a step.
"""

from __future__ import annotations

from trine.compiler.ir import Function
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.index_rows import Lane, alignment, begin_kernel, combine, end_kernel, pair_loop, row_loop
from trine.compiler.templates.loop_convert import from_memory, memory_type, to_memory
from trine.compiler.templates.loop_types import Context
from trine.dtypes import DType

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


def _emit_columns(target: Target, kind: str, dtype: DType) -> str:
    f = begin_kernel(target)
    element = memory_type(dtype)
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
            register = from_memory(c, value, dtype)
            with f.loop(1, axis_size, carried=[(c.type(dtype), register), ("i64", start)]) as k:
                at = f.add(k.carried[1], stride)
                new = from_memory(c, lane.load(element, f.gep(x, at, element)), dtype)
                total = combine(c, KINDS[kind], dtype, k.carried[0], new)
                lane.store(element, to_memory(c, total, dtype), f.gep(out, at, element))
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
    element, align = memory_type(dtype), alignment(dtype.itemsize)
    axis_size, first, step = walk
    starts = [f.add(f.mul(row, axis_size), first) for row in rows]
    sources = [f.gep(arrays[0], start, element) for start in starts]
    destinations = [f.gep(arrays[1], start, element) for start in starts]
    registers = []
    for source, destination in zip(sources, destinations, strict=True):
        value = f.load(element, source, align)
        f.store(element, value, destination, align)
        registers.append(from_memory(c, value, dtype))
    carried = [("i64", "0"), *((c.type(dtype), register) for register in registers)]
    with f.loop(1, axis_size, carried=carried) as k:
        at = f.add(k.carried[0], step)
        totals = []
        for old, source, destination in zip(k.carried[1:], sources, destinations, strict=True):
            new = from_memory(c, f.load(element, f.gep(source, at, element), align), dtype)
            total = combine(c, KINDS[kind], dtype, old, new)
            f.store(element, to_memory(c, total, dtype), f.gep(destination, at, element), align)
            totals.append(total)
        k.next = [at, *totals]
