"""Reductions and normalizations that leave out the elements where a mask is False, as `torch.masked` does."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, AxisError, DTypeError, message
from trine.ops import activation, arithmetic, quantiles, reduction, scan
from trine.ops.arguments import Dim
from trine.ops.movement import expand_nodes
from trine.shapes import canonical_axes
from trine.tensor import Tensor, record

__all__ = [
    "amax",
    "amin",
    "argmax",
    "argmin",
    "cumprod",
    "cumsum",
    "log_softmax",
    "logaddexp",
    "logsumexp",
    "mean",
    "median",
    "norm",
    "normalize",
    "prod",
    "softmax",
    "softmin",
    "std",
    "sum",
    "var",
]


def _lowest(dtype: DType) -> float | int:
    return -math.inf if dtype.is_floating_point else int(np.iinfo(dtype.numpy).min)


def _highest(dtype: DType) -> float | int:
    return math.inf if dtype.is_floating_point else int(np.iinfo(dtype.numpy).max)


def _filled_nodes(x: Node, mask: Node, value: float | int) -> Node:
    mask = expand_nodes(mask if mask.dtype is dtypes.bool_ else b.ne(mask, b.const(0, mask.dtype)), x.shape)
    return b.where(mask, x, b.const(value, x.dtype))


def _filled(input: Tensor, mask: Tensor | None, value: float | int) -> Tensor:
    """Return `input` with `value` where the mask is False."""
    if mask is None:
        return input
    if mask.dim() > input.dim():
        received = f"{tuple(mask.shape)} for {tuple(input.shape)}"
        raise AxisError(message("masked: the mask has more axes than the input", received=received, expected="one that broadcasts to it"))
    result: Tensor = record(_filled_nodes, (input, mask), value)
    return result


def _axes(input: Tensor, dim: Dim) -> tuple[int, ...]:
    rank = input.dim()
    if dim is None or dim == ():
        return tuple(range(rank))
    return tuple(sorted(canonical_axes(dim, max(rank, 1), "masked")))


def _sum_dtype(input: Tensor, dtype: DType | None) -> DType:
    return dtype or (input.dtype if input.dtype.is_differentiable else dtypes.int64)


def sum(input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Return the sum of the elements that the mask keeps; 0 where it keeps none.

    Example:
        >>> import trine
        >>> trine.masked.sum(trine.tensor([1, 2, 4]), mask=trine.tensor([True, False, True]))
        tensor(5)
    """
    return reduction.sum(_filled(input, mask, 0), _axes(input, dim), bool(keepdim), dtype=_sum_dtype(input, dtype))


