"""Every primitive: the native engine against the NumPy reference, over dtypes and shapes."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from oracle_support import array_of, check, leaf

from trine import dtypes
from trine.core import build as b
from trine.core.build_base import make
from trine.core.dtype_rules import Same
from trine.core.graph import Node
from trine.core.primitives import PRIMITIVES
from trine.dtypes import DType

SHAPES = [(), (7,), (3, 5), (0, 4), (2, 1, 19)]
POSITIVE = {"log", "log2", "log10", "sqrt", "rsqrt", "lgamma", "digamma", "pow", "acosh"}
UNIT = {"asin", "acos", "atanh", "erfinv"}
# Special functions whose native code is less exact than the rest; multiples of the usual tolerance.
LOOSE = {"lgamma": 20.0, "digamma": 20.0, "erfinv": 20.0, "tan": 10.0, "pow": 10.0, "sinh": 5.0, "cosh": 5.0}


def accepted(op: str) -> list[DType]:
    rule = PRIMITIVES[op].dtype_rule
    accepts = rule.accepts if isinstance(rule, Same) else "biuf"
    return [d for d in dtypes.ALL if d.code in accepts and not (d.is_complex and not isinstance(rule, Same))]


def values(op: str, dtype: DType, shape: tuple[int, ...], seed: int) -> np.ndarray:
    if dtype.is_floating_point and op in POSITIVE:
        return array_of(dtype, shape, seed, 1.05, 4.0)
    if dtype.is_floating_point and op in UNIT:
        return array_of(dtype, shape, seed, -0.9, 0.9)
    array = array_of(dtype, shape, seed)
    if op in ("shift_left", "shift_right"):
        array = np.abs(array)
    if op in ("floor_div", "remainder", "fmod", "reciprocal", "div") and seed % 2 and dtype is not dtypes.bfloat16:
        array = np.where(array == 0, np.array(1, array.dtype), array).astype(array.dtype)
    return array


@pytest.mark.parametrize("op", [n for n, p in PRIMITIVES.items() if p.family in ("unary", "binary")])
def test_elementwise(op: str) -> None:
    row = PRIMITIVES[op]
    for k, dtype in enumerate(accepted(op)):
        outputs, arrays = [], []
        for shape in SHAPES if k < 4 else SHAPES[1:3]:
            operands = []
            for number in range(row.num_operands or 0):
                small = (1,) * len(shape) if number and len(shape) == 2 else shape
                operands.append(leaf(len(arrays), small, dtype))
                arrays.append(values(op, dtype, small, 2 * len(arrays) + number + zlib.crc32(op.encode()) % 7 * 2))
            outputs.append(make(op, tuple(operands)))
        check(outputs, arrays, tolerance=LOOSE.get(op, 2.0))


@pytest.mark.parametrize("source", dtypes.ALL, ids=lambda d: d.name)
def test_cast(source: DType) -> None:
    x = leaf(0, (3, 11), source)
    targets = [t for t in dtypes.ALL if not (source.is_complex and not t.is_complex) and t.code != "u"]
    check([b.cast(x, t) for t in targets], [array_of(source, (3, 11))])


def test_bitcast_where_and_check_index() -> None:
    x, i = leaf(0, (3, 11)), leaf(1, (4,), dtypes.int64)
    nodes = [b.bitcast(x, dtypes.int32), b.where(b.lt(x, b.const(0.0, dtypes.float32)), x, b.neg(x)), b.check_index(i, 5)]
    check(nodes, [array_of(dtypes.float32, (3, 11)), np.array([0, -1, 4, -5])])


@pytest.mark.parametrize("op", ["sum", "prod", "max", "min"])
def test_reductions(op: str) -> None:
    reduce = getattr(b, op)
    for dtype in accepted(op):
        x = leaf(0, (5, 6, 37), dtype)
        axes = [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)]
        check([reduce(x, a) for a in axes], [array_of(dtype, (5, 6, 37), 1, 0.7, 1.1)], tolerance=20)


@pytest.mark.parametrize("op", ["argmax", "argmin"])
def test_positions_of_extremes(op: str) -> None:
    for dtype in accepted(op):
        x = leaf(0, (5, 6, 37), dtype)
        check([getattr(b, op)(x, a) for a in range(3)], [array_of(dtype, (5, 6, 37), 1)])


def test_empty_reductions() -> None:
    x = leaf(0, (0, 4))
    check([b.sum(x, (0,)), b.sum(x, (0, 1)), b.prod(x, (0,)), b.sum(x, (1,))], [np.zeros((0, 4), np.float32)])


def test_special_values() -> None:
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-42, -1e-42, 3e38, 1.0], np.float32)
    x, y = leaf(0, (9, 1)), leaf(1, (1, 9))
    nodes = [make(op, (x, y)) for op in ("add", "mul", "div", "maximum", "minimum", "lt", "eq", "ne", "copysign", "atan2")]
    nodes += [
        make(op, (x,))
        for op in ("exp", "log", "tanh", "sqrt", "sigmoid", "abs", "neg", "sign", "floor", "isnan", "isinf", "isfinite", "erf")
    ]
    nodes += [b.max(x, (0,)), b.min(x, (0,)), b.argmax(x, 0), b.sum(b.abs(x), (0,))]
    check(nodes, [special.reshape(9, 1), special.reshape(1, 9)])


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=lambda d: d.name)
def test_movement(dtype: DType) -> None:
    x = leaf(0, (3, 4, 5), dtype)
    nodes: list[Node] = [
        *(b.reshape(x, (12, 5)), b.permute(x, (2, 0, 1)), b.expand(x, (2, 3, 4, 5)), b.pad(x, (1, 0, 2), (0, 1, 1), 1)),
        *(b.slice(x, (0, 1, 0), (3, 4, 5), (2, 1, 3)), b.flip(x, (0, 2)), b.reshape(b.permute(x, (1, 0, 2)), (20, 3))),
        *(b.concat([x, b.flip(x, (1,))], 1), b.update(x, b.slice(x, (0, 0, 0), (2, 2, 2)), (0, 1, 0), (2, 1, 2))),
    ]
    check(nodes, [array_of(dtype, (3, 4, 5))])


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64, dtypes.int64, dtypes.bfloat16], ids=lambda d: d.name)
def test_indexing(dtype: DType) -> None:
    x, index = leaf(0, (6, 5), dtype), leaf(1, (2, 3), dtypes.int64)
    value, along = leaf(2, (2, 3, 5), dtype), leaf(3, (3, 5), dtypes.int64)
    box = leaf(4, (3, 5), dtype)
    nodes = [b.take(x, index, 0), b.take_along(x, along, 0)]
    nodes += [b.put(x, index, value, 0, mode) for mode in ("set", "add", "max", "min")]
    nodes += [b.put_along(x, along, box, 0, mode) for mode in ("set", "add", "max", "min")]
    arrays = [array_of(dtype, (6, 5)), np.array([[0, 5, 2], [2, 1, 2]]), array_of(dtype, (2, 3, 5), 1)]
    check(nodes, [*arrays, np.random.default_rng(0).integers(0, 6, (3, 5)), array_of(dtype, (3, 5), 2)])


@pytest.mark.parametrize("op", ["cumsum", "cumprod", "cummax", "cummin"])
def test_scans(op: str) -> None:
    for dtype in (dtypes.float32, dtypes.float64, dtypes.int32):
        x = leaf(0, (4, 9), dtype)
        check([getattr(b, op)(x, axis, reverse) for axis in (0, 1) for reverse in (False, True)], [array_of(dtype, (4, 9))], tolerance=5)


def test_sort() -> None:
    for dtype in (dtypes.float32, dtypes.int64, dtypes.float16):
        x = leaf(0, (4, 9), dtype)
        check([b.argsort(x, axis, descending) for axis in (0, 1) for descending in (False, True)], [array_of(dtype, (4, 9))])


@pytest.mark.parametrize(
    "dtype", [dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16, dtypes.int32, dtypes.complex64], ids=lambda d: d.name
)
def test_products(dtype: DType) -> None:
    a, c, v = leaf(0, (2, 5, 7), dtype), leaf(1, (2, 7, 3), dtype), leaf(2, (1, 7, 1), dtype)
    nodes = [
        b.dot(a, c),
        b.dot(a, v),
        b.dot(b.permute(c, (0, 2, 1)), b.permute(a, (0, 2, 1))),
        b.dot(leaf(3, (1, 0), dtype), leaf(4, (0, 4), dtype)),
    ]
    check(nodes, [array_of(dtype, s, k) for k, s in enumerate([(2, 5, 7), (2, 7, 3), (1, 7, 1), (1, 0), (0, 4)])], tolerance=10)


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64, dtypes.bfloat16, dtypes.int32], ids=lambda d: d.name)
@pytest.mark.parametrize(
    "batch, m, n, k", [((), 5, 7, 3), ((2,), 1, 70, 9), ((), 33, 1, 4), ((2, 3), 4, 5, 6), ((), 1, 1, 8), ((), 3, 4, 0), ((), 70, 65, 2500)]
)
def test_products_and_what_follows(batch: tuple[int, ...], m: int, n: int, k: int, dtype: DType) -> None:
    shapes = [(*batch, m, k), (*batch, k, n), (n,), (*batch, m, n), (*batch, m, 1)]
    a, c, bias, other, column = (leaf(i, shape, dtype) for i, shape in enumerate(shapes))
    z = b.add(b.dot(a, c), bias)
    position = b.cast(b.iota((*batch, m, n), len(batch)), dtype)
    y = b.add(b.where(b.lt(other, column), z, b.mul(other, column)), position)
    padded = b.add(
        b.dot(a, b.mul(c, c)),
        b.pad(b.slice(other, (0,) * len(other.shape), (*batch, m, n - 1)), (0,) * len(other.shape), (*[0] * (len(batch) + 1), 1), 1),
    )
    transposed = b.permute(b.maximum(b.dot(a, b.neg(c)), bias), (*range(len(batch)), len(batch) + 1, len(batch)))
    check([z, y, b.lt(z, other), padded, transposed], [array_of(dtype, s, i, 0.1, 1.0) for i, s in enumerate(shapes)], tolerance=20)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions(rank: int) -> None:
    size, kernel = (9, 8, 7)[:rank], (3, 2, 3)[:rank]
    x, w = leaf(0, (2, 4, *size)), leaf(1, (6, 2, *kernel))
    y = b.conv(x, w, 2, 1, 1, 2)
    gy = leaf(2, y.shape)
    nodes = [y, b.conv_input_grad(gy, w, x.shape, 2, 1, 1, 2), b.conv_weight_grad(x, gy, w.shape, 2, 1, 1, 2)]
    check(nodes, [array_of(dtypes.float32, n.shape, k) for k, n in enumerate((x, w, gy))], tolerance=20)


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64, dtypes.int32], ids=lambda d: d.name)
def test_windows(dtype: DType) -> None:
    x = leaf(0, (2, 3, 9, 8), dtype)
    y = b.window_max(x, 3, 2, 1)
    gy = leaf(1, y.shape, dtype)
    nodes = [
        y,
        b.window_sum(x, 3, 2, 1),
        b.window_argmax(x, 3, 2, 1),
        b.window_max_grad(x, gy, 3, 2, 1),
        b.window_sum_grad(gy, x.shape, 3, 2, 1),
    ]
    check(nodes, [array_of(dtype, n.shape, k) for k, n in enumerate((x, gy))], tolerance=5)


def test_sources() -> None:
    seed, offset = b.scalar(0, dtypes.int64), b.scalar(2, dtypes.int64)
    nodes = [b.const(True, dtypes.bool_), b.const(-0.0, dtypes.float32), b.iota((3, 4), 0), b.random_bits(seed, offset, (5, 13))]
    nodes += [b.cast(b.scalar(1, dtypes.float64), dtypes.float32), seed, b.random_bits(seed, offset, ())]
    check(nodes, [], [12, 0.1, 7, 99.5])
