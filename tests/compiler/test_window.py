"""Window kernels (pooling and its gradients) against the NumPy reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.harness import TARGETS, check_guards, run_commands, value_array
from trine import dtypes
from trine.compiler.lower.window import WindowAttributes, lower_window
from trine.compiler.program import Value
from trine.compiler.target import Target
from trine.core import build
from trine.core.graph import Node
from trine.core.interpreter import evaluate
from trine.dtypes import DType
from trine.errors import UnsupportedError

FLOATS = (dtypes.float16, dtypes.float32, dtypes.float64)
Array = np.ndarray[Any, Any]


def strides(shape: tuple[int, ...], channels_last: bool) -> tuple[int, ...]:
    order = (0, *range(2, len(shape)), 1) if channels_last and len(shape) > 2 else range(len(shape))
    result, size = [0] * len(shape), 1
    for axis in reversed(tuple(order)):
        result[axis] = size
        size *= shape[axis]
    return tuple(result)


def run(target: Target, kind: str, inputs: list[tuple[Array, bool]], node: Node, last: bool, attrs: WindowAttributes, splits: int) -> Array:
    arrays: dict[Value, Array] = {}

    def value(shape: tuple[int, ...], dtype: DType, channels_last: bool = False, contents: Array | None = None) -> Value:
        result = Value(shape, dtype, strides(shape, channels_last))
        arrays[result] = value_array(result, contents)
        return result

    operands = tuple(value(a.shape, dtypes.from_numpy(a.dtype), channels_last, a) for a, channels_last in inputs)
    to = value(node.shape, node.dtype, last)
    run_commands(lower_window(target, kind, operands, to, attrs, value), arrays, target, splits=splits)
    check_guards(arrays.values())
    return arrays[to].copy()


def check_all(
    target: Target,
    shape: tuple[int, ...],
    attrs: WindowAttributes,
    dtype: DType = dtypes.float32,
    layouts: tuple[bool, bool] = (True, True),
) -> None:
    """Check every kind of window on data with ties, infinities and NaN."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, shape).astype(dtype.numpy)
    if dtype in FLOATS:
        x[rng.random(shape) < 0.05] = np.nan
        x[rng.random(shape) < 0.1] = -np.inf
    x_last, y_last = layouts
    parameters = (attrs.window, attrs.stride, attrs.padding, attrs.dilation)
    x_node = build.input(0, shape, dtype)
    nodes = {
        "max": build.window_max(x_node, *parameters),
        "sum": build.window_sum(x_node, *parameters),
        "argmax": build.window_argmax(x_node, *parameters),
    }
    y_shape = nodes["max"].shape
    inputs = {kind: [(x, x_last)] for kind in nodes}
    if dtype in FLOATS:
        gy = rng.standard_normal(y_shape).astype(dtype.numpy)
        nodes["max_grad"] = build.window_max_grad(x_node, build.input(1, y_shape, dtype), *parameters)
        nodes["sum_grad"] = build.window_sum_grad(build.input(0, y_shape, dtype), shape, *parameters)
        inputs["max_grad"], inputs["sum_grad"] = [(x, x_last), (gy, y_last)], [(gy, y_last)]
    for kind, node in nodes.items():
        last = x_last if kind.endswith("grad") else y_last
        expected = evaluate([node], [a for a, _ in inputs[kind]], [])[0]
        result = run(target, kind, inputs[kind], node, last, attrs, 1)
        tolerance = 0 if kind in ("max", "argmax") else 2e-3 if dtype is dtypes.float16 else 1e-5
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance, err_msg=kind)
        assert result.tobytes() == run(target, kind, inputs[kind], node, last, attrs, 3).tobytes(), kind


def attributes(rank: int, window: int, stride: int, padding: int = 0, dilation: int = 1) -> WindowAttributes:
    return WindowAttributes((window,) * rank, (stride,) * rank, ((padding, padding),) * rank, (dilation,) * rank)


targets = pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)

CASES = {
    "2x2": ((2, 32, 8, 6), attributes(2, 2, 2)),
    "overlapping": ((2, 67, 9, 10), attributes(2, 3, 2, 1)),
    "stride 1": ((1, 5, 7, 8), attributes(2, 3, 1, 1)),
    "gaps": ((2, 3, 9, 11), attributes(2, 2, 3)),
    "dilation": ((2, 18, 11, 9), attributes(2, 3, 2, 1, 2)),
    "global": ((3, 130, 7, 7), attributes(2, 7, 7)),
    "all padding": ((1, 4, 3, 2), attributes(2, 1, 1, 2)),
    "1-d": ((2, 20, 31), attributes(1, 3, 2, 1)),
    "3-d": ((1, 17, 5, 6, 7), attributes(3, 2, 1, 1)),
    "asymmetric": ((2, 16, 6, 8), WindowAttributes((2, 3), (1, 2), ((0, 1), (2, 0)), (2, 1))),
}


@targets
@pytest.mark.parametrize("case", CASES, ids=lambda name: name)
def test_matches_the_reference(case: str, target: Target) -> None:
    check_all(target, *CASES[case])


@targets
@pytest.mark.parametrize("name", ["float16", "float64", "int32", "int64", "uint32", "uint64"])
def test_dtypes(name: str, target: Target) -> None:
    check_all(target, *CASES["overlapping"], dtype=dtypes.by_name(name))


@pytest.mark.parametrize("layouts", [(False, False), (False, True), (True, False)], ids=str)
def test_layouts(layouts: tuple[bool, bool]) -> None:
    check_all(TARGETS[-1], *CASES["overlapping"], layouts=layouts)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(data=st.data())
def test_any_shape(data: st.DataObject) -> None:
    axis = st.tuples(st.integers(1, 4), st.integers(1, 4), st.tuples(st.integers(0, 2), st.integers(0, 2)), st.integers(1, 3))
    axes = data.draw(st.lists(axis, min_size=1, max_size=3))
    spatial = [max(1, (k - 1) * d + 1 - sum(p)) + data.draw(st.integers(0, 8)) for k, _, p, d in axes]
    window, stride, padding, dilation = (tuple(a[i] for a in axes) for i in range(4))
    shape = (data.draw(st.integers(1, 3)), data.draw(st.sampled_from([1, 2, 16, 70])), *spatial)
    layouts = data.draw(st.tuples(st.booleans(), st.booleans()))
    check_all(TARGETS[-1], shape, WindowAttributes(window, stride, padding, dilation), layouts=layouts)


def test_other_dtypes_are_refused() -> None:
    x, y = (Value(s, dtypes.int16, strides(s, False)) for s in ((1, 2, 4, 4), (1, 2, 2, 2)))
    with pytest.raises(UnsupportedError, match="int16"):
        lower_window(TARGETS[-1], "max", (x,), y, attributes(2, 2, 2), lambda shape, dtype: Value(shape, dtype, strides(shape, False)))
