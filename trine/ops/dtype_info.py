"""What dtypes can hold and how they combine: `finfo`, `iinfo`, `can_cast`, `promote_types`, `result_type`."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine import dtypes
from trine.dtypes import DType
from trine.errors import DTypeError, message
from trine.tensor import Tensor
from trine.tensor.convert import defaults


class finfo:  # noqa: N801 - PyTorch's name
    """Limits of a floating point dtype (of a complex dtype: of its parts); the default dtype unless given.

    Attributes:
        bits: bits of an element.
        eps: distance from 1 to the next larger number.
        max, min: largest and smallest finite number.
        tiny, smallest_normal: smallest positive normal number.
        resolution: the decimal resolution, ``10 ** -digits``.
        dtype: name of the dtype.

    Example:
        >>> import trine
        >>> trine.finfo(trine.float32).eps == 2.0**-23
        True
    """

    __slots__ = ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution", "dtype")

    bits: int
    eps: float
    max: float
    min: float
    tiny: float
    smallest_normal: float
    resolution: float
    dtype: str

    def __init__(self, type: DType | Tensor | None = None) -> None:
        found = type.dtype if isinstance(type, Tensor) else defaults.dtype if type is None else type
        found = dtypes.REAL_OF.get(found, found)
        if not isinstance(found, DType) or not found.is_floating_point:
            raise DTypeError(message("finfo: not a floating point dtype", received=repr(type), expected="a floating point dtype"))
        self.bits, self.dtype = 8 * found.itemsize, found.name
        if found is dtypes.bfloat16:
            self.eps, self.max, self.tiny, self.resolution = 2.0**-7, 3.3895313892515355e38, 2.0**-126, 0.01
        else:
            info = np.finfo(found.numpy)
            self.eps, self.max, self.tiny, self.resolution = map(float, (info.eps, info.max, info.tiny, info.resolution))
            # the shortest decimal, not the dtype's rounding of it
            self.resolution = float(f"{self.resolution:.0e}")
        self.min, self.smallest_normal = -self.max, self.tiny

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:  # noqa: N801 - PyTorch's name
    """Limits of an integer dtype.

    Attributes:
        bits: bits of an element.
        max, min: largest and smallest number.
        dtype: name of the dtype.

    Example:
        >>> import trine
        >>> trine.iinfo(trine.uint8).max
        255
    """

    __slots__ = ("bits", "max", "min", "dtype")

    def __init__(self, type: DType | Tensor) -> None:
        found = type.dtype if isinstance(type, Tensor) else type
        if not isinstance(found, DType) or not found.is_integer:
            raise DTypeError(message("iinfo: not an integer dtype", received=repr(type), expected="an integer dtype"))
        info = np.iinfo(found.numpy)
        self.bits, self.max, self.min, self.dtype = 8 * found.itemsize, int(info.max), int(info.min), found.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


_KIND = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def can_cast(from_: DType | Tensor, to: DType) -> bool:
    """Return whether the result of an operation of one dtype may be written into a tensor of another: not into a lower kind.

    Kinds rise from bool over integers and floating point to complex.

    Example:
        >>> import trine
        >>> trine.can_cast(trine.float64, trine.float32), trine.can_cast(trine.float32, trine.int64)
        (True, False)
    """
    source = from_.dtype if isinstance(from_, Tensor) else from_
    return _KIND[source.code] <= _KIND[to.code]


def promote_types(type1: DType, type2: DType) -> DType:
    """Return the smallest dtype that holds both.

    Raises:
        DTypeError: the dtypes have no common dtype.

    Example:
        >>> import trine
        >>> trine.promote_types(trine.int32, trine.float32)
        trine.float32
    """
    for dtype in (type1, type2):
        if not isinstance(dtype, DType):
            raise DTypeError(message("promote_types: not a dtype", received=repr(dtype), expected="a dtype such as trine.float32"))
    return dtypes.promote(type1, type2)


def result_type(*operands: Any) -> DType:
    """Return the dtype of an operation on tensors, numbers and dtypes.

    Example:
        >>> import trine
        >>> trine.result_type(trine.tensor([1]), 1.5)
        trine.float32
    """
    categories = []
    for value in operands:
        if isinstance(value, Tensor):
            categories.append((value.dtype, dtypes.DIMENSIONED if value.dim() else dtypes.ZERO_DIM))
        elif isinstance(value, DType):
            categories.append((value, dtypes.DIMENSIONED))
        else:
            categories.append((dtypes.of_python(value, defaults.dtype), dtypes.WEAK))
    return dtypes.result_type(*categories, default=defaults.dtype)
