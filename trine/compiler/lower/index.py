"""Lowering of the index, update and concat primitives to commands. All values are row-major.

Every function takes the target, the operands and the result, the primitive's attributes, and then, as all lowerers do, `temporaries`
(makes a row-major temporary of a shape and dtype), `threads` (how many threads will share the work; the units do not depend on it) and
`nodes` (what is computed). An empty result takes no commands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

from trine.compiler.program import Command, Operand, Value
from trine.compiler.target import Target
from trine.compiler.templates import concat as copies
from trine.compiler.templates import index as reads
from trine.compiler.templates import index_put as writes
from trine.core.graph import Node
from trine.dtypes import DType, float32
from trine.errors import UnsupportedError, message

_ROW_BYTES = 4096  # a longer row is copied in pieces
_MIN_BLOCK_BYTES, _MAX_BLOCK_BYTES = 256, 1024  # columns of a unit of put, in bytes
_PUT_BLOCKS = 16  # into how many units the columns of one put are divided if they are enough
_INDEX_TYPES = {"int32": "i32", "int64": "i64"}

Temporaries = Callable[[tuple[int, ...], DType], Value]


def lower_take(
    target: Target, x: Value, index: Value, out: Value, axis: int, temporaries: Temporaries, threads: int, nodes: tuple[Node, ...] = ()
) -> list[Command]:
    """Return the commands of ``out = numpy.take(x, index, axis)``; indices lie in [0, size)."""
    outer, axis_size, inner = _planes(x.shape, axis)
    num_indices = math.prod(index.shape)
    units = outer * num_indices
    if not units * inner * axis_size:
        return []
    operands = [Operand(x), Operand(index), Operand(out, access="w")]
    cost = 2 * out.nbytes + index.nbytes
    index_type = _INDEX_TYPES[index.dtype.name]
    if inner == 1:
        kernel = reads.take_elements_kernel(x.dtype.itemsize, index_type)
        return [Command(kernel, operands, [num_indices, axis_size], units, 2 * cost, name="take", nodes=nodes)]
    inner, itemsize = _movable(inner, x.dtype.itemsize)
    kernel = reads.take_rows_kernel(itemsize, index_type)
    return [Command(kernel, operands, [num_indices, axis_size, inner], units, cost, name="take", nodes=nodes)]


def lower_take_along(
    target: Target, x: Value, index: Value, out: Value, axis: int, temporaries: Temporaries, threads: int, nodes: tuple[Node, ...] = ()
) -> list[Command]:
    """Return the commands of ``out = numpy.take_along_axis(x, index, axis)``; indices lie in [0, size)."""
    _, axis_size, inner = _planes(x.shape, axis)
    units = math.prod(out.shape)
    if not units * axis_size:
        return []
    operands = [Operand(x), Operand(index), Operand(out, access="w")]
    kernel = reads.take_along_kernel(x.dtype.itemsize, _INDEX_TYPES[index.dtype.name], inner == 1)
    cost = 4 * (out.nbytes + index.nbytes)
    return [Command(kernel, operands, [index.shape[axis], axis_size, inner], units, cost, name="take_along", nodes=nodes)]


def lower_put(
    target: Target,
    x: Value,
    index: Value,
    value: Value,
    out: Value,
    axis: int,
    mode: str,
    temporaries: Temporaries,
    threads: int,
    nodes: tuple[Node, ...] = (),
) -> list[Command]:
    """Return the commands of ``out = x; out[..., index, ...] = value`` (or +=, maximum, minimum: `mode`), duplicates in order.

    If `out` is placed at the address of `x`, the copy is skipped when the command runs. Half types are added up in float32.
    """
    check_arithmetic(f"put {mode}", x.dtype, mode != "set")
    outer, axis_size, inner = _planes(x.shape, axis)
    num_indices = math.prod(index.shape)
    if not outer * inner * num_indices * axis_size:
        return lower_copy(target, x, out, nodes)
    if mode in ("add", "mul") and x.dtype.is_half:
        wide = temporaries(x.shape, float32)
        added = lower_put(target, wide, index, value, wide, axis, mode, temporaries, threads, nodes)
        return [_convert(x, wide, nodes), *added, _convert(wide, out, nodes)]
    commands = lower_copy(target, x, out, nodes)
    itemsize = x.dtype.itemsize
    wanted = -(-inner * itemsize // _PUT_BLOCKS)
    block_bytes = min(max(-(-wanted // _MIN_BLOCK_BYTES) * _MIN_BLOCK_BYTES, _MIN_BLOCK_BYTES), _MAX_BLOCK_BYTES)
    width = block_bytes // itemsize
    blocks = -(-inner // width)
    operands = [Operand(index), Operand(value), Operand(out, access="rw")]
    cost = 3 * value.nbytes + blocks * index.nbytes
    params: list[int] = [num_indices, axis_size, inner, width, blocks]
    kernel = writes.put_kernel(mode, x.dtype, value.dtype, _INDEX_TYPES[index.dtype.name])
    if outer * inner == 1:  # single elements: put_along walks them without the overhead of rows
        params = [num_indices, axis_size, 1, 1]
        kernel = writes.put_along_kernel(mode, x.dtype, value.dtype, _INDEX_TYPES[index.dtype.name])
    return [*commands, Command(kernel, operands, [*params], outer * blocks, cost, name=f"put {mode}", nodes=nodes)]


def lower_put_along(
    target: Target,
    x: Value,
    index: Value,
    value: Value,
    out: Value,
    axis: int,
    mode: str,
    temporaries: Temporaries,
    threads: int,
    nodes: tuple[Node, ...] = (),
) -> list[Command]:
    """Return the commands of ``out = x; numpy.put_along_axis(out, index, value, axis)`` (or with `mode`), duplicates in order."""
    check_arithmetic(f"put_along {mode}", x.dtype, mode != "set")
    outer, axis_size, inner = _planes(x.shape, axis)
    if not math.prod(index.shape) * axis_size:
        return lower_copy(target, x, out, nodes)
    if mode in ("add", "mul") and x.dtype.is_half:
        wide = temporaries(x.shape, float32)
        added = lower_put_along(target, wide, index, value, wide, axis, mode, temporaries, threads, nodes)
        return [_convert(x, wide, nodes), *added, _convert(wide, out, nodes)]
    commands = lower_copy(target, x, out, nodes)
    blocks = -(-inner // writes.COLUMN_BLOCK)
    kernel = writes.put_along_kernel(mode, x.dtype, value.dtype, _INDEX_TYPES[index.dtype.name])
    operands = [Operand(index), Operand(value), Operand(out, access="rw")]
    params: list[int] = [index.shape[axis], axis_size, inner, blocks]
    cost = 4 * (value.nbytes + index.nbytes)
    return [*commands, Command(kernel, operands, [*params], outer * blocks, cost, name=f"put_along {mode}", nodes=nodes)]


def lower_update(
    target: Target,
    base: Value,
    value: Value,
    out: Value,
    start: tuple[int, ...],
    step: tuple[int, ...],
    temporaries: Temporaries,
    threads: int,
    nodes: tuple[Node, ...] = (),
) -> list[Command]:
    """Return the commands of ``out = base`` with `value` written at the box ``start + step * i``.

    If `out` is placed at the address of `base`, the copy is skipped when the command runs.
    """
    strides = _row_major(base.shape)
    offset = sum(s * k for s, k in zip(start, strides, strict=True))
    steps = tuple(s * k for s, k in zip(step, strides, strict=True))
    box = lower_box(value, out, value.shape, _row_major(value.shape), steps, 0, offset, "update", nodes)
    return [*lower_copy(target, base, out, nodes), *box]


def lower_concat(
    target: Target,
    inputs: Sequence[Value],
    out: Value,
    axis: int,
    temporaries: Temporaries,
    threads: int,
    nodes: tuple[Node, ...] = (),
    placed: Collection[int] = (),
) -> list[Command]:
    """Return the commands of ``out = numpy.concatenate(inputs, axis)``; the inputs with the numbers `placed` are there already."""
    strides = _row_major(out.shape)
    commands = []
    position = 0
    for number, x in enumerate(inputs):
        if number not in placed:
            offset = position * strides[axis]
            commands += lower_box(x, out, x.shape, _row_major(x.shape), strides, 0, offset, "concat", nodes)
        position += x.shape[axis]
    return commands


def lower_copy(target: Target, x: Value, out: Value, nodes: tuple[Node, ...] = ()) -> list[Command]:
    """Return the commands that copy the bytes of a value; nothing is copied if both lie at one address."""
    if x is out or not out.nbytes:
        return []
    units = -(-out.nbytes // copies.COPY_BYTES)
    operands = [Operand(x), Operand(out, access="w")]
    return [Command(copies.copy_kernel(), operands, [out.nbytes], units, 2 * out.nbytes, name="copy", nodes=nodes)]


def lower_box(
    source: Value,
    destination: Value,
    shape: tuple[int, ...],
    source_strides: tuple[int, ...],
    destination_strides: tuple[int, ...],
    source_offset: int = 0,
    destination_offset: int = 0,
    name: str = "copy_box",
    nodes: tuple[Node, ...] = (),
) -> list[Command]:
    """Return the commands that copy a box of elements between two values of one dtype; strides and offsets count elements."""
    if not math.prod(shape):
        return []
    itemsize = source.dtype.itemsize
    operands = [Operand(source, source_offset * itemsize), Operand(destination, destination_offset * itemsize, "w")]
    sizes, strides = coalesce(shape, (source_strides, destination_strides))
    is_contiguous = strides[0][-1] == strides[1][-1] == 1
    if is_contiguous and itemsize == 16:
        itemsize, sizes = 8, (*sizes[:-1], 2 * sizes[-1])
        strides = [(*(2 * s for s in side[:-1]), 1) for side in strides]
    columns = sizes[-1]
    width = min(columns, _ROW_BYTES // itemsize)
    pieces = -(-columns // width)
    kernel = copies.box_kernel(len(sizes), itemsize, is_contiguous)
    params: list[int] = [*sizes[:-1], columns, width, pieces, *strides[0], *strides[1]]
    cost = 2 * math.prod(sizes) * itemsize
    return [Command(kernel, operands, [*params], math.prod(sizes[:-1]) * pieces, cost, name=name, nodes=nodes)]


def _convert(x: Value, out: Value, nodes: tuple[Node, ...]) -> Command:
    """Return the command that converts a half array to float32 or back."""
    count = math.prod(x.shape)
    operands = [Operand(x), Operand(out, access="w")]
    units = -(-count // writes.CONVERT_BLOCK)
    return Command(writes.convert_kernel(x.dtype, out.dtype), operands, [count], units, x.nbytes + out.nbytes, name="convert", nodes=nodes)


def check_arithmetic(name: str, dtype: DType, computes: bool = True) -> None:
    """Raise UnsupportedError if a primitive computes with complex numbers; those are only moved."""
    if computes and dtype.is_complex:
        fix = "run it as a host command"
        raise UnsupportedError(message(f"{name}: no native kernel", received=dtype.name, expected="a real dtype", fix=fix))


def coalesce(shape: tuple[int, ...], strides: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Return shape and strides without axes of size 1 and with adjacent axes merged where every array allows it (one axis remains)."""
    sizes: list[int] = []
    merged: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(m[-1] == s[axis] * size for m, s in zip(merged, strides, strict=True)):
            sizes[-1] *= size
            for m, s in zip(merged, strides, strict=True):
                m[-1] = s[axis]
        else:
            sizes.append(size)
            for m, s in zip(merged, strides, strict=True):
                m.append(s[axis])
    if not sizes:
        return (1,), [(1,) for _ in strides]
    return tuple(sizes), [tuple(m) for m in merged]


def _planes(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """Return the sizes of (outer, axis, inner)."""
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _movable(count: int, itemsize: int) -> tuple[int, int]:
    """Return a row as elements of at most 8 bytes, which fit vector registers."""
    return (2 * count, 8) if itemsize == 16 else (count, itemsize)


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1] * len(shape)
    for axis in range(len(shape) - 1, 0, -1):
        strides[axis - 1] = strides[axis] * shape[axis]
    return tuple(strides)
