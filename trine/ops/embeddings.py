"""Embeddings: rows of a matrix, and sums of rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, ShapeError, UnsupportedError, message
from trine.ops.arguments import check_choice
from trine.ops.promotion import as_dtype, number
from trine.ops.reduction import norm_keeping_axes
from trine.tensor import Tensor, record
from trine.tensor.convert import from_numpy

_MODES = ("sum", "mean", "max")


def _checked_rows(index: Node, weight: Node, op: str) -> Node:
    if not index.dtype.is_integer:
        raise DTypeError(
            message(f"{op}: the input must hold row numbers", received=index.dtype.name, expected="int64 or int32", fix="input.long()")
        )
    if len(weight.shape) != 2:
        raise ShapeError(message(f"{op}: the weight is not a matrix", received=weight.shape, expected="(rows, features)"))
    index = index if index.dtype is dtypes.int32 else as_dtype(index, dtypes.int64)
    return b.check_index(index, weight.shape[0], wraps=False)


def _with_factor(taken: Node, factor: Node) -> Node:
    """Return the same values, whose gradient is multiplied by a factor."""
    return b.add(b.stop_gradient(taken), b.mul(b.sub(taken, b.stop_gradient(taken)), factor))


def _taken(weight: Node, rows: Node, padding_idx: int | None, by_frequency: bool) -> Node:
    """Return rows of the weight; the padding row gets no gradient, and others are divided by how often they come."""
    taken = b.take(weight, rows, 0)
    if not weight.requires_grad:
        return taken
    last = len(rows.shape)
    if by_frequency:
        flat = b.reshape(rows, (-1,))
        counts = b.put(b.full(0, (weight.shape[0],), weight.dtype), flat, b.full(1, flat.shape, weight.dtype), 0, "add")
        taken = _with_factor(taken, b.unsqueeze(b.reciprocal(b.take(counts, rows, 0)), last))
    if padding_idx is not None:
        is_padding = b.unsqueeze(b.eq(rows, number(padding_idx % weight.shape[0], rows)), last)
        taken = b.where(is_padding, b.stop_gradient(taken), taken)
    return taken


def _embedding(index: Node, weight: Node, padding_idx: int | None, by_frequency: bool) -> Node:
    return _taken(weight, _checked_rows(index, weight, "embedding"), padding_idx, by_frequency)


def _renormalized(weight: Node, index: Node, max_norm: float, norm_type: float) -> Node:
    rows = _checked_rows(index, weight, "embedding")
    taken = b.take(weight, rows, 0)
    norm = norm_keeping_axes(taken, (len(taken.shape) - 1,), norm_type)
    limit = number(max_norm, norm)
    scale = b.where(b.gt(norm, limit), b.div(limit, b.add(norm, number(1e-7, norm))), number(1, norm))
    return b.put(weight, rows, b.mul(taken, scale), 0, "set")


def _limit_norms(weight: Tensor, index: Tensor, max_norm: float | None, norm_type: float) -> None:
    """Scale rows that are used and whose norm is too large down, in place."""
    if max_norm is not None:
        weight.detach().copy_(record(_renormalized, (weight.detach(), index), float(max_norm), float(norm_type)))


def _check_padding(op: str, padding_idx: int | None, weight: Tensor) -> None:
    if padding_idx is not None and not -weight.shape[0] <= padding_idx < weight.shape[0]:
        raise _PaddingError(message(f"{op}: padding_idx", received=padding_idx, expected=f"within num_embeddings={weight.shape[0]}"))


class _PaddingError(ArgumentError, AssertionError):
    """PyTorch raises AssertionError for a padding row that does not exist."""


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of a matrix that the input names.

    Args:
        input: row numbers, any shape.
        weight: (rows, features).
        padding_idx: a row that gets no gradient.
        max_norm: rows that are used and whose norm is larger are first scaled down to it, in place.
        scale_grad_by_freq: gradients are divided by how often their row is named. sparse: accepted; gradients are dense.

    Raises:
        DTypeError: the input is not integer. IndexOutOfRangeError: at run time, for a row number outside the matrix.

    Example:
        >>> import trine
        >>> trine.nn.functional.embedding(trine.tensor([1, 0]), trine.tensor([[1., 2.], [3., 4.]]))
        tensor([[3., 4.],
                [1., 2.]])
    """
    _check_padding("embedding", padding_idx, weight)
    _limit_norms(weight, input, max_norm, norm_type)
    result: Tensor = record(_embedding, (input, weight), padding_idx, bool(scale_grad_by_freq))
    return result


# --- bags -------------------------------------------------------------------------------------------------------------------------------


