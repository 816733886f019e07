"""Batching, graph to graph: one rule for each primitive, which gives the node over a whole batch for the node over one example.

A batched value has the batch as its first axis. A rule takes the node, its operands (batched or not), which of them are batched, and the
size of the batch; it returns the batched result. Where no operand is batched the node stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from trine import dtypes
from trine.autograd.batching_attention import batched_attention
from trine.autograd.gradient import SOURCES
from trine.core import build as b
from trine.core.graph import Node, context, topological_order

Flags = Sequence[bool]
Rule = Callable[[Node, Sequence[Node], Flags, int], Node]


def widened(x: Node, is_batched: bool, size: int) -> Node:
    """Return an operand with the batch as its first axis."""
    return x if is_batched else b.expand(b.reshape(x, (1, *x.shape)), (size, *x.shape))


def _aligned(x: Node, is_batched: bool, rank: int) -> Node:
    """Return a batched operand with axes of size 1 after the batch, so that it broadcasts as one of `rank` axes without the batch."""
    missing = rank + 1 - len(x.shape)
    return b.reshape(x, (x.shape[0], *(1,) * missing, *x.shape[1:])) if is_batched and missing else x


def _later(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(axis + 1 for axis in axes)


def _same(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    """Unary: the attributes do not depend on the shape."""
    return b.make(node.op, tuple(operands), node.attrs)


def _broadcasting(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    rank = len(node.shape)
    return b.make(node.op, tuple(_aligned(x, f, rank) for x, f in zip(operands, batched, strict=True)), node.attrs)


def _stop_gradient(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    (x,) = operands
    return Node("stop_gradient", (x,), node.attrs, x.shape, x.dtype, False, node.source)


def _random_bits(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    # One stream for all examples; see `trine.tensor.vmap` for the other modes.
    return b.random_bits(operands[0], operands[1], (size, *node.shape))


def _axes_first(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    """Reductions: one attribute, the axes (or axis)."""
    axes = node.attrs[0]
    return b.make(node.op, tuple(operands), (_later(axes) if isinstance(axes, tuple) else axes + 1,))


def _axis_and_more(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    """Scans and sorts: the axis is the first attribute."""
    return b.make(node.op, tuple(operands), (node.attrs[0] + 1, *node.attrs[1:]))


def _reshape(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    x = operands[0]
    shape = (size, *node.shape)
    # also where nothing changes: a node that stands for a tensor of its own
    return Node("reshape", (x,), (shape,), shape, x.dtype, x.requires_grad and context.grad_enabled, node.source)


def _permute(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    return b.permute(operands[0], (0, *_later(node.attrs[0])))


def _expand(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    return b.expand(_aligned(operands[0], True, len(node.shape)), (size, *node.shape))


def _pad(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    low, high, value = node.attrs
    return b.pad(operands[0], (0, *low), (0, *high), value)


def _slice(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    start, stop, step = node.attrs
    return b.slice(operands[0], (0, *start), (size, *stop), (1, *step))


def _flip(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    return b.flip(operands[0], _later(node.attrs[0]))


def _all_widened(operands: Sequence[Node], batched: Flags, size: int) -> list[Node]:
    return [widened(x, f, size) for x, f in zip(operands, batched, strict=True)]


def _concat(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    return b.concat(_all_widened(operands, batched, size), node.attrs[0] + 1)


def _update(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    start, step = node.attrs
    base, value = _all_widened(operands, batched, size)
    return b.update(base, value, (0, *start), (1, *step))


def _along(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    """take_along and put_along: every operand has the axis."""
    return b.make(node.op, tuple(_all_widened(operands, batched, size)), (node.attrs[0] + 1, *node.attrs[1:]))


def _leading(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    """Library routines on matrices: all axes before the last ones are a batch anyway."""
    return b.make(node.op, tuple(_all_widened(operands, batched, size)), node.attrs)


def _flat_rows(x: Node, axis: int, size: int) -> Node:
    """Return (size, *shape) as (size * shape[axis], *the other axes)."""
    rank = len(x.shape)
    order = (0, axis + 1, *[k for k in range(1, rank) if k != axis + 1])
    moved = b.permute(x, order)
    return b.reshape(moved, (size * moved.shape[1], *moved.shape[2:]))


def _flat_index(index: Node, extent: int, size: int) -> Node:
    """Return batched indices as indices into the merged axis of `_flat_rows`."""
    base = b.mul(b.iota((size, *(1,) * (len(index.shape) - 1)), 0), b.const(extent, dtypes.int64))
    return b.add(b.cast(index, dtypes.int64), base)


def _take(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    x, index = operands
    axis, index_rank = node.attrs[0], len(node.inputs[1].shape)
    if not batched[1]:
        return b.take(x, index, axis + 1)
    rank = len(node.shape)
    if not batched[0]:
        taken = b.take(x, index, axis)
        return b.permute(taken, (axis, *range(axis), *range(axis + 1, rank + 1)))
    taken = b.take(_flat_rows(x, axis, size), _flat_index(index, node.inputs[0].shape[axis], size), 0)
    before = range(1 + index_rank, 1 + index_rank + axis)
    return b.permute(taken, (0, *before, *range(1, 1 + index_rank), *range(1 + index_rank + axis, rank + 1)))


def _put(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    axis, mode = node.attrs
    x, value = widened(operands[0], batched[0], size), widened(operands[2], batched[2], size)
    if not batched[1]:
        return b.put(x, operands[1], value, axis + 1, mode)
    index_rank, rank = len(node.inputs[1].shape), len(node.shape)
    places = range(1 + axis, 1 + axis + index_rank)
    value = b.permute(value, (0, *places, *range(1, 1 + axis), *range(1 + axis + index_rank, len(value.shape))))
    rows = _flat_rows(x, axis, size)
    put = b.put(rows, _flat_index(operands[1], node.shape[axis], size), value, 0, mode)
    others = [k for k in range(rank) if k != axis]
    moved = b.reshape(put, (size, node.shape[axis], *[node.shape[k] for k in others]))
    order = [axis, *others]
    return b.permute(moved, (0, *[order.index(k) + 1 for k in range(rank)]))


def _dot(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    x, y = (
        operand if is_batched else b.reshape(operand, (1, *operand.shape)) for operand, is_batched in zip(operands, batched, strict=True)
    )
    if not batched[1] and math.prod(y.shape[:-2]) == 1 and math.prod(x.shape[:-2]) != 1:
        # one matrix for all: one product over all rows
        rows = b.dot(b.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])), b.reshape(y, y.shape[-2:]))
        return b.reshape(rows, (size, *node.shape))
    return b.dot(x, y)


# --- convolutions and windows: the batch joins the first axis, or the channels as groups --------------------------------------------------


def _merged(x: Node) -> Node:
    """Return (batch, N, …) as (batch * N, …)."""
    return b.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def _split(x: Node, size: int) -> Node:
    return b.reshape(x, (size, x.shape[0] // size, *x.shape[1:]))


def _channels(x: Node) -> Node:
    """Return (batch, N, C, …) as (N, batch * C, …)."""
    moved = b.permute(x, (1, 0, *range(2, len(x.shape))))
    return b.reshape(moved, (moved.shape[0], moved.shape[1] * moved.shape[2], *moved.shape[3:]))


def _split_channels(x: Node, size: int) -> Node:
    split = b.reshape(x, (x.shape[0], size, x.shape[1] // size, *x.shape[2:]))
    return b.permute(split, (1, 0, *range(2, len(split.shape))))


def _conv(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    x, w = operands
    stride, padding, dilation, groups = node.attrs
    window = (stride, padding, dilation)
    if not batched[1]:
        return _split(b.conv(_merged(x), w, *window, groups), size)
    if not batched[0] and groups == 1:
        return _split_channels(b.conv(x, _merged(w), *window, 1), size)
    x = widened(x, batched[0], size)
    return _split_channels(b.conv(_channels(x), _merged(w), *window, groups * size), size)


def _conv_input_grad(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    gradient, w = operands
    shape, stride, padding, dilation, groups = node.attrs
    window = (stride, padding, dilation)
    if not batched[1]:
        return _split(b.conv_input_grad(_merged(gradient), w, (size * shape[0], *shape[1:]), *window, groups), size)
    channels = (shape[0], size * shape[1], *shape[2:])
    gradient = widened(gradient, batched[0], size)
    return _split_channels(b.conv_input_grad(_channels(gradient), _merged(w), channels, *window, groups * size), size)


def _conv_weight_grad(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    x, gradient = _all_widened(operands, batched, size)
    shape, stride, padding, dilation, groups = node.attrs
    window = (stride, padding, dilation)
    weights = (size * shape[0], *shape[1:])
    return _split(b.conv_weight_grad(_channels(x), _channels(gradient), weights, *window, groups * size), size)


def _window(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    merged = [_merged(x) for x in _all_widened(operands, batched, size)]
    return _split(b.make(node.op, tuple(merged), node.attrs), size)


def _window_sum_grad(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    shape, *window = node.attrs
    return _split(b.window_sum_grad(_merged(operands[0]), (size * shape[0], *shape[1:]), *window), size)


def _one_by_one(node: Node, operands: Sequence[Node], batched: Flags, size: int) -> Node:
    """Any primitive: each example on its own."""
    results = []
    for k in range(size):
        row = []
        for x, is_batched in zip(operands, batched, strict=True):
            if is_batched:
                shape = x.shape[1:]
                x = b.reshape(b.slice(x, (k, *(0,) * len(shape)), (k + 1, *shape)), shape)
            row.append(x)
        results.append(b.reshape(b.make(node.op, tuple(row), node.attrs), (1, *node.shape)))
    return b.concat(results, 0)


def _rows(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


BATCHING_RULES: dict[str, Rule] = {
    **_rows("neg abs sign floor ceil trunc round sqrt rsqrt exp exp2 expm1 log log2 log10 log1p reciprocal sigmoid", _same),
    **_rows("sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc erfinv lgamma digamma", _same),
    **_rows("logical_not bitwise_not isnan isinf isfinite real imag conj cast bitcast check_index", _same),
    **_rows("add sub mul pow div floor_div remainder fmod maximum minimum atan2 copysign nextafter", _broadcasting),
    **_rows("bitwise_and bitwise_or bitwise_xor shift_left shift_right eq ne lt le gt ge where library", _broadcasting),
    **_rows("sum prod max min argmax argmin", _axes_first),
    **_rows(
        "cholesky inv matrix_exp cofactor det eigvalsh eigvals svdvals solve triangular_solve cholesky_solve ldl_solve lstsq", _leading
    ),
    **_rows("pinv eigh eig svd qr lu slogdet pivot_order geqrf ldl", _leading),
    "fft": lambda node, x, batched, size: b.make("fft", tuple(x), (_later(node.attrs[0]), *node.attrs[1:])),
    **_rows("rfft irfft", _axis_and_more),
    **_rows("cumsum cumprod cummax cummin argsort", _axis_and_more),
    **_rows("take_along put_along", _along),
    **_rows("window_max window_sum window_argmax window_max_grad", _window),
    "stop_gradient": _stop_gradient,
    "random_bits": _random_bits,
    "reshape": _reshape,
    "permute": _permute,
    "expand": _expand,
    "pad": _pad,
    "slice": _slice,
    "flip": _flip,
    "concat": _concat,
    "update": _update,
    "take": _take,
    "put": _put,
    "dot": _dot,
    **_rows("attention attention_grad", batched_attention),
    "conv": _conv,
    "conv_input_grad": _conv_input_grad,
    "conv_weight_grad": _conv_weight_grad,
    "window_sum_grad": _window_sum_grad,
}
"""Primitive name -> rule. A primitive without a row is applied to each example on its own (`_one_by_one`)."""

NOT_BATCHED = SOURCES
"""Primitives without operands: they are the same for every example."""


def batch(
    outputs: Sequence[Node], examples: Mapping[Node, Node], size: int, is_random: Callable[[Node], bool] | None = None
) -> list[Node | None]:
    """Return the batched outputs; None for an output that does not depend on any example.

    Args:
        outputs: nodes over one example.
        examples: node that stands for one example -> the node over the batch (first axis).
        size: of the batch.
        is_random: says which `random_bits` give each example numbers of its own; None: none of them.
    """
    batched: dict[Node, Node] = dict(examples)
    enabled, source = context.grad_enabled, context.source
    try:
        for node in _order(outputs, batched):
            if node in batched:
                continue
            flags = [operand in batched for operand in node.inputs]
            if not any(flags) and not (node.op == "random_bits" and is_random is not None and is_random(node)):
                continue
            operands = [batched.get(operand, operand) for operand in node.inputs]
            context.grad_enabled, context.source = enabled and node.requires_grad, node.source
            rule = BATCHING_RULES.get(node.op, _one_by_one)
            batched[node] = rule(node, operands, flags, size)
    finally:
        context.grad_enabled, context.source = enabled, source
    return [batched.get(output) for output in outputs]


def _order(outputs: Sequence[Node], known: Mapping[Node, Node]) -> list[Node]:
    """Return what the outputs depend on, operands first, without what lies below the nodes that are known."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(output, False) for output in reversed(outputs)]
    while stack:
        node, is_done = stack.pop()
        if is_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            if node not in known:
                stack.append((node, True))
                stack += [(operand, False) for operand in node.inputs if operand not in seen]
    return order


def depends_on(outputs: Sequence[Node], sources: Mapping[Node, object]) -> bool:
    """True if any output depends on any of the sources."""
    return any(node in sources for node in topological_order(outputs))
