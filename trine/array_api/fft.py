"""The Fourier transform extension of the array API standard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trine import dtypes
from trine.dtypes import DType
from trine.ops import fourier as transforms
from trine.tensor import Tensor

Array = Tensor

_ONE_AXIS = "fft ifft rfft irfft hfft ihfft".split()
_MANY_AXES = "fftn ifftn rfftn irfftn".split()


def _along_axis(name: str) -> Callable[..., Array]:
    inner: Callable[..., Any] = getattr(transforms, name)

    def function(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
        result: Array = inner(x, n, axis, norm)
        return result

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (inner.__doc__ or "").split("\n")[0]
    return function


def _over_axes(name: str) -> Callable[..., Array]:
    inner: Callable[..., Any] = getattr(transforms, name)

    def function(x: Array, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward") -> Array:
        result: Array = inner(x, s, axes, norm)
        return result

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (inner.__doc__ or "").split("\n")[0]
    return function


def fftfreq(n: int, /, *, d: float = 1.0, dtype: DType | None = None, device: Any = None) -> Array:
    """Return the sample frequencies of `fft`."""
    result: Array = transforms.fftfreq(n, d, dtype=dtypes.float64).to(dtype or transforms.fftfreq(1).dtype)
    return result


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: DType | None = None, device: Any = None) -> Array:
    """Return the sample frequencies of `rfft`."""
    result: Array = transforms.rfftfreq(n, d, dtype=dtypes.float64).to(dtype or transforms.rfftfreq(1).dtype)
    return result


def fftshift(x: Array, /, *, axes: int | Sequence[int] | None = None) -> Array:
    """Move frequency zero to the middle."""
    result: Array = transforms.fftshift(x, axes)
    return result


def ifftshift(x: Array, /, *, axes: int | Sequence[int] | None = None) -> Array:
    """Move frequency zero to the front: the inverse of `fftshift`."""
    result: Array = transforms.ifftshift(x, axes)
    return result


for _name in _ONE_AXIS:
    globals()[_name] = _along_axis(_name)
for _name in _MANY_AXES:
    globals()[_name] = _over_axes(_name)

__all__ = [*_ONE_AXIS, *_MANY_AXES, "fftfreq", "rfftfreq", "fftshift", "ifftshift"]
