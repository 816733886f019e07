"""The array API standard: what differs from PyTorch's conventions, against NumPy. The standard's own suite is run beside these tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import trine
from trine import array_api as xp
from trine.errors import ArgumentError, DTypeError, ShapeError

X = np.array([[3.0, -1.5, 0.0], [2.0, 2.0, 7.25]])


def same(found: Any, expected: Any) -> None:
    if isinstance(expected, (tuple, list)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
        return
    expected = np.asarray(expected)
    assert tuple(found.shape) == expected.shape and found.dtype.name == str(expected.dtype)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_names() -> None:
    for name in xp.__all__:
        value = getattr(xp, name)
        assert not callable(value) or (value.__doc__ or "").strip(), name
    assert trine.ones(2).__array_namespace__() is xp and trine.ones(2).__array_namespace__(api_version="2024.12") is xp
    with pytest.raises(ArgumentError, match="no such version"):
        trine.ones(2).__array_namespace__(api_version="1999.01")
    for name in ("astype", "unique_all", "permute_dims", "cumulative_sum"):
        assert getattr(trine, name) is getattr(xp, name)
    with pytest.raises(AttributeError):
        xp.nothing  # noqa: B018


CALLS: list[tuple[str, Callable[[Any, Any], Any]]] = [
    ("max", lambda m, x: m.max(x, axis=1)),
    ("min", lambda m, x: m.min(x, axis=(0, 1), keepdims=True)),
    ("std", lambda m, x: m.std(x, axis=0)),
    ("var", lambda m, x: m.var(x, correction=1)),
    ("sum over nothing", lambda m, x: m.sum(x, axis=())),
    ("sort", lambda m, x: m.sort(x, axis=1)),
    ("argsort", lambda m, x: m.argsort(x, axis=1, stable=True)),
    ("meshgrid", lambda m, x: m.meshgrid(x[0], x[:, 0])),
    ("take", lambda m, x: m.take(x, m.asarray([2, 0]), axis=1)),
    ("take_along_axis", lambda m, x: m.take_along_axis(x, m.asarray([[1], [2]]), axis=1)),
    ("cumulative_sum", lambda m, x: m.cumulative_sum(x, axis=1, include_initial=True)),
    ("cumulative_prod", lambda m, x: m.cumulative_prod(x[0])),
    ("repeat", lambda m, x: m.repeat(x, 2, axis=0)),
    ("roll", lambda m, x: m.roll(x, 1)),
    ("tile", lambda m, x: m.tile(x, (2, 1))),
    ("flip", lambda m, x: m.flip(x)),
    ("expand_dims", lambda m, x: m.expand_dims(x, axis=-1)),
    ("squeeze", lambda m, x: m.squeeze(m.expand_dims(x, axis=0), axis=0)),
    ("moveaxis", lambda m, x: m.moveaxis(x, 0, 1)),
    ("unstack", lambda m, x: m.unstack(x, axis=1)),
    ("concat", lambda m, x: m.concat([x, x], axis=None)),
    ("clip", lambda m, x: m.clip(x, -1, 2)),
    ("count_nonzero", lambda m, x: m.count_nonzero(x, axis=1)),
    ("diff", lambda m, x: m.diff(x, axis=0)),
    ("searchsorted", lambda m, x: m.searchsorted(x[0], m.asarray([0.5, 3.0], dtype=m.float64), sorter=m.asarray([1, 2, 0]))),
    ("linspace", lambda m, x: m.linspace(1.0, 3.0, 4, dtype=m.float64, endpoint=False)),
    ("eye", lambda m, x: m.eye(2, 3, k=1, dtype=m.float64)),
    ("vecdot", lambda m, x: m.vecdot(x, x)),
    ("tensordot", lambda m, x: m.tensordot(x, x, axes=((1,), (1,)))),
    ("matrix_transpose", lambda m, x: m.matrix_transpose(x)),
    ("unique_all", lambda m, x: tuple(m.unique_all(x))),
    ("unique_counts", lambda m, x: tuple(m.unique_counts(x))),
    ("unique_inverse", lambda m, x: tuple(m.unique_inverse(x))),
    ("nonzero", lambda m, x: m.nonzero(x)),
    ("add", lambda m, x: m.add(2.5, x)),
    ("bitwise_invert", lambda m, x: m.bitwise_invert(m.asarray([1, 2]))),
    ("isdtype", lambda m, x: m.asarray(m.isdtype(x.dtype, ("integral", "real floating")))),
    ("norm", lambda m, x: m.linalg.vector_norm(x, axis=1, ord=1)),
    ("trace", lambda m, x: m.linalg.trace(x, offset=1)),
    ("outer", lambda m, x: m.linalg.outer(x[0], x[1])),
    ("cross", lambda m, x: m.linalg.cross(x, x + 1)),
]


@pytest.mark.parametrize("call", [c for _, c in CALLS], ids=[n for n, _ in CALLS])
def test_as_numpy(call: Callable[[Any, Any], Any]) -> None:
    same(call(xp, xp.asarray(X)), call(np, X))


def test_factorizations() -> None:
    a = xp.asarray(X @ X.T)
    same(xp.linalg.qr(a).Q @ xp.linalg.qr(a).R, X @ X.T)
    u, s, vh = xp.linalg.svd(a)
    same((u * s) @ vh, X @ X.T)
    values, vectors = xp.linalg.eigh(a)
    same((vectors * values) @ vectors.mT, X @ X.T)
    same(a @ xp.linalg.solve(a, xp.asarray([1.0, 2.0], dtype=xp.float64)), np.array([1.0, 2.0]))
    sign, logarithm = xp.linalg.slogdet(a)
    same(sign * xp.exp(logarithm), np.linalg.det(X @ X.T))
    same(xp.linalg.cholesky(a, upper=True).mT @ xp.linalg.cholesky(a, upper=True), X @ X.T)


@pytest.mark.parametrize("first", ["uint8", "uint16", "uint32", "uint64", "int8", "int32", "int64"])
@pytest.mark.parametrize("second", ["uint16", "uint32", "uint64", "float32"])
def test_unsigned_integers_combine(first: str, second: str) -> None:
    a, b = getattr(xp, first), getattr(xp, second)
    if "uint64" in (first, second) and (first.startswith("int") or second.startswith("int")):
        with pytest.raises(DTypeError, match="no common dtype"):
            xp.result_type(a, b)
        return
    expected = second if second == "float32" else str(np.promote_types(first, second))
    assert xp.result_type(a, b).name == expected
    assert xp.add(xp.ones((2,), dtype=a), xp.asarray(1, dtype=b)).dtype.name == expected


def test_unsigned_sums_and_limits() -> None:
    for name in ("uint8", "uint16", "uint32", "uint64"):
        x = xp.asarray([1, 2], dtype=getattr(xp, name))
        assert xp.sum(x).dtype is xp.uint64 and int(xp.prod(x)) == 2
        assert xp.clip(x, -5, 10**30).dtype is x.dtype
    assert int(xp.full((), 2**64 - 1, dtype=xp.uint64)) == 2**64 - 1
    assert xp.iinfo(xp.uint16).dtype is xp.uint16 and xp.finfo(xp.complex64).dtype is xp.float32


def test_special_values() -> None:
    inf = float("inf")
    same(xp.floor_divide(xp.asarray([inf, 1.0], dtype=xp.float64), xp.asarray([2.0, -inf], dtype=xp.float64)), [inf, -0.0])
    same(xp.sign(xp.asarray([float("nan"), -2.0], dtype=xp.float64)), [float("nan"), -1.0])
    same(xp.expm1(xp.asarray([complex(-inf, inf), 1j], dtype=xp.complex128)), [-1 + 0j, np.expm1(1j)])
    same(xp.tanh(xp.asarray([complex(inf, 1)], dtype=xp.complex128)), [1 + 0j])
    same(xp.round(xp.asarray([1.5 + 2.5j], dtype=xp.complex128)), [2 + 2j])


def test_complex_numbers_keep_their_digits() -> None:
    value = 1 + 1e-12j
    x = trine.tensor([1.0], dtype=trine.complex128)
    assert (x * value).item() == value and trine.full((1,), value, dtype=trine.complex128).item() == value
    assert (trine.ones(2) * 1j).dtype is trine.complex64 and (trine.tensor(1) * 1j).dtype is trine.complex64
    assert (trine.ones(2, dtype=trine.float64) * 1j).dtype is trine.complex128


def test_dtypes_and_devices() -> None:
    info = xp.__array_namespace_info__()
    assert info.default_dtypes()["indexing"] is xp.int64 and info.devices() == [info.default_device()]
    assert set(info.dtypes(kind="complex floating")) == {"complex64", "complex128"}
    assert xp.can_cast(xp.int32, xp.float64) and not xp.can_cast(xp.float64, xp.float32)
    x = xp.ones((2,))
    assert xp.astype(x, xp.float32, copy=False) is x and x.to_device("cpu") is x
    for bad in (lambda: xp.isdtype(xp.int8, "anything"), lambda: x.to_device("moon"), lambda: xp.squeeze(x, 0), lambda: xp.nonzero(x[0])):
        with pytest.raises(ArgumentError):
            bad()
    with pytest.raises(DTypeError):
        xp.astype(xp.asarray([1j]), xp.float32)
    with pytest.raises(ShapeError):
        xp.matrix_transpose(x)
    with pytest.raises(ArgumentError):
        x.__dlpack__(stream=1)
