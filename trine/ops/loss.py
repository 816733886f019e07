"""Losses. Each is one record; ``reduction`` is "mean", "sum" or "none"."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.ops.activation import log_sigmoid_nodes, log_softmax_nodes
from trine.ops.contraction import linear_nodes
from trine.ops.creation import full_like
from trine.ops.loss_nodes import check_reduction, nll_nodes, reduce_nodes, soft_cross_entropy_nodes
from trine.ops.promotion import as_dtype, number, promote_float, promote_pair, size
from trine.tensor import Tensor, record

Elementwise = Callable[..., Node]


def _elementwise_loss(function: Elementwise) -> Elementwise:
    """Return the builder of a loss of two tensors that is computed element by element."""

    def builder(x: Node, y: Node, reduction: str, *attrs: Any) -> Node:
        return reduce_nodes(function(*promote_pair(x, y), *attrs), reduction)

    return builder


def _warn_if_broadcast(op: str, input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        sizes = f"the target size {tuple(target.shape)} differs from the input size {tuple(input.shape)}"
        text = f"{op}: {sizes}; they broadcast, which is rarely meant"
        warnings.warn(text, UserWarning, stacklevel=3)


def _squared_error(x: Node, y: Node) -> Node:
    difference = b.sub(x, y)
    return b.mul(difference, difference)


_mse = _elementwise_loss(_squared_error)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the squared differences, weighted if a weight is given.

    Example:
        >>> import trine
        >>> trine.nn.functional.mse_loss(trine.tensor([1., 2.]), trine.tensor([1., 4.]))
        tensor(2.)
    """
    reduction = check_reduction("mse_loss", reduction, size_average, reduce)
    _warn_if_broadcast("mse_loss", input, target)
    if weight is not None:
        result: Tensor = record(_weighted_mse, (input, target, weight), reduction)
    else:
        result = record(_mse, (input, target), reduction)
    return result


def _weighted(function: Elementwise, by_weight: bool = True) -> Elementwise:
    """Return the builder of a weighted elementwise loss; its mean divides by the sum of the weights, or by the number of elements."""

    def builder(x: Node, y: Node, weight: Node, reduction: str, *attrs: Any) -> Node:
        losses = b.mul(function(*promote_pair(x, y), *attrs), weight)
        if reduction != "mean" or not by_weight:
            return reduce_nodes(losses, reduction)
        return b.div(reduce_nodes(losses, "sum"), reduce_nodes(b.expand(weight, losses.shape), "sum"))

    return builder


_weighted_mse = _weighted(_squared_error)


def _absolute_error(x: Node, y: Node) -> Node:
    return b.abs(b.sub(x, y))


_l1, _weighted_l1 = _elementwise_loss(_absolute_error), _weighted(_absolute_error)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return the absolute differences, weighted if a weight is given.

    Example:
        >>> import trine
        >>> trine.nn.functional.l1_loss(trine.tensor([1., 2.]), trine.tensor([1., 4.]))
        tensor(1.)
    """
    reduction = check_reduction("l1_loss", reduction, size_average, reduce)
    _warn_if_broadcast("l1_loss", input, target)
    if weight is not None:
        result: Tensor = record(_weighted_l1, (input, target, weight), reduction)
    else:
        result = record(_l1, (input, target), reduction)
    return result


def _smooth_l1(x: Node, y: Node, beta: float) -> Node:
    distance = b.abs(b.sub(x, y))
    if beta == 0:
        return distance
    small = b.mul(b.mul(distance, distance), number(0.5 / beta, x))
    return b.where(b.lt(distance, number(beta, x)), small, b.sub(distance, number(0.5 * beta, x)))


_smooth = _elementwise_loss(_smooth_l1)


def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Return ``0.5 * d**2 / beta`` for differences d below `beta`, ``|d| - 0.5 * beta`` above.

    Example:
        >>> import trine
        >>> trine.nn.functional.smooth_l1_loss(trine.tensor([0., 3.]), trine.tensor([1., 0.]))
        tensor(1.5000)
    """
    reduction = check_reduction("smooth_l1_loss", reduction, size_average, reduce)
    _warn_if_broadcast("smooth_l1_loss", input, target)
    if beta < 0:
        raise ArgumentError(message("smooth_l1_loss does not support negative values for beta", received=beta))
    result: Tensor = record(_smooth, (input, target), reduction, float(beta))
    return result


def _huber(x: Node, y: Node, delta: float) -> Node:
    distance = b.abs(b.sub(x, y))
    limit = number(delta, x)
    half = number(0.5, x)
    large = b.mul(limit, b.sub(distance, b.mul(half, limit)))
    return b.where(b.le(distance, limit), b.mul(half, b.mul(distance, distance)), large)


