"""Losses. Each is one record; ``reduction`` is "mean", "sum" or "none"."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from trine.core import build as b
from trine.core.graph import Node
from trine.errors import DTypeError, ShapeError, message
from trine.ops.activation import log_sigmoid_nodes, log_softmax_nodes
from trine.ops.creation import full_like
from trine.ops.loss_nodes import check_reduction, nll_nodes, reduce_nodes, soft_cross_entropy_nodes
from trine.ops.promotion import as_dtype, number, promote_pair, size
from trine.ops.reduction import norm_keeping_axes
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


def _weighted_mse(x: Node, y: Node, weight: Node, reduction: str) -> Node:
    losses = b.mul(_squared_error(*promote_pair(x, y)), weight)
    if reduction != "mean":
        return reduce_nodes(losses, reduction)
    return b.div(reduce_nodes(losses, "sum"), reduce_nodes(b.expand(weight, losses.shape), "sum"))


_l1 = _elementwise_loss(lambda x, y: b.abs(b.sub(x, y)))


def l1_loss(input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """Return the absolute differences.

    Example:
        >>> import trine
        >>> trine.nn.functional.l1_loss(trine.tensor([1., 2.]), trine.tensor([1., 4.]))
        tensor(1.)
    """
    reduction = check_reduction("l1_loss", reduction, size_average, reduce)
    _warn_if_broadcast("l1_loss", input, target)
    result: Tensor = record(_l1, (input, target), reduction)
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
        tensor(1.5)
    """
    reduction = check_reduction("smooth_l1_loss", reduction, size_average, reduce)
    _warn_if_broadcast("smooth_l1_loss", input, target)
    result: Tensor = record(_smooth, (input, target), reduction, float(beta))
    return result


def _huber(x: Node, y: Node, delta: float) -> Node:
    distance = b.abs(b.sub(x, y))
    limit = number(delta, x)
    half = number(0.5, x)
    large = b.mul(limit, b.sub(distance, b.mul(half, limit)))
    return b.where(b.le(distance, limit), b.mul(half, b.mul(distance, distance)), large)


_huber_loss = _elementwise_loss(_huber)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Return ``0.5 * d**2`` for differences d up to `delta`, ``delta * (|d| - 0.5 * delta)`` above.

    Example:
        >>> import trine
        >>> trine.nn.functional.huber_loss(trine.tensor([0., 3.]), trine.tensor([1., 0.]))
        tensor(1.5)
    """
    check_reduction("huber_loss", reduction)
    _warn_if_broadcast("huber_loss", input, target)
    result: Tensor = record(_huber_loss, (input, target), reduction, float(delta))
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
    from trine.errors import ArgumentError

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


def _soft_margin(x: Node, y: Node) -> Node:
    return b.neg(log_sigmoid_nodes(b.mul(x, y)))


_soft_margin_loss = _elementwise_loss(_soft_margin)


def soft_margin_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return ``log(1 + exp(-target * input))`` for targets 1 and -1.

    Example:
        >>> import trine
        >>> trine.nn.functional.soft_margin_loss(trine.tensor([0.]), trine.tensor([1.]))
        tensor(0.6931)
    """
    check_reduction("soft_margin_loss", reduction)
    result: Tensor = record(_soft_margin_loss, (input, target), reduction)
    return result


def _positive(x: Node) -> Node:
    zero = number(0, x)
    return b.where(b.le(x, zero), zero, x)


def _margin_ranking(x: Node, y: Node, target: Node, margin: float, reduction: str) -> Node:
    return reduce_nodes(_positive(b.add(b.mul(b.neg(target), b.sub(x, y)), number(margin, x))), reduction)


def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean") -> Tensor:
    """Return ``max(0, -target * (input1 - input2) + margin)``.

    Example:
        >>> import trine
        >>> trine.nn.functional.margin_ranking_loss(trine.tensor([1.]), trine.tensor([3.]), trine.tensor([1.]))
        tensor(2.)
    """
    check_reduction("margin_ranking_loss", reduction)
    result: Tensor = record(_margin_ranking, (input1, input2, target), float(margin), reduction)
    return result


def _hinge_embedding(x: Node, target: Node, margin: float, reduction: str) -> Node:
    one, zero = number(1, target), number(0, x)
    near = b.where(b.eq(target, number(-1, target)), zero, x)
    far = b.where(b.eq(target, one), zero, _positive(b.sub(number(margin, x), x)))
    return reduce_nodes(b.add(near, far), reduction)


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """Return the input where the target is 1, and ``max(0, margin - input)`` where it is -1.

    Example:
        >>> import trine
        >>> trine.nn.functional.hinge_embedding_loss(trine.tensor([0.25]), trine.tensor([-1.]))
        tensor(0.75)
    """
    check_reduction("hinge_embedding_loss", reduction)
    result: Tensor = record(_hinge_embedding, (input, target), float(margin), reduction)
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
    variance = var if isinstance(var, Tensor) else full_like(input, var)
    result: Tensor = record(_gaussian_nll, (input, target, variance), full, float(eps), reduction)
    return result


