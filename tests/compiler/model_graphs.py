"""Graphs of real programs: forward, backward and update, as the recorder would build them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trine import dtypes
from trine.autograd.gradient import gradient
from trine.core import build as b
from trine.core.graph import Graph, Node, topological_order
from trine.optim import rules

F32 = dtypes.float32
Outputs = tuple[Sequence[Node | None], tuple[tuple[int, int], ...]]


def leaf(position: int, *shape: int, grad: bool = False, dtype: dtypes.DType = F32) -> Node:
    return b.input(position, shape, dtype, grad)


def number(value: float) -> Node:
    return b.const(value, F32)


def mean(x: Node, axes: tuple[int, ...]) -> Node:
    return b.div(b.sum(x, axes), number(float(np.prod([x.shape[a] for a in axes]))))


def log_softmax_node(x: Node) -> Node:
    centred = b.sub(x, b.stop_gradient(b.max(x, (len(x.shape) - 1,))))
    return b.sub(centred, b.log(b.sum(b.exp(centred), (len(x.shape) - 1,))))


def softmax_node(x: Node) -> Node:
    e = b.exp(b.sub(x, b.stop_gradient(b.max(x, (len(x.shape) - 1,)))))
    return b.div(e, b.sum(e, (len(x.shape) - 1,)))


def softmax() -> Outputs:
    return [softmax_node(leaf(0, 64, 100))], ()


def softmax_backward() -> Outputs:
    x, g = leaf(0, 64, 100, grad=True), leaf(1, 64, 100)
    return gradient([softmax_node(x)], [g], [x]), ()


def layer_norm_node(x: Node, weight: Node, bias: Node) -> Node:
    centred = b.sub(x, mean(x, (1,)))
    scale = b.rsqrt(b.add(mean(b.mul(centred, centred), (1,)), number(1e-5)))
    return b.add(b.mul(b.mul(centred, scale), weight), bias)


def layer_norm() -> Outputs:
    return [layer_norm_node(leaf(0, 64, 100), leaf(1, 100), leaf(2, 100))], ()


def layer_norm_training() -> Outputs:
    x, weight, bias, gy = leaf(0, 64, 100, grad=True), leaf(1, 100, grad=True), leaf(2, 100, grad=True), leaf(3, 64, 100)
    y = layer_norm_node(x, weight, bias)
    return [y, *gradient([y], [gy], [x, weight, bias])], ()


def cross_entropy() -> Outputs:
    x, target = leaf(0, 32, 10, grad=True), leaf(1, 32, dtype=dtypes.int64)
    index = b.reshape(b.check_index(target, 10), (32, 1))
    loss = b.neg(b.reshape(mean(b.take_along(log_softmax_node(x), index, 1), (0, 1)), ()))
    return [loss, *gradient([loss], [number(1.0)], [x])], ()


def adam() -> Outputs:
    coefficients = tuple(b.scalar(i, dtypes.float64) for i in range(7))
    outputs: list[Node | None] = []
    donations = []
    for k, shape in enumerate([(30, 40), (40,), (40, 10), (10,)]):
        p, g, m, v = (leaf(4 * k + i, *shape) for i in range(4))
        for result, source in zip(rules.adam(rules.Flags(), p, g, (m, v), coefficients), (0, 2, 3), strict=True):
            donations.append((len(outputs), 4 * k + source))
            outputs.append(result)
    return outputs, tuple(donations)


def mlp() -> Outputs:
    x, w1, b1, w2, b2, t = (
        *(leaf(0, 32, 64), leaf(1, 50, 64, grad=True), leaf(2, 50, grad=True), leaf(3, 10, 50, grad=True), leaf(4, 10, grad=True)),
        leaf(5, 32, 10),
    )
    hidden = b.maximum(b.add(b.dot(x, b.permute(w1, (1, 0))), b1), number(0.0))
    error = b.sub(b.add(b.dot(hidden, b.permute(w2, (1, 0))), b2), t)
    loss = b.reshape(mean(b.mul(error, error), (0, 1)), ())
    return [loss, *gradient([loss], [number(1.0)], [w1, b1, w2, b2])], ()


def rnn(length: int = 3) -> Outputs:
    wx, wh, bias = leaf(0, 64, 128, grad=True), leaf(1, 128, 128, grad=True), leaf(2, 128, grad=True)
    steps, h = leaf(3, length, 16, 64), leaf(4, 16, 128)
    for t in range(length):
        x = b.reshape(b.slice(steps, (t, 0, 0), (t + 1, 16, 64)), (16, 64))
        h = b.tanh(b.add(b.add(b.dot(x, wx), b.dot(h, wh)), bias))
    loss = b.reshape(b.sum(b.mul(h, h), (0, 1)), ())
    return [loss, *gradient([loss], [number(1.0)], [wx, wh, bias])], ()


def batch_norm() -> Outputs:
    x, weight, bias, w, gy = (
        *(leaf(0, 8, 6, 5, 5, grad=True), leaf(1, 1, 6, 1, 1, grad=True), leaf(2, 1, 6, 1, 1, grad=True)),
        *(leaf(3, 6, 6, 3, 3, grad=True), leaf(4, 8, 6, 5, 5)),
    )
    y = b.conv(x, w, 1, 1)
    average = mean(y, (0, 2, 3))
    centred = b.sub(y, average)
    variance = mean(b.mul(centred, centred), (0, 2, 3))
    scale = b.rsqrt(b.add(variance, number(1e-5)))
    out = b.maximum(b.add(b.mul(b.mul(centred, scale), weight), bias), number(0.0))
    return [out, average, variance, *gradient([out], [gy], [x, weight, bias, w])], ()


def attention() -> Outputs:
    batch, length, heads, size = 2, 12, 3, 8
    leaves = [leaf(i, batch, length, heads * size, grad=True) for i in range(3)]
    q, k, v = (b.permute(b.reshape(n, (batch, length, heads, size)), (0, 2, 1, 3)) for n in leaves)
    scores = b.mul(b.dot(q, b.permute(k, (0, 1, 3, 2))), number(size**-0.5))
    mask = b.le(b.iota((length, length), 1), b.iota((length, length), 0))
    weights = softmax_node(b.where(mask, scores, number(float("-inf"))))
    out = b.reshape(b.permute(b.dot(weights, v), (0, 2, 1, 3)), (batch, length, heads * size))
    return [out, *gradient([out], [leaf(3, batch, length, heads * size)], leaves)], ()


def gelu() -> Outputs:
    x, gy = leaf(0, 33, 70, grad=True), leaf(1, 33, 70)
    y = b.mul(b.mul(x, number(0.5)), b.add(number(1.0), b.erf(b.mul(x, number(0.70710678)))))
    return [y, *gradient([y], [gy], [x])], ()


def dropout() -> Outputs:
    x, gy = leaf(0, 64, 100, grad=True), leaf(1, 64, 100)
    bits = b.random_bits(b.scalar(7, dtypes.int64), b.scalar(8, dtypes.int64), (64, 100))
    kept = b.lt(b.cast(b.shift_right(bits, b.const(8, dtypes.uint32)), F32), number(float(1 << 23)))
    y = b.where(kept, b.mul(x, number(2.0)), number(0.0))
    return [y, *gradient([y], [gy], [x])], ()


def conv_net() -> Outputs:
    x, w1, b1, w2, dense, t = (
        *(leaf(0, 4, 1, 12, 12), leaf(1, 8, 1, 3, 3, grad=True), leaf(2, 1, 8, 1, 1, grad=True)),
        *(leaf(3, 16, 8, 3, 3, grad=True), leaf(4, 144, 10, grad=True), leaf(5, 4, 10)),
    )
    h = b.window_max(b.maximum(b.add(b.conv(x, w1, 1, 1), b1), number(0.0)), 2, 2)
    h = b.window_max(b.maximum(b.conv(h, w2, 1, 1), number(0.0)), 2, 2)
    y = b.dot(b.reshape(h, (4, 144)), dense)
    loss = b.neg(b.reshape(b.sum(b.mul(log_softmax_node(y), t), (0, 1)), ()))
    return [loss, *gradient([loss], [number(1.0)], [w1, b1, w2, dense])], ()


MODELS: dict[str, Callable[[], Outputs]] = {
    f.__name__: f
    for f in (
        *(softmax, softmax_backward, layer_norm, layer_norm_training, cross_entropy, adam, mlp, rnn, batch_norm, attention, gelu),
        *(dropout, conv_net),
    )
}
SCALARS: list[float | int] = [0.9, 0.99, 1e-8, 1e-3, 0.5, 0.0, 0.0, 3, 4]


def graph_of(outputs: Outputs) -> Graph:
    """Return the graph of a model's outputs."""
    nodes = tuple(n for n in outputs[0] if n is not None)
    positions = {n.attrs[0]: n for n in topological_order(nodes) if n.op == "input"}
    return Graph(nodes, tuple(positions[k] for k in range(len(positions))), outputs[1])


def arrays_of(graph: Graph) -> list[np.ndarray]:
    """Return random inputs: positive numbers, small indices."""
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 10, n.shape) if n.dtype.is_integer else rng.uniform(0.1, 2.0, n.shape).astype(n.dtype.numpy) for n in graph.inputs
    ]
