from __future__ import annotations

import math

import numpy as np
import pytest
from reference_oracle import as_float, close, from_torch, run, sample, to_torch

from trine import dtypes
from trine.core import build
from trine.core.interpreter import evaluate
from trine.dtypes import bfloat16, bool_, complex64, float16, float32, float64, int8, int32, int64, uint8, uint32
from trine.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError

torch = pytest.importorskip("torch")

FLOATS = (float16, bfloat16, float32, float64)
INTEGERS = (uint8, int8, dtypes.int16, int32, int64)
COMPLEX = (complex64, dtypes.complex128)
SHAPES = ((), (5,), (2, 0), (3, 4))
DOMAIN = {
    "acosh": (1, 9),
    "atanh": (-1, 1),
    "asin": (-1, 1),
    "acos": (-1, 1),
    "erfinv": (-0.99, 0.99),
    "lgamma": (0.1, 9),
    "digamma": (2, 9),
}
POSITIVE = ("sqrt", "rsqrt", "log", "log2", "log10", "log1p", "reciprocal")
COMPLEX_MATH = "sqrt exp log log10 sin cos tan asin acos atan sinh cosh tanh asinh acosh sigmoid abs real imag conj".split()
FLOAT_MATH = """neg abs floor ceil trunc round sqrt rsqrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh
asinh acosh atanh erf erfc erfinv lgamma digamma reciprocal sigmoid sign isnan isinf isfinite logical_not""".split()


def compare(name, peer, operands, result_dtype=None):
    value = run(getattr(build, name), *operands)
    expected = peer(*[to_torch(torch, array, dtype) for array, dtype in operands])
    dtype = operands[0][1]
    result_dtype = result_dtype or dtypes.by_name(str(expected.dtype))
    assert dtypes.from_numpy(value.dtype) is result_dtype or result_dtype is bfloat16
    close(as_float(value, result_dtype), from_torch(torch, expected), result_dtype if result_dtype.is_integer else dtype, f"{name} {dtype}")


@pytest.mark.parametrize("name", FLOAT_MATH)
def test_unary_of_floating_point(name):
    low, high = DOMAIN.get(name, (0.1, 5) if name in POSITIVE else (-4, 4))
    for dtype in FLOATS:
        for shape in SHAPES:
            compare(name, getattr(torch, name), [(sample(shape, dtype, 1, low, high), dtype)])


@pytest.mark.parametrize("name", COMPLEX_MATH)
def test_unary_of_complex(name):
    for dtype in COMPLEX:
        compare(name, getattr(torch, name), [(sample((20,), dtype), dtype)])


@pytest.mark.parametrize("name", ["neg", "abs", "sign", "bitwise_not", "logical_not"])
def test_unary_of_integers(name):
    for dtype in INTEGERS:
        compare(name, getattr(torch, name), [(sample((20,), dtype), dtype)])
    if name.endswith("not"):
        compare(name, getattr(torch, name), [(sample((20,), bool_), bool_)])


BINARY = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.true_divide,
    "floor_div": torch.floor_divide,
    "remainder": torch.remainder,
    "fmod": torch.fmod,
    "pow": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "atan2": torch.atan2,
    "copysign": torch.copysign,
    "nextafter": torch.nextafter,
    "bitwise_and": torch.bitwise_and,
    "bitwise_or": torch.bitwise_or,
    "bitwise_xor": torch.bitwise_xor,
    "shift_left": torch.bitwise_left_shift,
    "shift_right": torch.bitwise_right_shift,
    **{name: getattr(torch, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
}
OPERANDS = [((), ()), ((5,), ()), ((3, 1), (1, 4)), ((2, 3, 4), (3, 4)), ((0, 2), (1, 2))]


@pytest.mark.parametrize("name", BINARY)
def test_binary_of_floating_point(name):
    if name.startswith(("bitwise", "shift")):
        pytest.skip("integers only")
    for dtype in FLOATS:
        if name == "nextafter" and dtype is float16:
            continue  # torch has none
        low = 0.5 if name == "pow" else -3.0
        for a, b in OPERANDS:
            compare(name, BINARY[name], [(sample(a, dtype, 1, low), dtype), (sample(b, dtype, 2), dtype)])


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "eq", "ne"])
def test_binary_of_complex(name):
    for dtype in COMPLEX:
        compare(name, BINARY[name], [(sample((4, 1), dtype, 1), dtype), (sample((5,), dtype, 2), dtype)])


