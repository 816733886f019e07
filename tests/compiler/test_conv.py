"""Convolution kernels against the NumPy reference: targets, layouts, ranks, strides, paddings, dilations, groups, tails."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.harness import TARGETS, check_guards, run_commands, value_array
from trine import dtypes
from trine.compiler import llvm
from trine.compiler.lower.conv import ConvAttributes, lower_conv, lower_conv_input_grad
from trine.compiler.lower.conv_weight import lower_conv_weight_grad
from trine.compiler.nest import Access, Axis, Instruction, LoopNest
from trine.compiler.program import Command, Value
from trine.compiler.target import Target
from trine.compiler.templates.conv_micro import conv_micro, max_rows, weight_micro
from trine.core import build
from trine.core.graph import Node
from trine.core.interpreter import evaluate
from trine.dtypes import DType
from trine.errors import UnsupportedError

TOLERANCE = {"float32": 2e-5, "float64": 1e-12, "float16": 2e-3}
Lower = Callable[..., list[Command]]


def strides(shape: tuple[int, ...], channels_last: bool) -> tuple[int, ...]:
    order = (0, *range(2, len(shape)), 1) if channels_last and len(shape) > 2 else range(len(shape))
    result, size = [0] * len(shape), 1
    for axis in reversed(tuple(order)):
        result[axis] = size
        size *= shape[axis]
    return tuple(result)


def run(
    lower: Lower,
    target: Target,
    inputs: list[tuple[np.ndarray, bool]],
    output: tuple[tuple[int, ...], DType, bool],
    attrs: object,
    splits: int = 1,
    extra: dict[Value, np.ndarray] | None = None,
) -> np.ndarray:
    """Lower and run: arrays with a flag "channels-last", for the inputs and the output."""
    arrays = dict(extra or {})

    def value(shape: tuple[int, ...], dtype: DType, channels_last: bool = False, contents: np.ndarray | None = None) -> Value:
        result = Value(shape, dtype, strides(shape, channels_last))
        arrays[result] = value_array(result, contents)
        return result

    operands = [value(a.shape, dtypes.from_numpy(a.dtype), last, a) for a, last in inputs]
    shape, dtype, last = output
    to = value(shape, dtype, last)
    run_commands(lower(target, *operands, to, attrs, value), arrays, target, splits=splits)
    check_guards(arrays.values())
    return arrays[to].copy()


def check(
    lower: Lower, target: Target, inputs: list[tuple[np.ndarray, bool]], node: Node, channels_last: bool, attrs: object, scale: float
) -> None:
    output = (node.shape, node.dtype, channels_last)
    result = run(lower, target, inputs, output, attrs)
    expected = evaluate([node], [a for a, _ in inputs], [])[0]
    np.testing.assert_allclose(result, expected, rtol=0, atol=TOLERANCE[node.dtype.name] * scale)
    split = run(lower, target, inputs, output, attrs, splits=3)
    assert result.tobytes() == split.tobytes(), "the result depends on how the units are split"


def check_all(
    target: Target,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    attrs: ConvAttributes,
    dtype: DType = dtypes.float32,
    layouts: tuple[bool, bool] = (True, True),
) -> None:
    """Check the forward convolution and both gradients."""
    rng = np.random.default_rng(0)
    x_last, y_last = layouts
    x, w = (rng.standard_normal(shape).astype(dtype.numpy) for shape in (x_shape, w_shape))
    parameters = (attrs.stride, attrs.padding, attrs.dilation, attrs.groups)
    x_node, w_node = build.input(0, x_shape, dtype), build.input(1, w_shape, dtype)
    y_node = build.conv(x_node, w_node, *parameters)
    gy = rng.standard_normal(y_node.shape).astype(dtype.numpy)
    positions = float(np.prod(y_node.shape[2:])) * x_shape[0]
    taps = float(np.prod(w_shape[1:]))
    check(lower_conv, target, [(x, x_last), (w, False)], y_node, y_last, attrs, 4 * taps**0.5)
    gy_node = build.input(0, gy.shape, dtype)
    gx_node = build.conv_input_grad(gy_node, w_node, x_shape, *parameters)
    outputs = float(np.prod(w_shape)) / w_shape[1] / attrs.groups
    check(lower_conv_input_grad, target, [(gy, y_last), (w, False)], gx_node, x_last, attrs, 4 * outputs**0.5)
    gw_node = build.conv_weight_grad(x_node, build.input(1, gy.shape, dtype), w_shape, *parameters)
    check(lower_conv_weight_grad, target, [(x, x_last), (gy, y_last)], gw_node, False, attrs, 4 * positions**0.5)


def attributes(rank: int, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1) -> ConvAttributes:
    return ConvAttributes((stride,) * rank, ((padding, padding),) * rank, (dilation,) * rank, groups)


targets = pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)

CASES = {
    "first layer": ((3, 1, 12, 13), (32, 1, 3, 3), attributes(2)),
    "three channels, large window": ((2, 3, 19, 21), (20, 3, 7, 7), attributes(2, 2, 3)),
    "channel tails": ((2, 17, 9, 8), (45, 17, 3, 3), attributes(2, 1, 1)),
    "panel of whole vectors": ((2, 32, 13, 13), (64, 32, 3, 3), attributes(2)),
    "small images share tiles": ((9, 20, 2, 2), (40, 20, 3, 3), attributes(2, 1, 1)),
    "rows share tiles": ((5, 8, 5, 5), (32, 8, 3, 3), attributes(2, 1, 1)),
    "stride 2": ((2, 9, 12, 11), (33, 9, 3, 3), attributes(2, 2, 1)),
    "stride above the window": ((2, 6, 11, 10), (8, 6, 2, 1), attributes(2, 3)),
    "1x1": ((2, 24, 6, 7), (40, 24, 1, 1), attributes(2)),
    "1x1, many channels": ((2, 128, 5, 6), (130, 128, 1, 1), attributes(2)),
    "1x1, stride 2": ((2, 24, 7, 8), (40, 24, 1, 1), attributes(2, 2)),
    "window of the whole image": ((20, 6, 4, 5), (36, 6, 4, 5), attributes(2)),
    "dilation": ((2, 5, 13, 12), (34, 5, 3, 2), attributes(2, 1, 2, 2)),
    "dilation and stride": ((2, 20, 14, 12), (8, 20, 3, 3), attributes(2, 2, 1, 3)),
    "groups": ((2, 12, 9, 9), (15, 4, 3, 3), attributes(2, 1, 1, 1, 3)),
    "groups and stride": ((2, 40, 8, 9), (34, 20, 3, 3), attributes(2, 2, 1, 1, 2)),
    "depthwise": ((2, 37, 10, 9), (37, 1, 3, 3), attributes(2, 1, 1, 1, 37)),
    "depthwise, stride 2": ((2, 64, 11, 10), (64, 1, 5, 5), attributes(2, 2, 2, 1, 64)),
    "depthwise with a multiplier": ((2, 5, 8, 8), (15, 1, 3, 3), attributes(2, 1, 1, 1, 5)),
    "asymmetric": ((2, 4, 9, 10), (6, 4, 3, 4), ConvAttributes((1, 2), ((0, 2), (3, 0)), (2, 1), 1)),
    "1-d": ((3, 7, 50), (19, 7, 5), attributes(1, 1, 2)),
    "1-d, long": ((1, 64, 700), (33, 64, 9), attributes(1, 2, 4)),
    "3-d": ((2, 5, 6, 7, 5), (18, 5, 3, 2, 3), attributes(3, 1, 1)),
    "3-d, stride and dilation": ((1, 18, 8, 7, 9), (6, 18, 2, 3, 2), attributes(3, 2, 1, 2)),
    "many blocks of rows and of channels": ((1, 96, 60, 50), (16, 96, 3, 3), attributes(2, 1, 1)),
}


@targets
@pytest.mark.parametrize("case", CASES, ids=lambda name: name)
def test_matches_the_reference(case: str, target: Target) -> None:
    check_all(target, *CASES[case])


@targets
@pytest.mark.parametrize("layouts", [(False, False), (False, True), (True, False)], ids=str)
def test_layouts(layouts: tuple[bool, bool], target: Target) -> None:
    check_all(target, (2, 19, 9, 7), (21, 19, 3, 3), attributes(2, 1, 1), layouts=layouts)


@pytest.mark.parametrize("layouts", [(False, False), (False, True), (True, False)], ids=str)
def test_layouts_of_a_1x1_window(layouts: tuple[bool, bool]) -> None:
    check_all(TARGETS[-1], (3, 66, 5, 4), (70, 66, 1, 1), attributes(2), layouts=layouts)


@targets
@pytest.mark.parametrize("case", ["stride 2", "1x1"], ids=lambda name: name)
def test_float16(case: str, target: Target) -> None:
    check_all(target, *CASES[case], dtype=dtypes.float16, layouts=(True, False))


@targets
@pytest.mark.parametrize("case", ["first layer", "channel tails", "stride 2", "depthwise", "3-d"], ids=lambda name: name)
def test_float64(case: str, target: Target) -> None:
    check_all(target, *CASES[case], dtype=dtypes.float64)


@st.composite
def problems(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], ConvAttributes]:
    rank = draw(st.integers(1, 3))
    axis = st.tuples(st.integers(1, 4), st.integers(1, 3), st.tuples(st.integers(0, 3), st.integers(0, 3)), st.integers(1, 3))
    axes = [draw(axis) for _ in range(rank)]
    spatial = [max(1, (k - 1) * d + 1 - sum(p)) + draw(st.integers(0, 9)) for k, _, p, d in axes]
    groups = draw(st.sampled_from([1, 1, 2, 5]))
    inputs, outputs = draw(st.sampled_from([1, 2, 15, 18])), draw(st.sampled_from([1, 3, 16, 35]))
    x = (draw(st.integers(1, 4)), inputs * groups, *spatial)
    w = (outputs * groups, inputs, *(k for k, *_ in axes))
    stride, padding, dilation = (tuple(a[i] for a in axes) for i in (1, 2, 3))
    return x, w, ConvAttributes(stride, padding, dilation, groups)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(problem=problems(), layouts=st.tuples(st.booleans(), st.booleans()))
def test_any_shape(problem: tuple[tuple[int, ...], tuple[int, ...], ConvAttributes], layouts: tuple[bool, bool]) -> None:
    check_all(TARGETS[-1], *problem, layouts=layouts)


EPILOGUES = {
    "copy": ((3, 5, 11, 9), (37, 5, 3, 3), attributes(2, 1, 1)),
    "direct": ((2, 20, 12, 40), (64, 20, 3, 3), attributes(2)),
    "k blocks": ((1, 96, 6, 5), (33, 96, 3, 3), attributes(2, 1, 1)),
    "tiles of several images": ((9, 4, 2, 2), (8, 4, 3, 3), attributes(2, 1, 1)),
    "groups": ((2, 6, 5, 5), (70, 3, 3, 3), attributes(2, 2, 1, 1, 2)),
    "depthwise": ((2, 40, 9, 9), (40, 1, 3, 3), attributes(2, 1, 1, 1, 40)),
    "matrix product": ((2, 130, 5, 6), (35, 130, 1, 1), attributes(2)),
    "1-d": ((2, 8, 30), (20, 8, 3), attributes(1)),
    "3-d": ((1, 4, 5, 6, 4), (20, 4, 2, 3, 3), attributes(3, 1, 1)),
}


@targets
@pytest.mark.parametrize("case", EPILOGUES, ids=lambda name: name)
def test_epilogue(case: str, target: Target) -> None:
    check_epilogue(*EPILOGUES[case], target)


def check_epilogue(x_shape: tuple[int, ...], w_shape: tuple[int, ...], attrs: ConvAttributes, target: Target) -> None:
    """Check relu(conv(x, w) + bias) in one command, stored to another array."""
    rng = np.random.default_rng(0)
    x, w, bias = (rng.standard_normal(s).astype(np.float32) for s in (x_shape, w_shape, w_shape[:1]))
    x_node, w_node = (build.input(i, s, dtypes.float32) for i, s in enumerate((x_shape, w_shape)))
    y_node = build.conv(x_node, w_node, attrs.stride, attrs.padding, attrs.dilation, attrs.groups)
    rank = len(y_node.shape) - 2
    expected = np.maximum(evaluate([y_node], [x, w], [])[0] + bias.reshape(-1, *(1,) * rank), 0)
    bias_value = Value(bias.shape, dtypes.float32, (1,))
    z = Value(y_node.shape, dtypes.float32, strides(y_node.shape, True))
    extra = {bias_value: value_array(bias_value, bias), z: value_array(z)}

    def lower(target: Target, x: Value, w: Value, y: Value, attrs: ConvAttributes, temporaries: object) -> list[Command]:
        order = (0, *range(2, 2 + rank), 1)
        axes = [Axis(y.shape[axis]) for axis in order]
        walk = tuple(y.strides[axis] for axis in order)
        accesses = [Access(y, 0, walk), Access(bias_value, 0, (*(0 for _ in walk[1:]), 1)), Access(z, 0, walk)]
        instructions = [
            Instruction("load", (), dtypes.float32, (0,)),
            Instruction("load", (), dtypes.float32, (1,)),
            Instruction("add", (0, 1), dtypes.float32),
            Instruction("const", (), dtypes.float32, (0.0,)),
            Instruction("maximum", (2, 3), dtypes.float32),
        ]
        nest = LoopNest(axes, accesses, instructions, [(4, 2)])
        return lower_conv(target, x, w, y, attrs, temporaries, epilogue=nest)

    for splits in (1, 3):
        extra[z][...] = np.nan
        run(lower, target, [(x, True), (w, False)], (y_node.shape, dtypes.float32, True), attrs, splits, extra)
        np.testing.assert_allclose(extra[z], expected, rtol=0, atol=1e-3)
        check_guards(extra.values())


def test_non_finite_values_stay_in_their_outputs() -> None:
    x = np.zeros((1, 3, 8, 8), np.float32)
    x[0, 1, 4, 4] = np.nan
    w = np.ones((5, 3, 3, 3), np.float32)
    y = run(lower_conv, TARGETS[-1], [(x, True), (w, False)], ((1, 5, 8, 8), dtypes.float32, True), attributes(2, 1, 1))
    expected = np.zeros_like(y)
    expected[:, :, 3:6, 3:6] = np.nan
    np.testing.assert_array_equal(y, expected)


def test_sizes_stay_out_of_kernel_keys() -> None:
    def kernels(height: int, images: int) -> set[object]:
        shapes = ((images, 32, height, 12), (64, 32, 3, 3), (images, 64, height, 12))
        x, w, y = (Value(s, dtypes.float32, strides(s, len(s) == 4 and s[0] == images)) for s in shapes)

        def temporary(shape: tuple[int, ...], dtype: DType) -> Value:
            return Value(shape, dtype, strides(shape, False))

        commands = lower_conv(TARGETS[-1], x, w, y, attributes(2, 1, 1), temporary)
        return {c.kernel.key for c in commands} | {p.key for c in commands for p in c.params if not isinstance(p, int)}

    assert kernels(10, 4) == kernels(20, 6)


@pytest.mark.parametrize("dtype", [dtypes.int32, dtypes.complex64], ids=lambda d: d.name)
def test_other_dtypes_are_refused(dtype: DType) -> None:
    shapes = ((2, 3, 5, 5), (4, 3, 3, 3), (2, 4, 3, 3))
    x, w, y = (Value(s, dtype, strides(s, False)) for s in shapes)
    with pytest.raises(UnsupportedError, match=f"received: {dtype.name}|{dtype.name}"):
        lower_conv(TARGETS[-1], x, w, y, attributes(2), lambda shape, dtype: Value(shape, dtype, strides(shape, False)))


_SPILL = re.compile(r"v?mov\w+\s+%[xyz]mm\d+, .*\(%rsp\)|st[pr]\s+q\d+.*\[sp")


@targets
@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64], ids=lambda d: d.name)
def test_accumulators_stay_in_registers(target: Target, dtype: DType) -> None:
    rows = max_rows(target)
    for q, p in {(1, rows), (1, rows - 1), (1, rows // 2), (2, rows // 2), (rows // 2, 2)}:
        for kernel in (conv_micro(dtype, q, p, 2, False, False), weight_micro(dtype, 1, p, False)):
            assert not _SPILL.findall(llvm.assembly(kernel.emit(target), target)), kernel.key
