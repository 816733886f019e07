"""Clamping, masking, interpolation: elementwise functions of two or three tensors."""

from __future__ import annotations

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, message
from trine.ops.arguments import write_out
from trine.ops.arithmetic import Number, Operand
from trine.ops.elementwise import as_bool
from trine.ops.promotion import as_dtype, number, promote, promote_pair, result_dtype
from trine.tensor import Tensor, record


def _clamp_min(x: Node, low: Node) -> Node:
    # Comparisons instead of maximum: at the edge the input gets the whole gradient.
    x, low = promote_pair(x, low)
    return b.where(b.lt(x, low), low, x)


def _clamp_max(x: Node, high: Node) -> Node:
    x, high = promote_pair(x, high)
    return b.where(b.gt(x, high), high, x)


def _clamp(x: Node, low: Node, high: Node) -> Node:
    x, low, high = promote(x, low, high)
    x = b.where(b.lt(x, low), low, x)
    return b.where(b.gt(x, high), high, x)


def clamp(input: Tensor, min: Operand | None = None, max: Operand | None = None, *, out: Tensor | None = None) -> Tensor:
    """Limit elements to [min, max]; where `min` exceeds `max` the result is `max`. NaN stays NaN.

    Raises:
        ArgumentError: neither bound is given.

    Example:
        >>> import trine
        >>> trine.clamp(trine.tensor([-2., 0.5, 3.]), min=-1, max=1)
        tensor([-1.0000,  0.5000,  1.0000])
    """
    if min is None and max is None:
        raise ArgumentError(message("clamp: no bound", received="min=None, max=None", expected="at least one of min and max"))
    if min is None:
        result: Tensor = record(_clamp_max, (input, max))
    elif max is None:
        result = record(_clamp_min, (input, min))
    else:
        result = record(_clamp, (input, min, max))
    return result if out is None else write_out(result, out)


clip = clamp


def clamp_min(input: Tensor, min: Operand, *, out: Tensor | None = None) -> Tensor:
    """Return elements that are at least `min`.

    Example:
        >>> import trine
        >>> trine.clamp_min(trine.tensor([-2, 3]), 0)
        tensor([0, 3])
    """
    return clamp(input, min=min, out=out)


def clamp_max(input: Tensor, max: Operand, *, out: Tensor | None = None) -> Tensor:
    """Return elements that are at most `max`.

    Example:
        >>> import trine
        >>> trine.clamp_max(trine.tensor([-2, 3]), 0)
        tensor([-2,  0])
    """
    return clamp(input, max=max, out=out)


def where_nodes(condition: Node, x: Node, y: Node) -> Node:
    x, y = promote_pair(x, y)
    return b.where(as_bool(condition), x, y)


def _masked_fill(x: Node, mask: Node, value: Node) -> Node:
    if mask.dtype is not dtypes.bool_:
        raise DTypeError(
            message("masked_fill: the mask is not bool", received=mask.dtype.name, expected="bool", fix="compare it, as in mask != 0")
        )
    return b.where(mask, as_dtype(value, x.dtype), x)


def masked_fill(input: Tensor, mask: Tensor, value: Operand) -> Tensor:
    """Return `input` with `value` where `mask` is True.

    Example:
        >>> import trine
        >>> trine.masked_fill(trine.tensor([1., 2.]), trine.tensor([False, True]), 9.0)
        tensor([1., 9.])
    """
    result: Tensor = record(_masked_fill, (input, mask, value))
    return result


# --- three operands -----------------------------------------------------------------------------------------------------------------


def _lerp(start: Node, end: Node, weight: Node) -> Node:
    dtype = result_dtype(start, end)
    start, end, weight = as_dtype(start, dtype), as_dtype(end, dtype), as_dtype(weight, dtype)
    difference = b.sub(end, start)
    # From the nearer end, so that weight 1 gives `end` exactly.
    near = b.add(start, b.mul(weight, difference))
    far = b.sub(end, b.mul(difference, b.sub(number(1, weight), weight)))
    return b.where(b.lt(b.abs(weight), number(0.5, b.abs(weight))), near, far)


def lerp(input: Tensor, end: Tensor, weight: Operand, *, out: Tensor | None = None) -> Tensor:
    """Return ``input + weight * (end - input)``.

    Example:
        >>> import trine
        >>> trine.lerp(trine.tensor([0., 10.]), trine.tensor([10., 20.]), 0.25)
        tensor([ 2.5000, 12.5000])
    """
    return write_out(record(_lerp, (input, end, weight)), out)


def _addcmul(x: Node, y: Node, z: Node, value: Node) -> Node:
    dtype = result_dtype(x, y, z)
    return b.add(as_dtype(x, dtype), b.mul(b.mul(as_dtype(value, dtype), as_dtype(y, dtype)), as_dtype(z, dtype)))


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1, out: Tensor | None = None) -> Tensor:
    """Return ``input + value * tensor1 * tensor2``.

    Example:
        >>> import trine
        >>> trine.addcmul(trine.tensor([1.]), trine.tensor([2.]), trine.tensor([3.]), value=10)
        tensor([61.])
    """
    return write_out(record(_addcmul, (input, tensor1, tensor2, value)), out)


def _addcdiv(x: Node, y: Node, z: Node, value: Node) -> Node:
    dtype = result_dtype(x, y, z)
    return b.add(as_dtype(x, dtype), b.mul(as_dtype(value, dtype), b.div(as_dtype(y, dtype), as_dtype(z, dtype))))


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1, out: Tensor | None = None) -> Tensor:
    """Return ``input + value * tensor1 / tensor2``.

    Example:
        >>> import trine
        >>> trine.addcdiv(trine.tensor([1.]), trine.tensor([6.]), trine.tensor([3.]), value=10)
        tensor([21.])
    """
    return write_out(record(_addcdiv, (input, tensor1, tensor2, value)), out)
