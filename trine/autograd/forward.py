"""Forward-mode differentiation, graph to graph: for each primitive a rule that gives the tangent of the result for those of the operands.

A rule takes a node and the tangents of its operands (None where one is zero) and returns the tangent of the node, or None. A primitive
without a rule of its own takes its gradient rule: that is linear in the gradient, and its own gradient is the tangent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from trine.autograd.gradient import SOURCES, gradient
from trine.autograd.rules import RULES
from trine.autograd.rules_elementwise import COMPLEX_DTYPES, number
from trine.autograd.rules_heavy import take_windows
from trine.autograd.rules_reduction import cumulative_extremum_index
from trine.core import build as b
from trine.core.graph import Node, context, substitute

Tangents = Sequence[Node | None]
Rule = Callable[[Node, Tangents], Node | None]


def _sum(*parts: Node | None) -> Node | None:
    """Return the sum of the parts that are there."""
    total: Node | None = None
    for part in parts:
        if part is not None:
            total = part if total is None else b.add(total, part)
    return total


def _like(part: Node | None, node: Node) -> Node | None:
    """Return a tangent broadcast to the result's shape."""
    return part if part is None or part.shape == node.shape else b.expand(part, node.shape)


def _diagonal(node: Node, tangents: Tangents) -> Node | None:
    """Elementwise functions of one operand: the Jacobian is diagonal, so the gradient rule serves (conjugated, for complex numbers)."""
    (t,) = tangents
    if t is None:
        return None
    (found,) = RULES[node.op](node, b.conj(t) if t.dtype in COMPLEX_DTYPES else t)
    return found if found is None or found.dtype not in COMPLEX_DTYPES else b.conj(found)


def _linear(node: Node, tangents: Tangents) -> Node | None:
    """Functions that are linear in their one operand: the same of the tangent."""
    (t,) = tangents
    return None if t is None else b.make(node.op, (t,), node.attrs)


def _abs(node: Node, tangents: Tangents) -> Node | None:
    (t,) = tangents
    if t is None or t.dtype not in COMPLEX_DTYPES:
        return _diagonal(node, tangents)
    x = node.inputs[0]
    is_zero = b.eq(node, number(0, node))
    along = b.real(b.mul(b.conj(x), t))
    return b.where(is_zero, number(0, along), b.div(along, b.where(is_zero, number(1, node), node)))


def _cast(node: Node, tangents: Tangents) -> Node | None:
    (t,) = tangents
    if t is None or not node.dtype.is_differentiable:
        return None
    if t.dtype in COMPLEX_DTYPES and node.dtype not in COMPLEX_DTYPES:
        t = b.real(t)
    return b.cast(t, node.dtype)


def _zero(node: Node, tangents: Tangents) -> Node | None:
    return None


PASSED = ("passed",)
"""The attributes of a `stop_gradient` where only gradients end: tangents pass."""


def _stop_gradient(node: Node, tangents: Tangents) -> Node | None:
    return tangents[0] if node.attrs == PASSED else None


def _add(node: Node, tangents: Tangents) -> Node | None:
    return _like(_sum(*tangents), node)


def _sub(node: Node, tangents: Tangents) -> Node | None:
    t, u = tangents
    if t is not None and u is not None:
        return _like(b.sub(t, u), node)
    return _like(t if u is None else b.neg(u), node)


def _bilinear(node: Node, tangents: Tangents) -> Node | None:
    """Products: linear in each operand."""
    x, y = node.inputs
    t, u = tangents
    left = None if t is None else b.make(node.op, (t, y), node.attrs)
    return _sum(left, None if u is None else b.make(node.op, (x, u), node.attrs))


def _div(node: Node, tangents: Tangents) -> Node | None:
    _, y = node.inputs
    t, u = tangents
    over = _sum(t, None if u is None else b.neg(b.mul(node, u)))
    return None if over is None else b.div(over, y)


def _remainder(node: Node, tangents: Tangents) -> Node | None:
    x, y = node.inputs
    t, u = tangents
    whole = b.floor_div(x, y) if node.op == "remainder" else b.trunc(b.div(x, y))
    return _like(_sum(t, None if u is None else b.neg(b.mul(whole, u))), node)