def _bag(*arguments: Any) -> Node:
    """Return (bags, features) of row numbers in bags: an array (bags, length), or a flat one and the bag of each."""
    index, weight, *rest, count, mode, padding_idx, by_frequency, is_weighted = arguments
    rows = b.reshape(_checked_rows(index, weight, "embedding_bag"), (-1,))
    bags = rest[0] if count is not None else b.reshape(b.iota(index.shape, 0), (-1,))
    number_of_bags = index.shape[0] if count is None else count
    taken = _taken(weight, rows, padding_idx, by_frequency)
    shape = (number_of_bags, weight.shape[1])
    counts = b.full(1, rows.shape, taken.dtype)
    if padding_idx is not None:
        counts = as_dtype(b.ne(rows, number(padding_idx % weight.shape[0], rows)), taken.dtype)
    is_counted = b.unsqueeze(b.gt(counts, number(0, counts)), 1)
    if mode == "max":
        lowest = number(-math.inf, taken)
        largest = b.put(b.full(-math.inf, shape, taken.dtype), bags, b.where(is_counted, taken, lowest), 0, "max")
        return b.where(b.eq(largest, lowest), number(0, taken), largest)
    if is_weighted:
        taken = b.mul(taken, b.unsqueeze(as_dtype(b.reshape(rest[-1], (-1,)), taken.dtype), 1))
    total = b.put(b.full(0, shape, taken.dtype), bags, b.where(is_counted, taken, number(0, taken)), 0, "add")
    if mode == "sum":
        return total
    sizes = b.put(b.full(0, (number_of_bags,), taken.dtype), bags, counts, 0, "add")
    return b.div(total, b.unsqueeze(b.maximum(sizes, number(1, sizes)), 1))


def _bags_of(offsets: Tensor, length: int, include_last_offset: bool) -> tuple[np.ndarray[Any, Any], int]:
    """Return the bag of each position, and how many bags there are."""
    starts = np.asarray(offsets.detach()._array(), np.int64)
    if len(starts) and starts[0] != 0:
        raise ArgumentError(message("embedding_bag: offsets[0] has to be 0", received=int(starts[0])))
    if len(starts) and starts[-1] > length:
        received = int(starts[-1])
        raise ArgumentError(
            message("embedding_bag: offsets[-1] can not be greater than input's length", received=received, expected=length)
        )
    starts = starts[:-1] if include_last_offset else starts
    return np.searchsorted(starts, np.arange(length), side="right") - 1, len(starts)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Return sums, means or maxima of the rows of a matrix, one for each bag of row numbers.

    Args:
        input: (bags, length), or (total,) with `offsets`, where each bag begins.
        weight: (rows, features). mode: "sum", "mean" or "max"; an empty bag gives 0.
        per_sample_weights: one weight per row number, for mode "sum". include_last_offset: the last offset is the end.
        padding_idx: a row that does not count. max_norm, norm_type, scale_grad_by_freq, sparse: as for `embedding`.

    Raises:
        ValueError: offsets that do not fit, or a wrong mode. NotImplementedError: weights with another mode than "sum".

    Example:
        >>> import trine
        >>> weight = trine.tensor([[1., 2.], [3., 4.]])
        >>> trine.nn.functional.embedding_bag(trine.tensor([0, 1, 1]), weight, trine.tensor([0, 2]), mode="sum")
        tensor([[4., 6.],
                [3., 4.]])
    """
    check_choice("embedding_bag", "mode", mode, _MODES)
    _check_padding("embedding_bag", padding_idx, weight)
    if input.dim() not in (1, 2) or (input.dim() == 1) != (offsets is not None):
        received = f"input {tuple(input.shape)}, offsets {None if offsets is None else tuple(offsets.shape)}"
        raise ArgumentError(message("embedding_bag", received=received, expected="a 2D input, or a 1D input and 1D offsets"))
    if offsets is not None and offsets.dim() != 1:
        raise ArgumentError(message("embedding_bag: offsets has to be a 1D tensor", received=f"{offsets.dim()}D"))
    if per_sample_weights is not None:
        if per_sample_weights.shape != input.shape:
            received = f"{tuple(per_sample_weights.shape)} for input {tuple(input.shape)}"
            raise ArgumentError(message("embedding_bag: per_sample_weights must have the shape of the input", received=received))
        if mode != "sum":
            raise UnsupportedError(message("embedding_bag: per_sample_weights are for mode 'sum'", received=repr(mode)))
    _limit_norms(weight, input, max_norm, norm_type)
    operands: list[Any] = [input, weight]
    count = None
    if offsets is not None:
        bags, count = _bags_of(offsets, input.shape[0], include_last_offset)
        operands.append(from_numpy(bags))
    if per_sample_weights is not None:
        operands.append(per_sample_weights)
    flags = (count, mode, padding_idx, bool(scale_grad_by_freq), per_sample_weights is not None)
    result: Tensor = record(_bag, operands, *flags)
    return result
