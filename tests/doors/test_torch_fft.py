"""`trine.fft` against `torch.fft`: lengths, norms, axes, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine
from tests.ops.parity import check, randn, torch

COMPLEX = (randn(3, 5, 6) + 1j * randn(3, 5, 6)).astype(np.complex64)


@pytest.mark.parametrize("norm", [None, "forward", "ortho"])
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_transforms(name: str, norm: str | None) -> None:
    x = randn(3, 5, 6) if name in ("rfft", "ihfft") else COMPLEX
    for suffix, options in (("", {"n": 7, "dim": 1}), ("", {}), ("2", {}), ("n", {"s": (4, -1), "dim": (0, 2)}), ("n", {"s": (3, 8)})):
        call: dict[str, Any] = {**options, "norm": norm}
        ours, theirs = getattr(trine.fft, name + suffix), getattr(torch.fft, name + suffix)
        check(lambda x, f=ours, o=call: f(x, **o), lambda x, f=theirs, o=call: f(x, **o), x, rtol=1e-4, atol=1e-4)


def test_integers_become_complex_and_doubles_stay_double() -> None:
    check(trine.fft.fft, torch.fft.fft, np.array([1, 2, 3]))
    check(trine.fft.rfft, torch.fft.rfft, randn(6, dtype=np.float64), rtol=1e-9, atol=1e-9)


def test_frequencies_and_shifts() -> None:
    for n in (5, 6):
        assert trine.fft.fftfreq(n, 0.5).tolist() == pytest.approx(torch.fft.fftfreq(n, 0.5).tolist())
        assert trine.fft.rfftfreq(n).tolist() == pytest.approx(torch.fft.rfftfreq(n).tolist())
        check(trine.fft.fftshift, torch.fft.fftshift, randn(n, 4))
        check(lambda x: trine.fft.ifftshift(x, dim=0), lambda x: torch.fft.ifftshift(x, dim=0), randn(n, 4))


def test_wrong_arguments() -> None:
    x = trine.ones(4)
    for call in (
        lambda: trine.fft.fft(x, norm="none"),
        lambda: trine.fft.fft(x, n=0),
        lambda: trine.fft.rfft(x.to(trine.complex64)),
        lambda: trine.fft.fftn(x, s=(2, 2)),
        lambda: trine.fft.fft(x, dim=3),
    ):
        with pytest.raises((ValueError, IndexError, RuntimeError)):
            call()