@pytest.mark.parametrize("name", [n for n in BINARY if n not in ("div", "atan2", "copysign", "nextafter")])
def test_binary_of_integers(name):
    for dtype in INTEGERS:
        a, b = sample((20, 1), dtype, 1), sample((30,), dtype, 2)
        if name in ("floor_div", "remainder", "fmod"):
            b[b == 0] = 3
        if name.startswith("shift") or name == "pow":
            b = np.abs(b) % 5
        compare(name, BINARY[name], [(a, dtype), (b, dtype)])


def test_bool_operands():
    a, b = np.array([False, False, True, True]), np.array([False, True, False, True])
    for name in ("maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor", "eq", "ne", "lt", "le", "gt", "ge"):
        compare(name, BINARY[name], [(a, bool_), (b, bool_)], bool_)


def values(builder, *arrays):
    return run(builder, *[(np.array(a), dtypes.from_numpy(np.array(a).dtype)) for a in arrays])


def test_integer_corner_cases():
    i = np.int32
    low = np.iinfo(i).min
    np.testing.assert_array_equal(values(build.floor_div, i([7, -7, low, 5]), i([2, 2, -1, 0])), [3, -4, low, 0])
    np.testing.assert_array_equal(values(build.remainder, i([7, -7, low, 5]), i([-2, 2, -1, 0])), [-1, 1, 0, 0])
    np.testing.assert_array_equal(values(build.fmod, i([7, -7, 5]), i([-2, 2, 0])), [1, -1, 0])
    np.testing.assert_array_equal(values(build.pow, i([2, 1, -1, -1, 0, 3]), i([-1, -5, -3, -4, -1, 21])), [0, 1, -1, 1, 0, _wrap(3**21)])
    np.testing.assert_array_equal(values(build.shift_left, i([1, 1, 1]), i([31, 32, -1])), [low, 0, 0])
    np.testing.assert_array_equal(values(build.shift_right, i([-8, -8, 8, 8]), i([1, 99, 99, -1])), [-4, -1, 0, 0])
    np.testing.assert_array_equal(values(build.abs, i([low])), [low])
    np.testing.assert_array_equal(values(build.add, i([low]), i([-1])), [-low - 1])


def _wrap(value):
    return (value + 2**31) % 2**32 - 2**31


def test_floating_point_corner_cases():
    f = np.float32
    nan, inf = math.nan, math.inf
    np.testing.assert_array_equal(values(build.maximum, f([nan, 1, inf]), f([1, nan, 2])), f([nan, nan, inf]))
    np.testing.assert_array_equal(values(build.minimum, f([nan, 1, -inf]), f([1, nan, 2])), f([nan, nan, -inf]))
    np.testing.assert_array_equal(values(build.div, f([1, -1, 0]), f([0, 0, 0])), f([inf, -inf, nan]))
    np.testing.assert_array_equal(values(build.round, f([0.5, 1.5, 2.5, -0.5])), f([0, 2, 2, -0.0]))
    np.testing.assert_array_equal(np.signbit(values(build.neg, f([0.0, -0.0]))), [True, False])
    np.testing.assert_array_equal(values(build.sigmoid, f([-inf, inf, nan, -100])), f([0, 1, nan, math.exp(-100)]))
    np.testing.assert_array_equal(values(build.log, f([0, -1, inf])), f([-inf, nan, inf]))
    np.testing.assert_array_equal(values(build.exp, f([1000, -1000, nan])), f([inf, 0, nan]))
    np.testing.assert_array_equal(values(build.eq, f([nan, 0.0]), f([nan, -0.0])), [False, True])
    np.testing.assert_array_equal(values(build.sign, f([-2, 0, 3, nan])), f([-1, 0, 1, nan]))
    assert values(build.exp, f([-100]))[0] > 0  # a subnormal is not flushed


def test_nextafter_of_half_types():
    for dtype in (float16, bfloat16):
        a = sample((200,), dtype, 3)
        b = sample((200,), dtype, 4)
        held = np.uint16
        result = run(build.nextafter, (a, dtype), (b, dtype)).view(held)
        step = np.where(np.abs(as_float(b, dtype)) == 0, 0, 1)
        assert (np.abs(result.astype(int) - a.view(held).astype(int)) <= step).all()
        up = as_float(run(build.nextafter, (a, dtype), (b, dtype)), dtype) > as_float(a, dtype)
        np.testing.assert_array_equal(up, as_float(b, dtype) > as_float(a, dtype))


@pytest.mark.parametrize("source", dtypes.ALL, ids=lambda d: d.name)
def test_cast(source):
    array = sample((40,), source, 5, 0.0, 100.0)
    with np.errstate(all="ignore"):
        for target in dtypes.ALL:
            if source.is_complex and not target.is_complex:
                expected = to_torch(torch, array, source).real.to(getattr(torch, target.name))
            else:
                expected = to_torch(torch, array, source).to(getattr(torch, target.name))
            if target is bool_ and source.is_complex:
                expected = to_torch(torch, array, source) != 0
            value = run(build.cast, (array, source), dtype=target)
            np.testing.assert_array_equal(as_float(value, target), from_torch(torch, expected), err_msg=f"{source} to {target}")


