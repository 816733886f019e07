"""Methods that write into a tensor element by element, or on its diagonal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ShapeError, message
from trine.ops.conversion import copy_
from trine.ops.promotion import as_dtype
from trine.shapes import row_major_strides, size_of
from trine.tensor import Tensor, record
from trine.tensor.convert import tensor as new_tensor


def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Write ``callable(element)`` into each element and return the tensor (observes it, element by element: slow)."""
    flat = self.reshape(-1).tolist()
    return copy_(self, new_tensor([callable(v) for v in flat], dtype=self.dtype).reshape(tuple(self.shape)))


def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Write ``callable(element, other element)`` into each element and return the tensor (observes both: slow)."""
    pairs = zip(self.reshape(-1).tolist(), tensor.expand(tuple(self.shape)).reshape(-1).tolist(), strict=True)
    return copy_(self, new_tensor([callable(*p) for p in pairs], dtype=self.dtype).reshape(tuple(self.shape)))


def _diagonal_nodes(x: Node, value: Node, wrap: bool) -> Node:
    shape = x.shape
    step = sum(row_major_strides(shape))
    limit = x_size = size_of(shape)
    if len(shape) == 2 and not wrap:
        limit = min(x_size, shape[1] * shape[1])
    position = b.reshape(b.iota((x_size,), 0), shape)
    hit = b.eq(b.remainder(position, b.const(step, dtypes.int64)), b.const(0, dtypes.int64))
    hit = b.bitwise_and(hit, b.lt(position, b.const(limit, dtypes.int64)))
    return b.where(hit, as_dtype(value, x.dtype), x)


def with_diagonal(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Return the tensor with `fill_value` on its main diagonal, which begins again below a square if `wrap`."""
    if self.dim() < 2 or (self.dim() > 2 and len(set(self.shape)) > 1):
        received = f"shape {tuple(self.shape)}"
        raise ShapeError(message("fill_diagonal_: no diagonal", received=received, expected="a matrix, or more axes of one size"))
    result: Tensor = record(_diagonal_nodes, (self, fill_value), bool(wrap))
    return result
