"""Kernels that read by index: take and take_along.

An array is seen as (outer, axis, inner). Sizes are parameters; the code depends on the element's size and the index's type only.
"""

from __future__ import annotations

from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.index_rows import alignment, begin_kernel, copy_row, end_kernel, load_index, pair_loop, word_type


def take_rows_kernel(itemsize: int, index_type: str) -> Kernel:
    """Copy rows: out[o, j, :] = x[o, index[j], :].

    Operands x, index, out; params num_indices, axis_size, inner; units outer * num_indices.
    """
    return Kernel(("take_rows", itemsize, index_type), lambda target: _emit_take_rows(target, itemsize, index_type))


def take_elements_kernel(itemsize: int, index_type: str) -> Kernel:
    """The same for inner = 1: operands x, index, out; params num_indices, axis_size; units outer * num_indices."""
    return Kernel(("take_elements", itemsize, index_type), lambda target: _emit_take_elements(target, itemsize, index_type))


def take_along_kernel(itemsize: int, index_type: str, is_last: bool) -> Kernel:
    """out[o, j, i] = x[o, index[o, j, i], i]; `is_last`: inner = 1.

    Operands x, index, out; params num_indices, axis_size, inner; units: elements of out.
    """
    return Kernel(("take_along", itemsize, index_type, is_last), lambda target: _emit_take_along(target, itemsize, index_type, is_last))


def _emit_take_rows(target: Target, itemsize: int, index_type: str) -> str:
    f = begin_kernel(target)
    word = word_type(itemsize)
    x, index, out = (f.operand(k) for k in range(3))
    num_indices, axis_size, inner = (f.param(k) for k in (6, 7, 8))
    last = f.sub(axis_size, 1)
    with pair_loop(f, num_indices) as (unit, outer, position):
        chosen = load_index(f, index, position, index_type, last)
        row = f.add(f.mul(outer, axis_size), chosen)
        copy_row(f, target, itemsize, f.gep(x, f.mul(row, inner), word), f.gep(out, f.mul(unit, inner), word), inner)
    return end_kernel(f)


def _emit_take_elements(target: Target, itemsize: int, index_type: str) -> str:
    f = begin_kernel(target)
    word, align = word_type(itemsize), alignment(itemsize)
    x, index, out = (f.operand(k) for k in range(3))
    num_indices, axis_size = f.param(6), f.param(7)
    last = f.sub(axis_size, 1)
    with pair_loop(f, num_indices) as (unit, outer, position):
        chosen = load_index(f, index, position, index_type, last)
        value = f.load(word, f.gep(x, f.add(f.mul(outer, axis_size), chosen), word), align)
        f.store(word, value, f.gep(out, unit, word), align)
    return end_kernel(f)


def _emit_take_along(target: Target, itemsize: int, index_type: str, is_last: bool) -> str:
    f = begin_kernel(target)
    word, align = word_type(itemsize), alignment(itemsize)
    x, index, out = (f.operand(k) for k in range(3))
    num_indices, axis_size, inner = (f.param(k) for k in (6, 7, 8))
    last = f.sub(axis_size, 1)
    # The range of elements row by row, a row being the contiguous elements that share `outer` (and j, unless the axis is the last one).
    length = num_indices if is_last else inner
    final = f.udiv(f.add("%end", f.sub(length, 1)), length)
    with f.loop(f.udiv("%begin", length), final) as row:
        start = f.mul(row.index, length)
        low, high = f.max("%begin", start), f.min("%end", f.add(start, length))
        outer = row.index if is_last else f.udiv(row.index, num_indices)
        plane = f.gep(x, f.mul(f.mul(outer, axis_size), inner), word)
        with f.loop(low, high) as k:
            at = load_index(f, index, k.index, index_type, last)
            if not is_last:
                at = f.add(f.mul(at, inner), f.sub(k.index, start))
            f.store(word, f.load(word, f.gep(plane, at, word), align), f.gep(out, k.index, word), align)
    return end_kernel(f)
