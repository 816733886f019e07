"""How much work nodes are: floating-point operations and bytes, counted from shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from trine.core.attention_rules import sizes
from trine.core.graph import Node


def _product(shape: Sequence[int]) -> int:
    return math.prod(shape)


def _dot(node: Node) -> int:
    return 2 * _product(node.shape) * node.inputs[0].shape[-1]


def _conv(node: Node) -> int:
    return 2 * _product(node.shape) * _product(node.inputs[1].shape[1:])


def _conv_input_grad(node: Node) -> int:
    gy, w = node.inputs
    return 2 * _product(gy.shape) * _product(w.shape[1:])


def _conv_weight_grad(node: Node) -> int:
    _, gy = node.inputs
    return 2 * _product(gy.shape) * _product(node.shape[1:])


def _each_input(node: Node) -> int:
    return max([_product(operand.shape) for operand in node.inputs], default=0)


def _each_result(node: Node) -> int:
    return _product(node.shape)


def _attention(node: Node) -> int:
    """Of the products; a causal mask leaves out half of them."""
    found = sizes(node.op, node.inputs, node.attrs)
    products = found.width + found.value_width if node.op == "attention" else 3 * found.width + 2 * found.value_width
    return 2 * _product(found.batch) * found.queries * found.keys * products // (2 if node.attrs[1] else 1)


_HEAVY: dict[str, Callable[[Node], int]] = {
    "dot": _dot,
    **dict.fromkeys(("attention", "attention_grad"), _attention),
    "conv": _conv,
    "conv_input_grad": _conv_input_grad,
    "conv_weight_grad": _conv_weight_grad,
    **dict.fromkeys(("sum", "prod", "max", "min", "argmax", "argmin", "cumsum", "cumprod"), _each_input),
    **dict.fromkeys(("window_sum", "window_max"), _each_input),
}
_FREE = frozenset(
    "input scalar const iota reshape permute expand slice pad flip concat update take take_along cast bitcast stop_gradient check_index "
    "argsort window_argmax random_bits".split()
)


def flops(node: Node) -> int:
    """Return the floating-point operations of a node: a multiply-add counts as two, any other elementwise operation as one.

    >>> from trine import dtypes
    >>> from trine.core import build
    >>> a = build.input(0, (2, 3), dtypes.float32, False)
    >>> flops(build.dot(a, build.permute(a, (1, 0))))
    24
    """
    if node.op in _FREE:
        return 0
    return _HEAVY.get(node.op, _each_result)(node)


def traffic(nodes: Sequence[Node]) -> int:
    """Return the bytes that nodes computed together have to move at least: what they read from outside, and results not used inside.

    >>> from trine import dtypes
    >>> from trine.core import build
    >>> x = build.input(0, (8,), dtypes.float32, False)
    >>> e = build.exp(x)
    >>> traffic([e, build.mul(e, x)])
    64
    """
    inside = set(nodes)
    used = {operand for node in nodes for operand in node.inputs}
    outside = {operand for operand in used if operand not in inside and operand.op not in ("const", "scalar", "iota")}
    results = [node for node in inside if node not in used]
    return sum(_product(node.shape) * node.dtype.itemsize for node in [*outside, *results])
