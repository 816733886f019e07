"""Short-time Fourier transforms: a signal as overlapping windows of its spectrum, and back.

Allen and Rabiner, A Unified Approach to Short-Time Fourier Analysis and Synthesis (1977); Griffin and Lim, Signal Estimation from Modified
Short-Time Fourier Transform (1984), for the inverse.
"""

from __future__ import annotations

import math
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core import build_linalg as la
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.conversion import view_as_real
from trine.ops.creation import ones
from trine.ops.fourier import resized
from trine.ops.padding import pad
from trine.ops.promotion import as_dtype, number
from trine.tensor import Tensor, record

__all__ = ["istft", "stft"]


def _frame_index(frames: int, length: int, hop: int) -> Node:
    """Return the position in the signal of each element of each frame."""
    start = b.mul(b.iota((frames, 1), 0), b.const(hop, dtypes.int64))
    return b.add(start, b.iota((1, length), 1))


def _as_complex(x: Node) -> Node:
    return as_dtype(x, dtypes.COMPLEX_OF.get(x.dtype, x.dtype))


def _stft(x: Node, window: Node, n_fft: int, hop: int, normalized: bool, onesided: bool) -> Node:
    frames = 1 + (x.shape[1] - n_fft) // hop
    pieces = b.take(x, _frame_index(frames, n_fft, hop), 1)
    if window.dtype.is_complex:
        pieces = _as_complex(pieces)
    pieces = b.mul(pieces, as_dtype(window, pieces.dtype))
    spectrum = la.rfft(pieces, 2) if onesided else la.fft(_as_complex(pieces), 2)
    if normalized:
        spectrum = b.mul(spectrum, number(1 / math.sqrt(n_fft), spectrum))
    return b.permute(spectrum, (0, 2, 1))


def _centered(window: Tensor, n_fft: int) -> Tensor:
    """Return a window filled up with zeros on both sides."""
    left = (n_fft - window.shape[0]) // 2
    return pad(window, (left, n_fft - window.shape[0] - left)) if window.shape[0] != n_fft else window


def _window_of(op: str, window: Tensor | None, win_length: int | None, n_fft: int, dtype: dtypes.DType) -> Tensor:
    length = n_fft if win_length is None else win_length
    if not 0 < length <= n_fft:
        raise ArgumentError(message(f"{op}: win_length", received=length, expected=f"1 to n_fft ({n_fft})"))
    if window is None:
        window = ones(length, dtype=dtype)
    if tuple(window.shape) != (length,):
        raise ShapeError(message(f"{op}: the window", received=f"shape {tuple(window.shape)}", expected=f"({length},)"))
    return _centered(window, n_fft)


def _checked_hop(op: str, hop_length: int | None, n_fft: int) -> int:
    hop = n_fft // 4 if hop_length is None else hop_length
    if hop < 1:
        raise ArgumentError(message(f"{op}: hop_length", received=hop, expected="1 or more"))
    return hop


