"""Limits on gradients, before an optimizer uses them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from trine.core import build as b
from trine.core.graph import Node
from trine.errors import TrineError, message
from trine.ops.promotion import as_dtype, number, result_dtype
from trine.ops.reduction import norm_keeping_axes
from trine.tensor import Tensor, record
from trine.tensor.convert import tensor
from trine.tensor.grad_mode import no_grad

Tensors = Tensor | Iterable[Tensor]


class NonFiniteGradientError(TrineError, RuntimeError):
    """The norm of all gradients is NaN or infinite."""


def _list(tensors: Tensors) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _norm_of_all(*arguments: Any) -> Node:
    """Return the norm of the norms of all tensors: a 0-d node."""
    *nodes, p = arguments
    norms = []
    for node in nodes:
        flat = b.reshape(node, (math.prod(node.shape),))
        norms.append(norm_keeping_axes(flat, (0,), p) if flat.shape[0] else b.full(0, (1,), node.dtype))
    dtype = result_dtype(*norms)
    return b.reshape(norm_keeping_axes(b.concat([as_dtype(n, dtype) for n in norms], 0), (0,), p), ())


def get_total_norm(tensors: Tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None) -> Tensor:
    """Return the norm of all elements of all tensors together.

    Args:
        norm_type: p of the p-norm; infinity for the largest magnitude.
        error_if_nonfinite: raise if the norm is NaN or infinite. foreach: accepted; all tensors are one program anyway.

    >>> import trine
    >>> trine.nn.utils.get_total_norm([trine.tensor([3.0]), trine.tensor([4.0])])
    tensor(5.)
    """
    found = _list(tensors)
    if not found:
        return tensor(0.0)
    with no_grad():
        total: Tensor = record(_norm_of_all, tuple(found), float(norm_type))
    if error_if_nonfinite and not math.isfinite(total.item()):
        what = f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be clipped"
        raise NonFiniteGradientError(message(what, received=total.item(), expected="a finite norm", fix="error_if_nonfinite=False"))
    return total


def _coefficient(total: Node, max_norm: Node) -> Node:
    coefficient = b.div(as_dtype(max_norm, total.dtype), b.add(total, number(1e-6, total)))
    return b.minimum(coefficient, number(1, coefficient))


def clip_grads_with_norm_(parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None) -> None:
    """Scale the gradients of the parameters, in place, by ``max_norm / total_norm`` where that is less than 1.

    >>> import trine
    >>> p = trine.nn.Parameter(trine.ones(1)); p.grad = trine.tensor([8.0])
    >>> trine.nn.utils.clip_grads_with_norm_([p], 2.0, trine.tensor(8.0))
    >>> p.grad
    tensor([2.0000])
    """
    gradients = [p.grad for p in _list(parameters) if p.grad is not None]
    if not gradients:
        return
    with no_grad():
        coefficient = record(_coefficient, (total_norm, float(max_norm)))
        for gradient in gradients:
            gradient.mul_(coefficient.to(gradient.dtype))


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale the gradients of the parameters, in place, so that the norm of all of them together is at most `max_norm`.

    Returns:
        the norm before.

    Raises:
        RuntimeError: the norm is NaN or infinite, and `error_if_nonfinite` is set.

    >>> import trine
    >>> p = trine.nn.Parameter(trine.ones(2)); p.grad = trine.tensor([3.0, 4.0])
    >>> trine.nn.utils.clip_grad_norm_([p], 1.0)
    tensor(5.)
    >>> p.grad
    tensor([0.6000, 0.8000])
    """
    found = _list(parameters)
    total = get_total_norm([p.grad for p in found if p.grad is not None], norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(found, max_norm, total, foreach)
    return total


def clip_grad_norm(
    parameters: Tensors, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """Return `clip_grad_norm_` of the arguments: the older name, which warns."""
    import warnings

    text = "torch.nn.utils.clip_grad_norm is now deprecated in favor of torch.nn.utils.clip_grad_norm_."
    warnings.warn(text, FutureWarning, stacklevel=2)
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Limit every element of the gradients to [-clip_value, clip_value], in place.

    >>> import trine
    >>> p = trine.nn.Parameter(trine.ones(2)); p.grad = trine.tensor([3.0, -4.0])
    >>> trine.nn.utils.clip_grad_value_([p], 1.0)
    >>> p.grad
    tensor([ 1., -1.])
    """
    limit = float(clip_value)
    with no_grad():
        for p in _list(parameters):
            if p.grad is not None:
                p.grad.clamp_(-limit, limit)