def test_cast_to_half_types_goes_through_float32():
    wide = np.random.default_rng(0).uniform(-1e5, 1e5, 1000)
    for target in (float16, bfloat16):
        expected = torch.from_numpy(wide).to(getattr(torch, target.name)).float().numpy()
        np.testing.assert_array_equal(as_float(run(build.cast, (wide, float64), dtype=target), target), expected)
    np.testing.assert_array_equal(run(build.cast, (np.array([0.0, -0.0, math.nan, 0.1]), float64), dtype=bool_), [False, False, True, True])


def test_bitcast():
    values_ = np.array([1.0, -2.0], np.float32)
    bits = run(build.bitcast, (values_, float32), dtype=uint32)
    np.testing.assert_array_equal(bits, values_.view(np.uint32))
    np.testing.assert_array_equal(run(build.bitcast, (bits, uint32), dtype=float32), values_)
    assert run(build.bitcast, (np.array(0x3F80, np.uint16), bfloat16), dtype=dtypes.int16) == 0x3F80


def test_check_index():
    for dtype in (int32, int64):
        index = np.array([0, -1, 4, -5], dtype.numpy)
        np.testing.assert_array_equal(run(build.check_index, (index, dtype), size=5), [0, 4, 4, 0])
    with pytest.raises(IndexOutOfRangeError, match="index -1 on an axis of size 5"):
        run(build.check_index, (np.array([0, -1]), int64), size=5, wraps=False)
    for bad in (5, -6):
        with pytest.raises(IndexOutOfRangeError, match=f"index {bad} on an axis of size 5"):
            run(build.check_index, (np.array([0, bad]), int64), size=5)
    with pytest.raises(IndexOutOfRangeError, match="the axis is empty"):
        run(build.check_index, (np.array(0), int64), size=0)
    assert run(build.check_index, (np.zeros((0,), np.int64), int64), size=0).shape == (0,)


def test_where_broadcasts():
    condition, a, b = np.array([True, False]), np.float32([[1], [2]]), np.array(9, np.float32)
    result = run(build.where, (condition, bool_), (a, float32), (b, float32))
    np.testing.assert_array_equal(result, [[1, 9], [2, 9]])


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda d: d.name)
def test_sources(dtype):
    filled, constant = evaluate([build.full(1, (2, 3), dtype), build.const(1, dtype)], [])
    assert filled.shape == (2, 3) and constant.shape == () and filled.dtype == dtype.numpy
    np.testing.assert_array_equal(as_float(filled, dtype), np.ones((2, 3)))
    zeros, ones = evaluate([build.zeros_like(build.full(1, (2,), dtype)), build.ones_like(build.full(0, (2,), dtype))], [])
    np.testing.assert_array_equal([as_float(zeros, dtype), as_float(ones, dtype)], [[0, 0], [1, 1]])


def test_iota_and_scalars():
    (grid,) = evaluate([build.iota((2, 3), -1)], [])
    np.testing.assert_array_equal(grid, [[0, 1, 2]] * 2)
    x = build.input(0, (2,), float32)
    rate = build.cast(build.scalar(0, float64), float32)
    steps = build.scalar(1, int64)
    scaled, step = evaluate([build.mul(x, rate), steps], [np.float32([1, 2])], [0.5, 7])
    np.testing.assert_array_equal(scaled, [0.5, 1])
    assert step.dtype == np.int64 and step == 7


def test_interpreter_refuses_what_does_not_fit():
    x = build.input(0, (2,), float32)
    with pytest.raises(ShapeError, match="input 0"):
        evaluate([x], [np.zeros(3, np.float32)])
    with pytest.raises(DTypeError, match="input 0"):
        evaluate([x], [np.zeros(2)])
    with pytest.raises(ArgumentError, match="an input is missing"):
        evaluate([x], [])
    with pytest.raises(ArgumentError, match="a scalar is missing"):
        evaluate([build.scalar(0, float64)], [])


def test_outputs_are_fresh_arrays():
    x = build.input(0, (2, 3), float32)
    array = np.ones((2, 3), np.float32)
    same, flat, wide = evaluate([x, build.reshape(x, (6,)), build.expand(x, (4, 2, 3))], [array])
    same[0, 0] = flat[1] = wide[0, 0, 0] = 5
    assert array.sum() == 6 and all(a.flags.c_contiguous and a.flags.writeable for a in (same, flat, wide))
