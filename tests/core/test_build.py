from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

from trine import dtypes
from trine.core import build
from trine.core.graph import context, format_graph
from trine.core.primitives import PRIMITIVES
from trine.core.reference import REFERENCE
from trine.dtypes import bool_, complex64, float32, float64, int32, int64, uint8
from trine.errors import ArgumentError, AxisError, DTypeError, ShapeError, TrineError


def node(shape=(2, 3), dtype=float32, requires_grad=False, position=0):
    return build.input(position, shape, dtype, requires_grad)


def test_each_primitive_has_a_builder_and_a_reference():
    assert all(callable(getattr(build, name)) for name in PRIMITIVES)
    assert set(REFERENCE) == set(PRIMITIVES) - {"input", "scalar"}
    assert all(PRIMITIVES[name].reference is REFERENCE[name] for name in REFERENCE)
    assert set(build.__all__) == {n for n, v in vars(build).items() if inspect.isroutine(v)}


@pytest.mark.parametrize("name", [n for n, row in PRIMITIVES.items() if row.family == "binary"])
def test_binary(name):
    dtype = int32 if name.startswith(("bitwise", "shift")) else float32
    builder = getattr(build, name)
    result = builder(node((2, 1, 3), dtype), node((4, 3), dtype))
    assert result.op == name and result.shape == (2, 4, 3)
    assert result.dtype is (bool_ if name in ("eq", "ne", "lt", "le", "gt", "ge") else dtype)
    assert builder(node((), dtype), node((0, 2), dtype)).shape == (0, 2)
    with pytest.raises(ShapeError, match=f"{name}: shapes do not broadcast"):
        builder(node((2,), dtype), node((3,), dtype))
    with pytest.raises(DTypeError, match=f"{name}: operands have different dtypes"):
        builder(node((2,), dtype), node((2,), int64))


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("add", bool_),
        ("div", int64),
        ("lt", complex64),
        ("maximum", complex64),
        ("bitwise_and", float32),
        ("atan2", complex64),
        ("shift_left", bool_),
    ],
)
def test_dtypes_that_a_binary_refuses(name, bad):
    with pytest.raises(DTypeError, match=f"{name}: not defined for {bad.name}"):
        getattr(build, name)(node(dtype=bad), node(dtype=bad))


@pytest.mark.parametrize("name", ["sqrt", "exp", "erf", "sigmoid", "neg", "abs", "floor", "sign", "logical_not", "isnan", "lgamma"])
def test_unary(name):
    result = getattr(build, name)(node())
    assert result.shape == (2, 3) and result.dtype is (bool_ if name in ("logical_not", "isnan") else float32)
    if name not in ("logical_not", "isnan"):
        with pytest.raises(DTypeError, match=f"{name}: not defined for bool"):
            getattr(build, name)(node(dtype=bool_))


def test_unary_of_other_kinds():
    assert build.abs(node(dtype=complex64)).dtype is float32
    assert build.real(node(dtype=complex64)).dtype is float32
    integers = node(dtype=int64)
    assert build.floor(integers) is integers and build.conj(integers) is integers
    assert build.abs(unsigned := node(dtype=uint8)) is unsigned
    assert build.logical_not(integers).op == "eq"
    assert build.bitwise_not(node(dtype=bool_)).op == "logical_not"
    assert build.isfinite(integers).dtype is bool_ and build.isfinite(integers).shape == (2, 3)


def test_requires_grad():
    x, y = node(requires_grad=True), node()
    assert build.add(y, x).requires_grad and build.exp(x).requires_grad and build.sum(x).requires_grad
    assert build.where(node(dtype=bool_), y, x).requires_grad and build.reshape(x, (6,)).requires_grad
    for stopped in (build.add(y, y), build.lt(x, y), build.stop_gradient(x), build.argmax(x, 0), build.cast(x, int64), build.isnan(x)):
        assert not stopped.requires_grad
    assert build.floor(x).requires_grad and build.cast(x, float64).requires_grad
    context.grad_enabled = False
    try:
        assert not build.add(x, x).requires_grad and not build.dot(x, build.permute(x, (1, 0))).requires_grad
    finally:
        del context.grad_enabled


def test_source():
    context.source = "train.py:3 in step"
    try:
        assert build.add(node(), node()).source == "train.py:3 in step"
    finally:
        del context.source
    assert build.add(node(), node()).source is None


