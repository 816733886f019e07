"""Every gradient rule against central differences in float64, second order included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trine import dtypes
from trine.autograd.differences import gradcheck
from trine.autograd.rules import RULES
from trine.core import build as b
from trine.core.primitives import PRIMITIVES

RNG = np.random.default_rng(7)


def between(low: float, high: float, *shape: int) -> np.ndarray:
    return RNG.uniform(low, high, shape)


def apart(*shape: int) -> np.ndarray:
    """Distinct values at least 0.1 apart, so that no comparison changes under a small step."""
    count = int(np.prod(shape))
    return (RNG.permutation(count) * 0.1 - count * 0.05 + 0.013).reshape(shape)


UNARY_DOMAINS = {
    "sqrt": (0.2, 3),
    "rsqrt": (0.2, 3),
    "log": (0.2, 3),
    "log2": (0.2, 3),
    "log10": (0.2, 3),
    "log1p": (-0.5, 3),
    "asin": (-0.9, 0.9),
    "acos": (-0.9, 0.9),
    "atanh": (-0.9, 0.9),
    "erfinv": (-0.9, 0.9),
    "acosh": (1.2, 3),
    "lgamma": (0.3, 4),
    "digamma": (0.3, 4),
    "reciprocal": (0.3, 2),
    "abs": (0.3, 2),
}
UNARY = """neg abs sign floor ceil trunc round sqrt rsqrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh
asinh acosh atanh erf erfc erfinv lgamma digamma reciprocal sigmoid""".split()


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    low, high = UNARY_DOMAINS.get(name, (-1.4, 1.4))
    second_order = name not in ("sign", "floor", "ceil", "trunc", "round")
    gradcheck(getattr(b, name), between(low, high, 2, 3), second_order=second_order, atol=2e-6)
    gradcheck(getattr(b, name), between(low, high))


def test_digamma_below_one_half() -> None:
    gradcheck(b.digamma, np.array([-1.3, -0.4, 0.2]), rtol=1e-4)


BINARY_CASES = {
    "add": ((-1, 1), (-1, 1)),
    "sub": ((-1, 1), (-1, 1)),
    "mul": ((-1, 1), (-1, 1)),
    "div": ((-1, 1), (0.5, 2)),
    "floor_div": ((0.1, 0.4), (0.5, 0.9)),
    "remainder": ((2.1, 2.3), (1.5, 1.9)),
    "fmod": ((-2.3, -2.1), (1.5, 1.9)),
    "pow": ((0.5, 2), (-2, 2)),
    "atan2": ((0.5, 2), (-2, 2)),
    "copysign": ((0.5, 2), (-2, -1)),
}


@pytest.mark.parametrize("name", BINARY_CASES)
@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 2)), ((1,), ())])
def test_binary(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    first, second = BINARY_CASES[name]
    gradcheck(getattr(b, name), between(*first, *shapes[0]), between(*second, *shapes[1]), second_order=shapes[0] == (2, 1))


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_extrema(name: str) -> None:
    values = apart(2, 2, 3)
    gradcheck(getattr(b, name), values[0], values[1], second_order=True)
    gradcheck(getattr(b, name), values[0], values[1][:1])


def test_where_broadcasts() -> None:
    condition = np.array([[True], [False]])
    gradcheck(b.where, condition, between(-1, 1, 3), between(-1, 1), second_order=True)


def test_cast_chain() -> None:
    gradcheck(lambda x: b.cast(b.mul(b.cast(x, dtypes.float64), x), dtypes.float64), between(-1, 1, 3))


AXES = [(0,), (1,), (0, 2), (0, 1, 2)]


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
def test_reductions(name: str, axes: tuple[int, ...]) -> None:
    reduce = getattr(b, name)
    gradcheck(lambda x: reduce(x, axes), apart(2, 3, 2), second_order=True)


def test_prod_with_zeros() -> None:
    one_zero, two_zeros = np.array([2.0, 0.0, -3.0]), np.array([0.0, 5.0, 0.0])
    for point in (one_zero, two_zeros):
        gradcheck(lambda x: b.prod(x, (0,)), point, second_order=True)


def test_reductions_of_nothing() -> None:
    for name in ("sum", "prod"):
        gradcheck(lambda x, name=name: getattr(b, name)(x, (1,)), np.zeros((2, 0)))


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "cummax", "cummin"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
def test_scans(name: str, reverse: bool, axis: int) -> None:
    scan = getattr(b, name)
    gradcheck(lambda x: scan(x, axis, reverse), apart(3, 4), second_order=True)


@pytest.mark.parametrize("reverse", [False, True])
def test_cumprod_with_zeros(reverse: bool) -> None:
    for point in ([2.0, 0.0, 3.0, -1.5], [2.0, 0.0, 3.0, 0.0], [0.0, 2.0, 0.5, 1.0]):
        gradcheck(lambda x: b.cumprod(x, 0, reverse), np.array(point))


MOVEMENTS = {
    "reshape": lambda x: b.reshape(x, (3, 4)),
    "permute": lambda x: b.permute(x, (2, 0, 1)),
    "expand": lambda x: b.expand(b.reshape(x, (1, 2, 1, 3, 2)), (2, 2, 3, 3, 2)),
    "expand leading": lambda x: b.expand(x, (4, 2, 3, 2)),
    "pad": lambda x: b.pad(x, (1, 0, 2), (0, 1, 1), 5),
    "slice": lambda x: b.slice(x, (0, 1, 0), (2, 3, 1), (1, 1, 1)),
    "strided slice": lambda x: b.slice(x, (1, 0, 0), (2, 3, 2), (1, 2, 1)),
    "empty slice": lambda x: b.slice(x, (1, 1, 0), (2, 1, 2), (1, 1, 1)),
    "flip": lambda x: b.flip(x, (0, 2)),
}


@pytest.mark.parametrize("name", MOVEMENTS)
def test_movement(name: str) -> None:
    gradcheck(lambda x: MOVEMENTS[name](b.mul(x, x)), between(-1, 1, 2, 3, 2), second_order=name != "empty slice")


def test_concat_and_update() -> None:
    gradcheck(
        lambda x, y: b.mul(b.concat([x, y, x], 1), b.concat([y, x, x], 1)), between(-1, 1, 2, 2), between(-1, 1, 2, 2), second_order=True
    )
    gradcheck(
        lambda x, y: b.update(b.mul(x, x), b.mul(y, y), (1, 0), (2, 1)), between(-1, 1, 4, 3), between(-1, 1, 2, 2), second_order=True
    )


INDEX = np.array([[2, 0], [1, 2]])


def test_take_and_put() -> None:
    x = between(-1, 1, 2, 3, 2)
    gradcheck(lambda x, i: b.take(b.mul(x, x), i, 1), x, INDEX, second_order=True)
    value = between(-1, 1, 2, 2, 2, 2)
    gradcheck(lambda x, i, v: b.put(b.mul(x, x), i, b.mul(v, v), 1, "add"), x, INDEX, value, second_order=True)
    distinct = np.array([2, 0])
    gradcheck(lambda x, i, v: b.put(b.mul(x, x), i, b.mul(v, v), 1, "set"), x, distinct, between(-1, 1, 2, 2, 2), second_order=True)


@pytest.mark.parametrize("mode", ["add", "max", "min"])
def test_take_along_and_put_along(mode: str) -> None:
    x = apart(3, 2)
    index = np.array([[2, 0], [1, 2], [0, 0], [1, 1]])
    gradcheck(lambda x, i: b.take_along(b.mul(x, x), i, 0), x, index, second_order=True)
    gradcheck(lambda x, i, v: b.put_along(x, i, v, 0, mode), x, index, apart(4, 2) + 0.031, second_order=True)
    gradcheck(lambda x, i, v: b.put(x, i, v, 0, mode), x, np.array([1, 1, 0]), apart(3, 2) + 0.031)


@pytest.mark.parametrize(
    "shapes", [((2, 3), (3, 4)), ((2, 2, 3), (2, 3, 2)), ((2, 2, 3), (1, 3, 2)), ((1, 2, 3), (2, 3, 1)), ((2, 1, 2, 3), (1, 2, 3, 2))]
)
def test_dot(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    gradcheck(b.dot, between(-1, 1, *shapes[0]), between(-1, 1, *shapes[1]), second_order=True)


CONVOLUTIONS = [
    ((1, 2, 5), (2, 2, 3), (1,), ((1, 1),), (1,), 1),
    ((2, 2, 5), (2, 1, 2), (2,), ((0, 1),), (2,), 2),
    ((1, 2, 4, 3), (2, 2, 2, 2), (2, 1), ((1, 0), (0, 1)), (1, 2), 1),
    ((1, 1, 3, 3, 2), (1, 1, 2, 2, 2), (1, 2, 1), ((0, 0), (1, 1), (0, 1)), (1, 1, 1), 1),
]


@pytest.mark.parametrize("x,w,stride,padding,dilation,groups", CONVOLUTIONS)
def test_convolutions(x, w, stride, padding, dilation, groups) -> None:  # type: ignore[no-untyped-def]
    window = (stride, padding, dilation, groups)
    image, kernel = between(-1, 1, *x), between(-1, 1, *w)
    gradcheck(lambda x, w: b.conv(x, w, *window), image, kernel, second_order=len(x) == 3)
    output = b.conv(b.input(0, x, dtypes.float64), b.input(1, w, dtypes.float64), *window).shape
    gy = between(-1, 1, *output)
    gradcheck(lambda gy, w: b.conv_input_grad(gy, w, x, *window), gy, kernel, second_order=len(x) == 3)
    gradcheck(lambda x, gy: b.conv_weight_grad(x, gy, w, *window), image, gy, second_order=len(x) == 3)


WINDOWS = [((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)), ((3, 2), (1, 2), ((1, 1), (0, 1)), (1, 2))]


@pytest.mark.parametrize("window", WINDOWS)
def test_windows(window) -> None:  # type: ignore[no-untyped-def]
    x = apart(1, 2, 5, 5)
    gradcheck(lambda x: b.window_max(x, *window), x)
    gradcheck(lambda x: b.window_sum(b.mul(x, x), *window), x)
    output = b.window_max(b.input(0, x.shape, dtypes.float64), *window).shape
    gy = between(-1, 1, *output)
    gradcheck(lambda x, gy: b.window_max_grad(x, b.mul(gy, gy), *window), x, gy)
    gradcheck(lambda gy: b.window_sum_grad(b.mul(gy, gy), x.shape, *window), gy)


def test_second_order_through_max_pooling() -> None:
    gradcheck(lambda x: b.window_max(b.mul(x, x), (2,), (1,), ((0, 0),), (1,)), apart(1, 1, 4), second_order=True)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data())
def test_random_expressions_with_broadcasting(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 3), max_size=3)))
    other = tuple(data.draw(st.sampled_from([1, size])) for size in shape)[data.draw(st.integers(0, len(shape))) :]
    function = data.draw(st.sampled_from([b.add, b.sub, b.mul, b.div, b.pow]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    x, y = rng.uniform(0.5, 2, shape), rng.uniform(0.5, 2, other)
    gradcheck(lambda x, y: b.sigmoid(function(b.exp(y), function(x, y))), x, y)


@pytest.mark.parametrize("causal", [False, True])
def test_attention(causal: bool) -> None:
    rng = np.random.default_rng(0)
    q, k, v, mask = (rng.standard_normal(shape) for shape in ((2, 2, 4, 3), (2, 1, 5, 3), (2, 2, 5, 2), (1, 1, 4, 5)))
    gradcheck(lambda *x: b.attention(*x, 0.7, causal, 1), q, k, v, mask)
    gradcheck(lambda *x: b.attention(*x, None, 0.7, causal, 1), q, k, v)


def test_every_differentiable_primitive_has_a_rule() -> None:
    sources = {"input", "scalar", "const", "iota", "random_bits"}
    exact = {"eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "logical_not", "bitwise_not", "argmax", "argmin", "argsort"}
    integer = {"bitwise_and", "bitwise_or", "bitwise_xor", "shift_left", "shift_right", "window_argmax"}
    without = {name for name, row in PRIMITIVES.items() if row.family == "linalg" and not row.is_differentiable}
    assert set(PRIMITIVES) - sources - exact - integer - without == set(RULES)
