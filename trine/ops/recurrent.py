"""Recurrent networks over nodes: the products of all inputs at once, then the steps.

A whole network, of any number of layers and directions, is one record. Gates are ordered as in PyTorch: i f g o (LSTM), r z n (GRU).
Sources: Hochreiter and Schmidhuber, 1997 (LSTM); Cho et al., 2014 (GRU); Sak et al., 2014 (projections).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.ops.contraction import check_same_dtype
from trine.ops.promotion import as_dtype, number
from trine.ops.random import uniform_nodes


class Network(NamedTuple):
    """What the operands of `recurrent_nodes` mean.

    Attributes:
        mode: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU".
        layers, directions: how many. bias, projection: whether each has biases, and a matrix after the step.
        batch_first: the input is (B, T, …) instead of (T, B, …).
        has_state: initial states are operands (else they are 0). has_lengths: the lengths of the sequences are one.
        drops: seed, offset and probability of the dropout between layers are.
    """

    mode: str
    layers: int
    directions: int
    bias: bool
    projection: bool
    batch_first: bool
    has_state: bool
    has_lengths: bool
    drops: bool


class Weights(NamedTuple):
    """The weights of one layer and direction; products are with their transposes."""

    input: Node
    hidden: Node
    input_bias: Node | None
    hidden_bias: Node | None
    projection: Node | None


State = tuple[Node, ...]
"""Hidden state (B, H), and the cell (B, C) of an LSTM."""


def _columns(x: Node, start: int, stop: int) -> Node:
    return b.slice(x, (0, start), (x.shape[0], stop))


def _gates(inputs: Node, state: State | None, weights: Weights) -> Node:
    """Return what the gates get from the input and from the state (nothing, at a first step from 0)."""
    return inputs if state is None else b.add(inputs, b.dot(state[0], weights.hidden))


def _lstm_step(inputs: Node, state: State | None, weights: Weights) -> State:
    gates = _gates(inputs, state, weights)
    size = gates.shape[1] // 4
    i, f, g, o = (_columns(gates, k * size, (k + 1) * size) for k in range(4))
    cell = b.mul(b.sigmoid(i), b.tanh(g))
    if state is not None:
        cell = b.add(b.mul(b.sigmoid(f), state[1]), cell)
    hidden = b.mul(b.sigmoid(o), b.tanh(cell))
    return hidden if weights.projection is None else b.dot(hidden, weights.projection), cell


def _gru_step(inputs: Node, state: State | None, weights: Weights) -> State:
    size = inputs.shape[1] // 3
    bias = weights.hidden_bias
    recurrent = None if state is None else b.dot(state[0], weights.hidden)
    ahead = _columns(inputs, 0, 2 * size)
    if recurrent is not None:
        ahead = b.add(ahead, _columns(recurrent, 0, 2 * size))
    reset, update = b.sigmoid(_columns(ahead, 0, size)), b.sigmoid(_columns(ahead, size, 2 * size))
    candidate = _columns(inputs, 2 * size, 3 * size)
    inner = None if recurrent is None else _columns(recurrent, 2 * size, 3 * size)
    if bias is not None:  # only the candidate's part: that of the gates is added to the input
        last = b.reshape(b.slice(bias, (2 * size,), (3 * size,)), (1, size))
        inner = last if inner is None else b.add(inner, last)
    if inner is not None:
        candidate = b.add(candidate, b.mul(reset, inner))
    candidate = b.tanh(candidate)
    if state is None:
        return (b.sub(candidate, b.mul(update, candidate)),)
    return (b.add(candidate, b.mul(update, b.sub(state[0], candidate))),)


def _rnn_step(activation: Callable[[Node], Node]) -> Callable[[Node, State | None, Weights], State]:
    return lambda inputs, state, weights: (activation(_gates(inputs, state, weights)),)


_STEPS: dict[str, Callable[[Node, State | None, Weights], State]] = {
    "LSTM": _lstm_step,
    "GRU": _gru_step,
    "RNN_TANH": _rnn_step(b.tanh),
    "RNN_RELU": _rnn_step(lambda x: b.where(b.le(x, number(0, x)), number(0, x), x)),
}


def _input_products(mode: str, rows: Node, weights: Weights) -> Node:
    """Return what all steps get from their inputs, with every bias that can be added beforehand."""
    products = b.dot(rows, weights.input)
    bias, hidden = weights.input_bias, weights.hidden_bias
    if bias is None or hidden is None:
        return products
    if mode == "GRU":
        gates = bias.shape[0] // 3 * 2
        hidden = b.pad(b.slice(hidden, (0,), (gates,)), (0,), (bias.shape[0] - gates,))
    return b.add(products, b.reshape(b.add(bias, hidden), (1, bias.shape[0])))


def _zero_state(mode: str, batch: int, weights: Weights) -> State:
    hidden = b.full(0, (batch, weights.hidden.shape[0]), weights.hidden.dtype)
    return (hidden, b.full(0, (batch, weights.hidden.shape[1] // 4), hidden.dtype)) if mode == "LSTM" else (hidden,)


def _direction(mode: str, x: Node, state: State | None, weights: Weights, inside: Node | None, reverse: bool) -> tuple[Node, State]:
    """Return the outputs (T, B, H) and the last state of one layer in one direction; `inside` (T, B, 1): where a sequence goes on."""
    length, batch, size = x.shape
    inputs = _input_products(mode, b.reshape(x, (length * batch, size)), weights)
    step = _STEPS[mode]
    if state is None and length == 1:  # so that the recurrent weights have a gradient, of 0
        state = _zero_state(mode, batch, weights)
    outputs: list[Node] = []
    for t in reversed(range(length)) if reverse else range(length):
        now = b.slice(inputs, (t * batch, 0), ((t + 1) * batch, inputs.shape[1]))
        new = step(now, state, weights)
        if inside is not None:
            goes_on = b.reshape(b.slice(inside, (t, 0, 0), (t + 1, batch, 1)), (batch, 1))
            before = tuple([number(0, s) for s in new]) if state is None else state
            new = tuple([b.where(goes_on, n, o) for n, o in zip(new, before, strict=True)])
        state = new
        outputs.append(b.reshape(new[0], (1, *new[0].shape)))
    return b.concat(outputs[::-1] if reverse else outputs, 0), state or ()


def _taken_weights(operands: Iterator[Node], network: Network) -> Weights:
    inputs, hidden = b.transpose(next(operands)), b.transpose(next(operands))
    input_bias, hidden_bias = (next(operands), next(operands)) if network.bias else (None, None)
    return Weights(inputs, hidden, input_bias, hidden_bias, b.transpose(next(operands)) if network.projection else None)


def _dropped(x: Node, drop: tuple[Node, ...], layer: int) -> Node:
    seed, offset, p = drop
    words = b.add(offset, b.const(layer * x.shape[0] * x.shape[1] * x.shape[2], dtypes.int64))
    keep = b.sub(b.const(1.0, dtypes.float32), b.cast(p, dtypes.float32))
    is_kept = b.lt(uniform_nodes(seed, words, x.shape, dtypes.float32), keep)
    return b.where(is_kept, b.div(x, as_dtype(keep, x.dtype)), number(0, x))


def _part(stacked: Node, k: int) -> Node:
    return b.reshape(b.slice(stacked, (k, 0, 0), (k + 1, *stacked.shape[1:])), stacked.shape[1:])


def recurrent_nodes(*arguments: Any) -> tuple[Node, ...]:
    """Return the outputs of the last layer (T, B, D * H) or (B, T, D * H), and the last states (layers * D, B, H).

    Operands, in this order, where the `Network` (the last argument) says that they are there: the input, the initial states, the lengths
    (B,), the weights of each layer and direction in the order of the module's parameters, and seed, offset and probability of dropout.
    """
    *nodes, network = arguments
    operands: Iterator[Node] = iter(nodes)
    x = next(operands)
    states = [next(operands) for _ in range(2 if network.mode == "LSTM" else 1)] if network.has_state else []
    lengths = next(operands) if network.has_lengths else None
    weights = [_taken_weights(operands, network) for _ in range(network.layers * network.directions)]
    drop = tuple(operands)
    check_same_dtype(network.mode, x, weights[0].input, *states)
    if network.batch_first:
        x = b.permute(x, (1, 0, 2))
    inside = None
    if lengths is not None:
        steps = b.iota((*x.shape[:2], 1), 0)
        inside = b.lt(steps, b.reshape(as_dtype(lengths, dtypes.int64), (1, x.shape[1], 1)))
    last: list[State] = []
    for layer in range(network.layers):
        if layer and network.drops:
            x = _dropped(x, drop, layer - 1)
        outputs = []
        for direction in range(network.directions):
            k = layer * network.directions + direction
            initial = tuple([_part(s, k) for s in states]) or None
            output, final = _direction(network.mode, x, initial, weights[k], inside, direction == 1)
            outputs.append(output)
            last.append(final)
        x = outputs[0] if len(outputs) == 1 else b.concat(outputs, 2)
    stacked = [b.concat([b.unsqueeze(state[k], 0) for state in last], 0) for k in range(len(last[0]))]
    return (b.permute(x, (1, 0, 2)) if network.batch_first else x, *stacked)


def cell_nodes(*arguments: Any) -> Node | tuple[Node, ...]:
    """Return the state after one step: (x, states…, weight_ih, weight_hh[, bias_ih, bias_hh]), mode, and whether there are states."""
    *nodes, mode, has_state = arguments
    x, *rest = nodes
    count = (2 if mode == "LSTM" else 1) if has_state else 0
    given, matrices, biases = rest[:count], rest[count : count + 2], rest[count + 2 :] or [None, None]
    weights = Weights(b.transpose(matrices[0]), b.transpose(matrices[1]), biases[0], biases[1], None)
    check_same_dtype(mode, x, matrices[0], *given)
    state = tuple(given) if has_state else _zero_state(mode, x.shape[0], weights)
    new = _STEPS[mode](_input_products(mode, x, weights), state, weights)
    return new if mode == "LSTM" else new[0]