def test_what_changes_nothing_returns_the_operand():
    x = node()
    same = [
        *(build.reshape(x, (2, 3)), build.reshape(x, [2, -1]), build.permute(x, (0, -1)), build.expand(x, (2, 3)), build.cast(x, float32)),
        *(build.slice(x, (0, 0), (2, 3)), build.pad(x, (0, 0), (0, 0)), build.flip(x, ()), build.concat([x], 0), build.sum(x, ())),
        *(build.bitcast(x, float32), build.stop_gradient(x), build.sum_to(x, (2, 3)), build.update(node(), x, (0, 0))),
        build.update(x, node((0, 3)), (0, 0)),
    ]
    assert all(result is x for result in same)


def test_const_is_canonical():
    assert build.const(0.1, float32).attrs == (float(np.float32(0.1)),)
    assert build.const(0.1, float64).attrs == (0.1,)
    assert build.const(1, bool_).attrs[0] is True and type(build.const(2.0, int64).attrs[0]) is int
    assert build.const(1e300, float32).attrs == (math.inf,) and build.const(True, float32).attrs == (1.0,)
    assert math.copysign(1, build.const(-0.0, float32).attrs[0]) == -1
    assert build.const(2049, dtypes.float16).attrs == (2048.0,) and build.const(257, dtypes.bfloat16).attrs == (256.0,)
    assert build.const(1, complex64).attrs == (1 + 0j,)
    for value, dtype, error in [
        (0.5, int64, DTypeError),
        (math.nan, int64, DTypeError),
        (256, uint8, ArgumentError),
        (1j, float32, DTypeError),
    ]:
        with pytest.raises(error, match="const"):
            build.const(value, dtype)


def test_slice_is_canonical():
    x = node((10, 4))
    assert build.slice(x, (1, 0), (8, 4), (3, 1)).attrs == ((1, 0), (8, 4), (3, 1))
    assert build.slice(x, (1, 0), (10, 4), (3, 1)).attrs == ((1, 0), (8, 4), (3, 1))
    assert build.slice(x, (1, 0), (2, 4), (3, 1)).attrs == ((1, 0), (2, 4), (1, 1))
    assert build.slice(x, (5, 0), (2, 4)).attrs == ((0, 0), (0, 4), (1, 1))
    with pytest.raises(ShapeError, match="out of range"):
        build.slice(x, (0, 0), (11, 4))
    with pytest.raises(ShapeError, match="number of bounds"):
        build.slice(x, (0,), (1,))


def test_reductions_keep_axes():
    x = node((2, 3, 4))
    assert build.sum(x).shape == (1, 1, 1) and build.sum(x).attrs == ((0, 1, 2),)
    assert build.max(x, (-1, 0)).shape == (1, 3, 1) and build.max(x, (-1, 0)).attrs == ((0, 2),)
    assert build.argmax(x, -1).shape == (2, 3, 1) and build.argmax(x, -1).dtype is int64
    assert build.sum(node((0, 3)), 0).shape == (1, 3)
    with pytest.raises(ShapeError, match="max: a reduced axis is empty"):
        build.max(node((0, 3)), 0)
    assert build.max(node((0, 3)), 1).shape == (0, 1)
    with pytest.raises(DTypeError, match="sum: not defined for bool"):
        build.sum(node(dtype=bool_))
    with pytest.raises(AxisError, match="sum: an axis stands twice"):
        build.sum(x, (0, -3))


def test_sum_to_inverts_broadcasting():
    assert build.sum_to(node((5, 2, 3)), (2, 1)).shape == (2, 1)
    assert build.sum_to(node((5, 2, 3)), ()).shape == ()
    with pytest.raises(ShapeError, match="sum_to"):
        build.sum_to(node((2, 3)), (3, 3))


def test_squeeze_and_unsqueeze():
    x = node((1, 2, 1, 3))
    assert build.squeeze(x).shape == (2, 3) and build.squeeze(x, -2).shape == (1, 2, 3)
    assert build.unsqueeze(x, (0, -1)).shape == (1, 1, 2, 1, 3, 1)
    assert build.transpose(x).shape == (1, 2, 3, 1) and build.broadcast_shapes((2, 1), (3,)) == (2, 3)
    with pytest.raises(ShapeError, match="squeeze"):
        build.squeeze(x, 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: build.full(0, (1 << 40, 1 << 40), float32),
        lambda: build.input(0, (1 << 62,), float64),
        lambda: build.add(node((1 << 40, 1)), node((1 << 40,))),
        lambda: build.dot(node((1 << 32, 1)), node((1, 1 << 32))),
        lambda: build.iota((1 << 61,), 0),
        lambda: build.pad(node((1 << 40, 1 << 10)), (0, 1 << 22), (0, 0)),
        lambda: build.concat([node((1 << 59,))] * 9, 0),
    ],
)
def test_sizes_that_overflow(make):
    with pytest.raises(ShapeError, match="too large"):
        make()