def _pow(node: Node, tangents: Tangents) -> Node | None:
    x, y = node.inputs
    t, u = tangents
    zero = number(0, x)
    base = exponent = None
    if t is not None:
        slope = b.mul(y, b.pow(x, b.sub(y, number(1, y))))
        base = b.where(b.eq(y, zero), zero, b.mul(t, slope))
    if u is not None:
        is_zero_base = b.eq(x, zero)
        flat = is_zero_base if y.dtype in COMPLEX_DTYPES else b.bitwise_and(is_zero_base, b.ge(y, zero))
        exponent = b.where(flat, zero, b.mul(u, b.mul(node, b.log(x))))
    return _like(_sum(base, exponent), node)


def _extremum(node: Node, tangents: Tangents) -> Node | None:
    x, y = node.inputs
    loses = b.lt if node.op == "maximum" else b.gt
    parts = []
    for own, other, t in ((x, y, tangents[0]), (y, x, tangents[1])):
        if t is not None:
            shared = b.where(b.eq(x, y), b.mul(t, number(0.5, t)), t)
            parts.append(b.where(loses(own, other), number(0, t), shared))
    return _like(_sum(*parts), node)


def _atan2(node: Node, tangents: Tangents) -> Node | None:
    x, y = node.inputs
    t, u = tangents
    over = _sum(None if t is None else b.mul(t, y), None if u is None else b.neg(b.mul(u, x)))
    return None if over is None else b.div(over, b.add(b.mul(x, x), b.mul(y, y)))


def _copysign(node: Node, tangents: Tangents) -> Node | None:
    x, t = node.inputs[0], tangents[0]
    if t is None:
        return None
    same_sign = b.sign(b.mul(b.sign(node), b.sign(x)))
    return _like(b.where(b.eq(x, number(0, x)), number(0, x), b.mul(t, same_sign)), node)


def _where(node: Node, tangents: Tangents) -> Node | None:
    _, t, u = tangents
    if t is None and u is None:
        return None
    zero = number(0, node)
    return _like(b.where(node.inputs[0], zero if t is None else t, zero if u is None else u), node)


def _row(node: Node, tangents: Tangents) -> Node | None:
    """Reductions to one value: the sum of the tangents, weighted with the gradient."""
    (t,) = tangents
    if t is None:
        return None
    (weights,) = RULES[node.op](node, b.ones_like(node))
    if weights is None:
        return None
    return b.sum(b.mul(t, b.conj(weights) if weights.dtype in COMPLEX_DTYPES else weights), node.attrs[0])


def _cumulative_extremum(node: Node, tangents: Tangents) -> Node | None:
    (t,) = tangents
    if t is None:
        return None
    axis, reverse = node.attrs
    return b.take_along(t, cumulative_extremum_index(node.inputs[0], node, axis, reverse), axis)


def _pad(node: Node, tangents: Tangents) -> Node | None:
    (t,) = tangents
    return None if t is None else b.pad(t, node.attrs[0], node.attrs[1], 0)


def _all(node: Node, tangents: Tangents, positions: Sequence[int]) -> dict[int, Node] | None:
    """Return a tangent for each of these operands, zeros where there is none; None if there is none at all."""
    if all(tangents[p] is None for p in positions):
        return None
    return {p: b.zeros_like(node.inputs[p]) if (t := tangents[p]) is None else t for p in positions}


def _concat(node: Node, tangents: Tangents) -> Node | None:
    parts = _all(node, tangents, range(len(tangents)))
    return None if parts is None else b.concat(list(parts.values()), node.attrs[0])


def _update(node: Node, tangents: Tangents) -> Node | None:
    parts = _all(node, tangents, (0, 1))
    return None if parts is None else b.update(parts[0], parts[1], *node.attrs)


def _taken(node: Node, tangents: Tangents) -> Node | None:
    t = tangents[0]
    return None if t is None else b.make(node.op, (t, node.inputs[1]), node.attrs)


def _put(node: Node, tangents: Tangents) -> Node | None:
    if node.attrs[1] not in ("set", "add"):
        return _transposed(node, tangents)
    parts = _all(node, tangents, (0, 2))
    return None if parts is None else b.make(node.op, (parts[0], node.inputs[1], parts[2]), node.attrs)


def _window_max(node: Node, tangents: Tangents) -> Node | None:
    (t,) = tangents
    return None if t is None else take_windows(t, b.window_argmax(node.inputs[0], *node.attrs))


def _window_max_grad(node: Node, tangents: Tangents) -> Node | None:
    t = tangents[1]
    return None if t is None else b.window_max_grad(node.inputs[0], t, *node.attrs)


