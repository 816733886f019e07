"""Exponents, integers, dtype limits, out= and NumPy's argument names against PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest

import trine
from tests.ops.parity import check, randn, torch
from trine.errors import ArgumentError, DTypeError, GradientError, ShapeError


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_frexp(dtype: type) -> None:
    tiny = float(np.finfo(dtype).smallest_subnormal)
    values = np.array([3.0, -0.25, 0.0, -0.0, np.inf, np.nan, tiny, -7 * tiny, np.finfo(dtype).max, np.finfo(dtype).tiny], dtype)
    check(trine.frexp, torch.frexp, values, grad=False, rtol=0, atol=0)
    check(lambda x: trine.frexp(x)[0], lambda x: torch.frexp(x)[0], np.array([3.0, -0.3, 100.0], dtype))
    with pytest.raises(DTypeError, match="frexp: not a floating point dtype"):
        trine.frexp(trine.arange(3))


def test_ldexp_gcd_lcm() -> None:
    check(trine.ldexp, torch.ldexp, randn(3), np.array([1, -2, 5]), grad=False)
    check(trine.ldexp, torch.ldexp, randn(3), np.array([1, 0, 5]))
    check(trine.ldexp, torch.ldexp, np.array([1, 2]), np.array([3, 0]))
    first, second = np.array([12, -9, 0, 7, 0]), np.array([18, 6, 5, 1, 0])
    for name in ("gcd", "lcm"):
        for dtype in (np.int64, np.int32, np.uint8):
            check(getattr(trine, name), getattr(torch, name), np.abs(first).astype(dtype), second.astype(dtype))
        check(getattr(trine, name), getattr(torch, name), first, second)


def test_gradient_of_the_next_number() -> None:
    check(trine.nextafter, torch.nextafter, randn(3), randn(3))


def test_bool_arithmetic() -> None:
    x, y = np.array([True, False, True]), np.array([True, True, False])
    check(trine.add, torch.add, x, y, alpha=False)
    check(trine.square, torch.square, x)
    check(trine.prod, torch.prod, x, dtype=None)
    assert trine.prod(trine.tensor([2, 3]), dtype=trine.bool).item() is True
    with pytest.raises(DTypeError):
        trine.positive(trine.tensor(True))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_floating_point_limits(name: str) -> None:
    ours, theirs = trine.finfo(getattr(trine, name)), torch.finfo(getattr(torch, name))
    for attribute in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution", "dtype"):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute
    assert repr(ours) == repr(theirs)
    assert trine.finfo().dtype == "float32"


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
def test_integer_limits(name: str) -> None:
    ours, theirs = trine.iinfo(getattr(trine, name)), torch.iinfo(getattr(torch, name))
    assert (ours.bits, ours.max, ours.min, ours.dtype) == (theirs.bits, theirs.max, theirs.min, theirs.dtype)
    with pytest.raises(DTypeError):
        trine.iinfo(trine.float32)
    with pytest.raises(DTypeError):
        trine.finfo(getattr(trine, name))


def test_casts_and_promotion() -> None:
    names = "bool uint8 int32 int64 float16 float32 float64 complex64".split()
    for first in names:
        for second in names:
            a, b = getattr(trine, first), getattr(trine, second)
            p, q = getattr(torch, first), getattr(torch, second)
            assert trine.can_cast(a, b) == torch.can_cast(p, q), (first, second)
            assert trine.promote_types(a, b).name == str(torch.promote_types(p, q))[6:]
    for scalar in (2, 2.5, True):
        for name in names[:-1]:
            ours = trine.result_type(trine.tensor([1], dtype=getattr(trine, name)), scalar)
            assert ours.name == str(torch.result_type(torch.tensor([1], dtype=getattr(torch, name)), scalar))[6:]
    assert (trine.pi, trine.e, trine.inf, trine.newaxis) == (math.pi, math.e, math.inf, None) and math.isnan(trine.nan)


def test_results_are_written_into_tensors() -> None:
    x = trine.tensor([[1.0, 2.0], [4.0, 3.0]])
    out = trine.empty(0)
    assert trine.add(x, 1, out=out) is out and out.tolist() == [[2, 3], [5, 4]]
    wide = trine.empty(2, dtype=trine.float64)
    assert trine.sum(x, 0, out=wide) is wide and wide.tolist() == [5, 5]
    values, indices = trine.empty(0), trine.empty(0, dtype=trine.int64)
    trine.max(x, 1, out=(values, indices))
    assert values.tolist() == [2, 4] and indices.tolist() == [1, 0]
    with pytest.raises(DTypeError, match="can't be cast"):
        trine.add(x, 1, out=trine.empty(2, 2, dtype=trine.int64))
    with pytest.raises(ShapeError, match="the shape differs"):
        trine.add(x, 1, out=trine.empty(3))
    with pytest.raises(GradientError, match="not differentiable"):
        trine.add(x, 1, out=trine.empty(2, 2, requires_grad=True))
    with pytest.raises(ArgumentError, match="the wrong number of tensors"):
        trine.max(x, 1, out=(values,))


def test_names_of_numpy() -> None:
    x = randn(2, 3)
    for name in ("sum", "mean", "std", "amax", "argmax", "prod", "all"):
        check(getattr(trine, name), getattr(torch, name), x, axis=1, keepdims=True)
    check(trine.cumsum, torch.cumsum, x, axis=0)
    check(lambda v: v.sum(axis=0), lambda v: v.sum(axis=0), x)


def test_norms_and_distances() -> None:
    check(trine.dist, torch.dist, randn(3, 4), randn(4), 3)
    check(trine.norm, torch.norm, np.array([0.0, 2.0, -1.0], np.float32), p=0)


@pytest.mark.parametrize("bounds", [(0.5, 5), (3,), (1, 6, 2), (1.5, 7.5, 2)])
def test_ranges_of_integers(bounds: tuple[float, ...]) -> None:
    check(trine.arange, torch.arange, *bounds, grad=False)
    ours, theirs = trine.arange(*bounds, dtype=trine.int64), torch.arange(*bounds, dtype=torch.int64)
    assert ours.tolist() == theirs.tolist()


def test_outside_data() -> None:
    array = np.arange(3, dtype=np.float32)
    shared = trine.asarray(array)
    array[0] = 7
    assert shared.tolist() == [7, 1, 2]
    assert trine.asarray(array, copy=True).tolist() == [7, 1, 2]
    assert trine.asarray(shared, dtype=trine.int64).dtype is trine.int64
    with pytest.raises(ArgumentError, match="a copy is needed"):
        trine.asarray([1, 2], copy=False)
    assert trine.frombuffer(array.tobytes(), dtype=trine.float32, offset=4).tolist() == [1, 2]
    with pytest.raises(ArgumentError, match="the buffer does not fit"):
        trine.frombuffer(b"abc", dtype=trine.int32)
    check(trine.vander, torch.vander, np.array([1, 2, 3]), 4, True)


def test_moving_and_casting() -> None:
    x = trine.tensor([1.5, 2.5])
    assert x.to("cpu", trine.int64).tolist() == [1, 2]
    assert x.to(x) is x and x.to(trine.float32, False, True) is not x
    assert x.to(memory_format=trine.contiguous_format) is x and x.layout is trine.strided
    with pytest.raises(DTypeError, match="an argument does not fit"):
        x.to(1.5)


def test_complex_sums_of_exponentials() -> None:
    z = np.array([0.3 + 1j, -2.0 - 0.5j, 1.0 + 0.1j])
    check(trine.logsumexp, torch.logsumexp, z, 0)
    check(trine.logaddexp, torch.logaddexp, z, z[::-1].copy())
    check(trine.logcumsumexp, torch.logcumsumexp, z, 0)
    check(trine.float_power, torch.float_power, z.astype(np.complex64), 2)


def test_bytes_stay_bytes() -> None:
    x = np.array([[1, 0], [200, 100]], np.uint8)
    check(trine.all, torch.all, x, 1)
    check(trine.any, torch.any, x)
    check(trine.trapezoid, torch.trapezoid, x, x[::-1].copy())
    check(trine.cumulative_trapezoid, torch.cumulative_trapezoid, x, x)
