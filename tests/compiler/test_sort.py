"""argsort against NumPy's stable sort, on every target that this host runs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from harness import TARGETS, check_guards, run_commands, value_array
from hypothesis import given, settings
from hypothesis import strategies as st

from trine import dtypes
from trine.compiler.lower.index import _row_major
from trine.compiler.lower.sort import lower_argsort
from trine.compiler.program import Value
from trine.dtypes import DType

CASES = [((1,), 0), ((48,), 0), ((49,), 0), ((5, 300), 1), ((7, 3), 0), ((60, 2), 0), ((2, 5, 3), 1)]


def reference(x: np.ndarray, axis: int, descending: bool, dtype: DType) -> np.ndarray:
    """Stable order of ranks; equal elements, and all NaN, have equal ranks."""
    values = dtypes.from_bfloat16_bits(x) if dtype.name == "bfloat16" else x
    _, ranks = np.unique(values, return_inverse=True, equal_nan=True)
    ranks = ranks.reshape(x.shape)
    return np.argsort(-ranks if descending else ranks, axis, kind="stable")


def no_temporary(shape: tuple[int, ...], dtype: DType) -> Value:
    raise AssertionError("a sort needs no temporary")


def run(x: np.ndarray, axis: int, descending: bool, dtype: DType, target: Any, splits: int = 1) -> np.ndarray:
    source, out = Value(x.shape, dtype, _row_major(x.shape)), Value(x.shape, dtypes.int64, _row_major(x.shape))
    arrays = {source: value_array(source, x), out: value_array(out)}
    run_commands(lower_argsort(target, source, out, axis, descending, no_temporary, 2), arrays, target, splits=splits)
    check_guards(arrays.values())
    return arrays[out]


def sample(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType, spread: bool) -> np.ndarray:
    if dtype.name == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        low, high = (info.min, info.max) if spread else (max(info.min, -2), 3)
        return rng.integers(low, high, shape, dtype=dtype.numpy, endpoint=True)
    values = rng.standard_normal(shape) * 1e3 if spread else rng.choice([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.5, -1.5], shape)
    values = values.astype(np.float32) if dtype.is_half else values
    return dtypes.to_bfloat16_bits(values).reshape(shape) if dtype.name == "bfloat16" else values.astype(dtype.numpy)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", dtypes.ALL[:-2], ids=lambda d: d.name)
def test_argsort(target: Any, dtype: DType) -> None:
    rng = np.random.default_rng(1)
    for (shape, axis), descending, spread in itertools.product(CASES, [False, True], [False, True]):
        x = sample(rng, shape, dtype, spread)
        np.testing.assert_array_equal(run(x, axis, descending, dtype, target, 2), reference(x, axis, descending, dtype))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.floats(width=32), min_size=1, max_size=120), st.booleans())
def test_any_floats(values: list[float], descending: bool) -> None:
    x = np.array(values, np.float32)
    np.testing.assert_array_equal(run(x, 0, descending, dtypes.float32, TARGETS[-1]), reference(x, 0, descending, dtypes.float32))


def test_large_rows() -> None:
    rng = np.random.default_rng(2)
    for dtype in (dtypes.float32, dtypes.float64, dtypes.int64):
        x = sample(rng, (2, 5000), dtype, True)
        np.testing.assert_array_equal(run(x, 1, False, dtype, TARGETS[-1]), reference(x, 1, False, dtype))


def test_empty() -> None:
    x = Value((0, 3), dtypes.float32, (3, 1))
    assert lower_argsort(TARGETS[0], x, x, 0, False, no_temporary, 1) == []
