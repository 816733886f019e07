from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_oracle import as_float, close, from_torch, run, sample, to_torch

from trine import dtypes
from trine.core import build
from trine.dtypes import bfloat16, bool_, complex64, float16, float32, float64, int8, int32, int64, uint8

torch = pytest.importorskip("torch")

ALL = [d for d in dtypes.ALL if d not in (dtypes.uint16, dtypes.uint32, dtypes.uint64)]
FLOATS = (float16, bfloat16, float32, float64)
REAL = (*FLOATS, uint8, int8, int32, int64)


def compare(builder, peer, array, dtype, result_dtype=None, **attrs):
    value = run(builder, (array, dtype), **attrs)
    result_dtype = result_dtype or dtype
    close(as_float(value, result_dtype), from_torch(torch, peer(to_torch(torch, array, dtype))), result_dtype)


@pytest.mark.parametrize("dtype", ALL, ids=lambda d: d.name)
def test_movement(dtype):
    x = sample((2, 3, 4), dtype)
    compare(build.reshape, lambda t: t.reshape(4, 6), x, dtype, shape=(4, -1))
    compare(build.permute, lambda t: t.permute(2, 0, 1), x, dtype, axes=(2, 0, 1))
    compare(build.expand, lambda t: t.expand(5, 2, 3, 4), x, dtype, shape=(5, 2, 3, 4))
    compare(build.flip, lambda t: t.flip(0, 2), x, dtype, axes=(0, -1))
    compare(build.slice, lambda t: t[1:, ::2, 1:4:2], x, dtype, start=(1, 0, 1), stop=(2, 3, 4), step=(1, 2, 2))
    pad = torch.nn.functional.pad
    compare(build.pad, lambda t: pad(t, (0, 2, 1, 0, 1, 1), value=1), x, dtype, low=(1, 1, 0), high=(1, 0, 2), value=1)
    parts = [(x, dtype), (sample((2, 1, 4), dtype, 1), dtype), (x, dtype)]
    joined = run(lambda *nodes: build.concat(nodes, 1), *parts)
    np.testing.assert_array_equal(joined, np.concatenate([p for p, _ in parts], axis=1))
    value = sample((1, 2, 2), dtype, 7)
    written = run(build.update, (x, dtype), (value, dtype), start=(1, 0, 1), step=(1, 2, 2))
    expected = x.copy()
    expected[1:2, 0:3:2, 1:4:2] = value
    np.testing.assert_array_equal(written, expected)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.data())
def test_slice_then_update_is_the_identity(data):
    shape = tuple(data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=3)))
    x = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    start = tuple(data.draw(st.integers(0, n)) for n in shape)
    stop = tuple(data.draw(st.integers(a, n)) for a, n in zip(start, shape, strict=True))
    step = tuple(data.draw(st.integers(1, 3)) for _ in shape)
    part = run(build.slice, (x, int64), start=start, stop=stop, step=step)
    np.testing.assert_array_equal(part, x[tuple(map(slice, start, stop, step))])
    again = run(lambda a, b: build.update(a, b, start, step), (x, int64), (part, int64))
    np.testing.assert_array_equal(again, x)


@pytest.mark.parametrize("index_dtype", [int32, int64])
def test_take_and_put(index_dtype):
    for dtype in ALL:
        x, index = sample((3, 5, 2), dtype), np.array([[4, 0], [2, 2]], index_dtype.numpy)
        taken = run(build.take, (x, dtype), (index, index_dtype), axis=1)
        np.testing.assert_array_equal(taken, np.take(x, index, 1))
        value = sample((3, 2, 2, 2), dtype, 3)
        put = run(build.put, (x, dtype), (index, index_dtype), (value, dtype), axis=1)
        expected = x.copy()
        for i, j in np.ndindex(2, 2):
            expected[:, index[i, j]] = value[:, i, j]
        np.testing.assert_array_equal(put, expected)


