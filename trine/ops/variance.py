"""Variances and standard deviations over axes."""

from __future__ import annotations

from typing import Any

from trine.core import build as b
from trine.core.graph import Node
from trine.errors import DTypeError, message
from trine.ops.arguments import Dim, hashable_dim, numpy_names, write_out, write_outs
from trine.ops.promotion import number, size
from trine.ops.reduction import StaticDim, axes_of, count_of, drop_axes, mean_keeping_axes
from trine.tensor import Tensor, record


def variance_and_mean(x: Node, axes: tuple[int, ...], correction: float) -> tuple[Node, Node]:
    """Return the variance (divisor ``count - correction``) and the mean over `axes`, which keep size 1."""
    mean_node = mean_keeping_axes(x, axes)
    centred = b.sub(x, mean_node)
    squares = b.real(b.mul(centred, b.conj(centred)))
    count = size(count_of(x, axes), squares.dtype)
    if correction:
        count = b.maximum(b.sub(count, number(correction, squares)), number(0, squares))
    return b.div(b.sum(squares, axes), count), mean_node


def _var_mean(x: Node, dim: StaticDim, correction: float, keepdim: bool, take_root: bool) -> tuple[Node, Node]:
    if not x.dtype.is_differentiable:
        raise DTypeError(
            message("var: not defined for integers", received=x.dtype.name, expected="a floating point or complex dtype", fix="x.float()")
        )
    axes = axes_of(x, dim, "var")
    variance, mean_node = variance_and_mean(x, axes, correction)
    if take_root:
        variance = b.sqrt(variance)
    return drop_axes(variance, axes, keepdim), drop_axes(mean_node, axes, keepdim)


def _var(x: Node, dim: StaticDim, correction: float, keepdim: bool, take_root: bool) -> Node:
    return _var_mean(x, dim, correction, keepdim, take_root)[0]


def _spread_arguments(dim: Dim | bool, unbiased: bool | None, correction: float | None) -> tuple[StaticDim, float]:
    """Return axes and correction from PyTorch's two generations of arguments (``var(x, False)`` means unbiased=False)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return hashable_dim(dim), float(correction)


@numpy_names
def var(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Return the variance over axes: the sum of squared deviations over ``count - correction`` (1 unless given).

    Example:
        >>> import trine
        >>> trine.var(trine.tensor([1., 2., 3., 4.]))
        tensor(1.6667)
    """
    axes, divisor = _spread_arguments(dim, unbiased, correction)
    return write_out(record(_var, (input,), axes, divisor, keepdim, False), out)


@numpy_names
def std(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Return the standard deviation over axes, the square root of `var`.

    Example:
        >>> import trine
        >>> trine.std(trine.tensor([1., 2., 3., 4.]), correction=0)
        tensor(1.1180)
    """
    axes, divisor = _spread_arguments(dim, unbiased, correction)
    return write_out(record(_var, (input,), axes, divisor, keepdim, True), out)


@numpy_names
def var_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Any = None,
) -> tuple[Tensor, Tensor]:
    """Return variance and mean over axes.

    Example:
        >>> import trine
        >>> trine.var_mean(trine.tensor([1., 3.]))
        (tensor(2.), tensor(2.))
    """
    axes, divisor = _spread_arguments(dim, unbiased, correction)
    first, second = write_outs(record(_var_mean, (input,), axes, divisor, keepdim, False), out)
    return first, second


@numpy_names
def std_mean(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
    out: Any = None,
) -> tuple[Tensor, Tensor]:
    """Return standard deviation and mean over axes.

    Example:
        >>> import trine
        >>> trine.std_mean(trine.tensor([1., 3.]), correction=0)
        (tensor(1.), tensor(2.))
    """
    axes, divisor = _spread_arguments(dim, unbiased, correction)
    first, second = write_outs(record(_var_mean, (input,), axes, divisor, keepdim, True), out)
    return first, second
