"""Update rules: pure functions from nodes (parameter, gradient, state, coefficients) to nodes (new parameter, new state)."""

from __future__ import annotations

from typing import NamedTuple

from trine import dtypes
from trine.core import build
from trine.core.graph import Node


class SGDFlags(NamedTuple):
    """What of SGD is switched on (static); its coefficients are run-time operands."""

    weight_decay: bool
    momentum: bool
    nesterov: bool
    maximize: bool
    first: bool  # the momentum buffer starts as the gradient itself


class AdamFlags(NamedTuple):
    """What of Adam is switched on (static)."""

    weight_decay: bool
    decoupled: bool
    amsgrad: bool
    maximize: bool


def wide(x: Node) -> Node:
    """Return the value in the dtype to compute in: half types are too coarse for decays such as 0.999."""
    return build.cast(x, dtypes.float32) if x.dtype.is_half else x


def rest(coefficient: Node, x: Node) -> Node:
    """Return one minus a run-time scalar, rounded once to the dtype of x."""
    return build.cast(build.sub(build.const(1.0, coefficient.dtype), coefficient), x.dtype)


def scaled(x: Node, coefficient: Node) -> Node:
    """Return x times a run-time scalar."""
    return build.mul(x, build.cast(coefficient, x.dtype))


def sgd(
    flags: SGDFlags, p: Node, g: Node, buffer: Node | None, lr: Node, momentum: Node, dampening: Node, weight_decay: Node
) -> tuple[Node, Node | None]:
    """Return (parameter, momentum buffer) after a step of stochastic gradient descent.

    ``lr, momentum, dampening, weight_decay`` are 0-d nodes. Source: Sutskever et al., "On the importance of initialization and momentum in
    deep learning", 2013, in the form that PyTorch documents.
    """
    dtype = p.dtype
    p, g, buffer = wide(p), wide(g), None if buffer is None else wide(buffer)
    if flags.maximize:
        g = build.neg(g)
    if flags.weight_decay:
        g = build.add(g, scaled(p, weight_decay))
    if flags.momentum:
        if flags.first or buffer is None:
            buffer = g
        else:
            buffer = build.add(scaled(buffer, momentum), build.mul(g, rest(dampening, g)))
        g = build.add(g, scaled(buffer, momentum)) if flags.nesterov else buffer
    new = build.cast(build.sub(p, scaled(g, lr)), dtype)
    return new, None if buffer is None else build.cast(buffer, dtype)


def adam(
    flags: AdamFlags,
    p: Node,
    g: Node,
    mean: Node,
    square: Node,
    largest: Node | None,
    coefficients: tuple[Node, ...],
) -> tuple[Node, Node, Node, Node | None]:
    """Return (parameter, mean, square, largest square) after a step of Adam or AdamW; the states begin as zeros.

    ``coefficients`` are 0-d nodes: beta1, beta2, epsilon, step size (lr / bias correction 1), square root of bias correction 2,
    weight decay, and lr times weight decay. Sources: Kingma and Ba, "Adam", 2015; Loshchilov and Hutter, "Decoupled Weight Decay
    Regularization", 2019; Reddi et al., "On the Convergence of Adam and Beyond", 2018.
    """
    beta1, beta2, epsilon, step_size, correction, weight_decay, decay = coefficients
    dtype = p.dtype
    p, g, mean, square = wide(p), wide(g), wide(mean), wide(square)
    if flags.maximize:
        g = build.neg(g)
    if flags.weight_decay and flags.decoupled:
        p = build.mul(p, rest(decay, p))
    elif flags.weight_decay:
        g = build.add(g, scaled(p, weight_decay))
    mean = build.add(scaled(mean, beta1), build.mul(g, rest(beta1, g)))
    square = build.add(scaled(square, beta2), build.mul(build.mul(g, g), rest(beta2, g)))
    used = square
    if largest is not None:
        used = largest = build.maximum(wide(largest), square)
    root = build.div(build.sqrt(used), build.cast(correction, p.dtype))
    update = build.div(scaled(mean, step_size), build.add(root, build.cast(epsilon, p.dtype)))
    new = build.cast(build.sub(p, update), dtype)
    return new, build.cast(mean, dtype), build.cast(square, dtype), None if largest is None else build.cast(largest, dtype)