@pytest.mark.parametrize(("mode", "reduce"), [("add", "sum"), ("max", "amax"), ("min", "amin")])
def test_combining_puts(mode, reduce):
    generator = np.random.default_rng(0)
    for dtype in REAL:
        x, value = sample((4, 6, 3), dtype, 1), sample((4, 9, 3), dtype, 2)
        along = generator.integers(0, 6, value.shape)
        got = run(build.put_along, (x, dtype), (along, int64), (value, dtype), axis=1, mode=mode)
        peer = to_torch(torch, x, dtype).scatter_reduce(1, torch.from_numpy(along), to_torch(torch, value, dtype), reduce)
        close(as_float(got, dtype), from_torch(torch, peer), dtype)
        whole = generator.integers(0, 6, 9)
        got = run(build.put, (x, dtype), (whole, int64), (value, dtype), axis=1, mode=mode)
        index = torch.from_numpy(np.ascontiguousarray(np.broadcast_to(whole[None, :, None], value.shape)))
        peer = to_torch(torch, x, dtype).scatter_reduce(1, index, to_torch(torch, value, dtype), reduce)
        close(as_float(got, dtype), from_torch(torch, peer), dtype)


def test_along():
    x = sample((4, 6, 3), float32)
    index = np.random.default_rng(0).integers(0, 6, (4, 8, 3))
    np.testing.assert_array_equal(run(build.take_along, (x, float32), (index, int64), axis=1), np.take_along_axis(x, index, 1))
    # The last of two duplicates stays.
    index = np.zeros((4, 5, 3), np.int64)
    value = sample((4, 5, 3), float32, 1)
    got = run(build.put_along, (x, float32), (index, int64), (value, float32), axis=1)
    np.testing.assert_array_equal(got[:, 0], value[:, -1])
    np.testing.assert_array_equal(got[:, 1:], x[:, 1:])


def test_scalar_and_empty_indices():
    x = sample((3, 4), float32)
    np.testing.assert_array_equal(run(build.take, (x, float32), (np.array(2), int64), axis=0), x[2])
    np.testing.assert_array_equal(run(build.take, (x, float32), (np.zeros((0, 2), np.int64), int64), axis=1), np.zeros((3, 0, 2)))
    value = np.ones((3, 0), np.float32)
    np.testing.assert_array_equal(run(build.put, (x, float32), (np.zeros(0, np.int64), int64), (value, float32), axis=1), x)
    put = run(build.put, (x, float32), (np.array(1), int64), (np.ones(4, np.float32), float32), axis=0)
    np.testing.assert_array_equal(put[1], np.ones(4))


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2), (0, 1, 2)])
def test_reductions(axes):
    for dtype in (*FLOATS, int32, int64, complex64):
        x = sample((3, 4, 5), dtype, 1, 0.5, 1.5)
        compare(build.sum, lambda t: t.sum(axes, keepdim=True, dtype=t.dtype), x, dtype, axes=axes)
        product = lambda t: torch.from_numpy(np.prod(from_torch(torch, t), axis=axes, keepdims=True, dtype=None))  # noqa: E731
        if not dtype.is_integer:
            compare(build.prod, product, x, dtype, axes=axes)
        if not dtype.is_complex:
            compare(build.max, lambda t: t.amax(axes, keepdim=True), x, dtype, axes=axes)
            compare(build.min, lambda t: t.amin(axes, keepdim=True), x, dtype, axes=axes)