def _transposed(node: Node, tangents: Tangents) -> Node | None:
    """Any primitive with a gradient rule: the gradient of that rule, which is linear in the gradient.

    Source: Radul et al., "You Only Linearize Once: Tangents Transpose to Gradients", 2023, read backwards.
    """
    if all(t is None for t in tangents):
        return None
    enabled, context.grad_enabled = context.grad_enabled, True
    try:
        seed = b.input(-1, node.shape, node.dtype, True)
        plain = tuple(
            b.input(-1, x.shape, x.dtype, x.dtype.is_differentiable and t is not None) for x, t in zip(node.inputs, tangents, strict=True)
        )
        copy = Node(node.op, plain, node.attrs, node.shape, node.dtype, True, node.source)
        pairs = []
        for found, t, x in zip(RULES[node.op](copy, seed), tangents, plain, strict=True):
            if found is not None and t is not None:
                pairs.append((found, b.input(-1, x.shape, x.dtype, False), t))
        if not pairs:
            return None
        (result,) = gradient([p[0] for p in pairs], [p[1] for p in pairs], [seed])
    finally:
        context.grad_enabled = enabled
    # a rule may be linear without looking so (the exponential of a block matrix): then its derivative names the gradient, and zeros serve
    mapping = {seed: b.full(0, node.shape, node.dtype), copy: node, **dict(zip(plain, node.inputs, strict=True))}
    is_complex = node.dtype in COMPLEX_DTYPES
    mapping |= {place: b.conj(t) if t.dtype in COMPLEX_DTYPES else t for _, place, t in pairs}
    (result,) = substitute([result], mapping)
    return b.conj(result) if is_complex and result is not None else result


def _rows(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


FORWARD_RULES: dict[str, Rule] = {
    **_rows("sqrt rsqrt exp exp2 expm1 log log2 log10 log1p reciprocal sigmoid sin cos tan asin acos atan sinh cosh tanh", _diagonal),
    **_rows("asinh acosh atanh erf erfc erfinv lgamma digamma", _diagonal),
    **_rows("neg real imag conj reshape permute expand slice flip sum cumsum window_sum window_sum_grad fft rfft irfft", _linear),
    **_rows("sign floor ceil trunc round floor_div", _zero),
    **_rows("mul dot conv conv_input_grad conv_weight_grad", _bilinear),
    **_rows("remainder fmod", _remainder),
    **_rows("maximum minimum", _extremum),
    **_rows("prod max min", _row),
    **_rows("cummax cummin", _cumulative_extremum),
    **_rows("take take_along", _taken),
    **_rows("put put_along", _put),
    "stop_gradient": _stop_gradient,
    "abs": _abs,
    "cast": _cast,
    "add": _add,
    "sub": _sub,
    "div": _div,
    "pow": _pow,
    "atan2": _atan2,
    "copysign": _copysign,
    "where": _where,
    **_rows("cumprod nextafter library cholesky inv matrix_exp cofactor det solve triangular_solve cholesky_solve lstsq", _transposed),
    **_rows("pinv eigh eig svd qr lu slogdet attention attention_grad", _transposed),
    "pad": _pad,
    "concat": _concat,
    "update": _update,
    "window_max": _window_max,
    "window_max_grad": _window_max_grad,
}
"""Primitive name -> rule. A primitive without a row takes `_transposed` if it has a gradient rule, else it has no tangent."""

NO_TANGENT = frozenset(SOURCES | {"random_bits"})
"""Sources: their values do not depend on anything."""


def tangents_of(outputs: Sequence[Node], tangents: Mapping[Node, Node], passing: frozenset[Node] = frozenset()) -> list[Node | None]:
    """Return the tangents of the outputs; None for one that does not depend on any node with a tangent.

    Args:
        outputs: nodes.
        tangents: node -> its tangent, of its shape and dtype.
        passing: `stop_gradient` nodes that tangents pass: the results of custom functions, whose operations are differentiated.
    """
    found: dict[Node, Node | None] = dict(tangents)
    stack = list(outputs)
    source = context.source
    try:
        while stack:
            node = stack[-1]
            if node in found:
                stack.pop()
                continue
            missing = [operand for operand in node.inputs if operand not in found]
            if missing:
                stack += missing
                continue
            stack.pop()
            context.source = node.source
            parts = [found[operand] for operand in node.inputs]
            found[node] = parts[0] if node in passing else _tangent(node, parts)
    finally:
        context.source = source
    return [found[output] for output in outputs]


def _tangent(node: Node, tangents: Tangents) -> Node | None:
    if not node.dtype.is_differentiable or all(t is None for t in tangents):
        return None
    rule = FORWARD_RULES.get(node.op)
    if rule is None:
        rule = _transposed if node.op in RULES else _zero
    return rule(node, tangents)
