"""Shape and dtype rules of the primitives that are calls of a numerical library: linear algebra and Fourier transforms.

A decomposition has several results but a primitive has one: its parts lie one after the other in the last axis (`PACKED`), and the
builders of `build_linalg.py` cut them out again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trine import dtypes
from trine.core.dtype_rules import Same, check_kind
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import DTypeError, ShapeError, message
from trine.shapes import Shape, check_bytes


@dataclass(frozen=True, slots=True)
class Library:
    """All operands have one dtype among float32, float64 and their complex pairs, which the result has too.

    `result` is "same", "real" (the dtype of the parts of a complex number) or "complex".
    """

    result: str = "same"
    accepts: str = "fc"

    def __call__(self, op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
        dtype = Same(self.accepts)(op, operands, attrs)
        if dtype.is_half:
            raise DTypeError(
                message(
                    f"{op}: not defined for {dtype.name}",
                    received=dtype.name,
                    expected="float32, float64, complex64 or complex128",
                    fix="convert the operand, as in x.float()",
                )
            )
        if self.result == "real":
            return dtypes.REAL_OF.get(dtype, dtype)
        return dtypes.COMPLEX_OF.get(dtype, dtype) if self.result == "complex" else dtype


def check_matrix(op: str, node: Node, square: bool = False) -> None:
    """Raise ShapeError unless the node is a matrix or a batch of (square) matrices."""
    shape = node.shape
    if len(shape) < 2 or (square and shape[-1] != shape[-2]):
        kind = "square matrices (*, n, n)" if square else "matrices (*, m, n), at least 2 axes"
        raise ShapeError(message(f"{op}: the operand has the wrong shape", received=f"shape {shape}", expected=kind))


def square(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """(*, n, n) -> (*, n, n)."""
    check_matrix(op, operands[0], square=True)
    return operands[0].shape


def values_of_square(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """(*, n, n) -> (*, n)."""
    return square(op, operands, attrs)[:-1]


def number_of_square(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """(*, n, n) -> (*)."""
    return square(op, operands, attrs)[:-2]


def singular_values(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """(*, m, n) -> (*, min(m, n))."""
    check_matrix(op, operands[0])
    *batch, m, n = operands[0].shape
    return (*batch, min(m, n))


def solution(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """(*, n, n), …, (*, n, k) -> (*, n, k) with equal batch sizes."""
    a, x = operands[0], operands[-1]
    check_matrix(op, a, square=True)
    check_matrix(op, x)
    if a.shape[:-1] != x.shape[:-1]:
        expected = f"equal batch sizes, and as many rows on the right as the matrix has ({a.shape[-1]})"
        raise ShapeError(message(f"{op}: shapes do not fit", received=f"{a.shape} and {x.shape}", expected=expected))
    return x.shape


def least_squares(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """(*, m, n), (*, m, k) -> (*, n, k)."""
    a, x = operands
    check_matrix(op, a)
    check_matrix(op, x)
    if a.shape[:-1] != x.shape[:-1]:
        expected = "equal batch sizes and as many rows on both sides"
        raise ShapeError(message(f"{op}: shapes do not fit", received=f"{a.shape} and {x.shape}", expected=expected))
    return (*a.shape[:-2], a.shape[-1], x.shape[-1])


def pseudo_inverse(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """(*, m, n) and thresholds (*) -> (*, n, m)."""
    check_matrix(op, operands[0])
    *batch, m, n = operands[0].shape
    return (*batch, n, m)


Parts = tuple[Shape, ...]


def _square_parts(shape: Shape, attrs: tuple[Any, ...]) -> Parts:
    return shape[-1:], shape[-2:]


def _svd_parts(shape: Shape, attrs: tuple[Any, ...]) -> Parts:
    m, n = shape[-2:]
    k = min(m, n)
    return ((m, m), (k,), (n, n)) if attrs[0] else ((m, k), (k,), (k, n))


def _qr_parts(shape: Shape, attrs: tuple[Any, ...]) -> Parts:
    m, n = shape[-2:]
    k = m if attrs[0] else min(m, n)
    return (m, k), (k, n)


def _with_small_axis(shape: Shape, attrs: tuple[Any, ...]) -> Parts:
    return shape[-2:], (min(shape[-2:]),)


PACKED: dict[str, Callable[[Shape, tuple[Any, ...]], Parts]] = {
    "eigh": _square_parts,
    "eig": _square_parts,
    "svd": _svd_parts,
    "qr": _qr_parts,
    "geqrf": _with_small_axis,
    "lu": _with_small_axis,
    "ldl": lambda shape, attrs: (shape[-2:], shape[-1:]),
    "slogdet": lambda shape, attrs: ((1,), (1,)),
}
"""Decomposition -> shapes of its parts, without the batch, for the operand's shape and the attributes."""

SQUARE_ONLY = frozenset({"eigh", "eig", "ldl", "slogdet"})


def packed(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """(*, m, n) -> (*, elements of all parts)."""
    x = operands[0]
    check_matrix(op, x, square=op in SQUARE_ONLY)
    total = sum(math.prod(part) for part in PACKED[op](x.shape, attrs))
    return check_bytes(op, (*x.shape[:-2], total), x.dtype.itemsize)


def row_order(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """Pivots (*, k) -> (*, rows)."""
    return (*operands[0].shape[:-1], attrs[0])


def integer_in(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
    """Integers in, int64 out."""
    check_kind(op, operands[0].dtype, "iu")
    return dtypes.int64


# --- Fourier transforms -----------------------------------------------------------------------------------------------------------------


def half_spectrum(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """The axis keeps its frequencies from 0 to the middle."""
    shape, axis = operands[0].shape, attrs[0]
    return (*shape[:axis], shape[axis] // 2 + 1, *shape[axis + 1 :])


def full_signal(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> Shape:
    """The axis has the length of the signal; the spectrum has half as many elements and one."""
    shape, (axis, length) = operands[0].shape, attrs
    if shape[axis] != length // 2 + 1:
        raise ShapeError(
            message(f"{op}: the spectrum does not fit", received=f"{shape[axis]} for length {length}", expected=str(length // 2 + 1))
        )
    return check_bytes(op, (*shape[:axis], length, *shape[axis + 1 :]), operands[0].dtype.itemsize)


def complex_in(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
    """A complex operand gives the dtype of its parts."""
    check_kind(op, operands[0].dtype, "c")
    return dtypes.REAL_OF[operands[0].dtype]
