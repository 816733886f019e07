"""Dtype rules of the primitives: functions of (name, operands, attributes) that return the dtype of the result or raise DTypeError."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trine import dtypes
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, DTypeError, message

Rule = Callable[[str, Sequence[Node], tuple[Any, ...]], DType]

KINDS = {"b": "bool", "i": "signed integer", "u": "unsigned integer", "f": "floating point", "c": "complex"}


@dataclass(frozen=True, slots=True)
class Same:
    """All operands have one dtype, of one of the kinds `accepts` (letters of `DType.code`).

    The result has it too, or `result` where that is given; with `real`, a complex operand gives the dtype of its parts.
    """

    accepts: str
    result: DType | None = None
    real: bool = False

    def __call__(self, op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
        dtype = operands[0].dtype
        for operand in operands:
            if operand.dtype is not dtype:
                raise DTypeError(
                    message(
                        f"{op}: operands have different dtypes",
                        received=" and ".join(o.dtype.name for o in operands),
                        expected="one dtype",
                        fix="cast one operand",
                    )
                )
        check_kind(op, dtype, self.accepts)
        return self.result or (dtypes.REAL_OF.get(dtype, dtype) if self.real else dtype)


def check_kind(op: str, dtype: DType, accepts: str) -> None:
    """Raise DTypeError unless the dtype is of one of the kinds `accepts`."""
    if dtype.code not in accepts:
        raise DTypeError(
            message(
                f"{op}: not defined for {dtype.name}",
                received=dtype.name,
                expected=" or ".join(KINDS[k] for k in accepts),
                fix="cast the operand, as in x.to(trine.float32)",
            )
        )


def check_index_dtype(op: str, index: Node) -> None:
    """Raise DTypeError unless the node may serve as an index."""
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise DTypeError(
            message(
                f"{op}: an index must be an integer", received=index.dtype.name, expected="int64 or int32", fix="cast the index to int64"
            )
        )


@dataclass(frozen=True, slots=True)
class Fixed:
    """The result has this dtype."""

    result: DType

    def __call__(self, op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
        return self.result


def unknown(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
    """Sources have the dtype that they are given."""
    raise ArgumentError(message(f"{op}: its dtype is not inferred", received=op, expected=f"build.{op}(…, dtype)"))


def target(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
    """The attribute is the dtype of the result."""
    dtype: DType = attrs[0]
    if not isinstance(dtype, DType):
        raise ArgumentError(message(f"{op}: not a dtype", received=repr(dtype), expected="a dtype such as trine.float32"))
    return dtype


def same_size_target(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
    """The attribute is the dtype of the result and has elements of the same size."""
    dtype = target(op, operands, attrs)
    if dtype.itemsize != operands[0].dtype.itemsize or (dtype is dtypes.bool_) != (operands[0].dtype is dtypes.bool_):
        raise DTypeError(
            message(
                f"{op}: element sizes differ", received=f"{operands[0].dtype.name} to {dtype.name}", expected="dtypes of the same itemsize"
            )
        )
    return dtype


def index(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
    """An index in, the same dtype out."""
    check_index_dtype(op, operands[0])
    return operands[0].dtype


def where(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
    """A bool condition and two operands of one dtype."""
    if operands[0].dtype is not dtypes.bool_:
        raise DTypeError(
            message(f"{op}: the condition is not bool", received=operands[0].dtype.name, expected="bool", fix="compare it, as in x != 0")
        )
    return Same("biufc")(op, operands[1:], attrs)


def indexed(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
    """(x, index) or (x, index, value): the dtype of x, which value shares."""
    check_index_dtype(op, operands[1])
    return Same("biufc")(op, (operands[0], *operands[2:]), attrs)


PUT_KINDS = {"set": "biufc", "add": "iufc", "mul": "iufc", "max": "biuf", "min": "biuf"}


def put(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
    """As `indexed`; the mode restricts the kind."""
    mode = attrs[1]
    if mode not in PUT_KINDS:
        raise ArgumentError(message(f"{op}: no such mode", received=repr(mode), expected="set, add, mul, max or min"))
    dtype = indexed(op, operands, attrs)
    check_kind(f"{op} with mode {mode}", dtype, PUT_KINDS[mode])
    return dtype


# functions of `library` that take integers; the others take floating point numbers
INTEGER_FUNCTIONS = frozenset({"gcd"})


def library(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
    """One dtype, of the kind that the function takes."""
    return Same("iu" if attrs[0] in INTEGER_FUNCTIONS else "f")(f"{op} {attrs[0]}", operands, attrs)


def random_bits(op: str, operands: Sequence[Node], attrs: tuple[Any, ...]) -> DType:
    """0-d int64 seed and offset; uint32 out."""
    for operand in operands:
        if operand.dtype is not dtypes.int64 or operand.shape != ():
            raise DTypeError(
                message(f"{op}: seed and offset", received=f"{operand.dtype.name} of shape {operand.shape}", expected="int64 of shape ()")
            )
    return dtypes.uint32
