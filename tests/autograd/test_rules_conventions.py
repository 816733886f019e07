"""Where a gradient is a matter of convention (ties, edges, zeros, NaN, complex numbers), the rules follow PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trine import dtypes
from trine.autograd.gradient import Override, gradient, residuals
from trine.core import build as b
from trine.core.graph import Node, topological_order
from trine.core.interpreter import evaluate
from trine.errors import GradientError

torch = pytest.importorskip("torch")
NAN, INF = float("nan"), float("inf")


def compare(function: Callable[..., Node], reference: Callable[..., Any], *arrays: np.ndarray) -> None:
    """Check the gradients of the sum against PyTorch's."""
    nodes = [b.input(k, a.shape, dtypes.from_numpy(a.dtype), a.dtype.kind in "fc") for k, a in enumerate(arrays)]
    output = function(*nodes)
    found = gradient([output], [b.full(1, output.shape, output.dtype)], nodes)
    values = evaluate([g for g in found if g is not None], list(arrays))
    operands = [torch.tensor(a, requires_grad=a.dtype.kind in "fc") for a in arrays]
    result = reference(*operands)
    result.backward(torch.ones_like(result))
    expected = [operand.grad.numpy() for operand in operands if operand.grad is not None]
    assert len(values) == len(expected)
    for value, want in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-9, atol=1e-12)


def test_ties_of_maximum_and_minimum() -> None:
    x, y = np.array([1.0, 2.0, 3.0, NAN, 0.0]), np.array([1.0, 3.0, 2.0, 1.0, -0.0])
    compare(b.maximum, torch.maximum, x, y)
    compare(b.minimum, torch.minimum, x, y)


def test_ties_of_reductions() -> None:
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    compare(lambda x: b.max(x, (1,)), lambda x: x.amax(1), x)
    compare(lambda x: b.min(x, (0, 1)), lambda x: x.amin((0, 1)), x)


@pytest.mark.parametrize(
    "name", ["abs", "sqrt", "sign", "log", "reciprocal", "rsqrt", "floor", "round", "asin", "acosh", "atanh", "erfinv", "sigmoid"]
)
def test_edges_of_unary_functions(name: str) -> None:
    points = [0.0, 1.0, -1.0, INF] + [NAN] * (name != "abs")  # NaN in, NaN out, where PyTorch says 0
    with np.errstate(all="ignore"):
        compare(getattr(b, name), getattr(torch, name), np.array(points))


def test_power_at_zero() -> None:
    base = np.array([0.0, 0.0, 0.0, 2.0, -2.0, 0.0])
    exponent = np.array([0.0, 1.0, 2.0, 0.0, 3.0, -1.0])
    with np.errstate(all="ignore"):
        compare(b.pow, torch.pow, base, exponent)


def test_products_with_zeros() -> None:
    for point in ([2.0, 0.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 3.0]):
        compare(lambda x: b.prod(x, (0,)), lambda x: x.prod(), np.array(point))
        compare(lambda x: b.cumprod(x, 0), lambda x: x.cumprod(0), np.array(point))


def test_running_extrema_with_ties_and_nan() -> None:
    x = np.array([1.0, 3.0, 3.0, 2.0, NAN, 5.0])
    compare(lambda x: b.cummax(x, 0), lambda x: x.cummax(0).values, x)
    compare(lambda x: b.cummin(x, 0), lambda x: x.cummin(0).values, x)


def test_copysign_remainder_and_fmod() -> None:
    x, y = np.array([0.0, -2.0, 5.5, -5.5]), np.array([-1.0, -0.0, 2.0, 2.0])
    compare(b.copysign, torch.copysign, x, y)
    divisor = np.array([1.0, 3.0, 2.0, 2.0])
    compare(b.remainder, torch.remainder, x, divisor)
    compare(b.fmod, torch.fmod, x, divisor)


def test_max_pooling_takes_the_first_of_equal_elements() -> None:
    x = np.array([[[1.0, 1.0, 0.0, 2.0, 2.0, 2.0]]])
    compare(lambda x: b.window_max(x, (3,), (3,)), lambda x: torch.nn.functional.max_pool1d(x, 3), x)


def test_scatter_extrema_share_among_ties() -> None:
    x, value = np.array([1.0, 5.0, 2.0]), np.array([1.0, 1.0, 7.0, 2.0])
    index = np.array([0, 0, 1, 2])
    compare(
        lambda x, i, v: b.put_along(x, i, v, 0, "max"),
        lambda x, i, v: torch.scatter_reduce(x, 0, i, v, "amax", include_self=True),
        x,
        index,
        value,
    )


