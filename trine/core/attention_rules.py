"""Attention's operands and packed result: shapes, dtypes, and where the parts lie. `trine.core.build_attention` says what is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trine.core.dtype_rules import Same
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, ShapeError, message
from trine.shapes import Shape, broadcast, check_bytes, size_of


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of an attention: `batch` axes, of which the last `heads` lie inside the positions in memory, and the sizes of a matrix."""

    batch: Shape
    heads: int
    queries: int
    keys: int
    width: int
    value_width: int

    @property
    def outer(self) -> Shape:
        """The batch axes that lie outside of the positions."""
        return self.batch[: len(self.batch) - self.heads]

    @property
    def inner(self) -> Shape:
        """The batch axes that lie between the positions and the elements of a row."""
        return self.batch[len(self.batch) - self.heads :]

    def rows(self, length: int, width: int) -> Shape:
        """Return the shape, in the order of memory, of matrices (length, width) for each element of the batch."""
        return (*self.outer, length, *self.inner, width)

    @property
    def results(self) -> tuple[Shape, Shape]:
        """The shapes in memory of the parts of `attention`: the output, then the logarithms of the rows' sums."""
        return self.rows(self.queries, self.value_width), (*self.batch, self.queries)

    @property
    def gradients(self) -> tuple[Shape, Shape, Shape]:
        """The shapes in memory of the parts of `attention_grad`: for query, key and value."""
        return self.rows(self.queries, self.width), self.rows(self.keys, self.width), self.rows(self.keys, self.value_width)

    @property
    def parts(self) -> dict[str, tuple[Shape, ...]]:
        """Those of a primitive, by its name."""
        return {"attention": self.results, "attention_grad": self.gradients}

    @property
    def order(self) -> tuple[int, ...]:
        """The order of axes that brings matrices from the order of memory to (\\*batch, length, width)."""
        outer, rank = len(self.outer), len(self.batch)
        return (*range(outer), *range(outer + 1, rank + 1), outer, rank + 1)


def sizes(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Sizes:
    """Return the sizes of an attention of these operands.

    Raises:
        ShapeError: they do not fit.
    """
    query, key, value = (x.shape for x in operands[:3])
    heads = attrs[2]
    is_grad = op == "attention_grad"
    ranks = {len(x.shape) for k, x in enumerate(operands) if not (is_grad and k in (4, 5))}
    if len(ranks) != 1 or len(query) < 2 + heads or query[-1] != key[-1] or key[-2] != value[-2] or not key[-2]:
        expected = "query (*batch, L, E), key (*batch, S, E), value (*batch, S, V) of one rank, with S > 0"
        raise ShapeError(message(f"{op}: shapes do not fit", received=" and ".join(str(x.shape) for x in operands), expected=expected))
    batch = broadcast(op, query[:-2], key[:-2], value[:-2])
    found = Sizes(batch, heads, query[-2], key[-2], query[-1], value[-1])
    mask = operands[6 if is_grad else 3 :]
    if mask and broadcast(op, mask[0].shape, (*batch, found.queries, found.keys)) != (*batch, found.queries, found.keys):
        raise ShapeError(message(f"{op}: the mask does not fit", received=mask[0].shape, expected=(*batch, found.queries, found.keys)))
    if is_grad:
        rows = (*batch, found.queries)
        wanted = ((*rows, found.value_width), rows, rows)
        if tuple(x.shape for x in operands[3:6]) != wanted:
            received = " and ".join(str(x.shape) for x in operands[3:6])
            raise ShapeError(message(f"{op}: gradient, lse or delta do not fit", received=received, expected=wanted))
    return found


def attention(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """One axis: the output and the rows' sums, or the gradients of query, key and value."""
    count = sum([size_of(shape) for shape in sizes(op, operands, attrs).parts[op]])
    return check_bytes(op, (count,), operands[0].dtype.itemsize)


def dtype(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
    """All operands have one floating-point dtype."""
    least = 6 if op == "attention_grad" else 3
    if len(operands) not in (least, least + 1):
        expected = f"{least}, or one more with a mask"
        raise ArgumentError(message(f"{op}: wrong number of operands", received=len(operands), expected=expected))
    return Same("f")(op, operands, attrs)
