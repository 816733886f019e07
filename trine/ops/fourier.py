"""Discrete Fourier transforms of any number of axes, with PyTorch's names, lengths and norms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core import build_linalg as la
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.arguments import check_choice, write_out
from trine.ops.creation import arange
from trine.ops.joining import roll
from trine.ops.promotion import as_dtype, as_float, number
from trine.shapes import canonical_axes, canonical_axis
from trine.tensor import Tensor, record
from trine.tensor.convert import defaults

Sizes = Sequence[int] | None
Axes = int | Sequence[int] | None

_NORMS = (None, "forward", "backward", "ortho")


def _scale(count: int, norm: str | None, inverse: bool) -> float:
    """Return the factor of a transform over `count` elements."""
    if norm == "ortho":
        return 1 / math.sqrt(count) if count else 1.0
    return 1 / count if count and (norm == "forward") != inverse else 1.0


def _scaled(x: Node, factor: float) -> Node:
    return x if factor == 1 else b.mul(x, number(factor, x))


def _as_complex(x: Node) -> Node:
    x = as_float(x)
    return as_dtype(x, dtypes.COMPLEX_OF.get(x.dtype, x.dtype))


def _check_real(op: str, x: Node) -> Node:
    if x.dtype.is_complex:
        raise ArgumentError(
            message(f"fft.{op}: the signal is complex", received=x.dtype.name, expected="a real tensor", fix="use fft.fft, or x.real")
        )
    return as_float(x)


def resized(x: Node, axis: int, length: int) -> Node:
    """Return `x` cut, or filled up with zeros, to a length of one axis."""
    extent = x.shape[axis]
    if length < 1:
        raise ArgumentError(message("fft: the length of a transform", received=length, expected="1 or more"))
    zeros, rank = (0,) * len(x.shape), len(x.shape)
    if extent > length:
        return b.slice(x, zeros, tuple([length if k == axis else s for k, s in enumerate(x.shape)]))
    return b.pad(x, zeros, tuple([length - extent if k == axis else 0 for k in range(rank)]), 0)


def _axes(op: str, x: Node, sizes: tuple[int, ...] | None, dims: tuple[int, ...] | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes of a transform and their lengths (-1 in `sizes`: as it is)."""
    rank = len(x.shape)
    if dims is None:
        axes = tuple(range(rank)) if sizes is None else tuple(range(rank - len(sizes), rank))
        if any(k < 0 for k in axes):
            raise ShapeError(message(f"fft.{op}: more sizes than axes", received=f"{sizes} for shape {x.shape}", expected="fewer sizes"))
    else:
        axes = canonical_axes(dims, rank, f"fft.{op}")
    axes = tuple([canonical_axis(d, rank, f"fft.{op}") for d in dims]) if dims is not None else axes
    if sizes is not None and len(sizes) != len(axes):
        raise ShapeError(message(f"fft.{op}: numbers of sizes and axes differ", received=f"{sizes}, {dims}", expected="one size per axis"))
    lengths = [x.shape[k] for k in axes] if sizes is None else [x.shape[k] if s == -1 else s for k, s in zip(axes, sizes, strict=True)]
    return axes, tuple(lengths)


# --- builders -----------------------------------------------------------------------------------------------------------------------------


def _fftn(x: Node, op: str, sizes: tuple[int, ...] | None, dims: tuple[int, ...] | None, norm: str | None, inverse: bool) -> Node:
    x = _as_complex(x)
    axes, lengths = _axes(op, x, sizes, dims)
    for axis, length in zip(axes, lengths, strict=True):
        x = resized(x, axis, length)
    return _scaled(la.fft(x, axes, inverse), _scale(math.prod(lengths), norm, inverse))


def _rfftn(x: Node, op: str, sizes: tuple[int, ...] | None, dims: tuple[int, ...] | None, norm: str | None, inverse: bool) -> Node:
    """The transform of a real signal, half of it; `inverse`: with the other sign (ihfft)."""
    x = _check_real(op, x)
    axes, lengths = _axes(op, x, sizes, dims)
    if not axes:
        raise ShapeError(message(f"fft.{op}: no axes", received=f"shape {x.shape}", expected="at least one axis"))
    for axis, length in zip(axes, lengths, strict=True):
        x = resized(x, axis, length)
    half = la.rfft(x, axes[-1])
    half = b.conj(half) if inverse else half
    return _scaled(la.fft(half, axes[:-1], inverse), _scale(math.prod(lengths), norm, inverse))


