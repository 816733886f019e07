"""Epilogues of matrix multiplication: an elementwise nest applied to each tile, whatever became of the axes on the way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from harness import TARGETS, check_guards, run_commands, value_array

from trine import dtypes
from trine.compiler.lower.dot import Matrix, lower_dot
from trine.compiler.nest import Access, Axis, Instruction, LoopNest
from trine.compiler.program import Value
from trine.compiler.target import Target
from trine.dtypes import DType

every_target = pytest.mark.parametrize("target", TARGETS, ids=[t.name for t in TARGETS])


def strides_of(shape: tuple[int, ...], transposed: bool = False) -> tuple[int, ...]:
    order = [*shape[:-2], shape[-1], shape[-2]] if transposed else list(shape)
    strides = [math.prod(order[i + 1 :]) for i in range(len(order))]
    return (*strides[:-2], strides[-1], strides[-2]) if transposed else tuple(strides)


def run(
    target: Target,
    dtype: DType,
    a: np.ndarray,
    b: np.ndarray,
    *,
    transposed: bool = False,
    b_transposed: bool = False,
    in_place: bool = False,
    splits: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute ``maximum(a @ b + bias[n], 0) + residual[..., m, n] + column position`` and return it with NumPy's."""
    rng = np.random.default_rng(1)
    arrays: dict[Value, np.ndarray] = {}

    def value(shape: tuple[int, ...], strides: tuple[int, ...], contents: np.ndarray | None = None, of: DType = dtype) -> Value:
        made = Value(shape, of, strides)
        arrays[made] = value_array(made, contents)
        return made

    def matrix(data: np.ndarray, rank: int, is_transposed: bool) -> Matrix:
        strides = strides_of(data.shape, is_transposed)
        batch = (0,) * (rank - data.ndim + 2) + tuple(0 if e == 1 else s for e, s in zip(data.shape[:-2], strides[:-2], strict=True))
        return Matrix(value(data.shape, strides, data), 0, batch, *strides[-2:])

    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    m, n, k = a.shape[-2], b.shape[-1], a.shape[-1]
    shape = (*batch, m, n)
    bias, residual = (rng.integers(-9, 9, s).astype(dtype.numpy) for s in ((n,), shape))
    strides = strides_of(shape, transposed)
    c = value(shape, strides)
    out = c if in_place else value(shape, strides)
    rank = len(shape)
    nest = LoopNest(
        [Axis(extent) for extent in shape],
        [
            Access(c, 0, strides),
            Access(value((n,), (1,), bias), 0, (*[0] * (rank - 1), 1)),
            Access(value(shape, strides_of(shape), residual), 0, strides_of(shape)),
            Access(out, 0, strides),
        ],
        [
            Instruction("load", (), dtype, (0,)),
            Instruction("load", (), dtype, (1,)),
            Instruction("add", (0, 1), dtype),
            Instruction("const", (), dtype, (0,)),
            Instruction("maximum", (2, 3), dtype),
            Instruction("load", (), dtype, (2,)),
            Instruction("add", (4, 5), dtype),
            Instruction("iota", (), dtypes.int64, ((*[0] * (rank - 1), 1), 0)),
            Instruction("cast", (7,), dtype),
            Instruction("add", (6, 8), dtype),
        ],
        [(9, 3)],
    )
    commands = lower_dot(
        *(target, batch, m, n, k, matrix(a, len(batch), False), matrix(b, len(batch), b_transposed)),
        *(Matrix(c, 0, strides[:-2], *strides[-2:]), dtype, nest),
        temporaries=lambda s, d: value(s, strides_of(s), of=d),
        threads=2,
    )
    run_commands(commands, arrays, target, splits=splits)
    check_guards(arrays.values())
    expected = np.maximum(np.matmul(a, b) + bias, 0) + residual + np.arange(n)
    return arrays[out], expected


# Small integers: every sum is exact, also in half precision.
def whole_numbers(shape: tuple[int, ...], dtype: DType, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(dtype.numpy)


@every_target
@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64, dtypes.float16, dtypes.int32], ids=lambda d: d.name)
@pytest.mark.parametrize("size", [(20, 37, 24), (1, 300, 40), (5, 9, 33), (33, 1, 18), (210, 40, 20)], ids=str)
def test_layouts(target: Target, dtype: DType, size: tuple[int, int, int]) -> None:
    m, n, k = size
    a, b = whole_numbers((m, k), dtype), whole_numbers((k, n), dtype, 1)
    for number in range(8):
        options: dict[str, Any] = {"transposed": bool(number & 1), "b_transposed": bool(number & 2), "in_place": bool(number & 4)}
        got, expected = run(target, dtype, a, b, splits=1 + number % 3, **options)
        np.testing.assert_array_equal(got, expected)


@every_target
def test_several_passes_and_shares_of_k(target: Target) -> None:
    for m, n, k in ((30, 70, 900), (20, 24, 4100), (300, 40, 700)):
        a, b = whole_numbers((m, k), dtypes.float32), whole_numbers((k, n), dtypes.float32, 1)
        for transposed in (False, True):
            got, expected = run(target, dtypes.float32, a, b, transposed=transposed, splits=2)
            np.testing.assert_array_equal(got, expected)


@every_target
@pytest.mark.parametrize("batches", [((4,), ()), ((2, 3), ()), ((), (3,)), ((2, 1), (1, 3)), ((2, 3), (1, 1)), ((1, 3), (2, 3))], ids=str)
def test_batches(target: Target, batches: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    for m, n, k in ((7, 20, 9), (1, 35, 12), (6, 1, 5)):
        a, b = whole_numbers((*batches[0], m, k), dtypes.float32), whole_numbers((*batches[1], k, n), dtypes.float32, 1)
        for transposed in (False, True):
            got, expected = run(target, dtypes.float32, a, b, transposed=transposed, splits=2)
            np.testing.assert_array_equal(got, expected)