_huber_loss, _weighted_huber = _elementwise_loss(_huber), _weighted(_huber, by_weight=False)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None) -> Tensor:
    """Return ``0.5 * d**2`` for differences d up to `delta`, ``delta * (|d| - 0.5 * delta)`` above; weighted if a weight is given.

    Example:
        >>> import trine
        >>> trine.nn.functional.huber_loss(trine.tensor([0., 3.]), trine.tensor([1., 0.]))
        tensor(1.5000)
    """
    check_reduction("huber_loss", reduction)
    _warn_if_broadcast("huber_loss", input, target)
    if delta <= 0:
        raise ArgumentError(message("huber_loss does not support non-positive values for delta", received=delta))
    if weight is not None:
        result: Tensor = record(_weighted_huber, (input, target, weight), reduction, float(delta))
    else:
        result = record(_huber_loss, (input, target), reduction, float(delta))
    return result


# --- binary cross entropy ---------------------------------------------------------------------------------------------------------------


def _check_equal_shapes(op: str, x: Node, y: Node) -> None:
    if x.shape != y.shape:
        raise ShapeError(
            message(f"{op}: shapes differ", received=f"input {x.shape}, target {y.shape}", expected="equal shapes", fix="reshape one")
        )


def _bce(*arguments: Any) -> Node:
    x, y, *weights, reduction = arguments
    _check_equal_shapes("binary_cross_entropy", x, y)
    y = as_dtype(y, x.dtype)
    # Logarithms are limited to -100, so that the loss stays finite at 0 and 1, as in PyTorch.
    limit = number(-100, x)
    one = number(1, x)
    log_p, log_q = b.maximum(b.log(x), limit), b.maximum(b.log1p(b.neg(x)), limit)
    losses = b.neg(b.add(b.mul(y, log_p), b.mul(b.sub(one, y), log_q)))
    return reduce_nodes(b.mul(losses, weights[0]) if weights else losses, reduction)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return ``-(t * log(p) + (1 - t) * log(1 - p))`` of probabilities p, logarithms limited to -100.

    Raises:
        ShapeError: input and target have different shapes.

    Example:
        >>> import trine
        >>> trine.nn.functional.binary_cross_entropy(trine.tensor([0.5]), trine.tensor([1.]))
        tensor(0.6931)
    """
    reduction = check_reduction("binary_cross_entropy", reduction, size_average, reduce)
    operands = (input, target) if weight is None else (input, target, weight)
    result: Tensor = record(_bce, operands, reduction)
    return result


def _bce_with_logits(*arguments: Any) -> Node:
    x, y, *weights, has_weight, has_pos_weight, reduction = arguments
    _check_equal_shapes("binary_cross_entropy_with_logits", x, y)
    y = as_dtype(y, x.dtype)
    log_q = log_sigmoid_nodes(b.neg(x))
    if has_pos_weight:
        # weight * t * -log(p) + (1 - t) * -log(q), with log(p) = x + log(q)
        log_weight = b.add(number(1, x), b.mul(b.sub(weights[-1], number(1, x)), y))
        losses = b.sub(b.mul(b.sub(number(1, x), y), x), b.mul(log_weight, log_sigmoid_nodes(x)))
    else:
        losses = b.neg(b.add(b.mul(x, y), log_q))
    return reduce_nodes(b.mul(losses, weights[0]) if has_weight else losses, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return the binary cross entropy of ``sigmoid(input)``, without overflow; `pos_weight` weighs the positive targets.

    Raises:
        ShapeError: input and target have different shapes.

    Example:
        >>> import trine
        >>> trine.nn.functional.binary_cross_entropy_with_logits(trine.tensor([0.]), trine.tensor([1.]))
        tensor(0.6931)
    """
    reduction = check_reduction("binary_cross_entropy_with_logits", reduction, size_average, reduce)
    operands = tuple([t for t in (input, target, weight, pos_weight) if t is not None])
    result: Tensor = record(_bce_with_logits, operands, weight is not None, pos_weight is not None, reduction)
    return result


# --- cross entropy ----------------------------------------------------------------------------------------------------------------------


