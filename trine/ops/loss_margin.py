"""Losses with margins: rankings, embeddings, triplets, several labels. Each is one record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.activation import log_sigmoid_nodes
from trine.ops.distance import cosine_nodes, distance_nodes, pairwise_distance
from trine.ops.loss_nodes import check_reduction, checked_labels, picked, reduce_nodes
from trine.ops.promotion import as_dtype, number, promote_float, size
from trine.tensor import Tensor, record


def _positive(x: Node) -> Node:
    zero = number(0, x)
    return b.where(b.le(x, zero), zero, x)


def _soft_margin(x: Node, y: Node, reduction: str) -> Node:
    x, y = promote_float(x, y)
    return reduce_nodes(b.neg(log_sigmoid_nodes(b.mul(x, y))), reduction)


def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """Return ``log(1 + exp(-target * input))`` for targets 1 and -1.

    Example:
        >>> import trine
        >>> trine.nn.functional.soft_margin_loss(trine.tensor([0.]), trine.tensor([1.]))
        tensor(0.6931)
    """
    reduction = check_reduction("soft_margin_loss", reduction, size_average, reduce)
    result: Tensor = record(_soft_margin, (input, target), reduction)
    return result


def _margin_ranking(x: Node, y: Node, target: Node, margin: float, reduction: str) -> Node:
    x, y, target = promote_float(x, y, target)
    return reduce_nodes(_positive(b.add(b.mul(b.neg(target), b.sub(x, y)), number(margin, x))), reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return ``max(0, -target * (input1 - input2) + margin)``.

    Raises:
        ShapeError: the tensors have different numbers of axes.

    Example:
        >>> import trine
        >>> trine.nn.functional.margin_ranking_loss(trine.tensor([1.]), trine.tensor([3.]), trine.tensor([1.]))
        tensor(2.)
    """
    reduction = check_reduction("margin_ranking_loss", reduction, size_average, reduce)
    if not input1.dim() == input2.dim() == target.dim():
        received = ", ".join(str(tuple(t.shape)) for t in (input1, input2, target))
        raise ShapeError(message("margin_ranking_loss: all tensors need the same number of axes", received=received))
    result: Tensor = record(_margin_ranking, (input1, input2, target), float(margin), reduction)
    return result


