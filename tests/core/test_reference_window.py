from __future__ import annotations

import numpy as np
import pytest
from reference_oracle import as_float, close, run, sample, to_torch

from trine.core import build
from trine.dtypes import bfloat16, complex64, float16, float32, float64, int32

torch = pytest.importorskip("torch")
F = torch.nn.functional

# spatial shape, kernel, stride, padding, dilation, groups
CONVS = [
    ((9,), (3,), (1,), ((0, 0),), (1,), 1),
    ((10,), (3,), (2,), ((2, 1),), (2,), 2),
    ((7, 8), (3, 2), (1, 1), ((1, 1), (0, 0)), (1, 1), 1),
    ((7, 8), (3, 3), (2, 3), ((0, 2), (1, 0)), (1, 2), 4),
    ((5, 5), (1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1), 2),
    ((5, 4, 6), (2, 3, 2), (1, 2, 2), ((1, 0), (1, 1), (0, 1)), (2, 1, 1), 1),
]


def torch_pad(tensor, padding, value=0.0):
    return F.pad(tensor, [amount for pair in reversed(padding) for amount in pair], value=value)


def torch_conv(x, w, stride, padding, dilation, groups):
    function = (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3]
    return function(torch_pad(x, padding), w, stride=stride, dilation=dilation, groups=groups)