def _cross_entropy(*arguments: Any) -> Node:
    x, target, *weights, ignore_index, reduction, smoothing = arguments
    weight = weights[0] if weights else None
    if not x.dtype.is_floating_point:
        raise DTypeError(
            message("cross_entropy: the input is not floating point", received=x.dtype.name, expected="logits", fix="input.float()")
        )
    if not x.shape:
        raise ShapeError(message("cross_entropy: a 0-d input", received="shape ()", expected="(C,) or (N, C, ...)"))
    log_p = log_softmax_nodes(x, 0 if len(x.shape) == 1 else 1)
    if target.shape == x.shape and target.dtype.is_floating_point:
        return soft_cross_entropy_nodes(log_p, target, weight, reduction, smoothing)
    return nll_nodes(log_p, target, weight, ignore_index, reduction, smoothing, "cross_entropy")


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross entropy of ``softmax(input)`` and the target.

    Args:
        input: logits (N, C, ...) or (C,).
        target: class numbers (N, ...), or probabilities of the input's shape.
        weight: one weight per class.
        ignore_index: the class number that does not count.
        label_smoothing: how much of each target is spread evenly over all classes, in [0, 1].

    Raises:
        DTypeError: floating point class numbers (which may be NaN). ShapeError: the target does not fit.
        IndexOutOfRangeError: at run time, for a class number outside [0, C).

    Example:
        >>> import trine
        >>> trine.nn.functional.cross_entropy(trine.zeros(2, 4), trine.tensor([1, 3]))
        tensor(1.3863)
    """
    reduction = check_reduction("cross_entropy", reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise_smoothing(label_smoothing)
    operands = (input, target) if weight is None else (input, target, weight)
    result: Tensor = record(_cross_entropy, operands, ignore_index, reduction, float(label_smoothing))
    return result


def raise_smoothing(value: float) -> None:
    """Raise the error for an impossible label_smoothing."""
    raise ArgumentError(message("cross_entropy: impossible label_smoothing", received=value, expected="a number from 0 to 1"))


def _nll(*arguments: Any) -> Node:
    x, target, *weights, ignore_index, reduction = arguments
    return nll_nodes(x, target, weights[0] if weights else None, ignore_index, reduction, 0.0, "nll_loss")


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the negative log likelihood of class numbers under log probabilities (N, C, ...).

    Example:
        >>> import trine
        >>> trine.nn.functional.nll_loss(trine.tensor([[-1., -2.]]), trine.tensor([1]))
        tensor(2.)
    """
    reduction = check_reduction("nll_loss", reduction, size_average, reduce)
    operands = (input, target) if weight is None else (input, target, weight)
    result: Tensor = record(_nll, operands, ignore_index, reduction)
    return result


# --- other losses -----------------------------------------------------------------------------------------------------------------------


