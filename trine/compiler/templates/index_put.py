"""Kernels that write by index: put and put_along, into an array that already holds the old elements.

A unit is a block of columns (positions on the inner axes), in which the indices are walked in order. So duplicates combine in the order of
the source whatever the number of threads, and no two units write the same element.
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
    rounded_to_memory,
    row_loop,
    word_type,
)
from trine.compiler.templates.loop_convert import from_memory, memory_type
from trine.compiler.templates.loop_types import Context
from trine.dtypes import DType

COLUMN_BLOCK = 64  # columns of a unit of put_along


CONVERT_BLOCK = 4096  # elements of a unit of convert


def put_kernel(mode: str, dtype: DType, source: DType, index_type: str) -> Kernel:
    """out[o, index[j], i] = combine(out[...], value[o, j, i]) for j in order; mode is set, add, max or min.

    `dtype` is that of out, `source` that of the value: the same, or float32 and a half type.
    Operands index, value, out; params num_indices, axis_size, inner, columns of a block, blocks of a row; units outer * blocks.
    """
    types = (dtype, source)
    return Kernel(("put", *_type_key(mode, types), index_type), lambda target: _emit_put(target, mode, types, index_type))


def put_along_kernel(mode: str, dtype: DType, source: DType, index_type: str) -> Kernel:
    """out[o, index[o, j, i], i] = combine(out[...], value[o, j, i]) for j in order.

    Operands index, value, out; params num_indices, axis_size, inner, blocks of `COLUMN_BLOCK` columns; units outer * blocks.
    """
    types = (dtype, source)
    return Kernel(("put_along", *_type_key(mode, types), index_type), lambda target: _emit_put_along(target, mode, types, index_type))


def convert_kernel(source: DType, destination: DType) -> Kernel:
    """Convert an array between a half type and float32. Operands x, out; params number of elements; units: pieces of `CONVERT_BLOCK`."""
    return Kernel(("convert", source.name, destination.name, CONVERT_BLOCK), lambda target: _emit_convert(target, source, destination))


def _type_key(mode: str, types: tuple[DType, DType]) -> tuple[str | int, ...]:
    return (mode, types[0].itemsize) if mode == "set" else (mode, types[0].name, types[1].name)


def _element(mode: str, dtype: DType) -> str:
    return word_type(dtype.itemsize) if mode == "set" else memory_type(dtype)


def _combined(c: Context, mode: str, types: tuple[DType, DType], old: str, new: str) -> str:
    """Combine two elements as they stand in memory. Half types are floats in registers, so float32 and a half type mix."""
    dtype, source = types
    return rounded_to_memory(c, combine(c, mode, dtype, from_memory(c, old, dtype), from_memory(c, new, source)), dtype)


def _emit_put(target: Target, mode: str, types: tuple[DType, DType], index_type: str) -> str:
    f = begin_kernel(target)
    element, source_element = (_element(mode, t) for t in types)
    index, value, out = (f.operand(k) for k in range(3))
    num_indices, axis_size, inner, width, blocks = (f.param(k) for k in range(6, 11))
    last = f.sub(axis_size, 1)
    with pair_loop(f, blocks) as (_, outer, block):
        low = f.mul(block, width)
        high = f.min(f.add(low, width), inner)
        first_source, first_target = f.mul(outer, num_indices), f.mul(outer, axis_size)
        with f.loop(0, num_indices) as j:
            chosen = load_index(f, index, j.index, index_type, last)
            source = f.gep(value, f.mul(f.add(first_source, j.index), inner), source_element)
            destination = f.gep(out, f.mul(f.add(first_target, chosen), inner), element)

            def body(lane: Lane, source: str = source, destination: str = destination) -> None:
                new = lane.load(source_element, source)
                if mode != "set":
                    new = _combined(lane.c, mode, types, lane.load(element, destination), new)
                lane.store(element, new, destination)

            row_loop(f, target, min(t.itemsize for t in types), low, high, body)
    return end_kernel(f)


def _emit_put_along(target: Target, mode: str, types: tuple[DType, DType], index_type: str) -> str:
    f = begin_kernel(target)
    element, source_element = (_element(mode, t) for t in types)
    align, source_align = (alignment(t.itemsize) for t in types)
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
                new = f.load(source_element, f.gep(value, position, source_element), source_align)
                if mode != "set":
                    new = _combined(c, mode, types, f.load(element, at, align), new)
                f.store(element, new, at, align)
    return end_kernel(f)


def _emit_convert(target: Target, source: DType, destination: DType) -> str:
    f = begin_kernel(target)
    x, out, count = f.operand(0), f.operand(1), f.param(4)

    def body(lane: Lane) -> None:
        value = from_memory(lane.c, lane.load(memory_type(source), x), source)
        lane.store(memory_type(destination), rounded_to_memory(lane.c, value, destination), out)

    low = f.mul("%begin", CONVERT_BLOCK)
    high = f.min(f.mul("%end", CONVERT_BLOCK), count)
    row_loop(f, target, min(source.itemsize, destination.itemsize), low, high, body)
    return end_kernel(f)
