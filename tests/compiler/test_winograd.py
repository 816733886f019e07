"""3x3 convolutions by Winograd's minimal filtering against the NumPy reference: targets, edges, blocks, splits, epilogues, registers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.compiler.harness import TARGETS
from tests.compiler.test_conv import attributes, check_all, check_epilogue, run, strides
from trine import dtypes
from trine.compiler import llvm
from trine.compiler.lower import winograd
from trine.compiler.lower.conv import ConvAttributes, lower_conv, lower_conv_input_grad
from trine.compiler.lower.conv_weight import lower_conv_weight_grad
from trine.compiler.program import Value
from trine.compiler.target import Target, make_target
from trine.compiler.templates.winograd import winograd_kernel, winograd_weight_kernel
from trine.compiler.templates.winograd_weight import winograd_gradient_kernel, winograd_sum_kernel
from trine.core import build
from trine.core.interpreter import evaluate
from trine.dtypes import DType

CASES = {
    "even image": ((2, 32, 14, 14), (64, 32, 3, 3), attributes(2, 1, 1)),
    "odd image, channel tails": ((3, 40, 9, 11), (37, 40, 3, 3), attributes(2, 1, 1)),
    "asymmetric padding": ((3, 33, 30, 7), (29, 33, 3, 3), ConvAttributes((1, 1), ((0, 2), (1, 0)), (1, 1), 1)),
    "small images, wide padding": ((9, 64, 4, 4), (64, 64, 3, 3), attributes(2, 1, 2)),
    "no padding": ((2, 24, 13, 18), (24, 24, 3, 3), attributes(2)),
    "wide rows": ((1, 24, 5, 230), (25, 24, 3, 3), attributes(2, 1, 1)),
    "many channels": ((2, 130, 10, 10), (260, 130, 3, 3), attributes(2, 1, 1)),
    "many tiles": ((5, 32, 26, 26), (32, 32, 3, 3), attributes(2, 1, 1)),
}
LOWERED = (lower_conv, lower_conv_input_grad, lower_conv_weight_grad)
targets = pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
levels = pytest.mark.parametrize("target", [make_target(name, "x86_64") for name in ("generic", "avx2", "avx512")], ids=lambda t: t.name)


@targets
@pytest.mark.parametrize("case", CASES, ids=lambda name: name)
def test_matches_the_reference(case: str, target: Target) -> None:
    check_all(target, *CASES[case])


@pytest.mark.parametrize("layouts", [(False, False), (False, True), (True, False)], ids=str)
def test_layouts(layouts: tuple[bool, bool]) -> None:
    check_all(TARGETS[-1], (2, 25, 10, 11), (26, 25, 3, 3), attributes(2, 1, 1), layouts=layouts)


@settings(deadline=None, max_examples=10, derandomize=True)
@given(
    images=st.integers(1, 9),
    image=st.tuples(st.integers(4, 20), st.integers(4, 20)),
    channels=st.tuples(st.integers(24, 50), st.integers(24, 50)),
    padding=st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2),
)
def test_any_shape(
    images: int, image: tuple[int, int], channels: tuple[int, int], padding: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    check_all(TARGETS[-1], (images, channels[0], *image), (channels[1], channels[0], 3, 3), ConvAttributes((1, 1), padding, (1, 1), 1))


@targets
@pytest.mark.parametrize("case", ["odd image, channel tails", "many channels", "wide rows"], ids=lambda name: name)
def test_epilogue(case: str, target: Target) -> None:
    check_epilogue(*CASES[case], target)


def kernel_names(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], attrs: ConvAttributes, dtype: DType) -> list[set[str]]:
    """Return the families of kernels that serve a convolution and its two gradients."""

    def temporary(shape: tuple[int, ...], dtype: DType) -> Value:
        return Value(shape, dtype, strides(shape, False))

    found = []
    arrays = [Value(shape, dtype, strides(shape, shape is not w)) for shape in (x, w, y)]
    for lower, order in zip(LOWERED, ((0, 1, 2), (2, 1, 0), (0, 2, 1)), strict=True):
        commands = lower(TARGETS[-1], *(arrays[i] for i in order), attrs, temporary)
        found.append({str(command.kernel.key[0]) for command in commands})
    return found


def test_what_it_serves() -> None:
    x, w, y = (2, 32, 16, 16), (48, 32, 3, 3), (2, 48, 16, 16)
    assert kernel_names(x, w, y, attributes(2, 1, 1), dtypes.float32) == [
        {"winograd_weight", "winograd"},
        {"winograd_weight", "winograd"},
        {"winograd_gradient", "winograd_sum", "conv_unpack"},
    ]
    others = [
        (x, w, y, attributes(2, 1, 1), dtypes.float64),
        (x, w, (2, 48, 8, 8), attributes(2, 2, 1), dtypes.float32),
        (x, w, (2, 48, 14, 14), attributes(2, 1, 1, 2), dtypes.float32),
        ((2, 64, 16, 16), w, y, attributes(2, 1, 1, 1, 2), dtypes.float32),
        ((2, 3, 16, 16), (48, 3, 3, 3), y, attributes(2, 1, 1), dtypes.float32),
        ((1, 32, 7, 7), w, (1, 48, 7, 7), attributes(2, 1, 1), dtypes.float32),
    ]
    for problem in others:
        assert not any(name.startswith("winograd") for names in kernel_names(*problem) for name in names), problem


def test_error_is_that_of_a_direct_sum() -> None:
    """Against float64: the largest error is at most twice that of the direct kernel, for values of one sign too."""
    rng = np.random.default_rng(0)
    for shift in (0.0, 1.0):
        x, w = ((rng.standard_normal(shape) + shift).astype(np.float32) for shape in ((2, 96, 16, 16), (64, 96, 3, 3)))
        x_node, w_node = (build.input(i, a.shape, dtypes.float64) for i, a in enumerate((x, w)))
        y_node = build.conv(x_node, w_node, (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
        exact = evaluate([y_node], [x.astype(np.float64), w.astype(np.float64)], [])[0]
        inputs = [(x, True), (w, False)]
        errors = []
        for serves in (winograd.serves, lambda *arguments: False):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(winograd, "serves", serves)
                y = run(lower_conv, TARGETS[-1], inputs, (exact.shape, dtypes.float32, True), attributes(2, 1, 1))
            errors.append(float(np.abs(y - exact).max()))
        assert 0 < errors[0] < 2 * errors[1] + 1e-30, errors


_SPILL = re.compile(r"v?mov\w+\s+%[xyz]mm\d+, .*\(%rsp\)")


@levels
def test_products_stay_in_registers(target: Target) -> None:
    for kernel in (winograd_kernel(dtypes.float32), winograd_gradient_kernel(dtypes.float32)):
        text = llvm.assembly(kernel.emit(target), target)
        product = text[text.index("product:") :]
        assert not _SPILL.findall(product[: product.index("\tret")]), kernel.key


@levels
def test_compiles_for_every_level(target: Target) -> None:
    for kernel in (winograd_kernel(dtypes.float32, 5), winograd_weight_kernel(dtypes.float32), winograd_sum_kernel(dtypes.float32)):
        assert llvm.compile_object(kernel.emit(target), target)
