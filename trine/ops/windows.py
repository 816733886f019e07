"""Window functions of signal processing, symmetric (`trine.signal.windows`) and periodic (`trine.hann_window` and its relatives).

Harris, On the Use of Windows for Harmonic Analysis with the Discrete Fourier Transform (1978); Nuttall, Some Windows with Very Good
Sidelobe Behavior (1981). The values are computed in double precision and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from trine.dtypes import DType
from trine.errors import ArgumentError, message
from trine.ops.arguments import check_options
from trine.tensor import Tensor
from trine.tensor.convert import defaults, tensor

__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"]

Values = npt.NDArray[np.float64]
Shape = Callable[[Values, int], Values]


def _window(op: str, count: int, is_symmetric: bool, shape: Shape, dtype: DType | None, device: Any, requires_grad: bool) -> Tensor:
    """Return the window ``shape(positions, length - 1)``; a periodic one is a symmetric one without its last element."""
    check_options(dtype, device)
    kind = dtype or defaults.dtype
    if not kind.is_floating_point:
        raise ArgumentError(message(f"{op}: the dtype", received=kind.name, expected="a floating-point dtype"))
    if not isinstance(count, int) or count < 0:
        raise ArgumentError(message(f"{op}: the length", received=count, expected="an integer of 0 or more"))
    if count <= 1:
        values = np.ones(count)
    else:
        values = shape(np.arange(count, dtype=np.float64), count - 1 if is_symmetric else count)
    result: Tensor = tensor(values).to(kind)
    return result.requires_grad_() if requires_grad else result


def _cosines(weights: Iterable[float]) -> Shape:
    terms = [(-1) ** k * weight for k, weight in enumerate(weights)]
    return lambda n, last: sum((a * np.cos(2 * math.pi * k / last * n) for k, a in enumerate(terms)), np.zeros(len(n)))


def _kaiser(beta: float) -> Shape:
    return lambda n, last: np.i0(beta * np.sqrt(np.maximum(1 - (2 * n / last - 1) ** 2, 0))) / np.i0(beta)


def _triangle(n: Values, last: int) -> Values:
    return np.asarray(1 - np.abs(2 * n / last - 1))


HAMMING, HANN = (0.54, 0.46), (0.5, 0.5)
BLACKMAN, NUTTALL = (0.42, 0.5, 0.08), (0.3635819, 0.4891775, 0.1365995, 0.0106411)


# --- the names of trine.signal.windows ---------------------------------------------------------------------------------------------------


def bartlett(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return a triangle that is zero at both ends.

    Args:
        M: length. sym: symmetric; False: periodic, for spectral analysis.

    Example:
        >>> import trine
        >>> trine.signal.windows.bartlett(5)
        tensor([0.0000, 0.5000, 1.0000, 0.5000, 0.0000])
    """
    return _window("bartlett", M, sym, _triangle, dtype, device, requires_grad)


