"""Update rules: pure functions from nodes to nodes, one for each optimizer.

A rule is called as ``rule(flags, parameter, gradient, states, coefficients)`` and returns the new parameter, then the new states in their
order. `flags` is static; `coefficients` are 0-d nodes (run-time scalars, so that another learning rate or step number compiles nothing).
Rules compute in the dtype that they are given: `updated` widens half types and shows complex numbers as pairs of real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from trine import dtypes
from trine.core import build
from trine.core.graph import Node

Nodes = tuple[Node, ...]
Rule = Callable[[Any, Node, Node, Nodes, Nodes], Nodes]


class Flags(NamedTuple):
    """What of an update is switched on."""

    weight_decay: bool = False
    maximize: bool = False
    decoupled: bool = False
    amsgrad: bool = False
    momentum: bool = False
    nesterov: bool = False
    centered: bool = False
    first: bool = False  # the momentum buffer starts as the gradient itself


# --- arithmetic with run-time coefficients ----------------------------------------------------------------------------------------------


def rest(coefficient: Node, x: Node) -> Node:
    """Return one minus a run-time scalar, rounded once to the dtype of x."""
    return build.cast(build.sub(build.const(1.0, coefficient.dtype), coefficient), x.dtype)


def scaled(x: Node, coefficient: Node) -> Node:
    """Return x times a run-time scalar."""
    return build.mul(x, build.cast(coefficient, x.dtype))


def plus(x: Node, coefficient: Node) -> Node:
    """Return x plus a run-time scalar."""
    return build.add(x, build.cast(coefficient, x.dtype))


def decayed(average: Node, x: Node, decay: Node) -> Node:
    """Return the moving average decay * average + (1 - decay) * x."""
    return build.add(scaled(average, decay), build.mul(x, rest(decay, x)))


def squared(x: Node) -> Node:
    """Return x * x."""
    return build.mul(x, x)


def direction(flags: Flags, p: Node, g: Node, weight_decay: Node) -> Node:
    """Return the gradient to descend: negated to maximize, with the L2 penalty added."""
    if flags.maximize:
        g = build.neg(g)
    if flags.weight_decay and not flags.decoupled:
        g = build.add(g, scaled(p, weight_decay))
    return g


# --- rules ------------------------------------------------------------------------------------------------------------------------------


def sgd(flags: Flags, p: Node, g: Node, states: Nodes, coefficients: Nodes) -> Nodes:
    """Stochastic gradient descent; state: momentum buffer; coefficients: lr, momentum, dampening, weight decay.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, in the form that PyTorch documents.
    """
    lr, momentum, dampening, weight_decay = coefficients
    g = direction(flags, p, g, weight_decay)
    if not flags.momentum:
        return (build.sub(p, scaled(g, lr)),)
    (buffer,) = states
    buffer = g if flags.first else build.add(scaled(buffer, momentum), build.mul(g, rest(dampening, g)))
    g = build.add(g, scaled(buffer, momentum)) if flags.nesterov else buffer
    return build.sub(p, scaled(g, lr)), buffer


def adam(flags: Flags, p: Node, g: Node, states: Nodes, coefficients: Nodes) -> Nodes:
    """Adam and AdamW; states: mean, square, with amsgrad the largest square.

    Coefficients: beta1, beta2, epsilon, step size (lr / bias correction 1), square root of bias correction 2, weight decay, and lr times
    weight decay. Sources: Kingma and Ba, "Adam", 2015; Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019; Reddi et al.,
    "On the Convergence of Adam and Beyond", 2018.
    """
    beta1, beta2, epsilon, step_size, correction, weight_decay, decay = coefficients
    if flags.weight_decay and flags.decoupled:
        p = build.mul(p, rest(decay, p))
    g = direction(flags, p, g, weight_decay)
    mean = decayed(states[0], g, beta1)
    square = decayed(states[1], squared(g), beta2)
    new: Nodes = (mean, square)
    used = square
    if flags.amsgrad:
        used = build.maximum(states[2], square)
        new = (mean, square, used)
    root = build.div(build.sqrt(used), build.cast(correction, p.dtype))
    return build.sub(p, build.div(scaled(mean, step_size), plus(root, epsilon))), *new


def sparse_adam(flags: Flags, p: Node, g: Node, states: Nodes, coefficients: Nodes) -> Nodes:
    """Adam for the rows (along axis 0) that have a gradient; the others, and their moments, stay.

    States: mean, square; coefficients: beta1, beta2, epsilon, step size (with both bias corrections).
    """
    beta1, beta2, epsilon, step_size = coefficients
    g = build.neg(g) if flags.maximize else g
    is_used = build.ne(g, build.const(0.0, g.dtype))
    if len(g.shape) > 1:
        is_used = build.max(is_used, tuple(range(1, len(g.shape))))
    mean = decayed(states[0], g, beta1)
    square = decayed(states[1], squared(g), beta2)
    new = build.sub(p, scaled(build.div(mean, plus(build.sqrt(square), epsilon)), step_size))
    return tuple(build.where(is_used, a, b) for a, b in zip((new, mean, square), (p, *states), strict=True))


def adamax(flags: Flags, p: Node, g: Node, states: Nodes, coefficients: Nodes) -> Nodes:
    """Adamax; states: mean, infinity norm; coefficients: beta1, beta2, epsilon, step size (with bias correction), weight decay.

    Source: Kingma and Ba, "Adam", 2015, section 7.1.
    """
    beta1, beta2, epsilon, step_size, weight_decay = coefficients
    g = direction(flags, p, g, weight_decay)
    mean = decayed(states[0], g, beta1)
    norm = build.maximum(scaled(states[1], beta2), plus(build.abs(g), epsilon))
    return build.sub(p, scaled(build.div(mean, norm), step_size)), mean, norm


def nadam(flags: Flags, p: Node, g: Node, states: Nodes, coefficients: Nodes) -> Nodes:
    """Adam with Nesterov momentum; states: mean, square.

    Coefficients: beta1, beta2, epsilon, bias correction 2, the factors of gradient and mean, weight decay, lr times weight decay.
    Source: Dozat, "Incorporating Nesterov Momentum into Adam", 2016.
    """
    beta1, beta2, epsilon, correction, of_gradient, of_mean, weight_decay, decay = coefficients
    if flags.weight_decay and flags.decoupled:
        p = build.mul(p, rest(decay, p))
    g = direction(flags, p, g, weight_decay)
    mean = decayed(states[0], g, beta1)
    square = decayed(states[1], squared(g), beta2)
    root = plus(build.sqrt(build.div(square, build.cast(correction, p.dtype))), epsilon)
    step = build.add(scaled(g, of_gradient), scaled(mean, of_mean))
    return build.sub(p, build.div(step, root)), mean, square


def radam(flags: Flags, p: Node, g: Node, states: Nodes, coefficients: Nodes) -> Nodes:
    """Rectified Adam; states: mean, square.

    Coefficients: beta1, beta2, epsilon, step size (with bias correction 1), the weights of the adaptive and of the plain step (one is 0),
    weight decay, lr times weight decay. Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020.
    """
    beta1, beta2, epsilon, step_size, adaptive, plain, weight_decay, decay = coefficients
    if flags.weight_decay and flags.decoupled:
        p = build.mul(p, rest(decay, p))
    g = direction(flags, p, g, weight_decay)
    mean = decayed(states[0], g, beta1)
    square = decayed(states[1], squared(g), beta2)
    rate = plus(build.div(build.cast(adaptive, p.dtype), plus(build.sqrt(square), epsilon)), plain)
    return build.sub(p, build.mul(scaled(mean, step_size), rate)), mean, square


def adagrad(flags: Flags, p: Node, g: Node, states: Nodes, coefficients: Nodes) -> Nodes:
    """Adagrad; state: sum of squares; coefficients: lr (after its decay), epsilon, weight decay.

    Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods", 2011.
    """
    lr, epsilon, weight_decay = coefficients
    g = direction(flags, p, g, weight_decay)
    total = build.add(states[0], squared(g))
    return build.sub(p, scaled(build.div(g, plus(build.sqrt(total), epsilon)), lr)), total


def adadelta(flags: Flags, p: Node, g: Node, states: Nodes, coefficients: Nodes) -> Nodes:
    """Adadelta; states: averages of squared gradients and of squared steps; coefficients: lr, rho, epsilon, weight decay.

    Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012.
    """
    lr, rho, epsilon, weight_decay = coefficients
    g = direction(flags, p, g, weight_decay)
    square = decayed(states[0], squared(g), rho)
    step = build.mul(build.div(build.sqrt(plus(states[1], epsilon)), build.sqrt(plus(square, epsilon))), g)
    return build.sub(p, scaled(step, lr)), square, decayed(states[1], squared(step), rho)


def rmsprop(flags: Flags, p: Node, g: Node, states: Nodes, coefficients: Nodes) -> Nodes:
    """RMSprop; states: average square, then with momentum its buffer, then (centered) the average gradient.

    Coefficients: lr, alpha, epsilon, momentum, weight decay. Sources: Hinton, lecture 6 of "Neural Networks for Machine Learning", 2012;
    centered: Graves, "Generating Sequences With Recurrent Neural Networks", 2013.
    """
    lr, alpha, epsilon, momentum, weight_decay = coefficients
    g = direction(flags, p, g, weight_decay)
    square = decayed(states[0], squared(g), alpha)
    new = [square]
    variance, average = square, None
    if flags.centered:
        average = decayed(states[-1], g, alpha)
        variance = build.sub(square, squared(average))
    step = build.div(g, plus(build.sqrt(variance), epsilon))
    if flags.momentum:
        step = build.add(scaled(states[1], momentum), step)
        new.append(step)
    if average is not None:
        new.append(average)
    return build.sub(p, scaled(step, lr)), *new


def rprop(flags: Flags, p: Node, g: Node, states: Nodes, coefficients: Nodes) -> Nodes:
    """Resilient propagation; states: previous gradient, step size; coefficients: the two etas, least and greatest step size.

    Source: Riedmiller and Braun, "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm", 1993.
    """
    eta_minus, eta_plus, least, greatest = (build.cast(c, p.dtype) for c in coefficients)
    g = build.neg(g) if flags.maximize else g
    before, size = states
    zero, one = build.const(0.0, p.dtype), build.const(1.0, p.dtype)
    agreement = build.mul(g, before)
    turned = build.lt(agreement, zero)
    factor = build.where(turned, eta_minus, build.where(build.gt(agreement, zero), eta_plus, one))
    size = build.minimum(build.maximum(build.mul(size, factor), least), greatest)
    g = build.where(turned, zero, g)
    return build.sub(p, build.mul(build.sign(g), size)), g, size


def asgd(flags: Flags, p: Node, g: Node, states: Nodes, coefficients: Nodes) -> Nodes:
    """Averaged stochastic gradient descent; state: averaged parameter.

    Coefficients: eta (the step size), 1 - lambda * eta, mu (the weight of the new value in the average), weight decay.
    Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.
    """
    eta, shrink, mu, weight_decay = coefficients
    g = direction(flags, p, g, weight_decay)
    new = build.sub(scaled(p, shrink), scaled(g, eta))
    return new, build.add(states[0], scaled(build.sub(new, states[0]), mu))


# --- how a rule is applied --------------------------------------------------------------------------------------------------------------


def wide(x: Node) -> Node:
    """Return the value to compute with: half types are too coarse for decays such as 0.999, complex numbers become pairs."""
    if x.dtype.is_half:
        return build.cast(x, dtypes.float32)
    if x.dtype.is_complex:
        axis = len(x.shape)
        return build.concat((build.unsqueeze(build.real(x), axis), build.unsqueeze(build.imag(x), axis)), axis)
    return x


def narrow(x: Node, like: Node) -> Node:
    """Return a result of a rule in the dtype of `like`: the inverse of `wide`."""
    if not like.dtype.is_complex:
        return build.cast(x, like.dtype)
    start, end, axis = (0,) * len(like.shape), like.shape, len(like.shape)
    parts = (build.slice(x, (*start, i), (*end, i + 1)) for i in range(2))
    real, imag = (build.squeeze(part, axis) for part in parts)
    unit = build.const(1j, like.dtype)
    return build.add(build.cast(real, like.dtype), build.mul(build.cast(imag, like.dtype), unit))


def updated(rule: Rule, flags: Any, p: Node, g: Node, states: Sequence[Node], coefficients: Nodes) -> Nodes:
    """Return the parameter after an update, and the new states, in their own dtypes."""
    g = build.cast(g, p.dtype)
    results = rule(flags, wide(p), wide(g), tuple(wide(s) for s in states), coefficients)
    return tuple(narrow(new, old) for new, old in zip(results, (p, *states), strict=True))
