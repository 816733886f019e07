"""Kernels that write by index: put and put_along, into an array that already holds the old elements.

A unit is a block of columns (positions on the inner axes), in which the indices are walked in order. So duplicates combine in the order of the
source whatever the number of threads, and no two units write the same element.
"""

from __future__ import annotations

from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.index_rows import (
    Lane,
    alignment,
    begin_kernel,
    combine,
    end_kernel,
    load_index,
    pair_loop,
    row_loop,
    word_type,
)
from trine.compiler.templates.loop_convert import from_memory, memory_type, to_memory
from trine.compiler.templates.loop_types import Context
from trine.dtypes import DType

COLUMN_BLOCK = 64  # columns of a unit of put_along


def put_kernel(mode: str, dtype: DType, index_type: str) -> Kernel:
    """out[o, index[j], i] = combine(out[...], value[o, j, i]) for j in order; mode is set, add, max or min.

    Operands index, value, out; params num_indices, axis_size, inner, columns of a block, blocks of a row; units outer * blocks.
    """
    return Kernel(("put", *_type_key(mode, dtype), index_type), lambda target: _emit_put(target, mode, dtype, index_type))


def put_along_kernel(mode: str, dtype: DType, index_type: str) -> Kernel:
    """out[o, index[o, j, i], i] = combine(out[...], value[o, j, i]) for j in order.

    Operands index, value, out; params num_indices, axis_size, inner, blocks of `COLUMN_BLOCK` columns; units outer * blocks.
    """
    return Kernel(("put_along", *_type_key(mode, dtype), index_type), lambda target: _emit_put_along(target, mode, dtype, index_type))


def _type_key(mode: str, dtype: DType) -> tuple[str, str | int]:
    return (mode, dtype.itemsize if mode == "set" else dtype.name)


def _element(mode: str, dtype: DType) -> str:
    return word_type(dtype.itemsize) if mode == "set" else memory_type(dtype)


def _combined(c: Context, mode: str, dtype: DType, old: str, new: str) -> str:
    """Combine two elements as they stand in memory."""
    return to_memory(c, combine(c, mode, dtype, from_memory(c, old, dtype), from_memory(c, new, dtype)), dtype)


def _emit_put(target: Target, mode: str, dtype: DType, index_type: str) -> str:
    f = begin_kernel(target)
    element = _element(mode, dtype)
    index, value, out = (f.operand(k) for k in range(3))
    num_indices, axis_size, inner, width, blocks = (f.param(k) for k in range(6, 11))
    last = f.sub(axis_size, 1)
    with pair_loop(f, blocks) as (_, outer, block):
        low = f.mul(block, width)
        high = f.min(f.add(low, width), inner)
        first_source, first_target = f.mul(outer, num_indices), f.mul(outer, axis_size)
        with f.loop(0, num_indices) as j:
            chosen = load_index(f, index, j.index, index_type, last)
            source = f.gep(value, f.mul(f.add(first_source, j.index), inner), element)
            destination = f.gep(out, f.mul(f.add(first_target, chosen), inner), element)

            def body(lane: Lane, source: str = source, destination: str = destination) -> None:
                new = lane.load(element, source)
                if mode != "set":
                    new = _combined(lane.c, mode, dtype, lane.load(element, destination), new)
                lane.store(element, new, destination)

            row_loop(f, target, dtype.itemsize, low, high, body)
    return end_kernel(f)


def _emit_put_along(target: Target, mode: str, dtype: DType, index_type: str) -> str:
    f = begin_kernel(target)
    element, align = _element(mode, dtype), alignment(dtype.itemsize)
    c = Context(f, target, 1)
    index, value, out = (f.operand(k) for k in range(3))
    num_indices, axis_size, inner, blocks = (f.param(k) for k in range(6, 10))
    last = f.sub(axis_size, 1)
    with pair_loop(f, blocks) as (_, outer, block):
        low = f.mul(block, COLUMN_BLOCK)
        high = f.min(f.add(low, COLUMN_BLOCK), inner)
        first_source, first_target = f.mul(outer, num_indices), f.mul(outer, axis_size)
        with f.loop(0, num_indices) as j:
            source = f.mul(f.add(first_source, j.index), inner)
            with f.loop(low, high) as column:
                position = f.add(source, column.index)
                chosen = load_index(f, index, position, index_type, last)
                at = f.gep(out, f.add(f.mul(f.add(first_target, chosen), inner), column.index), element)
                new = f.load(element, f.gep(value, position, element), align)
                if mode != "set":
                    new = _combined(c, mode, dtype, f.load(element, at, align), new)
                f.store(element, new, at, align)
    return end_kernel(f)