def _hinge_embedding(x: Node, target: Node, margin: float, reduction: str) -> Node:
    x, target = promote_float(x)[0], target
    one, zero = number(1, target), number(0, x)
    near = b.where(b.eq(target, number(-1, target)), zero, x)
    far = b.where(b.eq(target, one), zero, _positive(b.sub(number(margin, x), x)))
    return reduce_nodes(b.add(near, far), reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the input where the target is 1, and ``max(0, margin - input)`` where it is -1.

    Example:
        >>> import trine
        >>> trine.nn.functional.hinge_embedding_loss(trine.tensor([0.25]), trine.tensor([-1.]))
        tensor(0.7500)
    """
    reduction = check_reduction("hinge_embedding_loss", reduction, size_average, reduce)
    result: Tensor = record(_hinge_embedding, (input, target), float(margin), reduction)
    return result


def _cosine_embedding(x: Node, y: Node, target: Node, margin: float, reduction: str) -> Node:
    x, y = promote_float(x, y)
    cosine = cosine_nodes(x, y, len(x.shape) - 1, 1e-6)
    target = as_dtype(target, cosine.dtype)
    one, zero = number(1, target), number(0, cosine)
    near = b.where(b.eq(target, one), b.sub(number(1, cosine), cosine), zero)
    far = b.where(b.eq(target, number(-1, target)), _positive(b.sub(cosine, number(margin, cosine))), zero)
    return reduce_nodes(b.add(near, far), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return ``1 - cos`` where the target is 1, and ``max(0, cos - margin)`` where it is -1.

    Args:
        input1, input2: (N, D) with targets (N,), or (D,) with a target ().

    Raises:
        ShapeError: the target does not fit.

    Example:
        >>> import trine
        >>> trine.nn.functional.cosine_embedding_loss(trine.tensor([[1., 0.]]), trine.tensor([[0., 1.]]), trine.tensor([1.]))
        tensor(1.)
    """
    reduction = check_reduction("cosine_embedding_loss", reduction, size_average, reduce)
    if target.dim() not in (0, 1) or input1.dim() != target.dim() + 1 or input2.dim() != target.dim() + 1:
        received = ", ".join(str(tuple(t.shape)) for t in (input1, input2, target))
        raise ShapeError(message("cosine_embedding_loss: the target does not fit", received=received, expected="(N, D), (N, D), (N,)"))
    result: Tensor = record(_cosine_embedding, (input1, input2, target), float(margin), reduction)
    return result


# --- triplets ---------------------------------------------------------------------------------------------------------------------------


def _triplet(anchor: Node, positive: Node, negative: Node, margin: float, p: float, eps: float, swap: bool, reduction: str) -> Node:
    near, far = distance_nodes(anchor, positive, p, eps, False), distance_nodes(anchor, negative, p, eps, False)
    if swap:
        far = b.minimum(far, distance_nodes(positive, negative, p, eps, False))
    return reduce_nodes(_positive(b.add(b.sub(near, far), number(margin, near))), reduction)


def _check_margin(op: str, margin: float) -> None:
    if margin <= 0:
        raise ArgumentError(message(f"{op}: margin must be greater than 0", received=margin))


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return ``max(0, |anchor - positive| - |anchor - negative| + margin)`` (Balntas et al., 2016).

    Args:
        swap: take the distance of positive and negative where it is the smaller one.

    Raises:
        ValueError: the margin is not positive.

    Example:
        >>> import trine
        >>> x = trine.tensor([[0., 0.]])
        >>> trine.nn.functional.triplet_margin_loss(x, x, trine.tensor([[3., 4.]]), margin=6.0)
        tensor(1.0000)
    """
    reduction = check_reduction("triplet_margin_loss", reduction, size_average, reduce)
    _check_margin("triplet_margin_loss", margin)
    result: Tensor = record(_triplet, (anchor, positive, negative), float(margin), float(p), float(eps), swap, reduction)
    return result


def _triplet_of_distances(near: Node, far: Node, margin: float, reduction: str) -> Node:
    near, far = promote_float(near, far)
    return reduce_nodes(_positive(b.add(b.sub(near, far), number(margin, near))), reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """Return the triplet loss for a distance of one's own (default `pairwise_distance`).

    Raises:
        ShapeError: the tensors have different numbers of axes. ValueError: the margin is not positive.

    Example:
        >>> import trine
        >>> x, far = trine.tensor([[0., 0.]]), trine.tensor([[3., 4.]])
        >>> trine.nn.functional.triplet_margin_with_distance_loss(x, x, far, distance_function=lambda a, b: (a - b).norm(p=1), margin=8.0)
        tensor(1.)
    """
    check_reduction("triplet_margin_with_distance_loss", reduction)
    _check_margin("triplet_margin_with_distance_loss", margin)
    if not anchor.dim() == positive.dim() == negative.dim():
        received = ", ".join(str(tuple(t.shape)) for t in (anchor, positive, negative))
        raise ShapeError(message("triplet_margin_with_distance_loss: equal numbers of axes are needed", received=received))
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    result: Tensor = record(_triplet_of_distances, (near, far), float(margin), reduction)
    return result


# --- several classes --------------------------------------------------------------------------------------------------------------------


def _rows(op: str, x: Node, target: Node, per_class: bool) -> tuple[Node, Node]:
    """Return input and target with a batch axis."""
    expected = x.shape if per_class else x.shape[:-1]
    if len(x.shape) not in (1, 2) or (target.shape != expected and not (not per_class and target.shape == (1,) and len(x.shape) == 1)):
        received = f"input {x.shape}, target {target.shape}"
        raise ShapeError(message(f"{op}: inconsistent target size", received=received, expected="input (N, C) or (C,), and its target"))
    batch = x.shape[0] if len(x.shape) == 2 else 1
    return b.reshape(x, (batch, x.shape[-1])), b.reshape(target, (batch, x.shape[-1]) if per_class else (batch,))


def _multi_margin(*arguments: Any) -> Node:
    x, target, *weights, p, margin, reduction = arguments
    is_single = len(x.shape) <= 1
    x = x if x.shape else b.reshape(x, (1,))
    x, target = _rows("multi_margin_loss", x, target, False)
    num_classes = x.shape[1]
    labels, _ = checked_labels(target, num_classes, -(1 << 62), "multi_margin_loss")
    own = b.unsqueeze(picked(x, labels, 1), 1)
    excess = _positive(b.add(b.sub(number(margin, x), own), x))
    excess = b.mul(excess, excess) if p == 2 else excess
    if weights:
        excess = b.mul(excess, b.unsqueeze(b.take(weights[0], labels, 0), 1))
    is_own = b.eq(b.iota(x.shape, 1), b.unsqueeze(labels, 1))
    losses = b.div(b.squeeze(b.sum(b.where(is_own, number(0, x), excess), (1,)), 1), size(num_classes, x.dtype))
    return reduce_nodes(b.reshape(losses, ()) if is_single else losses, reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the mean over the other classes of ``max(0, margin - x[target] + x)**p``.

    Args:
        input: (N, C) or (C,). target: class numbers (N,) or (). p: 1 or 2. weight: one weight per class, of the target.

    Raises:
        ValueError: p is neither 1 nor 2. ShapeError: sizes do not fit.

    Example:
        >>> import trine
        >>> trine.nn.functional.multi_margin_loss(trine.tensor([[0.5, 0.25]]), trine.tensor([0]))
        tensor(0.3750)
    """
    reduction = check_reduction("multi_margin_loss", reduction, size_average, reduce)
    if p not in (1, 2):
        raise ArgumentError(message("multi_margin_loss: only p == 1 and p == 2 are supported", received=p))
    if weight is not None and weight.dim() != 1:
        raise ArgumentError(message("multi_margin_loss: weight must be one-dimensional", received=f"shape {tuple(weight.shape)}"))
    operands = (input, target) if weight is None else (input, target, weight)
    result: Tensor = record(_multi_margin, operands, int(p), float(margin), reduction)
    return result


def _multilabel_margin(x: Node, target: Node, reduction: str) -> Node:
    is_single = len(x.shape) <= 1
    if not x.shape:
        x, target = b.reshape(x, (1,)), b.reshape(target, (1,))
    x, target = _rows("multilabel_margin_loss", x, target, True)
    batch, num_classes = x.shape
    target = as_dtype(target, dtypes.int64)
    # labels end at the first -1
    ended = b.cumsum(as_dtype(b.lt(target, number(0, target)), dtypes.int64), 1)
    is_label = b.eq(ended, number(0, ended))
    labels = b.check_index(b.where(is_label, target, number(0, target)), num_classes)
    chosen = b.take_along(x, labels, 1)
    cube = (batch, num_classes, num_classes)
    names = b.eq(b.expand(b.unsqueeze(labels, 2), cube), b.iota(cube, 2))
    is_named = b.max(as_dtype(b.bitwise_and(names, b.unsqueeze(is_label, 2)), dtypes.int64), (1,))
    excess = _positive(b.sub(number(1, x), b.sub(b.unsqueeze(chosen, 2), b.unsqueeze(x, 1))))
    counts = b.bitwise_and(b.unsqueeze(is_label, 2), b.eq(is_named, number(0, is_named)))
    total = b.sum(b.where(counts, excess, number(0, x)), (1, 2))
    losses = b.div(b.reshape(total, (batch,)), size(num_classes, x.dtype))
    return reduce_nodes(b.reshape(losses, ()) if is_single else losses, reduction)


def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """Return the sum of ``max(0, 1 - (x[label] - x[other]))`` over labels and other classes, divided by the number of classes.

    Args:
        input: (N, C) or (C,). target: class numbers of the same shape; the labels of a row end at the first -1.

    Example:
        >>> import trine
        >>> trine.nn.functional.multilabel_margin_loss(trine.tensor([[0.5, 0.25]]), trine.tensor([[0, -1]]))
        tensor(0.3750)
    """
    reduction = check_reduction("multilabel_margin_loss", reduction, size_average, reduce)
    result: Tensor = record(_multilabel_margin, (input, target), reduction)
    return result


def _multilabel_soft_margin(*arguments: Any) -> Node:
    x, y, *weights, reduction = arguments
    if x.shape != y.shape:
        received = f"input {x.shape}, target {y.shape}"
        raise ShapeError(message("multilabel_soft_margin_loss: shapes differ", received=received, expected="equal shapes"))
    y = as_dtype(y, x.dtype)
    losses = b.neg(b.add(b.mul(y, log_sigmoid_nodes(x)), b.mul(b.sub(number(1, x), y), log_sigmoid_nodes(b.neg(x)))))
    losses = b.mul(losses, weights[0]) if weights else losses
    if not losses.shape:
        return losses
    axis = len(losses.shape) - 1
    return reduce_nodes(b.div(b.squeeze(b.sum(losses, (axis,)), axis), size(losses.shape[axis], x.dtype)), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the binary cross entropy of ``sigmoid(input)``, as a mean over the classes (the last axis).

    Example:
        >>> import trine
        >>> trine.nn.functional.multilabel_soft_margin_loss(trine.tensor([[0., 0.]]), trine.tensor([[1., 0.]]))
        tensor(0.6931)
    """
    reduction = check_reduction("multilabel_soft_margin_loss", reduction, size_average, reduce)
    operands = (input, target) if weight is None else (input, target, weight)
    result: Tensor = record(_multilabel_soft_margin, operands, reduction)
    return result
