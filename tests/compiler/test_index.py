"""take, take_along, put, put_along, update and concat against NumPy, on every target that this host runs."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from harness import TARGETS, check_guards, run_commands, value_array
from hypothesis import given, settings
from hypothesis import strategies as st

from trine import dtypes
from trine.compiler.lower import index as lower
from trine.compiler.program import Value
from trine.dtypes import DType
from trine.errors import UnsupportedError

TARGET_IDS = [t.name for t in TARGETS]
MOVED = [dtypes.bool_, dtypes.int16, dtypes.bfloat16, dtypes.float32, dtypes.int64, dtypes.complex128]
SHAPES = [((5,), 0), ((3, 7), 0), ((3, 7), 1), ((2, 4, 33), 1), ((4, 2, 130), 0), ((2, 3, 5), 2), ((1, 6, 1), 1)]


def make(shape: tuple[int, ...], dtype: DType) -> Value:
    return Value(shape, dtype, lower._row_major(shape))


def contents(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> np.ndarray:
    """Random values as NumPy holds them; bfloat16 as finite bit patterns."""
    if dtype.name == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if dtype.name == "bfloat16":
        return dtypes.to_bfloat16_bits(rng.standard_normal(shape).astype(np.float32)).reshape(shape)
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        return rng.integers(info.min, info.max, shape, dtype=dtype.numpy, endpoint=True)
    values = rng.standard_normal(shape)
    return (values + 1j * rng.standard_normal(shape) if dtype.is_complex else values).astype(dtype.numpy)


def temporary(arrays: dict[Value, np.ndarray]) -> lower.Temporaries:
    """Return a maker of temporaries whose memory joins `arrays`."""

    def make_temporary(shape: tuple[int, ...], dtype: DType) -> Value:
        value = make(shape, dtype)
        arrays[value] = value_array(value)
        return value

    return make_temporary


def execute(commands: list[Any], arrays: dict[Value, np.ndarray], target: Any, splits: int) -> None:
    run_commands(commands, arrays, target, splits=splits)
    check_guards(arrays.values())


def widened(array: np.ndarray, dtype: DType) -> np.ndarray:
    """Half types as float32; always a copy."""
    return dtypes.from_bfloat16_bits(array) if dtype.name == "bfloat16" else array.astype(np.float32 if dtype.is_half else dtype.numpy)


def narrowed(array: np.ndarray, dtype: DType) -> np.ndarray:
    return dtypes.to_bfloat16_bits(array) if dtype.name == "bfloat16" else array.astype(dtype.numpy)


@pytest.mark.parametrize("target", TARGETS, ids=TARGET_IDS)
@pytest.mark.parametrize("dtype", MOVED, ids=lambda d: d.name)
def test_take(target: Any, dtype: DType) -> None:
    rng = np.random.default_rng(1)
    for (shape, axis), index_shape, index_dtype in itertools.product(SHAPES, [(), (4,), (2, 3)], [dtypes.int64, dtypes.int32]):
        x = contents(rng, shape, dtype)
        index = rng.integers(0, shape[axis], index_shape).astype(index_dtype.numpy)
        expected = np.take(x, index, axis)
        values = make(shape, dtype), make(index_shape, index_dtype), make(expected.shape, dtype)
        arrays = {values[0]: value_array(values[0], x), values[1]: value_array(values[1], index), values[2]: value_array(values[2])}
        execute(lower.lower_take(target, *values, axis, temporary(arrays), 2), arrays, target, 3)
        np.testing.assert_array_equal(arrays[values[2]], expected)


@pytest.mark.parametrize("target", TARGETS, ids=TARGET_IDS)
@pytest.mark.parametrize("dtype", MOVED, ids=lambda d: d.name)
def test_take_along(target: Any, dtype: DType) -> None:
    rng = np.random.default_rng(2)
    for (shape, axis), count in itertools.product(SHAPES, [1, 6]):
        x = contents(rng, shape, dtype)
        index = rng.integers(0, shape[axis], (*shape[:axis], count, *shape[axis + 1 :]))
        values = make(shape, dtype), make(index.shape, dtypes.int64), make(index.shape, dtype)
        arrays = {values[0]: value_array(values[0], x), values[1]: value_array(values[1], index), values[2]: value_array(values[2])}
        execute(lower.lower_take_along(target, *values, axis, temporary(arrays), 2), arrays, target, 4)
        np.testing.assert_array_equal(arrays[values[2]], np.take_along_axis(x, index, axis))


UFUNCS = {"add": np.add, "max": np.maximum, "min": np.minimum}


def scatter(x: np.ndarray, where: Any, value: np.ndarray, mode: str) -> None:
    """One step of put: all indices of `where` are different."""
    x[where] = value if mode == "set" else UFUNCS[mode](x[where], value)


ARITHMETIC = [d for d in dtypes.ALL if not d.is_complex and d.name not in ("uint8", "int16", "uint16", "int32")]


@pytest.mark.parametrize("target", TARGETS, ids=TARGET_IDS)
@pytest.mark.parametrize("mode", ["set", "add", "max", "min"])
@pytest.mark.parametrize("dtype", ARITHMETIC, ids=lambda d: d.name)
def test_put(target: Any, dtype: DType, mode: str) -> None:
    rng = np.random.default_rng(3)
    for (shape, axis), index_shape, in_place in itertools.product(SHAPES, [(), (7,)], [False, True]):
        x = contents(rng, shape, dtype)
        index = rng.integers(0, shape[axis], index_shape)
        value = contents(rng, (*shape[:axis], *index_shape, *shape[axis + 1 :]), dtype)
        expected, rows = widened(x, dtype), widened(value, dtype).reshape(*shape[:axis], -1, *shape[axis + 1 :])
        with np.errstate(over="ignore"):
            for j, destination in enumerate(index.reshape(-1)):
                before = (slice(None),) * axis
                scatter(expected, (*before, destination), rows[(*before, j)], mode)
        values = make(shape, dtype), make(index_shape, dtypes.int64), make(value.shape, dtype), make(shape, dtype)
        arrays = {values[0]: value_array(values[0], x), values[1]: value_array(values[1], index), values[2]: value_array(values[2], value)}
        arrays[values[3]] = arrays[values[0]] if in_place else value_array(values[3])
        execute(lower.lower_put(target, *values, axis, mode, temporary(arrays), 2), arrays, target, 3)
        np.testing.assert_array_equal(arrays[values[3]], narrowed(expected, dtype))


@pytest.mark.parametrize("target", TARGETS, ids=TARGET_IDS)
@pytest.mark.parametrize("mode", ["set", "add", "max", "min"])
@pytest.mark.parametrize("dtype", [dtypes.bool_, dtypes.int16, dtypes.bfloat16, dtypes.float32], ids=lambda d: d.name)
def test_put_along(target: Any, dtype: DType, mode: str) -> None:
    rng = np.random.default_rng(4)
    for (shape, axis), count in itertools.product(SHAPES, [1, 5]):
        x = contents(rng, shape, dtype)
        index = rng.integers(0, shape[axis], (*shape[:axis], count, *shape[axis + 1 :]))
        value = contents(rng, index.shape, dtype)
        expected, wide = widened(x, dtype), widened(value, dtype)
        with np.errstate(over="ignore"):
            for position in np.ndindex(index.shape):
                where = (*position[:axis], index[position], *position[axis + 1 :])
                scatter(expected, where, wide[position], mode)
        values = make(shape, dtype), make(index.shape, dtypes.int64), make(value.shape, dtype), make(shape, dtype)
        arrays = {v: value_array(v, a) for v, a in zip(values, (x, index, value, None), strict=True)}
        execute(lower.lower_put_along(target, *values, axis, mode, temporary(arrays), 2), arrays, target, 3)
        np.testing.assert_array_equal(arrays[values[3]], narrowed(expected, dtype))


def test_put_max_propagates_nan() -> None:
    for mode, x, value, expected in [
        ("max", np.nan, 1.0, np.nan),
        ("max", 1.0, np.nan, np.nan),
        ("min", 2.0, 1.0, 1.0),
        ("min", 1.0, np.nan, np.nan),
    ]:
        values = make((1,), dtypes.float32), make((1,), dtypes.int64), make((1,), dtypes.float32), make((1,), dtypes.float32)
        arrays = {v: value_array(v, np.array([c])) for v, c in zip(values, (x, 0, value, 0), strict=True)}
        execute(lower.lower_put(TARGETS[-1], *values, 0, mode, temporary(arrays), 1), arrays, TARGETS[-1], 1)
        np.testing.assert_array_equal(arrays[values[3]], np.float32(expected))


BOXES: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = [
    ((), (), (), ()),
    ((9,), (4,), (2,), (1,)),
    ((9,), (4,), (1,), (2,)),
    ((5, 2100), (3, 2050), (1, 7), (1, 1)),
    ((4, 6, 5), (2, 3, 5), (1, 0, 0), (1, 2, 1)),
    ((4, 6, 5), (2, 6, 5), (2, 0, 0), (1, 1, 1)),
    ((4, 6, 5), (2, 3, 2), (0, 1, 1), (3, 2, 3)),
    ((3, 4), (0, 4), (0, 0), (1, 1)),
]


@pytest.mark.parametrize("target", TARGETS, ids=TARGET_IDS)
@pytest.mark.parametrize("dtype", MOVED, ids=lambda d: d.name)
def test_update(target: Any, dtype: DType) -> None:
    rng = np.random.default_rng(5)
    for (shape, box, start, step), in_place in itertools.product(BOXES, [False, True]):
        base, value = contents(rng, shape, dtype), contents(rng, box, dtype)
        expected = base.copy() if shape else np.array(base)
        expected[tuple(slice(a, a + n * s, s) for a, n, s in zip(start, box, step, strict=True))] = value
        values = make(shape, dtype), make(box, dtype), make(shape, dtype)
        arrays = {values[0]: value_array(values[0], base), values[1]: value_array(values[1], value)}
        arrays[values[2]] = arrays[values[0]] if in_place else value_array(values[2])
        execute(lower.lower_update(target, *values, start, step, temporary(arrays), 2), arrays, target, 3)
        np.testing.assert_array_equal(arrays[values[2]], expected)


@pytest.mark.parametrize("target", TARGETS, ids=TARGET_IDS)
@pytest.mark.parametrize("dtype", MOVED, ids=lambda d: d.name)
def test_concat(target: Any, dtype: DType) -> None:
    rng = np.random.default_rng(6)
    for shape, axis, sizes in [
        ((5,), 0, (3, 1, 0)),
        ((3, 7), 1, (1, 70, 5)),
        ((3, 7), 0, (2, 2)),
        ((2, 3, 5), 1, (4, 1)),
        ((2, 0), 0, (1, 2)),
    ]:
        parts = [contents(rng, (*shape[:axis], n, *shape[axis + 1 :]), dtype) for n in sizes]
        expected = np.concatenate(parts, axis)
        inputs, out = [make(p.shape, dtype) for p in parts], make(expected.shape, dtype)
        arrays = {v: value_array(v, p) for v, p in zip(inputs, parts, strict=True)}
        arrays[out] = value_array(out)
        execute(lower.lower_concat(target, inputs, out, axis, temporary(arrays), 2), arrays, target, 2)
        np.testing.assert_array_equal(arrays[out], expected)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_update_any_box(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5)))
    step = tuple(data.draw(st.integers(1, 3)) for _ in shape)
    start = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    box = tuple(data.draw(st.integers(1, 1 + (n - 1 - a) // s)) for n, a, s in zip(shape, start, step, strict=True))
    base, value = np.zeros(shape, np.float32), np.arange(1, 1 + math.prod(box), dtype=np.float32).reshape(box)
    expected = base.copy()
    expected[tuple(slice(a, a + n * s, s) for a, n, s in zip(start, box, step, strict=True))] = value
    values = make(shape, dtypes.float32), make(box, dtypes.float32), make(shape, dtypes.float32)
    arrays = {v: value_array(v, a) for v, a in zip(values, (base, value, None), strict=True)}
    execute(lower.lower_update(TARGETS[-1], *values, start, step, make, 2), arrays, TARGETS[-1], data.draw(st.integers(1, 4)))
    np.testing.assert_array_equal(arrays[values[2]], expected)


def test_wild_indices_stay_inside() -> None:
    """Indices are checked before; one that slips through must not touch foreign memory."""
    x, index = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([-1, 99, 1 << 62])
    for axis, lowering in ((0, lower.lower_take), (1, lower.lower_take)):
        expected = np.take(x, [x.shape[axis] - 1] * 3, axis)
        values = make(x.shape, dtypes.float32), make((3,), dtypes.int64), make(expected.shape, dtypes.float32)
        arrays = {v: value_array(v, a) for v, a in zip(values, (x, index, None), strict=True)}
        execute(lowering(TARGETS[-1], *values, axis, make, 1), arrays, TARGETS[-1], 1)
        np.testing.assert_array_equal(arrays[values[2]], expected)


def test_complex_numbers_are_only_moved() -> None:
    x, index = make((3,), dtypes.complex64), make((3,), dtypes.int64)
    assert lower.lower_put(TARGETS[-1], x, index, x, x, 0, "set", make, 1)
    with pytest.raises(UnsupportedError, match="put add: no native kernel"):
        lower.lower_put(TARGETS[-1], x, index, x, x, 0, "add", make, 1)


def test_coalesce() -> None:
    assert lower.coalesce((2, 3, 1, 4), [(12, 4, 4, 1), (24, 8, 8, 2)]) == ((24,), [(1,), (2,)])
    assert lower.coalesce((2, 3, 4), [(12, 4, 1), (24, 4, 1)]) == ((2, 12), [(12, 1), (24, 1)])
    assert lower.coalesce((1, 1), [(1, 1), (5, 5)]) == ((1,), [(1,), (1,)])


def test_empty_results_take_no_commands() -> None:
    x, index = make((3, 0), dtypes.float32), make((0,), dtypes.int64)
    assert lower.lower_take(TARGETS[0], x, index, make((0, 0), dtypes.float32), 0, make, 1) == []
    assert lower.lower_concat(TARGETS[0], [x], make((3, 0), dtypes.float32), 1, make, 1) == []
    assert math.prod(x.shape) == 0
