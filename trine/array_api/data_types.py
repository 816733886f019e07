"""Data types of the array API standard, and what the namespace says of itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from trine import dtypes as _dtypes
from trine import ops
from trine.dtypes import DType
from trine.errors import ArgumentError, DTypeError, message
from trine.tensor import Tensor
from trine.tensor.convert import defaults
from trine.tensor.device import CPU, Device, check_device

Array = Tensor

__all__ = ["__array_namespace_info__", "astype", "can_cast", "finfo", "iinfo", "isdtype", "result_type"]


def result_type(*arrays_and_dtypes: Array | DType | complex) -> DType:
    """Return the common dtype of arrays, dtypes and Python numbers; arrays without axes count as any other.

    Raises:
        DTypeError: there is none.
    """
    return ops.result_type(*[v.dtype if isinstance(v, Tensor) else v for v in arrays_and_dtypes])


class finfo(ops.finfo):  # noqa: N801 - the standard's name
    """Limits of a floating point dtype, as `trine.finfo`, with the dtype itself as `dtype`."""

    __slots__ = ()

    def __init__(self, type: DType | Array, /) -> None:
        super().__init__(type)
        self.dtype = _dtypes.by_name(self.dtype)  # type: ignore[assignment]


class iinfo(ops.iinfo):  # noqa: N801 - the standard's name
    """Limits of an integer dtype, as `trine.iinfo`, with the dtype itself as `dtype`."""

    __slots__ = ()

    def __init__(self, type: DType | Array, /) -> None:
        super().__init__(type)
        self.dtype = _dtypes.by_name(self.dtype)  # type: ignore[assignment]


def astype(x: Array, dtype: DType, /, *, copy: bool = True, device: Any = None) -> Array:
    """Return the array with another dtype; a copy, unless `copy` is False and nothing changes.

    Raises:
        DTypeError: from complex to real.
    """
    if device is not None:
        check_device(device)
    if x.dtype.is_complex and not dtype.is_complex:
        raise DTypeError(message("astype: complex to real", received=f"{x.dtype.name} to {dtype.name}", fix="take real(x) first"))
    result: Array = x.to(dtype, copy=copy)
    return result


def can_cast(from_: DType | Array, to: DType, /) -> bool:
    """Return whether one dtype can become another by type promotion, so that every value is kept."""
    source = from_.dtype if isinstance(from_, Tensor) else from_
    return bool(np.can_cast(source.numpy, to.numpy))


_KINDS: dict[str, str] = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def isdtype(dtype: DType, kind: DType | str | tuple[DType | str, ...]) -> bool:
    """Return whether a dtype is of a kind: a dtype, a name such as "integral", or a tuple of these.

    Raises:
        ArgumentError: there is no such kind.
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, one) for one in kind)
    if isinstance(kind, DType):
        return dtype is kind
    if kind not in _KINDS:
        raise ArgumentError(message("isdtype: no such kind", received=repr(kind), expected=", ".join(_KINDS)))
    return dtype.code in _KINDS[kind]


_STANDARD = tuple([d for d in _dtypes.ALL if not d.is_half])


class Info:
    """What `__array_namespace_info__` gives: capabilities, devices and dtypes of the namespace."""

    def capabilities(self) -> dict[str, Any]:
        """Return what is optional in the standard and present here."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": None}

    def default_device(self) -> Device:
        """Return the CPU."""
        return CPU

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """Return the dtypes of new arrays."""
        real = defaults.dtype
        return {
            "real floating": real,
            "complex floating": _dtypes.COMPLEX_OF[real],
            "integral": _dtypes.int64,
            "indexing": _dtypes.int64,
        }

    def dtypes(self, *, device: Any = None, kind: str | tuple[str, ...] | None = None) -> dict[str, DType]:
        """Return the dtypes of the standard by name, all or those of a kind."""
        return {d.name: d for d in _STANDARD if kind is None or isdtype(d, kind)}

    def devices(self) -> list[Device]:
        """Return the devices."""
        return [CPU]


def __array_namespace_info__() -> Info:  # noqa: N807 - the standard's name
    """Return what the namespace says of itself."""
    return Info()
