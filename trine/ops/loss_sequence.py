"""The loss of connectionist temporal classification (Graves et al., 2006)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.ops.loss_nodes import check_reduction, reduce_nodes
from trine.ops.promotion import as_dtype, number
from trine.tensor import Tensor, record
from trine.tensor.convert import from_numpy

_IMPOSSIBLE = -1e30
"""The logarithm of a probability of 0: finite, so that no difference of two is NaN."""


def _log_add(*terms: Node) -> Node:
    largest = terms[0]
    for term in terms[1:]:
        largest = b.maximum(largest, term)
    largest = b.stop_gradient(largest)
    total = b.exp(b.sub(terms[0], largest))
    for term in terms[1:]:
        total = b.add(total, b.exp(b.sub(term, largest)))
    return b.add(largest, b.log(total))


def _extended(targets: Node, lengths: Node, blank: int, num_classes: int) -> Node:
    """Return the labels with a blank before, between and after them: (N, 2 S + 1); what is beyond the end is blank."""
    batch, count = targets.shape
    number_of = b.iota((batch, count), 1)
    inside = b.lt(number_of, b.unsqueeze(lengths, 1))
    labels = b.check_index(b.where(inside, targets, number(blank, targets)), num_classes)
    blanks = b.full(blank, (batch, count, 1), dtypes.int64)
    pairs = b.reshape(b.concat((blanks, b.unsqueeze(labels, 2)), 2), (batch, 2 * count))
    return b.concat((pairs, b.full(blank, (batch, 1), dtypes.int64)), 1)


def _shifted(alpha: Node, by: int) -> Node:
    batch, width = alpha.shape
    if by >= width:
        return b.full(_IMPOSSIBLE, alpha.shape, alpha.dtype)
    return b.pad(b.slice(alpha, (0, 0), (batch, width - by)), (0, by), (0, 0), _IMPOSSIBLE)


def _ctc(log_p: Node, targets: Node, input_lengths: Node, target_lengths: Node, blank: int, reduction: str, zero_infinity: bool) -> Node:
    steps, batch, num_classes = log_p.shape
    labels = _extended(targets, target_lengths, blank, num_classes)
    width = labels.shape[1]
    index = b.expand(b.unsqueeze(labels, 0), (steps, batch, width))
    emitted = b.maximum(b.take_along(log_p, index, 2), number(_IMPOSSIBLE, log_p))
    impossible = number(_IMPOSSIBLE, log_p)
    position = b.iota((batch, width), 1)
    before = b.concat((b.full(blank, (batch, min(2, width)), dtypes.int64), b.slice(labels, (0, 0), (batch, max(width - 2, 0)))), 1)
    may_skip = b.bitwise_and(b.ne(labels, number(blank, labels)), b.ne(labels, b.slice(before, (0, 0), (batch, width))))

    def at(t: int) -> Node:
        return b.reshape(b.slice(emitted, (t, 0, 0), (t + 1, batch, width)), (batch, width))

    alpha = b.where(b.le(position, number(1, position)), at(0), impossible)
    inside = b.lt(b.iota((steps, batch, 1), 0), b.reshape(input_lengths, (1, batch, 1)))
    for t in range(1, steps):
        skipped = b.where(may_skip, _shifted(alpha, 2), impossible)
        following = b.add(_log_add(alpha, _shifted(alpha, 1), skipped), at(t))
        goes_on = b.reshape(b.slice(inside, (t, 0, 0), (t + 1, batch, 1)), (batch, 1))
        alpha = b.where(goes_on, following, alpha)
    end = b.mul(b.unsqueeze(target_lengths, 1), number(2, target_lengths))
    is_end = b.eq(position, end)
    is_label = b.eq(position, b.sub(end, number(1, end)))
    last = b.squeeze(b.max(b.where(is_end, alpha, impossible), (1,)), 1)
    label = b.squeeze(b.max(b.where(is_label, alpha, impossible), (1,)), 1)
    total = _log_add(last, label)
    is_possible = b.gt(total, number(_IMPOSSIBLE / 10, total))
    # PyTorch's gradient is that of log-probabilities made by log_softmax: it has their exponentials too, at no cost in value.
    probability = b.where(inside, b.exp(log_p), number(0, log_p))
    spread = b.reshape(b.sum(b.sub(probability, b.stop_gradient(probability)), (0, 2)), (batch,))
    losses = b.add(b.neg(total), spread)
    losses = b.where(is_possible, losses, number(0 if zero_infinity else math.inf, losses))
    if reduction != "mean":
        return reduce_nodes(losses, reduction)
    lengths = as_dtype(b.maximum(target_lengths, number(1, target_lengths)), losses.dtype)
    return reduce_nodes(b.div(losses, lengths), "mean")


def _ctc_unbatched(log_p: Node, *rest: Any) -> Node:
    targets, input_lengths, target_lengths, blank, reduction, zero_infinity = rest
    rows = (b.unsqueeze(log_p, 1), targets, input_lengths, target_lengths, blank, reduction, zero_infinity)
    return b.reshape(_ctc(*rows), ())


def _lengths(name: str, lengths: Any, batch: int) -> np.ndarray[Any, Any]:
    if isinstance(lengths, Tensor):
        if not lengths.dtype.is_integer:
            raise DTypeError(message(f"ctc_loss: {name} must be integral", received=lengths.dtype.name, fix=f"{name}.long()"))
        lengths = lengths.detach()._array()
    values = np.asarray(lengths, np.int64).reshape(-1)
    if len(values) != batch:
        raise ShapeError(message(f"ctc_loss: {name} must be of size batch_size", received=len(values), expected=batch))
    return values


def _padded_targets(targets: Tensor, lengths: np.ndarray[Any, Any]) -> Tensor:
    """Return concatenated targets as (N, S)."""
    if targets.dim() == 2 and targets.shape[0] == len(lengths):
        return targets
    flat = targets.reshape(-1)
    if int(lengths.sum()) > flat.shape[0]:
        received = f"{flat.shape[0]} targets for lengths {lengths.tolist()}"
        raise ShapeError(message("ctc_loss: too few targets", received=received))
    longest = max(int(lengths.max(initial=0)), 1)
    starts = np.cumsum(lengths) - lengths
    index = np.minimum(starts[:, None] + np.arange(longest), max(flat.shape[0] - 1, 0))
    if flat.shape[0] == 0:
        return from_numpy(np.zeros((len(lengths), longest), np.int64))
    padded: Tensor = flat[from_numpy(index)]
    return padded


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Return the negative log likelihood of label sequences that are shorter than their inputs.

    Args:
        log_probs: (T, N, C) or (T, C), made by `log_softmax`. targets: (N, S), or all concatenated (sum of target_lengths,).
        input_lengths, target_lengths: (N,) tensors or tuples. blank: number of the blank label.
        reduction: "mean" divides by the target lengths first. zero_infinity: 0 instead of inf where the input is too short.

    Raises:
        RuntimeError: lengths that do not fit. ValueError: `blank` is no class.

    Example:
        >>> import trine
        >>> log_probs = trine.zeros(3, 1, 2).log_softmax(2)
        >>> trine.nn.functional.ctc_loss(log_probs, trine.tensor([[1]]), (3,), (1,))
        tensor(0.2877)
    """
    check_reduction("ctc_loss", reduction)
    if log_probs.dim() not in (2, 3):
        raise ShapeError(message("ctc_loss: log_probs", received=f"shape {tuple(log_probs.shape)}", expected="(T, N, C) or (T, C)"))
    if not log_probs.dtype.is_floating_point or not targets.dtype.is_integer:
        received = f"{log_probs.dtype.name}, {targets.dtype.name}"
        raise DTypeError(message("ctc_loss", received=received, expected="floating point log_probs and integer targets"))
    if not 0 <= blank < log_probs.shape[-1]:
        raise _BlankError(message("ctc_loss: blank must be in label range", received=blank, expected=f"0 to {log_probs.shape[-1] - 1}"))
    batch = log_probs.shape[1] if log_probs.dim() == 3 else 1
    inputs, lengths = _lengths("input_lengths", input_lengths, batch), _lengths("target_lengths", target_lengths, batch)
    if inputs.max(initial=0) > log_probs.shape[0] or inputs.min(initial=0) < 0 or lengths.min(initial=0) < 0:
        received = f"input lengths {inputs.tolist()}, {log_probs.shape[0]} steps"
        raise ShapeError(message("ctc_loss: expected input_lengths to have value at most the number of steps", received=received))
    padded = _padded_targets(targets, lengths)
    if lengths.max(initial=0) > padded.shape[1]:
        received = f"target lengths {lengths.tolist()}, targets {tuple(targets.shape)}"
        raise ShapeError(message("ctc_loss: a target length is too large", received=received))
    builder = _ctc if log_probs.dim() == 3 else _ctc_unbatched
    operands = (log_probs, padded.long(), from_numpy(inputs), from_numpy(lengths))
    result: Tensor = record(builder, operands, int(blank), reduction, bool(zero_infinity))
    return result


class _BlankError(ArgumentError, RuntimeError):
    """PyTorch raises RuntimeError for a blank that is no class."""