def _poisson_nll(x: Node, target: Node, log_input: bool, full: bool, eps: float, reduction: str) -> Node:
    x, target = promote_pair(x, target)
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


def _cosine_similarity(x: Node, y: Node, axis: int, eps: float) -> Node:
    dot = b.sum(b.mul(x, y), (axis,))
    floor = number(eps, x)
    x_norm, y_norm = norm_keeping_axes(x, (axis,), 2.0), norm_keeping_axes(y, (axis,), 2.0)
    product = b.mul(b.where(b.lt(x_norm, floor), floor, x_norm), b.where(b.lt(y_norm, floor), floor, y_norm))
    return b.squeeze(b.div(dot, product), axis)


def _cosine_similarity_along(x: Node, y: Node, dim: int, eps: float) -> Node:
    from trine.shapes import broadcast, canonical_axis

    x, y = promote_pair(x, y)
    shape = broadcast("cosine_similarity", x.shape, y.shape)
    return _cosine_similarity(b.expand(x, shape), b.expand(y, shape), canonical_axis(dim, len(shape), "cosine_similarity"), eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between vectors along an axis; norms count as at least `eps`.

    Example:
        >>> import trine
        >>> trine.cosine_similarity(trine.tensor([[3., 4.]]), trine.tensor([[4., 3.]]))
        tensor([0.96])
    """
    result: Tensor = record(_cosine_similarity_along, (x1, x2), dim, float(eps))
    return result


def _cosine_embedding(x: Node, y: Node, target: Node, margin: float, reduction: str) -> Node:
    cosine = _cosine_similarity(x, y, len(x.shape) - 1, 1e-6)
    one, zero = number(1, target), number(0, cosine)
    near = b.where(b.eq(target, one), b.sub(number(1, cosine), cosine), zero)
    far = b.where(b.eq(target, number(-1, target)), _positive(b.sub(cosine, number(margin, cosine))), zero)
    return reduce_nodes(b.add(near, far), reduction)


def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean") -> Tensor:
    """Return ``1 - cos`` where the target is 1, and ``max(0, cos - margin)`` where it is -1.

    Example:
        >>> import trine
        >>> trine.nn.functional.cosine_embedding_loss(trine.tensor([[1., 0.]]), trine.tensor([[0., 1.]]), trine.tensor([1.]))
        tensor(1.)
    """
    check_reduction("cosine_embedding_loss", reduction)
    result: Tensor = record(_cosine_embedding, (input1, input2, target), float(margin), reduction)
    return result


def _pairwise_distance(x: Node, y: Node, p: float, eps: float, keepdim: bool) -> Node:
    difference = b.add(b.sub(x, y), number(eps, x))
    axis = len(difference.shape) - 1
    distance = norm_keeping_axes(difference, (axis,), p)
    return distance if keepdim else b.squeeze(distance, axis)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """Return the p-norm of the differences along the last axis.

    Example:
        >>> import trine
        >>> trine.nn.functional.pairwise_distance(trine.tensor([[3., 0.]]), trine.tensor([[0., 4.]]))
        tensor([5.])
    """
    result: Tensor = record(_pairwise_distance, (x1, x2), float(p), float(eps), keepdim)
    return result


def _triplet(anchor: Node, positive: Node, negative: Node, margin: float, p: float, eps: float, swap: bool, reduction: str) -> Node:
    near, far = _pairwise_distance(anchor, positive, p, eps, False), _pairwise_distance(anchor, negative, p, eps, False)
    if swap:
        far = b.minimum(far, _pairwise_distance(positive, negative, p, eps, False))
    return reduce_nodes(_positive(b.add(b.sub(near, far), number(margin, near))), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Return ``max(0, |anchor - positive| - |anchor - negative| + margin)``.

    Example:
        >>> import trine
        >>> x = trine.tensor([[0., 0.]])
        >>> trine.nn.functional.triplet_margin_loss(x, x, trine.tensor([[3., 4.]]), margin=6.0)
        tensor(1.)
    """
    check_reduction("triplet_margin_loss", reduction)
    result: Tensor = record(_triplet, (anchor, positive, negative), float(margin), float(p), float(eps), swap, reduction)
    return result
