"""Node builders of losses: reductions, and the cross entropy family."""

from __future__ import annotations

import warnings

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import DTypeError, ShapeError, message
from trine.ops.arguments import check_choice
from trine.ops.promotion import as_dtype, number, size
from trine.shapes import size_of

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(op: str, reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """Return the reduction, read from PyTorch's old arguments where these are given.

    Raises:
        ArgumentError: there is no such reduction.
    """
    if size_average is not None or reduce is not None:
        average, reduces = size_average is not False, reduce is not False
        reduction = "none" if not reduces else "mean" if average else "sum"
        warnings.warn(f"{op}: size_average and reduce are deprecated, use reduction={reduction!r}", DeprecationWarning, stacklevel=3)
    check_choice(op, "reduction", reduction, REDUCTIONS)
    return reduction


def reduce_nodes(x: Node, reduction: str) -> Node:
    """Return the elements, their mean, or their sum."""
    if reduction == "none":
        return x
    axes = tuple(range(len(x.shape)))
    total = b.reshape(b.sum(x, axes), ())
    return total if reduction == "sum" else b.div(total, size(size_of(x.shape), x.dtype))


def _class_axis(x: Node, target: Node, op: str) -> int:
    """Return the axis of the classes, and check that target labels fit."""
    axis = 0 if len(x.shape) == 1 else 1
    if not x.shape or target.shape != x.shape[:axis] + x.shape[axis + 1 :]:
        raise ShapeError(
            message(
                f"{op}: the target does not fit the input",
                received=f"input {x.shape}, target {target.shape}",
                expected="input (N, C, ...) and class numbers (N, ...), or input (C,) and one class number",
            )
        )
    return axis


def checked_labels(target: Node, num_classes: int, ignore_index: int, op: str) -> tuple[Node, Node]:
    """Return the labels, checked at run time, and which of them count. Ignored labels become class 0."""
    if target.dtype is dtypes.bool_ or not target.dtype.is_integer:
        raise DTypeError(
            message(
                f"{op}: class numbers must be integers",
                received=target.dtype.name,
                expected="int64 class numbers, or probabilities of the input's shape",
                fix="target.long(); a floating point target may hold NaN labels that come from missing data",
            )
        )
    target = as_dtype(target, dtypes.int64)
    zero = number(0, target)
    counts = b.ne(target, number(ignore_index, target))
    return b.check_index(b.where(counts, target, zero), num_classes, wraps=False), counts


def picked(x: Node, labels: Node, axis: int) -> Node:
    """Return each row's element at its label, as a masked sum, which fuses with what computed the row."""
    at_label = b.eq(b.iota(x.shape, axis), b.unsqueeze(labels, axis))
    return b.squeeze(b.sum(b.where(at_label, x, number(0, x)), (axis,)), axis)


def _class_weights(weight: Node, num_classes: int, op: str) -> Node:
    if weight.shape != (num_classes,):
        raise ShapeError(
            message(f"{op}: the weight does not fit", received=weight.shape, expected=f"one weight per class, ({num_classes},)")
        )
    return weight


def nll_nodes(log_p: Node, target: Node, weight: Node | None, ignore_index: int, reduction: str, smoothing: float, op: str) -> Node:
    """Return the negative log likelihood of labels, with weights, ignored labels and label smoothing."""
    axis = _class_axis(log_p, target, op)
    num_classes = log_p.shape[axis]
    labels, counts = checked_labels(target, num_classes, ignore_index, op)
    zero = number(0, log_p)
    losses = b.neg(picked(log_p, labels, axis))
    weights = as_dtype(counts, log_p.dtype)
    per_class: Node | None = None
    if weight is not None:
        weight = _class_weights(weight, num_classes, op)
        per_class = b.reshape(weight, (num_classes, *(1,) * (len(log_p.shape) - axis - 1)))
        label_weight = b.take(weight, labels, 0)
        losses = b.mul(losses, label_weight)
        weights = b.mul(weights, label_weight)
    if smoothing:
        smooth = log_p if per_class is None else b.mul(log_p, per_class)
        spread = b.div(b.squeeze(b.neg(b.sum(smooth, (axis,))), axis), size(num_classes, log_p.dtype))
        losses = b.add(b.mul(losses, number(1 - smoothing, log_p)), b.mul(spread, number(smoothing, log_p)))
    losses = b.where(counts, losses, zero)
    if reduction != "mean":
        return reduce_nodes(losses, reduction)
    return b.div(reduce_nodes(losses, "sum"), reduce_nodes(weights, "sum"))


def soft_cross_entropy_nodes(log_p: Node, target: Node, weight: Node | None, reduction: str, smoothing: float) -> Node:
    """Return the cross entropy with target probabilities."""
    axis = 0 if len(log_p.shape) == 1 else 1
    num_classes = log_p.shape[axis]
    target = as_dtype(target, log_p.dtype)
    if smoothing:
        uniform = b.div(number(smoothing, log_p), size(num_classes, log_p.dtype))
        target = b.add(b.mul(target, number(1 - smoothing, log_p)), uniform)
    products = b.mul(log_p, target)
    if weight is not None:
        weight = _class_weights(weight, num_classes, "cross_entropy")
        products = b.mul(products, b.reshape(weight, (num_classes, *(1,) * (len(log_p.shape) - axis - 1))))
    losses = b.neg(b.squeeze(b.sum(products, (axis,)), axis))
    if reduction != "mean":
        return reduce_nodes(losses, reduction)
    return b.div(reduce_nodes(losses, "sum"), size(size_of(log_p.shape) // max(num_classes, 1), log_p.dtype))