def _irfftn(x: Node, op: str, sizes: tuple[int, ...] | None, dims: tuple[int, ...] | None, norm: str | None, inverse: bool) -> Node:
    """The real signal of half a spectrum; `inverse` False: with the sign of the forward transform (hfft)."""
    x = _as_complex(x)
    axes, lengths = _axes(op, x, sizes, dims)
    if not axes:
        raise ShapeError(message(f"fft.{op}: no axes", received=f"shape {x.shape}", expected="at least one axis"))
    last = 2 * (x.shape[axes[-1]] - 1) if sizes is None or sizes[-1] == -1 else sizes[-1]
    if last < 1:
        raise ArgumentError(message(f"fft.{op}: the length of the signal", received=last, expected="1 or more"))
    for axis, length in zip(axes, (*lengths[:-1], last // 2 + 1), strict=True):
        x = resized(x, axis, length)
    x = la.fft(x, axes[:-1], inverse)
    signal = la.irfft(x if inverse else b.conj(x), axes[-1], last)
    return _scaled(signal, _scale(math.prod(lengths[:-1]) * last, norm, inverse))


_KINDS = {
    "fft": (_fftn, False),
    "ifft": (_fftn, True),
    "rfft": (_rfftn, False),
    "ihfft": (_rfftn, True),
    "irfft": (_irfftn, True),
    "hfft": (_irfftn, False),
}


def _transform(op: str, input: Tensor, sizes: Sizes, dims: Axes, norm: str | None, out: Tensor | None) -> Tensor:
    check_choice(f"fft.{op}", "norm", norm, _NORMS)
    builder, inverse = _KINDS[op.rstrip("n2")]
    axes = None if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    lengths = None if sizes is None else (sizes,) if isinstance(sizes, int) else tuple(sizes)
    return write_out(record(builder, (input,), op, lengths, axes, norm, inverse), out)


# --- functions ----------------------------------------------------------------------------------------------------------------------------

_WHAT = {
    "fft": ("the discrete Fourier transform of a signal", "trine.tensor([1., 0.])", "tensor([1., 1.])"),
    "ifft": ("the inverse discrete Fourier transform", "trine.tensor([1., 1.])", "tensor([1., 0.])"),
    "rfft": ("the lower half of the transform of a real signal", "trine.tensor([1., 0.])", "tensor([1., 1.])"),
    "irfft": ("the real signal of the lower half of a spectrum", "trine.tensor([1., 1.])", "tensor([1., 0.])"),
    "hfft": ("the real spectrum of the first half of a signal with conjugate symmetry", "trine.tensor([1., 1.])", "tensor([2., 0.])"),
    "ihfft": ("the first half of the inverse transform of a real spectrum", "trine.tensor([2., 0.])", "tensor([1., 1.])"),
}

_TAIL = """

    Args:
        {size}: {sizes}; shorter axes are filled up with zeros, longer ones cut.
        dim: {dims}.
        norm: "backward" (default: the inverse is divided by the number of elements), "forward" (the forward transform is) or "ortho" (both
            are divided by its root).

    Raises:
        ArgumentError: no such norm, a length below 1, or a complex signal where a real one is expected.

    Example:
        >>> import trine
        >>> trine.fft.{name}({example}).real
        {result}
    """


def _documented(name: str, suffix: str) -> str:
    what, example, result = _WHAT[name]
    if suffix:
        example = example.replace("tensor([", "tensor([[").replace("])", "]])")
        inside = result[len("tensor(") : -1]
        result = f"tensor([{inside}])"
    size = "s" if suffix else "n"
    sizes = "lengths of the axes of the signal (-1: as it is)" if suffix else "length of the signal along the axis"
    dims = {"": "the axis", "2": "two axes, by default the last ones", "n": "the axes, by default all (the last ones, if s is given)"}[
        suffix
    ]
    kind = {"": "", "2": " over two axes", "n": " over several axes"}[suffix]
    tail = _TAIL.format(size=size, sizes=sizes, dims=dims, name=name + suffix, example=example, result=result)
    return f"Return {what}{kind}.{tail}"


def _one_axis(name: str) -> Callable[..., Tensor]:
    def function(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
        return _transform(name, input, None if n is None else (n,), (dim,), norm, out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = _documented(name, "")
    return function


def _two_axes(name: str) -> Callable[..., Tensor]:
    def function(input: Tensor, s: Sizes = None, dim: Axes = (-2, -1), norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
        return _transform(name + "2", input, s, dim, norm, out)

    function.__name__ = function.__qualname__ = name + "2"
    function.__doc__ = _documented(name, "2")
    return function


def _many_axes(name: str) -> Callable[..., Tensor]:
    def function(input: Tensor, s: Sizes = None, dim: Axes = None, norm: str | None = None, *, out: Tensor | None = None) -> Tensor:
        return _transform(name + "n", input, s, dim, norm, out)

    function.__name__ = function.__qualname__ = name + "n"
    function.__doc__ = _documented(name, "n")
    return function


fft, fft2, fftn = _one_axis("fft"), _two_axes("fft"), _many_axes("fft")
ifft, ifft2, ifftn = _one_axis("ifft"), _two_axes("ifft"), _many_axes("ifft")
rfft, rfft2, rfftn = _one_axis("rfft"), _two_axes("rfft"), _many_axes("rfft")
irfft, irfft2, irfftn = _one_axis("irfft"), _two_axes("irfft"), _many_axes("irfft")
hfft, hfft2, hfftn = _one_axis("hfft"), _two_axes("hfft"), _many_axes("hfft")
ihfft, ihfft2, ihfftn = _one_axis("ihfft"), _two_axes("ihfft"), _many_axes("ihfft")


def _shift(input: Tensor, dim: Axes, sign: int) -> Tensor:
    axes = tuple(range(input.dim())) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    shifts = [(input.shape[k] if sign > 0 else input.shape[k] + 1) // 2 for k in axes]
    return roll(input, shifts, axes) if axes else input


def fftshift(input: Tensor, dim: Axes = None) -> Tensor:
    """Return the spectrum with the frequency 0 in the middle of its axes.

    Example:
        >>> import trine
        >>> trine.fft.fftshift(trine.tensor([0, 1, 2, -2, -1]))
        tensor([-2, -1,  0,  1,  2])
    """
    return _shift(input, dim, 1)


def ifftshift(input: Tensor, dim: Axes = None) -> Tensor:
    """Undo `fftshift`.

    Example:
        >>> import trine
        >>> trine.fft.ifftshift(trine.tensor([-2, -1, 0, 1, 2]))
        tensor([ 0,  1,  2, -2, -1])
    """
    return _shift(input, dim, -1)


def _frequencies(place: Node, spacing: Node, n: int, dtype: DType) -> Node:
    return as_dtype(b.div(as_dtype(place, dtype), b.mul(as_dtype(spacing, dtype), b.const(n, dtype))), dtype)


def fftfreq(
    n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return the frequency of each element of a transform of `n` samples that lie `d` apart.

    Example:
        >>> import trine
        >>> trine.fft.fftfreq(4)
        tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    place = ifftshift(arange(-(n // 2), n - n // 2, device=device))
    result = write_out(record(_frequencies, (place, float(d)), n, dtype or defaults.dtype), out)
    return result.requires_grad_() if requires_grad else result


def rfftfreq(
    n: int, d: float = 1.0, *, out: Tensor | None = None, dtype: DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Return the frequency of each element of the half transform of `n` samples that lie `d` apart.

    Example:
        >>> import trine
        >>> trine.fft.rfftfreq(4)
        tensor([0.0000, 0.2500, 0.5000])
    """
    result = write_out(record(_frequencies, (arange(n // 2 + 1, device=device), float(d)), n, dtype or defaults.dtype), out)
    return result.requires_grad_() if requires_grad else result