def blackman(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return the window of Blackman: a constant and two cosines.

    Example:
        >>> import trine
        >>> trine.signal.windows.blackman(3).round(decimals=4).abs()
        tensor([0., 1., 0.])
    """
    return _window("blackman", M, sym, _cosines(BLACKMAN), dtype, device, requires_grad)


def cosine(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return half a period of a sine.

    Example:
        >>> import trine
        >>> trine.signal.windows.cosine(3)
        tensor([0.5000, 1.0000, 0.5000])
    """

    def shape(n: Values, last: int) -> Values:
        return np.asarray(np.sin(math.pi / (last + 1) * (n + 0.5)))

    return _window("cosine", M, sym, shape, dtype, device, requires_grad)


def exponential(
    M: int,
    *,
    center: float | None = None,
    tau: float = 1.0,
    sym: bool = True,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return ``exp(-abs(n - center) / tau)``; the center is the middle (only that is possible for symmetric windows).

    Example:
        >>> import trine
        >>> trine.signal.windows.exponential(3)[1]
        tensor(1.)
    """
    if tau <= 0:
        raise ArgumentError(message("exponential: tau", received=tau, expected="a positive number"))
    if sym and center is not None:
        raise ArgumentError(message("exponential: a center for a symmetric window", received=center, expected="None", fix="use sym=False"))

    def shape(n: Values, last: int) -> Values:
        return np.asarray(np.exp(-np.abs(n - (last / 2 if center is None else center)) / tau))

    return _window("exponential", M, sym, shape, dtype, device, requires_grad)


def gaussian(
    M: int,
    *,
    std: float = 1.0,
    sym: bool = True,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return ``exp(-((n - middle) / std)**2 / 2)``.

    Example:
        >>> import trine
        >>> trine.signal.windows.gaussian(3)[1]
        tensor(1.)
    """
    if std <= 0:
        raise ArgumentError(message("gaussian: std", received=std, expected="a positive number"))

    def shape(n: Values, last: int) -> Values:
        return np.asarray(np.exp(-0.5 * ((n - last / 2) / std) ** 2))

    return _window("gaussian", M, sym, shape, dtype, device, requires_grad)


def general_cosine(
    M: int,
    *,
    a: Iterable[float],
    sym: bool = True,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return the sum of cosines with weights `a`, whose signs alternate.

    Example:
        >>> import trine
        >>> trine.signal.windows.general_cosine(3, a=[0.5, 0.5])
        tensor([0., 1., 0.])
    """
    weights = list(a)
    if not weights:
        raise ArgumentError(message("general_cosine: no weights", received="an empty sequence", expected="at least one number"))
    return _window("general_cosine", M, sym, _cosines(weights), dtype, device, requires_grad)


def general_hamming(
    M: int,
    *,
    alpha: float = 0.54,
    sym: bool = True,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return ``alpha - (1 - alpha) * cos(2 pi n / (M - 1))``.

    Example:
        >>> import trine
        >>> trine.signal.windows.general_hamming(3, alpha=0.5)
        tensor([0., 1., 0.])
    """
    return _window("general_hamming", M, sym, _cosines((alpha, 1 - alpha)), dtype, device, requires_grad)


def hamming(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return the window of Hamming: a cosine on a pedestal.

    Example:
        >>> import trine
        >>> trine.signal.windows.hamming(3)
        tensor([0.0800, 1.0000, 0.0800])
    """
    return _window("hamming", M, sym, _cosines(HAMMING), dtype, device, requires_grad)


def hann(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return the window of von Hann: a raised cosine.

    Example:
        >>> import trine
        >>> trine.signal.windows.hann(3)
        tensor([0., 1., 0.])
    """
    return _window("hann", M, sym, _cosines(HANN), dtype, device, requires_grad)


def kaiser(
    M: int,
    *,
    beta: float = 12.0,
    sym: bool = True,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return the window of Kaiser, made of the modified Bessel function of order 0; `beta` trades width against sidelobes.

    Example:
        >>> import trine
        >>> trine.signal.windows.kaiser(3)[1]
        tensor(1.)
    """
    if beta < 0:
        raise ArgumentError(message("kaiser: beta", received=beta, expected="0 or more"))
    return _window("kaiser", M, sym, _kaiser(beta), dtype, device, requires_grad)


def nuttall(
    M: int, *, sym: bool = True, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return the window of Nuttall: a constant and three cosines.

    Example:
        >>> import trine
        >>> trine.signal.windows.nuttall(3).round(decimals=3)
        tensor([0., 1., 0.])
    """
    return _window("nuttall", M, sym, _cosines(NUTTALL), dtype, device, requires_grad)


# --- the older names ---------------------------------------------------------------------------------------------------------------------


def bartlett_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None, layout: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return a triangle, periodic by default; see `trine.signal.windows.bartlett`.

    Example:
        >>> import trine
        >>> trine.bartlett_window(4)
        tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window("bartlett_window", window_length, not periodic, _triangle, dtype, device, requires_grad)


def blackman_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None, layout: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return the window of Blackman, periodic by default; see `trine.signal.windows.blackman`.

    Example:
        >>> import trine
        >>> trine.blackman_window(2).abs().round(decimals=4)
        tensor([0., 1.])
    """
    return _window("blackman_window", window_length, not periodic, _cosines(BLACKMAN), dtype, device, requires_grad)


def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype: DType | None = None,
    layout: Any = None, device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return ``alpha - beta * cos(2 pi n / N)``, periodic by default; see `trine.signal.windows.hamming`.

    Example:
        >>> import trine
        >>> trine.hamming_window(2)
        tensor([0.0800, 1.0000])
    """
    return _window("hamming_window", window_length, not periodic, _cosines((alpha, beta)), dtype, device, requires_grad)


def hann_window(
    window_length: int, periodic: bool = True, *, dtype: DType | None = None, layout: Any = None, device: Any = None,
    pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return the window of von Hann, periodic by default; see `trine.signal.windows.hann`.

    Example:
        >>> import trine
        >>> trine.hann_window(4)
        tensor([0.0000, 0.5000, 1.0000, 0.5000])
    """
    return _window("hann_window", window_length, not periodic, _cosines(HANN), dtype, device, requires_grad)


def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: DType | None = None, layout: Any = None,
    device: Any = None, pin_memory: bool = False, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return the window of Kaiser, periodic by default; see `trine.signal.windows.kaiser`.

    Example:
        >>> import trine
        >>> trine.kaiser_window(2)[1]
        tensor(1.)
    """
    return _window("kaiser_window", window_length, not periodic, _kaiser(beta), dtype, device, requires_grad)