COMPLEX = np.array([1 + 2j, -0.5 + 0.25j, 2 - 1j])


@pytest.mark.parametrize("name", ["exp", "log", "sin", "cos", "tanh", "sqrt", "reciprocal", "sigmoid", "conj", "sinh", "cosh", "neg"])
def test_complex_unary(name: str) -> None:
    reference = torch.conj_physical if name == "conj" else getattr(torch, name)
    compare(getattr(b, name), reference, COMPLEX)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow"])
def test_complex_binary(name: str) -> None:
    compare(getattr(b, name), getattr(torch, name), COMPLEX, COMPLEX[::-1].copy())


def test_complex_parts_and_magnitude() -> None:
    x = np.array([3 + 4j, 0j])
    compare(b.abs, torch.abs, x)
    compare(b.real, torch.real, x)
    compare(b.imag, torch.imag, x)


def test_complex_dot() -> None:
    x = np.array([[1 + 2j, 3 - 1j], [0.5j, 2.0]])
    compare(b.dot, torch.matmul, x, x.T.copy())


# --- the sweep ----------------------------------------------------------------------------------------------------------------------


def leaf(*shape: int, position: int = 0, requires_grad: bool = True) -> Node:
    return b.input(position, shape, dtypes.float64, requires_grad)


def one_like(node: Node) -> Node:
    return b.full(1, node.shape, node.dtype)


def test_gradients_accumulate_and_stop() -> None:
    x = leaf(2)
    y = b.add(b.mul(x, x), b.mul(b.stop_gradient(x), x))
    (g,) = gradient([y], [one_like(y)], [x])
    assert g is not None
    np.testing.assert_array_equal(evaluate([g], [np.array([1.0, 3.0])])[0], [3.0, 9.0])


def test_no_path_gives_none() -> None:
    x, y = leaf(2), leaf(2, position=1)
    z = b.exp(x)
    assert gradient([z], [one_like(z)], [y]) == [None]
    constant = leaf(2, position=2, requires_grad=False)
    assert gradient([b.add(z, constant)], [one_like(z)], [constant]) == [None]


def test_intermediate_nodes_and_outputs_have_gradients() -> None:
    x = leaf(2)
    middle = b.exp(x)
    y = b.mul(middle, middle)
    g_middle, g_y, g_x = gradient([y], [one_like(y)], [middle, y, x])
    assert g_y is not None and g_middle is not None and g_x is not None
    point = np.array([0.0, 1.0])
    values = evaluate([g_middle, g_y, g_x], [point])
    np.testing.assert_allclose(values[0], 2 * np.exp(point))
    np.testing.assert_allclose(values[1], [1, 1])
    np.testing.assert_allclose(values[2], 2 * np.exp(2 * point))


def test_the_same_output_twice() -> None:
    x = leaf(2)
    y = b.exp(x)
    (g,) = gradient([y, y], [one_like(y), one_like(y)], [x])
    assert g is not None
    np.testing.assert_allclose(evaluate([g], [np.zeros(2)])[0], [2, 2])


def test_overrides_and_hooks() -> None:
    x = leaf(2)
    y = b.exp(x)
    z = b.mul(y, y)
    overrides = {y: Override((x,), lambda g: (b.neg(g),))}
    (g,) = gradient([z], [one_like(z)], [x], overrides)
    assert g is not None
    np.testing.assert_allclose(evaluate([g], [np.zeros(2)])[0], [-2, -2])
    (g,) = gradient([z], [one_like(z)], [x], {y: lambda g: (g,)}, {y: lambda g: b.mul(g, g), x: b.neg})
    assert g is not None
    np.testing.assert_allclose(evaluate([g], [np.zeros(2)])[0], [-4, -4])


def test_residuals_are_what_the_gradient_reads() -> None:
    x = leaf(2)
    y = b.tanh(b.mul(x, x))
    forward = topological_order([y])
    (g,) = gradient([y], [one_like(y)], [x])
    assert residuals([g, None], forward) == [y]


def test_a_primitive_without_a_rule_raises() -> None:
    x = leaf(2)
    odd = Node("random_bits", (x, x), ((2,),), (2,), dtypes.float64, True, "train.py:3")
    with pytest.raises(GradientError, match=r"random_bits.*train\.py:3"):
        gradient([odd], [one_like(x)], [x])


def test_a_long_chain_needs_no_recursion() -> None:
    x = leaf(1)
    y = x
    for _ in range(5000):
        y = b.add(y, x)
    (g,) = gradient([y], [one_like(y)], [x])
    assert g is not None and g.shape == (1,)