def test_reductions_of_special_cases():
    empty = np.zeros((0, 3), np.float32)
    np.testing.assert_array_equal(run(build.sum, (empty, float32), axes=0), np.zeros((1, 3)))
    np.testing.assert_array_equal(run(build.prod, (empty, float32), axes=0), np.ones((1, 3)))
    flags = np.array([[True, False], [True, True]])
    np.testing.assert_array_equal(run(build.max, (flags, bool_), axes=1), [[True], [True]])
    np.testing.assert_array_equal(run(build.min, (flags, bool_), axes=1), [[False], [True]])
    nan = np.float32([[1, np.nan, 3]])
    assert np.isnan(run(build.max, (nan, float32), axes=1)).all() and np.isnan(run(build.min, (nan, float32), axes=1)).all()
    wrapped = run(build.sum, (np.full(3, 100, np.int8), int8), axes=0)
    assert wrapped.dtype == np.int8 and wrapped[0] == 44
    # float16 accumulates in more than float16.
    assert run(build.sum, (np.full(4096, 1.0, np.float16), float16), axes=0)[0] == 4096
    scalar = np.array(3.0, np.float32)
    assert run(build.sum, (scalar, float32)) == 3


def test_argmax_takes_the_first_and_nan_wins():
    x = np.float32([[1, 3, 3], [np.nan, 5, np.nan], [-1, -1, -2]])
    np.testing.assert_array_equal(run(build.argmax, (x, float32), axis=1), [[1], [0], [0]])
    np.testing.assert_array_equal(run(build.argmin, (x, float32), axis=-1), [[0], [0], [2]])
    for dtype in REAL:
        y = sample((5, 6), dtype)
        np.testing.assert_array_equal(run(build.argmax, (y, dtype), axis=0), as_float(y, dtype).argmax(0, keepdims=True))


@pytest.mark.parametrize("reverse", [False, True])
def test_scans(reverse):
    def backwards(function):
        return (lambda t: function(t.flip(1)).flip(1)) if reverse else function

    for dtype in (*FLOATS, int32, int64):
        x = sample((3, 7), dtype, 1, 0.5, 1.5)
        compare(build.cumsum, backwards(lambda t: t.cumsum(1, dtype=t.dtype)), x, dtype, axis=1, reverse=reverse)
        compare(build.cumprod, backwards(lambda t: t.cumprod(1, dtype=t.dtype)), x, dtype, axis=1, reverse=reverse)
        compare(build.cummax, backwards(lambda t: t.cummax(1).values), x, dtype, axis=1, reverse=reverse)
        compare(build.cummin, backwards(lambda t: t.cummin(1).values), x, dtype, axis=1, reverse=reverse)
    nan = np.float32([1, np.nan, 3])
    assert np.isnan(run(build.cummax, (nan, float32), axis=0)).tolist() == [False, True, True]
    assert run(build.cumsum, (np.zeros((0, 2), np.float32), float32), axis=0).shape == (0, 2)


@pytest.mark.parametrize("descending", [False, True])
def test_argsort(descending):
    for dtype in REAL:
        x = as_float(sample((4, 30), dtype), dtype).round().astype(dtype.numpy) if dtype is not bfloat16 else sample((4, 30), dtype)
        order = run(build.argsort, (x, dtype), axis=1, descending=descending)
        peer = to_torch(torch, x, dtype).argsort(dim=1, descending=descending, stable=True)
        np.testing.assert_array_equal(order, peer.numpy())
    nan = np.float32([2, np.nan, 1, np.nan, 2])
    expected = [1, 3, 0, 4, 2] if descending else [2, 0, 4, 1, 3]
    np.testing.assert_array_equal(run(build.argsort, (nan, float32), axis=0, descending=descending), expected)


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 3), (3, 4)), ((5, 2, 3), (1, 3, 4)), ((2, 1, 2, 3), (1, 4, 3, 2)), ((0, 3), (3, 4)), ((2, 0), (0, 4)), ((0, 2, 3), (1, 3, 1))],
)
def test_dot(a, b):
    for dtype in (*FLOATS, int32, int64, complex64):
        x, y = sample(a, dtype, 1), sample(b, dtype, 2)
        got = run(build.dot, (x, dtype), (y, dtype))
        expected = np.matmul(as_float(x, dtype).astype(np.complex128), as_float(y, dtype).astype(np.complex128))
        close(as_float(got, dtype), expected if dtype.is_complex else expected.real, dtype)
