"""Reductions in loop kernels: accumulators, their combination, and the horizontal step over the lanes of a vector.

An accumulator is a list of registers: the value, and for argmax and argmin also the position (int64).
"""

from __future__ import annotations

from trine.compiler.templates.loop_body import float_extremum
from trine.compiler.templates.loop_types import Context, vector_type
from trine.dtypes import DType, bool_, float32, int8, int64

NO_POSITION = (1 << 63) - 1

_FLOAT = {"sum": "fadd", "prod": "fmul"}
_INTEGER = {"sum": "add", "prod": "mul"}
_BOOL = {"sum": "or", "prod": "and", "max": "or", "min": "and"}


def accumulator_dtype(kind: str, dtype: DType) -> DType:
    """Return the dtype of the value that is accumulated: half types in float32."""
    if dtype.is_half:
        return float32
    return int8 if dtype is bool_ and kind.startswith("arg") else dtype


def identity(kind: str, dtype: DType) -> float | int | bool:
    """Return what leaves an accumulator of `dtype` as it is."""
    if kind == "sum":
        return 0
    if kind == "prod":
        return 1
    lowest = kind in ("max", "argmax")
    if dtype.is_floating_point:
        return float("-inf") if lowest else float("inf")
    if dtype is bool_:
        return not lowest
    bits = 8 * dtype.itemsize
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if dtype.is_signed else (0, (1 << bits) - 1)
    return low if lowest else high


def types(c: Context, kind: str, dtype: DType) -> list[str]:
    """Return the types of an accumulator's registers."""
    return [c.type(dtype), c.type(int64)] if kind.startswith("arg") else [c.type(dtype)]


def initial(c: Context, kind: str, dtype: DType) -> list[str]:
    """Return an accumulator that has seen nothing."""
    first = c.literal(identity(kind, dtype), dtype)
    return [first, c.literal(NO_POSITION, int64)] if kind.startswith("arg") else [first]


def combine(c: Context, kind: str, a: list[str], b: list[str], dtype: DType) -> list[str]:
    """Combine two accumulators; of equal values (or two NaN) argmax and argmin keep the lower position."""
    if kind.startswith("arg"):
        return _combine_positions(c, kind, a, b, dtype)
    if dtype is bool_:
        return [c.binary(_BOOL[kind], a[0], b[0], dtype)]
    if kind in ("max", "min"):
        name = "maximum" if kind == "max" else "minimum"
        if dtype.is_floating_point:
            return [float_extremum(c, name, a[0], b[0], dtype)]
        return [c.intrinsic(("s" if dtype.is_signed else "u") + kind, dtype, a[0], b[0])]
    return [c.binary((_FLOAT if dtype.is_floating_point else _INTEGER)[kind], a[0], b[0], dtype)]


def update(c: Context, kind: str, acc: list[str], x: str, position: str, dtype: DType) -> list[str]:
    """Add one value per lane; positions only grow, so that a later equal value never wins."""
    if not kind.startswith("arg"):
        return combine(c, kind, acc, [x], dtype)
    better = _is_better(c, kind, x, acc[0], dtype)
    return [c.select(better, x, acc[0], dtype), c.select(better, position, acc[1], int64)]


def _is_better(c: Context, kind: str, x: str, than: str, dtype: DType) -> str:
    if not dtype.is_floating_point:
        predicate = ("s" if dtype.is_signed else "u") + ("gt" if kind == "argmax" else "lt")
        return c.compare(predicate, x, than, dtype)
    # not (x <= than) is true for a NaN in either; a NaN already held is not replaced.
    candidate = c.compare("ugt" if kind == "argmax" else "ult", x, than, dtype)
    return c.binary("and", candidate, c.compare("ord", than, than, dtype), bool_)


def _combine_positions(c: Context, kind: str, a: list[str], b: list[str], dtype: DType) -> list[str]:
    better = _is_better(c, kind, b[0], a[0], dtype)
    if dtype.is_floating_point:
        both_nan = c.binary("and", c.compare("uno", a[0], a[0], dtype), c.compare("uno", b[0], b[0], dtype), bool_)
        equal = c.binary("or", c.compare("oeq", a[0], b[0], dtype), both_nan, bool_)
    else:
        equal = c.compare("eq", a[0], b[0], dtype)
    earlier = c.binary("and", equal, c.compare("slt", b[1], a[1], int64), bool_)
    take = c.binary("or", better, earlier, bool_)
    return [c.select(take, b[0], a[0], dtype), c.select(take, b[1], a[1], int64)]


def tree(c: Context, kind: str, accumulators: list[list[str]], dtype: DType) -> list[str]:
    """Combine several accumulators pairwise."""
    while len(accumulators) > 1:
        pairs = [accumulators[i : i + 2] for i in range(0, len(accumulators), 2)]
        accumulators = [combine(c, kind, p[0], p[1], dtype) if len(p) == 2 else p[0] for p in pairs]
    return accumulators[0]


def across_lanes(c: Context, kind: str, acc: list[str], dtype: DType) -> list[str]:
    """Combine the lanes of a vector accumulator, halving the vector at each step; return scalars."""
    lanes = c.lanes
    registers = types(c, kind, dtype)
    elements = [t if lanes == 1 else t[1:-1].split(" x ")[1] for t in registers]
    while lanes > 1:
        half = lanes // 2
        low, high = [], []
        for register, element in zip(acc, elements, strict=True):
            whole = vector_type(element, lanes)
            low.append(_part(c, register, whole, 0, half))
            high.append(_part(c, register, whole, half, half))
        lanes = half
        acc = combine(Context(c.function, c.target, lanes), kind, low, high, dtype)
    return acc


def _part(c: Context, register: str, whole: str, start: int, count: int) -> str:
    if count == 1:
        return c.value(f"extractelement {whole} {register}, i64 {start}")
    mask = ", ".join(f"i32 {start + i}" for i in range(count))
    return c.value(f"shufflevector {whole} {register}, {whole} poison, <{count} x i32> <{mask}>")


def position_or_zero(c: Context, position: str) -> str:
    """Return the position, or 0 where no value was better than the identity (all of them are equal to it)."""
    none = c.compare("eq", position, c.literal(NO_POSITION, int64), int64)
    return c.select(none, c.literal(0, int64), position, int64)
