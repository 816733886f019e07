"""Gradient rules of the elementwise primitives: unary, typed unary, binary and select.

A rule takes a node and the gradient of its result, and returns one gradient per operand (None where none flows). It is made of the same
builders as the forward graph, so gradients of gradients need nothing special. For complex numbers the gradient is the conjugate
Wirtinger derivative, as in PyTorch: ``dL/da = dL/dy * b.conj(dy/da)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import GradientError, message

Rule = Callable[[Node, Node], tuple[Node | None, ...]]
Derivative = Callable[[Node, Node], Node]

COMPLEX_DTYPES = frozenset((dtypes.complex64, dtypes.complex128))


def number(value: Any, like: Node) -> Node:
    """Return the 0-d constant `value` with the dtype of `like`."""
    return b.const(value, like.dtype)


def product_rule(derivative: Derivative) -> Rule:
    """Return the rule ``gradient * b.conj(derivative(x, y))`` of a unary primitive ``y = f(x)``."""

    def rule(node: Node, gradient: Node) -> tuple[Node | None, ...]:
        return (b.mul(gradient, b.conj(derivative(node.inputs[0], node))),)

    return rule


def quotient_rule(inverse_derivative: Derivative) -> Rule:
    """Return the rule ``gradient / b.conj(inverse_derivative(x, y))`` of a unary primitive ``y = f(x)``."""

    def rule(node: Node, gradient: Node) -> tuple[Node | None, ...]:
        return (b.div(gradient, b.conj(inverse_derivative(node.inputs[0], node))),)

    return rule


def zero_rule(node: Node, gradient: Node) -> tuple[Node | None, ...]:
    """Give zeros: piecewise constant functions."""
    return tuple(b.zeros_like(x) if x.requires_grad else None for x in node.inputs)


def no_rule(node: Node, gradient: Node) -> tuple[Node | None, ...]:
    """Give no gradient at all: results that do not vary with the operands, by definition."""
    return (None,) * len(node.inputs)


def trigamma(x: Node) -> Node:
    """Return the second derivative of lgamma: reflection below 1/2, recurrence up to x + 10, then the asymptotic series.

    Source: Abramowitz and Stegun, 6.4.6, 6.4.7 and 6.4.12; the error is a few ulp in float64.
    """
    one = number(1.0, x)
    is_small = b.lt(x, number(0.5, x))
    z = b.where(is_small, b.sub(one, x), x)
    total = b.reciprocal(b.mul(z, z))
    for shift in range(1, 10):
        shifted = b.add(z, number(float(shift), x))
        total = b.add(total, b.reciprocal(b.mul(shifted, shifted)))
    r = b.reciprocal(b.add(z, number(10.0, x)))
    r2 = b.mul(r, r)
    series = number(7 / 6, x)
    for coefficient in (-691 / 2730, 5 / 66, -1 / 30, 1 / 42, -1 / 30, 1 / 6):
        series = b.add(b.mul(series, r2), number(coefficient, x))
    tail = b.add(b.add(r, b.mul(number(0.5, x), r2)), b.mul(b.mul(series, r2), r))
    total = b.add(total, tail)
    sine = b.sin(b.mul(x, number(math.pi, x)))
    reflected = b.sub(b.div(number(math.pi**2, x), b.mul(sine, sine)), total)
    return b.where(is_small, reflected, total)


def _abs(node: Node, g: Node) -> tuple[Node | None, ...]:
    x = node.inputs[0]
    if x.dtype not in COMPLEX_DTYPES:
        return (b.mul(g, b.sign(x)),)
    is_zero = b.eq(node, number(0, node))
    scale = b.where(is_zero, number(0, g), b.div(g, b.where(is_zero, number(1, node), node)))
    return (b.mul(b.cast(scale, x.dtype), x),)


def _square(x: Node) -> Node:
    return b.mul(x, x)


def _one_minus_square(x: Node) -> Node:
    return b.sub(number(1, x), b.mul(x, x))


def _one_plus_square(x: Node) -> Node:
    return b.add(b.mul(x, x), number(1, x))


def _sigmoid(node: Node, g: Node) -> tuple[Node | None, ...]:
    y = b.conj(node)
    return (b.mul(g, b.mul(y, b.sub(number(1, y), y))),)


def _cast(node: Node, g: Node) -> tuple[Node | None, ...]:
    x = node.inputs[0]
    if g.dtype in COMPLEX_DTYPES and x.dtype not in COMPLEX_DTYPES:
        g = b.real(g)
    return (b.cast(g, x.dtype),)


def _real(node: Node, g: Node) -> tuple[Node | None, ...]:
    return (b.cast(g, node.inputs[0].dtype),)


def _imag(node: Node, g: Node) -> tuple[Node | None, ...]:
    x = node.inputs[0]
    return (b.mul(b.cast(g, x.dtype), b.const(1j, x.dtype)),)


UNARY_RULES: dict[str, Rule] = {
    "neg": lambda node, g: (b.neg(g),),
    "abs": _abs,
    "sign": zero_rule,
    "floor": zero_rule,
    "ceil": zero_rule,
    "trunc": zero_rule,
    "round": zero_rule,
    "sqrt": quotient_rule(lambda x, y: b.mul(y, number(2, y))),
    "rsqrt": product_rule(lambda x, y: b.mul(number(-0.5, y), b.mul(b.mul(y, y), y))),
    "exp": product_rule(lambda x, y: y),
    "exp2": product_rule(lambda x, y: b.mul(y, number(math.log(2), y))),
    "expm1": product_rule(lambda x, y: b.add(y, number(1, y))),
    "log": quotient_rule(lambda x, y: x),
    "log2": quotient_rule(lambda x, y: b.mul(x, number(math.log(2), x))),
    "log10": quotient_rule(lambda x, y: b.mul(x, number(math.log(10), x))),
    "log1p": quotient_rule(lambda x, y: b.add(x, number(1, x))),
    "sin": product_rule(lambda x, y: b.cos(x)),
    "cos": product_rule(lambda x, y: b.neg(b.sin(x))),
    "tan": product_rule(lambda x, y: _one_plus_square(y)),
    "asin": product_rule(lambda x, y: b.rsqrt(_one_minus_square(x))),
    "acos": product_rule(lambda x, y: b.neg(b.rsqrt(_one_minus_square(x)))),
    "atan": quotient_rule(lambda x, y: _one_plus_square(x)),
    "sinh": product_rule(lambda x, y: b.cosh(x)),
    "cosh": product_rule(lambda x, y: b.sinh(x)),
    "tanh": product_rule(lambda x, y: _one_minus_square(y)),
    "asinh": product_rule(lambda x, y: b.rsqrt(_one_plus_square(x))),
    "acosh": product_rule(lambda x, y: b.rsqrt(b.sub(_square(x), number(1, x)))),
    "atanh": quotient_rule(lambda x, y: _one_minus_square(x)),
    "erf": product_rule(lambda x, y: b.mul(number(2 / math.sqrt(math.pi), x), b.exp(b.neg(_square(x))))),
    "erfc": product_rule(lambda x, y: b.mul(number(-2 / math.sqrt(math.pi), x), b.exp(b.neg(_square(x))))),
    "erfinv": product_rule(lambda x, y: b.mul(number(math.sqrt(math.pi) / 2, y), b.exp(_square(y)))),
    "lgamma": product_rule(lambda x, y: b.digamma(x)),
    "digamma": product_rule(lambda x, y: trigamma(x)),
    "reciprocal": product_rule(lambda x, y: b.neg(_square(y))),
    "sigmoid": _sigmoid,
    "real": _real,
    "imag": _imag,
    "conj": lambda node, g: (b.conj(g),),
    "cast": _cast,
    "bitcast": no_rule,
    "stop_gradient": no_rule,
    "check_index": no_rule,
}


def _add(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, y = node.inputs
    return (b.sum_to(g, x.shape) if x.requires_grad else None, b.sum_to(g, y.shape) if y.requires_grad else None)


def _sub(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, y = node.inputs
    return (b.sum_to(g, x.shape) if x.requires_grad else None, b.neg(b.sum_to(g, y.shape)) if y.requires_grad else None)


def _mul(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, y = node.inputs
    return (
        b.sum_to(b.mul(g, b.conj(y)), x.shape) if x.requires_grad else None,
        b.sum_to(b.mul(g, b.conj(x)), y.shape) if y.requires_grad else None,
    )


def _div(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, y = node.inputs
    scaled = b.div(g, b.conj(y))
    return (
        b.sum_to(scaled, x.shape) if x.requires_grad else None,
        b.sum_to(b.neg(b.mul(scaled, b.conj(node))), y.shape) if y.requires_grad else None,
    )


def _remainder(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, y = node.inputs
    return (
        b.sum_to(g, x.shape) if x.requires_grad else None,
        b.sum_to(b.neg(b.mul(g, b.floor_div(x, y))), y.shape) if y.requires_grad else None,
    )


def _fmod(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, y = node.inputs
    return (
        b.sum_to(g, x.shape) if x.requires_grad else None,
        b.sum_to(b.neg(b.mul(g, b.trunc(b.div(x, y)))), y.shape) if y.requires_grad else None,
    )


def _pow(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, y = node.inputs
    zero = number(0, x)
    base_gradient = exponent_gradient = None
    if x.requires_grad:
        slope = b.conj(b.mul(y, b.pow(x, b.sub(y, number(1, y)))))
        # x ** 0 is constant, also at x = 0 where the slope would be 0 * inf.
        base_gradient = b.sum_to(b.where(b.eq(y, zero), zero, b.mul(g, slope)), x.shape)
    if y.requires_grad:
        slope = b.mul(g, b.conj(b.mul(node, b.log(x))))
        is_zero_base = b.eq(x, zero)
        flat = is_zero_base if y.dtype in COMPLEX_DTYPES else b.bitwise_and(is_zero_base, b.ge(y, zero))
        exponent_gradient = b.sum_to(b.where(flat, zero, slope), y.shape)
    return base_gradient, exponent_gradient


def _extremum(node: Node, g: Node) -> tuple[Node | None, ...]:
    # At a tie each operand gets half; at NaN both get all of it, as in PyTorch.
    x, y = node.inputs
    loses = b.lt if node.op == "maximum" else b.gt
    zero = number(0, g)
    shared = b.where(b.eq(x, y), b.mul(g, number(0.5, g)), g)
    return (
        b.sum_to(b.where(loses(x, y), zero, shared), x.shape) if x.requires_grad else None,
        b.sum_to(b.where(loses(y, x), zero, shared), y.shape) if y.requires_grad else None,
    )


def _atan2(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, y = node.inputs
    scaled = b.div(g, b.add(b.mul(x, x), b.mul(y, y)))
    return (
        b.sum_to(b.mul(scaled, y), x.shape) if x.requires_grad else None,
        b.sum_to(b.neg(b.mul(scaled, x)), y.shape) if y.requires_grad else None,
    )


def _copysign(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, y = node.inputs
    zero = number(0, x)
    magnitude_gradient = None
    if x.requires_grad:
        is_zero = b.eq(x, zero)
        same_sign = b.sign(b.mul(b.sign(node), b.sign(x)))
        magnitude_gradient = b.sum_to(b.where(is_zero, zero, b.mul(g, same_sign)), x.shape)
    return magnitude_gradient, b.zeros_like(y) if y.requires_grad else None


def _nextafter(node: Node, g: Node) -> tuple[Node | None, ...]:
    x, y = node.inputs
    return b.sum_to(g, x.shape) if x.requires_grad else None, b.zeros_like(y) if y.requires_grad else None


def _where(node: Node, g: Node) -> tuple[Node | None, ...]:
    condition, x, y = node.inputs
    zero = number(0, g)
    return (
        None,
        b.sum_to(b.where(condition, g, zero), x.shape) if x.requires_grad else None,
        b.sum_to(b.where(condition, zero, g), y.shape) if y.requires_grad else None,
    )


def _library(node: Node, g: Node) -> tuple[Node | None, ...]:
    """The incomplete gamma functions have a density in x; nothing else here has a derivative in closed form."""
    function = node.attrs[0]
    sign = {"gammainc": 1.0, "gammaincc": -1.0}.get(function)
    if sign is None or node.inputs[0].requires_grad:
        raise GradientError(
            message(
                f"{function}: the derivative is not implemented",
                received="an operand that requires grad",
                expected="gradients with respect to the second operand of gammainc and gammaincc only",
                fix="detach the operand",
            )
        )
    a, x = node.inputs
    density = b.exp(b.sub(b.sub(b.mul(b.sub(a, number(1, a)), b.log(x)), x), b.lgamma(a)))
    return None, b.sum_to(b.mul(g, b.mul(number(sign, g), density)), x.shape)


BINARY_RULES: dict[str, Rule] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "floor_div": zero_rule,
    "remainder": _remainder,
    "fmod": _fmod,
    "pow": _pow,
    "maximum": _extremum,
    "minimum": _extremum,
    "atan2": _atan2,
    "copysign": _copysign,
    "nextafter": _nextafter,
    "where": _where,
    "library": _library,
}
