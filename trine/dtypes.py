"""Element types, their promotion, and the conversion of bfloat16 to and from the uint16 patterns that NumPy holds."""

from __future__ import annotations

from functools import reduce
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trine.errors import DTypeError, message


class DType:
    """The type of an element. There is one object for each type, so `==` is identity.

    Attributes:
        name: ``"float32"``; also the name of the instance in this module (`bool_` for ``"bool"``).
        code: kind: "b" bool, "i" signed, "u" unsigned integer, "f" floating point, "c" complex.
        itemsize: bytes of an element.
        numpy: the NumPy dtype that holds it; uint16 for bfloat16.
        is_floating_point, is_complex, is_integer, is_signed: predicates as in PyTorch; `is_integer` excludes bool.
        is_differentiable: floating point or complex.
        is_half: float16 or bfloat16, which compute in float32.
    """

    __slots__ = (
        "name",
        "code",
        "itemsize",
        "numpy",
        "is_floating_point",
        "is_complex",
        "is_integer",
        "is_signed",
        "is_differentiable",
        "is_half",
    )

    name: str
    code: str
    itemsize: int
    numpy: np.dtype[Any]
    is_floating_point: bool
    is_complex: bool
    is_integer: bool
    is_signed: bool
    is_differentiable: bool
    is_half: bool

    def __init__(self, name: str, code: str, storage: npt.DTypeLike) -> None:
        self.name = name
        self.code = code
        self.numpy = np.dtype(storage)
        self.itemsize = self.numpy.itemsize
        self.is_floating_point = code == "f"
        self.is_complex = code == "c"
        self.is_integer = code in "iu"
        self.is_signed = code in "ifc"
        self.is_differentiable = code in "fc"
        self.is_half = code == "f" and self.itemsize == 2

    def __repr__(self) -> str:
        return f"trine.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return by_name, (self.name,)


bool_: Final = DType("bool", "b", np.bool_)
uint8: Final = DType("uint8", "u", np.uint8)
uint16: Final = DType("uint16", "u", np.uint16)
uint32: Final = DType("uint32", "u", np.uint32)
uint64: Final = DType("uint64", "u", np.uint64)
int8: Final = DType("int8", "i", np.int8)
int16: Final = DType("int16", "i", np.int16)
int32: Final = DType("int32", "i", np.int32)
int64: Final = DType("int64", "i", np.int64)
float16: Final = DType("float16", "f", np.float16)
bfloat16: Final = DType("bfloat16", "f", np.uint16)
float32: Final = DType("float32", "f", np.float32)
float64: Final = DType("float64", "f", np.float64)
complex64: Final = DType("complex64", "c", np.complex64)
complex128: Final = DType("complex128", "c", np.complex128)

ALL: Final[tuple[DType, ...]] = (
    bool_,
    *(uint8, uint16, uint32, uint64),
    *(int8, int16, int32, int64),
    *(float16, bfloat16, float32, float64),
    *(complex64, complex128),
)

BY_NAME: Final[dict[str, DType]] = {d.name: d for d in ALL}

# PyTorch's other names. `bool`, `int` and `float` are not names of this module because they would hide the builtins.
ALIASES: Final[dict[str, DType]] = {
    **{"half": float16, "float": float32, "double": float64, "cfloat": complex64, "cdouble": complex128},
    **{"short": int16, "int": int32, "long": int64},
}
half: Final = float16
double: Final = float64
short: Final = int16
long: Final = int64

REAL_OF: Final[dict[DType, DType]] = {complex64: float32, complex128: float64}
COMPLEX_OF: Final[dict[DType, DType]] = {float16: complex64, bfloat16: complex64, float32: complex64, float64: complex128}

_BY_KIND: Final[dict[tuple[str, int], DType]] = {(d.numpy.kind, d.itemsize): d for d in ALL if d is not bfloat16}


def by_name(name: str) -> DType:
    """Return the dtype called `name`: "float32", an alias such as "half", or either with the prefix "trine." or "torch."."""
    short_name = name.removeprefix("trine.").removeprefix("torch.")
    dtype = BY_NAME.get(short_name) or ALIASES.get(short_name)
    if dtype is None:
        raise DTypeError(message("dtype: no such name", received=repr(name), expected="one of " + ", ".join(BY_NAME)))
    return dtype


def from_numpy(dtype: npt.DTypeLike) -> DType:
    """Return the dtype of arrays of a NumPy dtype, whatever its byte order. `ml_dtypes.bfloat16` gives bfloat16.

    Raises:
        DTypeError: for objects, strings, dates, records and extended precision.
    """
    numpy_dtype = np.dtype(dtype)
    found = _BY_KIND.get((numpy_dtype.kind, numpy_dtype.itemsize))
    if found is None and numpy_dtype.name == "bfloat16":
        return bfloat16
    if found is None:
        raise DTypeError(
            message(
                "dtype: NumPy arrays of this dtype have no counterpart",
                received=f"numpy.{numpy_dtype}",
                expected="a bool, integer, float16/32/64 or complex64/128 array",
                fix="convert it first, as in array.astype(numpy.float32); an object array often comes from lists of unequal lengths",
            )
        )
    return found


