"""A slow evaluator of loop nests in NumPy: the oracle of the tests of loop kernels.

Every instruction is an array over all axes of the nest (size 1 where it does not vary); primitives are those of `trine.core.reference`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from harness import TARGETS, check_guards, run_commands, value_array

from trine.compiler.lower.loop import lower_loop
from trine.compiler.nest import Access, Instruction, LoopNest
from trine.compiler.program import Command, Value
from trine.compiler.target import Target
from trine.core import reference
from trine.core.graph import Node
from trine.core.random_bits import random_bits
from trine.core.reference_base import decode, encode
from trine.dtypes import DType, float32, float64, int64

Arrays = dict[Value, np.ndarray]


def evaluate(nest: LoopNest, arrays: Arrays, scalars: Sequence[float | int] = ()) -> list[np.ndarray]:
    """Return what the nest stores, one array over the axes of the nest per store (reduced axes of size 1 for row stores)."""
    values: list[np.ndarray] = []
    for instruction in nest.instructions:
        with np.errstate(all="ignore"):
            values.append(_evaluate(nest, instruction, values, arrays, scalars))
    results = []
    for number, a in nest.stores:
        access = nest.accesses[a]
        shape = tuple(
            1 if axis.reduced and stride == 0 and axis.extent != 1 else axis.extent
            for axis, stride in zip(nest.axes, access.strides, strict=True)
        )
        results.append(np.broadcast_to(values[number], shape))
    return results


def run(nest: LoopNest, arrays: Arrays, scalars: Sequence[float | int] = ()) -> None:
    """Evaluate the nest and write its results into the arrays."""
    for (_, a), result in zip(nest.stores, evaluate(nest, arrays, scalars), strict=True):
        access = nest.accesses[a]
        flat = flat_view(access.value, arrays[access.value])
        flat[addresses(nest, access, result.shape)] = result


def flat_view(value: Value, array: np.ndarray) -> np.ndarray:
    """Return the memory of a dense array in address order."""
    count = int(np.prod(value.shape))
    return np.lib.stride_tricks.as_strided(array, (count,), (value.dtype.itemsize,), writeable=True)


def addresses(nest: LoopNest, access: Access, shape: Sequence[int]) -> np.ndarray:
    """Return the element address at every point."""
    address = np.full(shape, access.offset, np.int64)
    for k, stride in enumerate(access.strides):
        address = address + stride * _along(nest, k, shape[k])
    return address


def _along(nest: LoopNest, axis: int, extent: int) -> np.ndarray:
    column = [1] * len(nest.axes)
    column[axis] = extent
    return np.arange(extent, dtype=np.int64).reshape(column)


def _node(op: str, instruction: Instruction, operands: list[Node], attrs: tuple[Any, ...], shape: tuple[int, ...]) -> Node:
    return Node(op, tuple(operands), attrs, shape, instruction.dtype)


def _evaluate(nest: LoopNest, ins: Instruction, values: list[np.ndarray], arrays: Arrays, scalars: Sequence[float | int]) -> np.ndarray:
    rank = len(nest.axes)
    ones = (1,) * rank
    if ins.op == "load":
        return _load(nest, nest.accesses[ins.attrs[0]], arrays)
    if ins.op == "const":
        held = encode(np.array(ins.attrs[0], np.float64 if ins.dtype.is_floating_point else ins.dtype.numpy), ins.dtype)
        return held.reshape(ones)
    if ins.op == "scalar":
        return np.array(scalars[ins.attrs[0]], float64.numpy if ins.dtype is float64 else int64.numpy).reshape(ones)
    if ins.op == "iota":
        total = np.full(ones, ins.attrs[1], np.int64)
        for k, coefficient in enumerate(ins.attrs[0]):
            if coefficient:
                total = total + coefficient * _along(nest, k, nest.axes[k].extent)
        return encode(total, ins.dtype)
    if ins.op == "random_bits":
        seed, offset, index = (values[a] for a in ins.args)
        count = int(index.max(initial=0)) + 1
        return random_bits(int(seed.flat[0]), int(offset.flat[0]), (count,))[index]
    if ins.op == "reduce":
        return _reduce(nest, ins, values[ins.args[0]], nest.instructions[ins.args[0]])
    operands = [values[a] for a in ins.args]
    nodes = [Node("const", (), (), v.shape, nest.instructions[a].dtype) for a, v in zip(ins.args, operands, strict=True)]
    shape = np.broadcast_shapes(*(v.shape for v in operands))
    result = reference.apply(_node(ins.op, ins, nodes, ins.attrs, shape), *operands)
    return np.asarray(result).reshape(shape)


def _load(nest: LoopNest, access: Access, arrays: Arrays) -> np.ndarray:
    bounded = {b[0] for b in access.bounds}
    shape = tuple(axis.extent if s or k in bounded else 1 for k, (axis, s) in enumerate(zip(nest.axes, access.strides, strict=True)))
    flat = flat_view(access.value, arrays[access.value])
    within = np.ones(shape, bool)
    for axis, low, high in access.bounds:
        position = _along(nest, axis, nest.axes[axis].extent)
        within = within & (low <= position) & (position < high)
    fill = encode(np.array(access.fill), access.value.dtype)
    address = np.where(within, addresses(nest, access, shape), 0)
    if not flat.size:
        return np.full(shape, fill, access.value.dtype.numpy)
    return np.where(within, flat[address], fill)


def _reduce(nest: LoopNest, ins: Instruction, x: np.ndarray, argument: Instruction) -> np.ndarray:
    axes = tuple(k for k, axis in enumerate(nest.axes) if axis.reduced)
    shape = tuple(axis.extent if axis.reduced else size for axis, size in zip(nest.axes, x.shape, strict=True))
    full = decode(np.broadcast_to(x, shape), argument.dtype)
    kind = ins.attrs[0]
    if kind.startswith("arg"):
        kept = [n for k, n in enumerate(shape) if k not in axes]
        rows = np.moveaxis(full, axes, range(len(shape) - len(axes), len(shape))).reshape([*kept, -1])
        result = (np.argmax if kind == "argmax" else np.argmin)(rows, axis=-1)
        return np.asarray(result, np.int64).reshape([1 if k in axes else n for k, n in enumerate(shape)])
    function = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}[kind]
    if kind in ("sum", "prod") and argument.dtype.is_floating_point:
        return encode(function(full, axis=axes, keepdims=True, dtype=np.float64).astype(_accumulator(argument).numpy), ins.dtype)
    extra = {"dtype": full.dtype} if kind in ("sum", "prod") else {}
    return encode(function(full, axis=axes, keepdims=True, **extra), ins.dtype)


def _accumulator(argument: Instruction) -> Any:
    return float32 if argument.dtype.is_half else argument.dtype


# --- running nests ------------------------------------------------------------------------------------------------------------------

RTOL = {"float16": 2e-3, "bfloat16": 1.6e-2, "float32": 3e-5, "float64": 1e-11}


def row_major(shape: Sequence[int], dtype: DType, kind: str = "input") -> Value:
    """Return a row-major value."""
    return Value(tuple(shape), dtype, tuple(int(np.prod(shape[k + 1 :])) for k in range(len(shape))), kind)


def assert_close(actual: np.ndarray, expected: np.ndarray, dtype: DType, scale: float = 1.0) -> None:
    """Compare held arrays: exactly for integers and bool, within `scale` times the dtype's tolerance for floats."""
    if not dtype.is_floating_point:
        np.testing.assert_array_equal(actual, expected)
        return
    tolerance = RTOL[dtype.name] * scale
    with np.errstate(invalid="ignore"):  # signalling NaN
        a, b = decode(actual, dtype).astype(np.float64), decode(expected, dtype).astype(np.float64)
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * 0.1)


