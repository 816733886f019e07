"""Kernels that copy: a flat range of bytes, and a box of an array (concat, update)."""

from __future__ import annotations

from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.index_rows import alignment, begin_kernel, copy_row, end_kernel, word_type

COPY_BYTES = 4096  # bytes of a unit of the flat copy


def copy_kernel() -> Kernel:
    """Copy bytes, unless source and destination are the same memory.

    Operands source, destination; params nbytes; units: pieces of `COPY_BYTES`.
    """
    return Kernel(("copy", COPY_BYTES), _emit_copy)


def box_kernel(rank: int, itemsize: int, is_contiguous: bool) -> Kernel:
    """Copy a box of `rank` axes between arrays with element strides, row by row; a row is a part of the last axis.

    Operands source, destination; params: the sizes of the axes but the last; elements of the last axis, elements of a row, rows in the last
    axis; then the source's strides; then the destination's. `is_contiguous`: both last strides are 1. Units: rows.
    """
    return Kernel(("copy_box", rank, itemsize, is_contiguous), lambda target: _emit_box(target, rank, itemsize, is_contiguous))


def _emit_copy(target: Target) -> str:
    f = begin_kernel(target)
    source, destination = f.operand(0), f.operand(1)
    nbytes = f.param(4)
    with f.when(f.icmp("ne", source, destination, "ptr")):
        low = f.mul("%begin", COPY_BYTES)
        high = f.min(f.mul("%end", COPY_BYTES), nbytes)
        f.call("ptr", "memcpy", ("ptr", f.gep(destination, low)), ("ptr", f.gep(source, low)), ("i64", f.sub(high, low)))
    return end_kernel(f)


def _emit_box(target: Target, rank: int, itemsize: int, is_contiguous: bool) -> str:
    f = begin_kernel(target)
    word, align = word_type(itemsize), alignment(itemsize)
    source, destination = f.operand(0), f.operand(1)
    sizes = [f.param(4 + k) for k in range(rank - 1)]
    columns, width, pieces = (f.param(3 + rank + k) for k in range(3))
    strides = [[f.param(6 + rank + side * rank + k) for k in range(rank)] for side in range(2)]
    # The position on each axis but the last and the piece of the row, as a counter with carries.
    counters = [*sizes, pieces]
    first, rest = [], "%begin"
    for size in reversed(counters):
        first.append(f.urem(rest, size))
        rest = f.udiv(rest, size)
    with f.loop("%begin", "%end", carried=[("i64", v) for v in reversed(first)]) as unit:
        *position, piece = unit.carried
        low = f.mul(piece, width)
        count = f.sub(f.min(f.add(low, width), columns), low)
        rows = []
        for base, stride in ((source, strides[0]), (destination, strides[1])):
            offset = f.mul(low, stride[-1])
            for index, step in zip(position, stride, strict=False):
                offset = f.add(offset, f.mul(index, step))
            rows.append(f.gep(base, offset, word))
        if is_contiguous:
            copy_row(f, target, itemsize, rows[0], rows[1], count)
        else:
            with f.loop(0, count) as i:
                value = f.load(word, f.gep(rows[0], f.mul(i.index, strides[0][-1]), word), align)
                f.store(word, value, f.gep(rows[1], f.mul(i.index, strides[1][-1]), word), align)
        following: list[str] = []
        carry = "1"
        for index, size in zip(reversed(unit.carried), reversed(counters), strict=True):
            advanced = f.add(index, carry)
            wraps = f.icmp("eq", advanced, size)
            following.append(f.select(wraps, 0, advanced))
            carry = f.value(f"zext i1 {wraps} to i64")
        unit.next = following[::-1]
    return end_kernel(f)