# --- promotion ----------------------------------------------------------------------------------------------------------------------

_UNSIGNED_ONLY: Final = frozenset((uint16, uint32, uint64))


def _promote_unsigned(a: DType, b: DType) -> DType | None:
    """Return the common dtype of a wide unsigned integer and another dtype: as in PyTorch where it has one, else as in the array API.

    An integer that holds both; there is none for uint64 and a signed one.
    """
    wide, other = (a, b) if a in _UNSIGNED_ONLY else (b, a)
    if other.is_differentiable:
        return other
    if other is bool_:
        return wide
    if not other.is_signed:
        return wide if wide.itemsize >= other.itemsize else other
    size = other.itemsize if other.itemsize > wide.itemsize else 2 * wide.itemsize
    return _BY_KIND.get(("i", size))


def _promote(a: DType, b: DType) -> DType | None:
    """Return the least upper bound in PyTorch's lattice, or None where PyTorch has none."""
    if a is b:
        return a
    if a in _UNSIGNED_ONLY or b in _UNSIGNED_ONLY:
        return _promote_unsigned(a, b)
    rank = "buifc"
    low, high = sorted((a, b), key=lambda d: (rank.index("i" if d.code == "u" else d.code), d.itemsize))
    if high.is_complex:
        return complex128 if low is float64 else high
    if low.is_floating_point:
        return float32 if low.itemsize == high.itemsize else high
    if high.is_floating_point or low is bool_:
        return high
    if uint8 in (low, high):
        return int16 if int8 in (low, high) else high
    return high


_PROMOTION: Final[dict[tuple[DType, DType], DType | None]] = {(a, b): _promote(a, b) for a in ALL for b in ALL}


def promote(a: DType, b: DType) -> DType:
    """Return the dtype in which both operands of a binary operation are computed, as `torch.promote_types`.

    Raises:
        DTypeError: uint64 with a signed integer type.
    """
    result = _PROMOTION[a, b]
    if result is None:
        raise DTypeError(
            message(
                "promotion: these dtypes have no common dtype",
                received=f"{a.name} and {b.name}",
                expected="uint64 combines with unsigned integers, floating point and complex",
                fix="convert one operand, as in x.to(trine.int64)",
            )
        )
    return result


# How much a dtype counts in promotion.
DIMENSIONED: Final = 0  # a tensor with axes
ZERO_DIM: Final = 1  # a tensor without axes
WEAK: Final = 2  # a Python number


def result_type(*operands: tuple[DType, int], default: DType = float32) -> DType:
    """Return the dtype of an operation on `operands`, each a dtype and its category, as `torch.result_type`.

    A lower category (0-d tensors, then Python numbers) takes part only where it is of a higher kind (bool < integer < floating
    point < complex). A weak floating point number counts as `default`, the default dtype, a weak complex one as its complex dtype.
    """
    merged: list[DType | None] = [None, None, None]
    for dtype, category in operands:
        if category == WEAK and dtype.is_differentiable:
            dtype = COMPLEX_OF[default] if dtype.is_complex else default
        before = merged[category]
        merged[category] = dtype if before is None else promote(before, dtype)
    result = reduce(_combine, reversed(merged))
    if result is None:
        raise DTypeError(message("result_type: no operands", received="nothing", expected="at least one dtype"))
    return result


def _combine(lower: DType | None, higher: DType | None) -> DType | None:
    """Combine the results of two categories; `higher` decides unless `lower` is of a higher kind."""
    if higher is None or lower is None:
        return lower if higher is None else higher
    if higher.is_complex:
        return higher
    if higher.is_floating_point:
        return COMPLEX_OF[higher] if lower.is_complex else higher
    if higher is bool_:
        return promote(higher, lower)
    return lower if lower.is_differentiable else higher


def of_python(value: object, default: DType = float32) -> DType:
    """Return the dtype of a Python or NumPy number: bool, int64, `default` or its complex dtype.

    Raises:
        DTypeError: the value is not a number.
    """
    if isinstance(value, np.generic) and not isinstance(value, (float, complex)):
        return from_numpy(value.dtype)
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    if isinstance(value, float):
        return default
    if isinstance(value, complex):
        return COMPLEX_OF[default]
    raise DTypeError(
        message("dtype: not a number", received=f"{value!r} of type {type(value).__name__}", expected="bool, int, float or complex")
    )


# --- bfloat16 -----------------------------------------------------------------------------------------------------------------------


def to_bfloat16_bits(array: npt.ArrayLike) -> npt.NDArray[np.uint16]:
    """Round float32 values to bfloat16 (to nearest, ties to even; NaN stays NaN) and return the bit patterns."""
    bits = np.asarray(array, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    # A NaN with its payload in the low half would round to infinity: keep the high half and set the quiet bit.
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    is_nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return np.where(is_nan, quiet, rounded).astype(np.uint16)


def from_bfloat16_bits(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Return the float32 values of bfloat16 bit patterns (exact)."""
    return np.asarray(np.left_shift(np.asarray(bits, np.uint16).astype(np.uint32), np.uint32(16))).view(np.float32)