def run_native(
    nest: LoopNest, arrays: Arrays, target: Target, scalars: Sequence[float | int] = (), splits: int = 1, node_id: Any = None
) -> list[Command]:
    """Lower the nest and run it on copies of the arrays' contents, in place of the arrays."""

    def temporary(shape: tuple[int, ...], dtype: DType) -> Value:
        value = row_major(shape, dtype, "temporary")
        arrays[value] = value_array(value)
        return value

    commands = lower_loop(target, nest, temporary, 1, node_id or (lambda node: 0))
    run_commands(commands, arrays, target, scalars, splits)
    check_guards(arrays.values())
    return commands


def check(
    nest: LoopNest,
    contents: dict[Value, np.ndarray],
    scalars: Sequence[float | int] = (),
    targets: Sequence[Target] = TARGETS,
    scale: float = 1.0,
) -> list[Command]:
    """Run a nest on every target, whole and with its units split, and compare with the reference; return the last commands.

    `contents` gives the initial contents of the values that are read; outputs that it lacks begin as 0xA5 bytes.
    """
    written = [nest.accesses[a].value for _, a in nest.stores]
    commands: list[Command] = []

    def memory() -> Arrays:
        arrays = {value: value_array(value, array) for value, array in contents.items()}
        arrays.update({value: value_array(value) for value in written if value not in arrays})
        return arrays

    expected = memory()
    with np.errstate(all="ignore"):
        run(nest, expected, scalars)
    for target in targets:
        results = []
        for splits in (1, 3):
            arrays = memory()
            commands = run_native(nest, arrays, target, scalars, splits)
            for value in expected:
                assert_close(arrays[value], expected[value], value.dtype, scale)
            results.append([arrays[value].tobytes() for value in written])
        assert results[0] == results[1], "the result depends on how units are split"
    return commands