def prod(input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Return the product of the elements that the mask keeps; 1 where it keeps none.

    Example:
        >>> import trine
        >>> trine.masked.prod(trine.tensor([3, 2, 4]), mask=trine.tensor([True, False, True]))
        tensor(12)
    """
    result: Tensor = _filled(input, mask, 1).to(_sum_dtype(input, dtype))
    for axis in reversed(_axes(input, dim) if input.dim() else ()):
        result = reduction.prod(result, axis, bool(keepdim))
    return result


def _extreme(
    reduce: Callable[..., Tensor], identity: Callable[[DType], float | int]
) -> Callable[[Tensor, Dim, bool, DType | None, Tensor | None], Tensor]:
    def function(input: Tensor, dim: Dim, keepdim: bool, dtype: DType | None, mask: Tensor | None) -> Tensor:
        found = reduce(_filled(input, mask, identity(input.dtype)), _axes(input, dim), bool(keepdim))
        result: Tensor = found.to(dtype or input.dtype)
        return result

    return function


_amax, _amin = _extreme(reduction.amax, _lowest), _extreme(reduction.amin, _highest)


def amax(input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Return the largest of the elements that the mask keeps; the lowest number of the dtype where it keeps none.

    Example:
        >>> import trine
        >>> trine.masked.amax(trine.tensor([1, 9, 4]), mask=trine.tensor([True, False, True]))
        tensor(4)
    """
    return _amax(input, dim, keepdim, dtype, mask)


def amin(input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Return the smallest of the elements that the mask keeps; the highest number of the dtype where it keeps none.

    Example:
        >>> import trine
        >>> trine.masked.amin(trine.tensor([1, 0, 4]), mask=trine.tensor([True, False, True]))
        tensor(1)
    """
    return _amin(input, dim, keepdim, dtype, mask)


def argmax(
    input: Tensor, dim: int | None = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None
) -> Tensor:
    """Return the position of the largest of the elements that the mask keeps, in the dtype of the input unless given.

    Example:
        >>> import trine
        >>> trine.masked.argmax(trine.tensor([1, 9, 4]), mask=trine.tensor([True, False, True]))
        tensor(2)
    """
    found: Tensor = reduction.argmax(_filled(input, mask, _lowest(input.dtype)), dim, bool(keepdim)).to(dtype or input.dtype)
    return found


def argmin(
    input: Tensor, dim: int | None = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None
) -> Tensor:
    """Return the position of the smallest of the elements that the mask keeps, in the dtype of the input unless given.

    Example:
        >>> import trine
        >>> trine.masked.argmin(trine.tensor([5, 0, 4]), mask=trine.tensor([True, False, True]))
        tensor(2)
    """
    found: Tensor = reduction.argmin(_filled(input, mask, _highest(input.dtype)), dim, bool(keepdim)).to(dtype or input.dtype)
    return found


def _ones(x: Node) -> Node:
    return b.full(1, x.shape, dtypes.int64)


def _count(input: Tensor, dim: Dim, keepdim: bool, mask: Tensor | None) -> Tensor:
    """Return how many elements the mask keeps."""
    return sum(record(_ones, (input.detach(),)), dim, keepdim=keepdim, mask=mask)


def mean(input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Return the mean of the elements that the mask keeps; NaN where it keeps none.

    Raises:
        ArgumentError: the dtype is neither floating point nor complex.

    Example:
        >>> import trine
        >>> trine.masked.mean(trine.tensor([1., 9., 4.]), mask=trine.tensor([True, False, True]))
        tensor(2.5000)
    """
    kind = dtype or input.dtype
    if not kind.is_differentiable:
        raise ArgumentError(message("masked.mean: the dtype", received=kind.name, expected="a floating-point or complex dtype"))
    return arithmetic.div(sum(input, dim, keepdim=keepdim, dtype=kind, mask=mask), _count(input, dim, keepdim, mask))


def median(input: Tensor, dim: int = -1, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Return the lower median of the elements that the mask keeps; NaN where it keeps none.

    Raises:
        ArgumentError: the input is not floating point and the mask keeps nothing somewhere.

    Example:
        >>> import trine
        >>> trine.masked.median(trine.tensor([1., 9., 4.]), mask=trine.tensor([True, False, True]))
        tensor(1.)
    """
    wide: Tensor = input if input.dtype.is_floating_point else input.to(dtypes.float32)
    found: Tensor = quantiles.nanmedian(_filled(wide, mask, math.nan), dim, bool(keepdim)).values
    if input.dtype.is_floating_point:
        return found
    if bool(found.isnan().any()):
        raise ArgumentError(message("masked.median: the mask keeps nothing", received=input.dtype.name, expected="a floating-point dtype"))
    result: Tensor = found.to(dtype or input.dtype)
    return result


def norm(
    input: Tensor, ord: float | None = 2.0, dim: Dim = None, *, keepdim: bool = False, dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return the norm of order `ord` of the elements that the mask keeps.

    Example:
        >>> import trine
        >>> trine.masked.norm(trine.tensor([3., 9., 4.]), mask=trine.tensor([True, False, True]))
        tensor(5.)
    """
    order = 2.0 if ord is None else float(ord)
    kept = _filled(input, mask, math.inf if order == -math.inf else 0)
    return reduction.vector_norm(kept, order, _axes(input, dim), bool(keepdim), dtype=dtype or input.dtype)


def normalize(input: Tensor, ord: float, dim: int, *, eps: float = 1e-12, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Return the elements that the mask keeps divided by their norm along an axis (by `eps` if that is larger), 0 elsewhere.

    Example:
        >>> import trine
        >>> trine.masked.normalize(trine.tensor([3., 9., 4.]), 2, 0, mask=trine.tensor([True, False, True]))
        tensor([0.6000, 0.0000, 0.8000])
    """
    length = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return arithmetic.div(_filled(input, mask, 0), arithmetic.maximum(length, length.new_full((), eps)))


def _variance(
    input: Tensor, dim: Dim, unbiased: bool | None, correction: float | None, keepdim: bool, dtype: DType | None, mask: Tensor | None
) -> Tensor:
    if unbiased is not None and correction is not None:
        raise DTypeError(message("masked.var: both unbiased and correction", received=(unbiased, correction), expected="one of them"))
    taken = float(correction if correction is not None else 1 if unbiased is None else int(unbiased))
    kind = dtype or input.dtype
    kind = kind if kind.is_differentiable else dtypes.float32
    wide: Tensor = input.to(kind)
    count = _count(input, dim, True, mask)
    centered = arithmetic.sub(wide, arithmetic.div(sum(wide, dim, keepdim=True, mask=mask), count))
    squares = arithmetic.mul(centered, centered.conj() if kind.is_complex else centered)
    total = sum(squares, dim, keepdim=keepdim, mask=mask)
    count = count.reshape(total.shape)
    if taken:
        count = arithmetic.sub(count.to(dtypes.REAL_OF.get(kind, kind)), taken)
        count = arithmetic.maximum(count, count.new_zeros(()))
    result: Tensor = arithmetic.div(total, count).to(kind)
    return result


def var(
    input: Tensor, dim: Dim = None, unbiased: bool | None = None, *, correction: float | None = None, keepdim: bool = False,
    dtype: DType | None = None, mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return the variance of the elements that the mask keeps, with the number of elements minus `correction` as divisor.

    Example:
        >>> import trine
        >>> trine.masked.var(trine.tensor([1., 9., 3.]), mask=trine.tensor([True, False, True]))
        tensor(2.)
    """
    return _variance(input, dim, unbiased, correction, keepdim, dtype, mask)


def std(
    input: Tensor, dim: Dim = None, unbiased: bool | None = None, *, correction: float | None = None, keepdim: bool = False,
    dtype: DType | None = None, mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return the standard deviation of the elements that the mask keeps; see `var`.

    Example:
        >>> import trine
        >>> trine.masked.std(trine.tensor([1., 9., 5.]), correction=0, mask=trine.tensor([True, False, True]))
        tensor(2.)
    """
    result: Tensor = _variance(input, dim, unbiased, correction, keepdim, dtype, mask).sqrt()
    return result


def softmax(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Return softmax along an axis over the elements that the mask keeps; 0 elsewhere.

    Example:
        >>> import trine
        >>> trine.masked.softmax(trine.tensor([1., 9., 1.]), 0, mask=trine.tensor([True, False, True]))
        tensor([0.5000, 0.0000, 0.5000])
    """
    return activation.softmax(_filled(input, mask, _lowest(input.dtype)), dim, dtype=dtype or input.dtype)


def log_softmax(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Return the logarithm of softmax along an axis over the elements that the mask keeps; -inf elsewhere.

    Example:
        >>> import trine
        >>> trine.masked.log_softmax(trine.tensor([1., 9.]), 0, mask=trine.tensor([True, False]))
        tensor([0., -inf])
    """
    return activation.log_softmax(_filled(input, mask, _lowest(input.dtype)), dim, dtype=dtype or input.dtype)


def softmin(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Return softmax of the negated elements along an axis, over those that the mask keeps; 0 elsewhere.

    Example:
        >>> import trine
        >>> trine.masked.softmin(trine.tensor([1., 0., 1.]), 0, mask=trine.tensor([True, False, True]))
        tensor([0.5000, 0.0000, 0.5000])
    """
    return activation.softmin(_filled(input, mask, _highest(input.dtype)), dim, dtype=dtype or input.dtype)


def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Return the running sums along an axis of the elements that the mask keeps.

    Example:
        >>> import trine
        >>> trine.masked.cumsum(trine.tensor([1, 9, 4]), 0, mask=trine.tensor([True, False, True]))
        tensor([1, 1, 5])
    """
    return scan.cumsum(_filled(input, mask, 0), dim, dtype=dtype or input.dtype)


def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Return the running products along an axis of the elements that the mask keeps.

    Example:
        >>> import trine
        >>> trine.masked.cumprod(trine.tensor([2, 9, 4]), 0, mask=trine.tensor([True, False, True]))
        tensor([2, 2, 8])
    """
    return scan.cumprod(_filled(input, mask, 1), dim, dtype=dtype or input.dtype)


def logsumexp(input: Tensor, dim: Dim = None, *, keepdim: bool = False, dtype: DType | None = None, mask: Tensor | None = None) -> Tensor:
    """Return the logarithm of the sum of the exponentials of the elements that the mask keeps.

    Example:
        >>> import trine
        >>> trine.masked.logsumexp(trine.tensor([0., 9.]), 0, mask=trine.tensor([True, False]))
        tensor(0.)
    """
    found = reduction.logsumexp(_filled(input, mask, _lowest(input.dtype)), _axes(input, dim), bool(keepdim))
    result: Tensor = found.to(dtype or input.dtype)
    return result


def logaddexp(
    input: Tensor, other: Tensor, *, dtype: DType | None = None, input_mask: Tensor | None = None, other_mask: Tensor | None = None
) -> Tensor:
    """Return ``log(exp(input) + exp(other))`` of the elements that the masks keep.

    Example:
        >>> import trine
        >>> trine.masked.logaddexp(trine.tensor([1.]), trine.tensor([5.]), other_mask=trine.tensor([False]))
        tensor([1.])
    """
    first, second = _filled(input, input_mask, _lowest(input.dtype)), _filled(other, other_mask, _lowest(other.dtype))
    result: Tensor = arithmetic.logaddexp(first, second).to(dtype or input.dtype)
    return result