INDEX = {"dtype": int64}
BAD_CALLS = {
    "dot: shapes do not contract": lambda: build.dot(node((2, 3)), node((4, 2))),
    "dot: shapes do not broadcast": lambda: build.dot(node((2, 2, 3)), node((3, 3, 2))),
    "where: the condition is not bool": lambda: build.where(node(), node(), node()),
    "take: an index must be an integer": lambda: build.take(node(), node(), 0),
    "take: axis out of range": lambda: build.take(node(), node(**INDEX), 2),
    "take_along: the index does not fit": lambda: build.take_along(node(), node((3, 3), **INDEX), 1),
    "put: the value has the wrong shape": lambda: build.put(node(), node((4,), **INDEX), node((3, 3)), 0),
    "put: no such mode": lambda: build.put(node(), node((4,), **INDEX), node((4, 3)), 0, "median"),
    "put with mode add: not defined for bool": lambda: build.put(node(dtype=bool_), node((4,), **INDEX), node((4, 3), bool_), 0, "add"),
    "concat: shapes differ": lambda: build.concat([node((2, 3)), node((2, 4))], 0),
    "concat: no operands": lambda: build.concat([], 0),
    "update: the box": lambda: build.update(node((4, 4)), node((2, 2)), (3, 0)),
    "pad: wrong amounts": lambda: build.pad(node(), (1,), (1,)),
    "expand: the shape does not expand": lambda: build.expand(node(), (4, 3)),
    "permute: not a permutation": lambda: build.permute(node(), (0, 0)),
    "reshape: the number of elements": lambda: build.reshape(node(), (7,)),
    "bitcast: element sizes differ": lambda: build.bitcast(node(), float64),
    "scalar: wrong dtype": lambda: build.scalar(0, float32),
    "cast: not a dtype": lambda: build.cast(node(), "float32"),
    "conv: channels": lambda: build.conv(node((1, 3, 8)), node((4, 2, 3))),
    "conv: the window is larger": lambda: build.conv(node((1, 2, 2)), node((4, 2, 3))),
    "conv: impossible window": lambda: build.conv(node((1, 2, 5)), node((4, 2, 3)), stride=0),
    "conv: wrong number of values": lambda: build.conv(node((1, 2, 5)), node((4, 2, 3)), stride=(1, 1)),
    "conv_input_grad: gy": lambda: build.conv_input_grad(node((1, 4, 9)), node((4, 2, 3)), (1, 2, 5)),
    "window_max: too few axes": lambda: build.window_max(node((2, 3)), (), ()),
    "add: an operand is not a node": lambda: build.make("add", (node(), 1.0)),
    "add: wrong number of operands": lambda: build.make("add", (node(),)),
    "random_bits: seed": lambda: build.random_bits(node(), node(), (2,)),
}


@pytest.mark.parametrize("text", BAD_CALLS)
def test_errors(text):
    with pytest.raises(TrineError) as caught:
        BAD_CALLS[text]()
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(text)
    assert any(line.startswith("  received:") for line in lines) and any(line.startswith("  expected:") for line in lines)


def test_rules_agree_with_the_fast_builders():
    x = node((2, 1, 4))
    for made in (build.add(x, node((3, 1))), build.exp(x), build.sum(x, 2), build.where(node((4,), bool_), x, x), build.cast(x, int64)):
        again = build.make(made.op, made.inputs, made.attrs)
        assert (again.shape, again.dtype, again.attrs) == (made.shape, made.dtype, made.attrs)


def test_text_of_a_graph():
    x = node((2, 3))
    assert format_graph([build.sum(build.mul(x, x), 1)]) == (
        "%0 = input() 0 : float32[2, 3]\n%1 = mul(%0, %0) : float32[2, 3]\n%2 = sum(%1) (1,) : float32[2, 1]\nreturn %2"
    )