@pytest.mark.parametrize("case", CONVS)
def test_conv_and_its_gradients(case):
    spatial, kernel, *attrs = case
    groups = attrs[-1]
    for dtype in (float32, float64, float16, bfloat16):
        x, w = sample((2, 4, *spatial), dtype, 1), sample((8, 4 // groups, *kernel), dtype, 2)
        leaves = [to_torch(torch, a, dtype).to(torch.float64 if dtype is float64 else torch.float32).requires_grad_() for a in (x, w)]
        y = torch_conv(*leaves, *attrs)
        tolerance = dtype if dtype is not float16 else bfloat16  # sums of many terms, one rounding
        close(as_float(run(lambda a, b: build.conv(a, b, *attrs), (x, dtype), (w, dtype)), dtype), y.detach().numpy(), tolerance)
        gy = sample(tuple(y.shape), dtype, 3)
        gx, gw = torch.autograd.grad(y, leaves, to_torch(torch, gy, dtype).to(y.dtype))
        got = run(lambda a, b: build.conv_input_grad(a, b, x.shape, *attrs), (gy, dtype), (w, dtype))  # noqa: B023
        close(as_float(got, dtype), gx.numpy(), tolerance)
        got = run(lambda a, b: build.conv_weight_grad(a, b, w.shape, *attrs), (x, dtype), (gy, dtype))  # noqa: B023
        np.testing.assert_allclose(
            as_float(got, dtype), gw.numpy(), rtol=2e-2 if dtype.is_half else 1e-4, atol=5e-2 if dtype.is_half else 1e-4
        )


def test_conv_of_other_dtypes_and_empty_batches():
    x, w = sample((1, 2, 6), complex64, 1), sample((3, 2, 2), complex64, 2)
    expected = F.conv1d(torch.from_numpy(x), torch.from_numpy(w)).numpy()
    close(run(build.conv, (x, complex64), (w, complex64)), expected, complex64)
    xi, wi = sample((1, 2, 6), int32, 1), sample((3, 2, 2), int32, 2)
    expected = F.conv1d(torch.from_numpy(xi).double(), torch.from_numpy(wi).double()).numpy()
    np.testing.assert_array_equal(run(build.conv, (xi, int32), (wi, int32)), expected)
    none = np.zeros((0, 2, 6), np.float32)
    weight = np.ones((3, 2, 2), np.float32)
    assert run(build.conv, (none, float32), (weight, float32)).shape == (0, 3, 5)
    gy = np.zeros((0, 3, 5), np.float32)
    assert run(lambda a, b: build.conv_weight_grad(a, b, (3, 2, 2)), (none, float32), (gy, float32)).shape == (3, 2, 2)
    assert run(lambda a, b: build.conv_input_grad(a, b, (0, 2, 6)), (gy, float32), (weight, float32)).shape == (0, 2, 6)


# spatial shape, window, stride, padding, dilation
WINDOWS = [
    ((9,), (3,), (2,), ((1, 1),), (1,)),
    ((8, 9), (2, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),
    ((8, 9), (3, 2), (1, 3), ((0, 0), (0, 0)), (2, 1)),
    ((5, 6, 7), (2, 2, 3), (2, 1, 2), ((0, 0), (1, 1), (1, 1)), (1, 1, 1)),
]


@pytest.mark.parametrize("case", WINDOWS)
def test_window_max(case):
    spatial, *attrs = case
    window, stride, padding, dilation = attrs
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(spatial) - 1]
    for dtype in (float32, float64, float16, bfloat16):
        x = sample((2, 3, *spatial), dtype, 1)
        x.flat[3] = x.flat[4]  # a tie
        leaf = to_torch(torch, x, dtype).double().requires_grad_()
        y, index = pool(leaf, window, stride, [p[0] for p in padding], dilation, return_indices=True)
        close(as_float(run(lambda a: build.window_max(a, *attrs), (x, dtype)), dtype), y.detach().numpy(), dtype)
        np.testing.assert_array_equal(run(lambda a: build.window_argmax(a, *attrs), (x, dtype)), index.numpy())
        gy = sample(tuple(y.shape), dtype, 2)
        (gx,) = torch.autograd.grad(y, leaf, to_torch(torch, gy, dtype).double())
        got = run(lambda a, b: build.window_max_grad(a, b, *attrs), (x, dtype), (gy, dtype))
        close(as_float(got, dtype), gx.numpy(), dtype)


@pytest.mark.parametrize("case", WINDOWS)
def test_window_sum(case):
    spatial, *attrs = case
    window, stride, padding, dilation = attrs
    conv_attrs = (stride, padding, dilation, 3)
    for dtype in (float32, float64, bfloat16):
        x = sample((2, 3, *spatial), dtype, 1)
        leaf = to_torch(torch, x, dtype).double().requires_grad_()
        y = torch_conv(leaf, torch.ones(3, 1, *window, dtype=torch.float64), *conv_attrs)
        close(as_float(run(lambda a: build.window_sum(a, *attrs), (x, dtype)), dtype), y.detach().numpy(), dtype)
        gy = sample(tuple(y.shape), dtype, 2)
        (gx,) = torch.autograd.grad(y, leaf, to_torch(torch, gy, dtype).double())
        got = run(lambda a: build.window_sum_grad(a, x.shape, *attrs), (gy, dtype))  # noqa: B023
        close(as_float(got, dtype), gx.numpy(), dtype)


def test_window_max_corner_cases():
    low = np.float32([[[-np.inf, -np.inf, 1, np.nan, 2]]])
    attrs = {"window": 2, "stride": 1, "padding": ((1, 1),)}
    np.testing.assert_array_equal(run(build.window_max, (low, float32), **attrs), [[[-np.inf, -np.inf, 1, np.nan, np.nan, 2]]])
    # A position in the padding is never chosen, even where all values are -infinity.
    np.testing.assert_array_equal(run(build.window_argmax, (low, float32), **attrs), [[[0, 0, 2, 3, 3, 4]]])
    integers = np.int32([[[-5, -7, -9]]])
    np.testing.assert_array_equal(run(build.window_max, (integers, int32), window=2, stride=2, padding=((1, 0),)), [[[-5, -7]]])
    # A window that lies in the padding altogether.
    attrs = {"window": 2, "stride": 1, "padding": ((2, 0),)}
    one = np.float32([[[4.0, 5.0]]])
    np.testing.assert_array_equal(run(build.window_argmax, (one, float32), **attrs), [[[-1, 0, 1]]])
    gradient = run(lambda a, b: build.window_max_grad(a, b, **attrs), (one, float32), (np.float32([[[7, 1, 2]]]), float32))
    np.testing.assert_array_equal(gradient, [[[1, 2]]])
    assert run(build.window_max, (np.zeros((0, 3, 4), np.float32), float32), window=2, stride=2).shape == (0, 3, 2)


def test_float16_rounds_once():
    x = np.full((1, 1, 3000), 1.0, np.float16)
    assert as_float(run(build.window_sum, (x, float16), window=3000, stride=1), float16) == 3000
