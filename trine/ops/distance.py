"""Distances between vectors: cosine similarity, p-norms of differences."""

from __future__ import annotations

from trine.core import build as b
from trine.core.graph import Node
from trine.ops.promotion import number, promote_float
from trine.ops.reduction import norm_keeping_axes
from trine.shapes import broadcast, canonical_axis
from trine.tensor import Tensor, record


def cosine_nodes(x: Node, y: Node, axis: int, eps: float) -> Node:
    """Return the cosines of the angles between vectors along an axis, which goes; norms count as at least `eps`."""
    dot = b.sum(b.mul(x, y), (axis,))
    floor = number(eps, x)
    x_norm, y_norm = norm_keeping_axes(x, (axis,), 2.0), norm_keeping_axes(y, (axis,), 2.0)
    product = b.mul(b.where(b.lt(x_norm, floor), floor, x_norm), b.where(b.lt(y_norm, floor), floor, y_norm))
    return b.squeeze(b.div(dot, product), axis)


def _cosine_similarity(x: Node, y: Node, dim: int, eps: float) -> Node:
    x, y = promote_float(x, y)
    shape = broadcast("cosine_similarity", x.shape, y.shape)
    if not shape and dim in (0, -1):
        return b.reshape(cosine_nodes(b.reshape(x, (1,)), b.reshape(y, (1,)), 0, eps), ())
    return cosine_nodes(b.expand(x, shape), b.expand(y, shape), canonical_axis(dim, len(shape), "cosine_similarity"), eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Return the cosine of the angle between vectors along an axis; norms count as at least `eps`.

    Example:
        >>> import trine
        >>> trine.cosine_similarity(trine.tensor([[3., 4.]]), trine.tensor([[4., 3.]]))
        tensor([0.9600])
    """
    result: Tensor = record(_cosine_similarity, (x1, x2), dim, float(eps))
    return result


def distance_nodes(x: Node, y: Node, p: float, eps: float, keepdim: bool) -> Node:
    """Return the p-norms of the differences along the last axis."""
    x, y = promote_float(x, y)
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
    result: Tensor = record(distance_nodes, (x1, x2), float(p), float(eps), keepdim)
    return result