def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """Return the spectra of overlapping windows of signals (T,) or (B, T): (B, N, frames), complex.

    Args:
        n_fft: length of each transform. hop_length: distance of windows, default ``n_fft // 4``. win_length: length of the window, which
            is filled up with zeros to `n_fft`. window: default ones.
        center: frame t is centered at ``t * hop_length``: the signal is padded with `pad_mode`.
        normalized: divide by the root of `n_fft`.
        onesided: N is ``n_fft // 2 + 1`` (default for real signals and windows), not `n_fft`.
        return_complex: must be given for real signals; False gives real and imaginary parts in a last axis of size 2.

    Example:
        >>> import trine
        >>> trine.stft(trine.ones(8), 4, return_complex=True).shape
        trine.Size([3, 9])
    """
    is_complex = input.dtype.is_complex or (window is not None and window.dtype.is_complex)
    if return_complex is None and not is_complex:
        raise ArgumentError(
            message("stft: return_complex is not given", received="a real signal", expected="True or False", fix="pass True")
        )
    if input.dim() not in (1, 2):
        raise ShapeError(message("stft: the signal", received=f"shape {tuple(input.shape)}", expected="(T,) or (B, T)"))
    if not input.dtype.is_differentiable:
        raise ArgumentError(message("stft: the signal", received=input.dtype.name, expected="a floating-point or complex tensor"))
    hop = _checked_hop("stft", hop_length, n_fft)
    real = dtypes.REAL_OF.get(input.dtype, input.dtype)
    kernel = _window_of("stft", window, win_length, n_fft, real)
    signal = input.unsqueeze(0) if input.dim() == 1 else input
    if center:
        if align_to_window:
            raise ArgumentError(message("stft: align_to_window with center", received="both", expected="one of them"))
        signal = pad(signal.unsqueeze(1), (n_fft // 2, n_fft // 2), mode=pad_mode).squeeze(1)
    if not 0 < n_fft <= signal.shape[1]:
        raise ShapeError(message("stft: n_fft", received=n_fft, expected=f"1 to the length of the signal ({signal.shape[1]})"))
    onesided = not is_complex if onesided is None else onesided
    if onesided and is_complex:
        raise ArgumentError(message("stft: onesided for complex signals", received="onesided=True", expected="False"))
    result: Tensor = record(_stft, (signal, kernel), n_fft, hop, normalized, onesided)
    result = result.squeeze(0) if input.dim() == 1 else result
    return view_as_real(result) if return_complex is False else result


def _overlap_add(frames: Node, hop: int) -> Node:
    """Return (B, frames, N) added up into (B, length), frame t beginning at t * hop."""
    batch, count, length = frames.shape
    total = b.full(0, (batch, length + hop * (count - 1)), frames.dtype)
    return b.put(total, _frame_index(count, length, hop), frames, 1, "add")


def _istft(x: Node, window: Node, n_fft: int, hop: int, normalized: bool, is_real: bool) -> tuple[Node, Node]:
    """Return the sum of the windowed frames and the sum of the squared windows."""
    x = b.permute(x, (0, 2, 1))
    if is_real:  # the other half of a spectrum is not read
        frames = la.irfft(resized(x, 2, n_fft // 2 + 1), 2, n_fft)
    else:
        frames = la.fft(x, 2, inverse=True)
    frames = b.mul(frames, number(1 / math.sqrt(n_fft) if normalized else 1 / n_fft, frames))
    window = as_dtype(window, frames.dtype)
    squares = b.expand(b.mul(window, window), (1, x.shape[1], n_fft))
    return _overlap_add(b.mul(frames, window), hop), _overlap_add(squares, hop)


def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """Return the signals whose short-time spectra (N, frames) or (B, N, frames) are given: the inverse of `stft`, by least squares.

    Raises:
        ArgumentError: the windows leave a gap (the sum of their squares is zero somewhere).

    Example:
        >>> import trine
        >>> spectrum = trine.stft(trine.ones(8), 4, return_complex=True)
        >>> trine.istft(spectrum, 4).shape
        trine.Size([8])
    """
    if not input.dtype.is_complex:
        raise ArgumentError(
            message("istft: the spectrum is real", received=input.dtype.name, expected="complex", fix="use view_as_complex")
        )
    if input.dim() not in (2, 3) or 0 in input.shape:
        raise ShapeError(message("istft: the spectrum", received=f"shape {tuple(input.shape)}", expected="(N, frames) or (B, N, frames)"))
    hop = _checked_hop("istft", hop_length, n_fft)
    kernel = _window_of("istft", window, win_length, n_fft, dtypes.REAL_OF[input.dtype])
    spectrum = input.unsqueeze(0) if input.dim() == 2 else input
    onesided = spectrum.shape[1] != n_fft if onesided is None else onesided
    expected = n_fft // 2 + 1 if onesided else n_fft
    if spectrum.shape[1] != expected:
        raise ShapeError(message("istft: the frequencies", received=spectrum.shape[1], expected=f"{expected} for n_fft {n_fft}"))
    if return_complex and onesided:
        raise ArgumentError(message("istft: a complex signal of half a spectrum", received="onesided=True", expected="onesided=False"))
    total, envelope = record(_istft, (spectrum, kernel), n_fft, hop, normalized, not return_complex)
    start = n_fft // 2 if center else 0
    full = total.shape[1]
    stop = start + length if length is not None else full - n_fft // 2 if center else full
    last = min(stop, full)
    total, envelope = total[:, start:last], envelope[:, start:last]
    if envelope.numel() == 0 or float(envelope.detach().abs().min()) < 1e-11:
        raise ArgumentError(message("istft: the windows leave a gap", received=f"hop_length {hop}", expected="windows that overlap"))
    result: Any = total / envelope
    if stop > last:
        result = pad(result, (0, stop - last))
    answer: Tensor = result.squeeze(0) if input.dim() == 2 else result
    return answer
