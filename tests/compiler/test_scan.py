"""cumsum, cumprod, cummax and cummin against NumPy, on every target that this host runs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from harness import TARGETS, check_guards, run_commands, value_array

from trine import dtypes
from trine.compiler.lower.index import _row_major
from trine.compiler.lower.scan import lower_scan
from trine.compiler.program import Value
from trine.dtypes import DType

UFUNCS = {"cumsum": np.add, "cumprod": np.multiply, "cummax": np.maximum, "cummin": np.minimum}
CASES = [((1,), 0), ((9,), 0), ((5, 3), 1), ((3, 5), 0), ((2, 7, 70), 1), ((6, 4, 3), 2), ((3, 2, 33), 0)]
DTYPES = [dtypes.int8, dtypes.uint8, dtypes.int32, dtypes.int64, dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64]


def scanned(kind: str, x: np.ndarray, axis: int, reverse: bool, dtype: DType) -> np.ndarray:
    """The reference: sequential; half types in float32, sums and products of float32 in float64."""
    wide = dtypes.from_bfloat16_bits(x) if dtype.name == "bfloat16" else x.astype(np.float32) if dtype.is_half else x
    wide = wide.astype(np.float64) if dtype is dtypes.float32 and kind in ("cumsum", "cumprod") else wide
    if reverse:
        wide = np.flip(wide, axis)
    result = UFUNCS[kind].accumulate(wide, axis, dtype=wide.dtype)
    if reverse:
        result = np.flip(result, axis)
    return dtypes.to_bfloat16_bits(result).reshape(x.shape) if dtype.name == "bfloat16" else result.astype(dtype.numpy)


def no_temporary(shape: tuple[int, ...], dtype: DType) -> Value:
    raise AssertionError("a scan needs no temporary")


def run(kind: str, x: np.ndarray, axis: int, reverse: bool, dtype: DType, target: Any, splits: int, in_place: bool = False) -> np.ndarray:
    source, out = Value(x.shape, dtype, _row_major(x.shape)), Value(x.shape, dtype, _row_major(x.shape))
    arrays = {source: value_array(source, x)}
    arrays[out] = arrays[source] if in_place else value_array(out)
    run_commands(lower_scan(target, kind, source, out, axis, reverse, no_temporary, 2), arrays, target, splits=splits)
    check_guards(arrays.values())
    return arrays[out]


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("kind", UFUNCS)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_scan(target: Any, dtype: DType, kind: str) -> None:
    rng = np.random.default_rng(1)
    for (shape, axis), reverse in itertools.product(CASES, [False, True]):
        x = rng.integers(0, 5, shape) if dtype.is_integer else rng.standard_normal(shape).astype(np.float32)
        x = dtypes.to_bfloat16_bits(x).reshape(shape) if dtype.name == "bfloat16" else x.astype(dtype.numpy)
        for splits, in_place in ((1, True), (3, False)):
            result = run(kind, x, axis, reverse, dtype, target, splits, in_place)
            np.testing.assert_array_equal(result, scanned(kind, x, axis, reverse, dtype))


@pytest.mark.parametrize("kind", ["cummax", "cummin"])
def test_nan_stays(kind: str) -> None:
    x = np.array([[1, np.nan, 3, -np.inf], [np.nan, 0, np.inf, 2]], np.float32)
    for axis in (0, 1):
        np.testing.assert_array_equal(
            run(kind, x, axis, False, dtypes.float32, TARGETS[-1], 1), scanned(kind, x, axis, False, dtypes.float32)
        )


def test_bool_extremes() -> None:
    x = np.array([[0, 1, 0], [1, 0, 1]], np.bool_)
    for kind, axis in itertools.product(["cummax", "cummin"], [0, 1]):
        expected = UFUNCS[kind].accumulate(x, axis)
        np.testing.assert_array_equal(run(kind, x, axis, False, dtypes.bool_, TARGETS[-1], 1), expected)


def test_empty() -> None:
    x = Value((3, 0), dtypes.float32, (0, 1))
    assert lower_scan(TARGETS[0], "cumsum", x, x, 1, False, no_temporary, 1) == []
