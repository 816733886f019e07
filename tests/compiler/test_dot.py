"""Matrix multiplication against NumPy: shapes, strides, dtypes, batches and targets; the same bits however the units are split."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from harness import TARGETS, check_guards, run_commands, value_array
from hypothesis import given, settings
from hypothesis import strategies as st

from trine import dtypes
from trine.compiler.lower.dot import Matrix, Packed, lower_dot, tile_shape
from trine.compiler.program import Command, Value
from trine.compiler.target import Target
from trine.dtypes import DType
from trine.errors import UnsupportedError

TARGET_IDS = [t.name for t in TARGETS]
every_target = pytest.mark.parametrize("target", TARGETS, ids=TARGET_IDS)
# How the last two axes lie in memory: adjacent columns, adjacent rows, padded rows, neither adjacent.
LAYOUTS = ("rows", "columns", "padded", "strided")


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def widen(array: np.ndarray, dtype: DType) -> np.ndarray:
    return dtypes.from_bfloat16_bits(array) if dtype is dtypes.bfloat16 else array


def narrow(array: np.ndarray, dtype: DType) -> np.ndarray:
    return dtypes.to_bfloat16_bits(array).reshape(array.shape) if dtype is dtypes.bfloat16 else array.astype(dtype.numpy)


def contents(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> np.ndarray:
    if dtype is dtypes.bool_:
        return rng.random(shape) < 0.2
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        return rng.integers(info.min, info.max, shape, dtype=dtype.numpy, endpoint=True)
    return narrow(rng.standard_normal(shape), dtype)


class Problem:
    """Values, arrays and matrices of one product."""

    def __init__(self, target: Target, dtype: DType) -> None:
        self.target = target
        self.dtype = dtype
        self.arrays: dict[Value, np.ndarray] = {}
        self.views: dict[Value, np.ndarray] = {}

    def matrix(self, data: np.ndarray, rank: int, layout: str = "rows", offset: int = 0) -> Matrix:
        """Place `data` in a value of its own with the layout, `offset` elements from its start; axes of size 1 get stride 0."""
        *batch, m, n = data.shape
        row, column, room = {
            "rows": (n, 1, m * n),
            "columns": (1, m, m * n),
            "padded": (n + 3, 1, m * (n + 3)),
            "strided": (2 * n + 1, 2, m * (2 * n + 1)),
        }[layout]
        outer = tuple(room * s for s in row_major(tuple(batch)))
        size = offset + room * math.prod(batch) + 1
        value = Value((size,), self.dtype, (1,))
        memory = value_array(value)
        size_bytes = self.dtype.itemsize
        view = np.lib.stride_tricks.as_strided(memory[offset:], data.shape, [s * size_bytes for s in (*outer, row, column)])
        view[...] = data
        self.arrays[value], self.views[value] = memory, view
        strides = (0,) * (rank - len(batch)) + tuple(0 if e == 1 else s for e, s in zip(data.shape, (*outer, row, column), strict=True))
        return Matrix(value, offset, strides[:-2], *strides[-2:])

    def temporary(self, shape: tuple[int, ...], dtype: DType) -> Value:
        value = Value(shape, dtype, row_major(shape))
        self.arrays[value] = value_array(value)
        return value

    def multiply(
        self,
        a: np.ndarray,
        b: np.ndarray,
        layouts: tuple[str, str, str] = ("rows",) * 3,
        offsets: tuple[int, int, int] = (0, 0, 0),
        splits: int = 1,
        threads: int = 2,
    ) -> np.ndarray:
        """Return a @ b as the commands compute it."""
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        m, n = a.shape[-2], b.shape[-1]
        left, right = self.matrix(a, len(batch), layouts[0], offsets[0]), self.matrix(b, len(batch), layouts[1], offsets[1])
        result = self.matrix(np.full((*batch, m, n), 77, self.dtype.numpy), len(batch), layouts[2], offsets[2])
        before = self.arrays[result.value].copy()
        self.commands: list[Command] = lower_dot(
            self.target, batch, m, n, a.shape[-1], left, right, result, self.dtype, temporaries=self.temporary, threads=threads
        )
        run_commands(self.commands, self.arrays, self.target, splits=splits)
        check_guards(self.arrays.values())
        return self._written(result.value, before)

    def _written(self, value: Value, before: np.ndarray) -> np.ndarray:
        """Return the result; what lies between its elements must be unchanged."""
        memory, view = self.arrays[value], self.views[value]
        result = view.copy()
        view[...] = 77
        np.testing.assert_array_equal(memory.view(np.uint8), before.view(np.uint8))
        return result


def check(got: np.ndarray, a: np.ndarray, b: np.ndarray, dtype: DType) -> None:
    """Compare with NumPy: exactly for integers, else within the error bound of a sum of k products."""
    if not dtype.is_floating_point:
        np.testing.assert_array_equal(got, np.matmul(a, b))
        return
    exact = np.matmul(widen(a, dtype).astype(np.float64), widen(b, dtype).astype(np.float64))
    scale = np.matmul(np.abs(widen(a, dtype).astype(np.float64)), np.abs(widen(b, dtype).astype(np.float64)))
    sums = 2.0**-52 if dtype is dtypes.float64 else 2.0**-23
    rounding = {dtypes.float16: 2.0**-11, dtypes.bfloat16: 2.0**-8}.get(dtype, 0.0)
    error = np.abs(widen(got, dtype).astype(np.float64) - exact)
    bound = (2 + math.sqrt(a.shape[-1])) * sums * scale + rounding * np.abs(exact) + (2.0**-25 if dtype is dtypes.float16 else 0)
    assert (error <= bound).all(), f"error {np.max(error - bound)} above the bound"


@every_target
@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(0, 70)),
    dtype=st.sampled_from([dtypes.float32, dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16, dtypes.int32, dtypes.bool_]),
    layouts=st.tuples(st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS[:3])),
    offsets=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    splits=st.integers(1, 3),
)
def test_shapes_layouts_and_dtypes(
    target: Target, size: tuple[int, int, int], dtype: DType, layouts: tuple[str, str, str], offsets: tuple[int, int, int], splits: int
) -> None:
    m, n, k = size
    rng = np.random.default_rng(m * 10007 + n * 101 + k)
    a, b = contents(rng, (m, k), dtype), contents(rng, (k, n), dtype)
    check(Problem(target, dtype).multiply(a, b, layouts, offsets, splits), a, b, dtype)


# Sizes that reach every strategy: vectors, scalar products, edges, blocks of rows, of columns and of k, shares of k.
LARGE = [
    (1, 700, 130),
    (3, 66, 1031),
    (5, 515, 67),
    (7, 9, 1300),
    (33, 1061, 40),
    (211, 37, 97),
    (389, 130, 601),
    (20, 24, 4100),
    (600, 5, 3),
    (700, 70, 45),
    (67, 1, 900),
]


@every_target
@pytest.mark.parametrize("size", LARGE, ids=str)
@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64], ids=lambda d: d.name)
def test_large(target: Target, size: tuple[int, int, int], dtype: DType) -> None:
    m, n, k = size
    rng = np.random.default_rng(7)
    a, b = contents(rng, (m, k), dtype), contents(rng, (k, n), dtype)
    for layouts in (
        ("rows", "rows", "rows"),
        ("rows", "columns", "rows"),
        ("columns", "rows", "columns"),
        ("strided", "strided", "padded"),
    ):
        check(Problem(target, dtype).multiply(a, b, layouts), a, b, dtype)


@every_target
@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16], ids=lambda d: d.name)
def test_half_large(target: Target, dtype: DType) -> None:
    rng = np.random.default_rng(3)
    for m, n, k in ((230, 40, 70), (9, 33, 2500)):
        a, b = contents(rng, (m, k), dtype), contents(rng, (k, n), dtype)
        for layouts in (("rows", "columns", "rows"), ("columns", "rows", "columns")):
            check(Problem(target, dtype).multiply(a, b, layouts), a, b, dtype)


@every_target
def test_half_rounds_once(target: Target) -> None:
    # 2048 + 1 + 1 is 2050 in float16 only if the sum is not rounded after every addition.
    a = np.array([[2048, 1, 1]], np.float16)
    got = Problem(target, dtypes.float16).multiply(a, np.ones((3, 1), np.float16))
    assert got.item() == 2050.0


@every_target
@pytest.mark.parametrize("dtype", [d for d in dtypes.ALL if d.is_integer or d is dtypes.bool_], ids=lambda d: d.name)
def test_integers_wrap_around(target: Target, dtype: DType) -> None:
    rng = np.random.default_rng(5)
    for layouts in (("rows", "rows", "rows"), ("columns", "columns", "rows"), ("strided", "padded", "columns")):
        a, b = contents(rng, (2, 5, 19), dtype), contents(rng, (19, 83), dtype)
        check(Problem(target, dtype).multiply(a, b, layouts), a, b, dtype)


BATCHES = [
    ((4,), (4,)),
    ((3, 1), (1, 5)),
    ((2, 3), (3,)),
    ((2, 1, 3), (4, 1)),
    ((6,), ()),
    ((), (6,)),
    ((1,), (1,)),
    ((2, 3, 2), (2, 3, 2)),
]


@every_target
@pytest.mark.parametrize("batches", BATCHES, ids=str)
def test_batches(target: Target, batches: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    rng = np.random.default_rng(11)
    for m, n, k in ((5, 18, 33), (1, 40, 7), (9, 1, 12), (200, 3, 5)):
        a, b = contents(rng, (*batches[0], m, k), dtypes.float32), contents(rng, (*batches[1], k, n), dtypes.float32)
        for layouts in (("rows", "rows", "rows"), ("columns", "padded", "padded"), ("rows", "columns", "columns")):
            check(Problem(target, dtypes.float32).multiply(a, b, layouts, splits=2), a, b, dtypes.float32)


@every_target
def test_empty(target: Target) -> None:
    for a_shape, b_shape in (((3, 0), (0, 5)), ((2, 300, 0), (0, 7)), ((1, 0), (0, 40)), ((40, 0), (0, 1))):
        for dtype in (dtypes.float32, dtypes.float16, dtypes.int64):
            got = Problem(target, dtype).multiply(np.zeros(a_shape, dtype.numpy), np.zeros(b_shape, dtype.numpy))
            assert got.shape == np.broadcast_shapes(a_shape[:-2], b_shape[:-2]) + (a_shape[-2], b_shape[-1])
            assert not got.any()
    for a_shape, b_shape in (((0, 4), (4, 5)), ((3, 4), (4, 0)), ((0, 3, 4), (4, 5))):
        problem = Problem(target, dtypes.float32)
        problem.multiply(np.zeros(a_shape, np.float32), np.zeros(b_shape, np.float32))
        assert problem.commands == []


@every_target
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_special_values_stay_in_their_rows_and_columns(target: Target, value: float) -> None:
    rng = np.random.default_rng(13)
    for m, n, k in ((17, 35, 21), (1, 50, 33), (3, 9, 40), (220, 18, 5)):
        for layouts in (("rows", "rows", "rows"), ("rows", "columns", "rows"), ("columns", "strided", "columns")):
            a = np.abs(contents(rng, (m, k), dtypes.float32)) + np.float32(0.1)
            b = np.abs(contents(rng, (k, n), dtypes.float32)) + np.float32(0.1)
            a[m // 2, k - 1] = value
            b[k // 2, n - 1] = value
            got = Problem(target, dtypes.float32).multiply(a, b, layouts)
            with np.errstate(invalid="ignore"):
                expected = np.matmul(a.astype(np.float64), b.astype(np.float64))
            np.testing.assert_allclose(got, expected, rtol=1e-5)


@every_target
@pytest.mark.parametrize("size", [(150, 700, 90), (20, 24, 5000), (300, 40, 700), (4, 900, 300), (1, 2000, 300), (2, 3, 9)], ids=str)
def test_bits_do_not_depend_on_threads_and_split(target: Target, size: tuple[int, int, int]) -> None:
    m, n, k = size
    rng = np.random.default_rng(17)
    a, b = contents(rng, (m, k), dtypes.float32), contents(rng, (k, n), dtypes.float32)
    for layouts in (("rows", "rows", "rows"), ("rows", "columns", "columns")):
        whole = Problem(target, dtypes.float32).multiply(a, b, layouts)
        for splits in (2, 3, 7):
            got = Problem(target, dtypes.float32).multiply(a, b, layouts, splits=splits, threads=splits - 1)
            np.testing.assert_array_equal(got, whole)


@every_target
def test_sizes_and_strides_are_not_in_keys(target: Target) -> None:
    def keys(m: int, n: int, k: int) -> list[Any]:
        problem = Problem(target, dtypes.float32)
        problem.multiply(np.zeros((m, k), np.float32), np.zeros((k, n), np.float32), ("padded", "rows", "rows"))
        kernels = [p for c in problem.commands for p in (c.kernel, *c.params) if not isinstance(p, int)]
        return [kernel.key for kernel in kernels]

    assert keys(24, 160, 100) == keys(24, 96, 333)


def test_result_without_adjacent_elements_is_refused() -> None:
    problem = Problem(TARGETS[0], dtypes.float32)
    with pytest.raises(UnsupportedError, match="row stride 9, column stride 2"):
        problem.multiply(np.zeros((3, 5), np.float32), np.zeros((5, 4), np.float32), ("rows", "rows", "strided"))


def test_tile_shape() -> None:
    for most, vectors in ((4, 2), (6, 2), (14, 2), (8, 3), (6, 1)):
        for m in range(1, 300):
            rows, width = tile_shape(m, most, vectors)
            assert 1 <= rows <= most and rows * width <= most * vectors
            assert (rows, width) == (m, vectors) or m > most
    assert tile_shape(32, 14, 2) == (8, 2)
    assert tile_shape(32, 6, 2) == (4, 3)


def test_shared_operands_are_packed_once() -> None:
    rng = np.random.default_rng(1)
    right = contents(rng, (50, 70), dtypes.float32)
    problem = Problem(TARGETS[0], dtypes.float32)
    b = problem.matrix(right, 0)
    b.is_shared = True
    packed: Packed = {}
    commands: list[Command] = []
    products = []
    for m in (32, 20, 32):
        left = contents(rng, (m, 50), dtypes.float32)
        a, c = problem.matrix(left, 0), problem.matrix(np.zeros((m, 70), np.float32), 0)
        products.append((left, c))
        arguments = (TARGETS[0], (), m, 70, 50, a, b, c, dtypes.float32)
        commands += lower_dot(*arguments, temporaries=problem.temporary, packed=packed)
    assert sum(command.name == "dot.pack" for command in commands) == len(packed) < 3
    run_commands(commands, problem.arrays, TARGETS[0])
    for left, c in products:
        np.testing.assert_allclose(problem.views[c.value], left @ right, rtol=1e-4, atol=1e-4)