def _kl_div(x: Node, y: Node, reduction: str, log_target: bool) -> Node:
    x, y = promote_pair(x, y)
    if log_target:
        losses = b.mul(b.exp(y), b.sub(y, x))
    else:
        is_zero = b.eq(y, number(0, y))
        entropy = b.where(is_zero, number(0, y), b.mul(y, b.log(b.where(is_zero, number(1, y), y))))
        losses = b.sub(entropy, b.mul(y, x))
    if reduction == "batchmean":
        return b.div(reduce_nodes(losses, "sum"), size(x.shape[0] if x.shape else 1, x.dtype))
    return reduce_nodes(losses, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Return the Kullback-Leibler divergence ``t * (log(t) - input)`` of log probabilities; "batchmean" divides by the batch size.

    Example:
        >>> import trine
        >>> trine.nn.functional.kl_div(trine.tensor([[0., 0.]]), trine.tensor([[1., 0.]]), reduction="batchmean")
        tensor(0.)
    """
    if size_average is not None or reduce is not None or reduction != "batchmean":
        reduction = check_reduction("kl_div", reduction, size_average, reduce)
    result: Tensor = record(_kl_div, (input, target), reduction, log_target)
    return result


def _gaussian_nll(x: Node, target: Node, variance: Node, full: bool, eps: float, reduction: str) -> Node:
    floor = number(eps, variance)
    # The limit is not differentiated: below it the variance is a constant plus itself, as in PyTorch.
    limited = b.add(variance, b.stop_gradient(b.sub(b.maximum(variance, floor), variance)))
    difference = b.sub(x, target)
    losses = b.mul(number(0.5, x), b.add(b.log(limited), b.div(b.mul(difference, difference), limited)))
    if full:
        losses = b.add(losses, number(0.5 * math.log(2 * math.pi), x))
    return reduce_nodes(losses, reduction)


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """Return the negative log likelihood of a normal distribution with mean `input` and variance `var`.

    Example:
        >>> import trine
        >>> trine.nn.functional.gaussian_nll_loss(trine.tensor([0.]), trine.tensor([2.]), trine.tensor([1.]))
        tensor(2.)
    """
    check_reduction("gaussian_nll_loss", reduction)
    if isinstance(var, Tensor) and var.dim() == input.dim() - 1 and var.shape == input.shape[:-1]:
        var = var.unsqueeze(-1)
    if not isinstance(var, Tensor) and var < 0:
        raise ArgumentError(message("gaussian_nll_loss: var has negative entry/entries", received=var))
    variance = var if isinstance(var, Tensor) else full_like(input, var)
    result: Tensor = record(_gaussian_nll, (input, target, variance), full, float(eps), reduction)
    return result


def _poisson_nll(x: Node, target: Node, log_input: bool, full: bool, eps: float, reduction: str) -> Node:
    x, target = promote_float(x, target)
    losses = b.sub(b.exp(x), b.mul(target, x)) if log_input else b.sub(x, b.mul(target, b.log(b.add(x, number(eps, x)))))
    if full:
        one = number(1, target)
        safe = b.where(b.gt(target, one), target, one)
        stirling = b.add(b.sub(b.mul(safe, b.log(safe)), safe), b.mul(number(0.5, x), b.log(b.mul(number(2 * math.pi, x), safe))))
        losses = b.add(losses, b.where(b.gt(target, one), stirling, number(0, x)))
    return reduce_nodes(losses, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the negative log likelihood of counts under a Poisson distribution; `full` adds Stirling's term.

    Example:
        >>> import trine
        >>> trine.nn.functional.poisson_nll_loss(trine.tensor([0.]), trine.tensor([3.]))
        tensor(1.)
    """
    reduction = check_reduction("poisson_nll_loss", reduction, size_average, reduce)
    result: Tensor = record(_poisson_nll, (input, target), log_input, full, float(eps), reduction)
    return result


# --- linear and cross entropy in one ----------------------------------------------------------------------------------------------------


def _linear_cross_entropy(*arguments: Any) -> Node:
    x, matrix, target, *rest, has_bias, has_weight, ignore_index, reduction, smoothing = arguments
    bias = rest[0] if has_bias else None
    weights = rest[has_bias:]
    num_classes, *features, width = matrix.shape
    logits = linear_nodes(x, b.reshape(matrix, (-1, width)))
    if bias is not None:
        logits = b.add(logits, b.reshape(bias, (-1,)))
    logits = b.reshape(logits, (*x.shape[:-1], num_classes, *features))
    return _cross_entropy(logits, target, *(weights if has_weight else ()), ignore_index, reduction, smoothing)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: object = None,
) -> Tensor:
    """Return the cross entropy of the logits ``linear(input, linear_weight, linear_bias)``.

    Args:
        input: (N, in_features) or (in_features,). linear_weight: (C, *, in_features). linear_bias: (C, *). options: accepted.
        The others are those of `cross_entropy`.

    Raises:
        RuntimeError: sizes that do not fit.

    Example:
        >>> import trine
        >>> trine.nn.functional.linear_cross_entropy(trine.ones(2, 3), trine.zeros(4, 3), trine.tensor([1, 3]))
        tensor(1.3863)
    """
    check_reduction("linear_cross_entropy", reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise_smoothing(label_smoothing)
    _check_linear(input, linear_weight, linear_bias)
    logits = (*input.shape[:-1], *linear_weight.shape[:-1])
    if tuple(target.shape) == logits and ignore_index is not None:
        what = "linear_cross_entropy: ignore_index cannot be specified when target contains probabilities"
        raise ShapeError(message(what, received=ignore_index))
    operands = tuple([t for t in (input, linear_weight, target, linear_bias, weight) if t is not None])
    ignored = -100 if ignore_index is None else ignore_index
    flags = (linear_bias is not None, weight is not None, ignored, reduction, float(label_smoothing))
    result: Tensor = record(_linear_cross_entropy, operands, *flags)
    return result


def _check_linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    problem = ""
    if input.dim() not in (1, 2) or weight.dim() < 2:
        problem = f"input {tuple(input.shape)}, weight {tuple(weight.shape)}"
    elif input.shape[-1] != weight.shape[-1]:
        problem = f"{input.shape[-1]} and {weight.shape[-1]} features"
    elif bias is not None and bias.shape != weight.shape[:-1]:
        problem = f"bias {tuple(bias.shape)}, weight {tuple(weight.shape)}"
    elif input.dim() == 1 and weight.dim() > 2:
        problem = f"input {tuple(input.shape)} without a batch, weight {tuple(weight.shape)}"
    if problem:
        expected = "input (N, in_features) or (in_features,), weight (C, *, in_features), bias (C, *)"
        raise ShapeError(message("linear_cross_entropy: sizes do not fit", received=problem, expected=expected))
