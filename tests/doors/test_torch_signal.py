"""Windows, short-time Fourier transforms and masked reductions against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import trine.namespace
from tests.ops.parity import check, randn, torch

WINDOWS: dict[str, dict[str, Any]] = {
    "bartlett": {},
    "blackman": {},
    "cosine": {},
    "exponential": {"tau": 2.0},
    "gaussian": {"std": 1.5},
    "general_cosine": {"a": [0.4, 0.3, 0.2]},
    "general_hamming": {"alpha": 0.6},
    "hamming": {},
    "hann": {},
    "kaiser": {"beta": 6.0},
    "nuttall": {},
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name: str) -> None:
    for count in (0, 1, 2, 7, 8):
        for symmetric in (True, False):
            options = {**WINDOWS[name], "sym": symmetric, "dtype": "float64"}
            found, want = (getattr(module.signal.windows, name)(count, **{**options, "dtype": module.float64}) for module in (trine, torch))
            np.testing.assert_allclose(found.numpy(), want.numpy(), atol=1e-7)


@pytest.mark.parametrize("name", ["bartlett", "blackman", "hamming", "hann", "kaiser"])
def test_older_names(name: str) -> None:
    for periodic in (True, False):
        ours, theirs = (getattr(module, f"{name}_window")(7, periodic) for module in (trine, torch))
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)


def test_wrong_windows() -> None:
    with pytest.raises(ValueError):
        trine.signal.windows.hann(-1)
    with pytest.raises(ValueError):
        trine.signal.windows.gaussian(3, std=0)


CASES: list[dict[str, Any]] = [
    {"n_fft": 8},
    {"n_fft": 8, "hop_length": 3, "win_length": 6, "normalized": True},
    {"n_fft": 7, "center": False, "onesided": False},
]


@pytest.mark.parametrize("options", CASES)
def test_short_time_transforms(options: dict[str, Any]) -> None:
    window = np.hanning(options.get("win_length", options["n_fft"]) + 2)[1:-1].astype(np.float32)

    def forward(module: Any) -> Any:
        return lambda x, w: module.stft(x, window=w, return_complex=True, **options)

    check(forward(trine), forward(torch), randn(2, 24), window, rtol=1e-4, atol=1e-4)
    spectrum = torch.stft(torch.tensor(randn(2, 24)), window=torch.tensor(window), return_complex=True, **options).numpy()

    def back(module: Any) -> Any:
        return lambda x, w: module.istft(x, window=w, **options)

    check(back(trine), back(torch), spectrum, window, rtol=1e-3, atol=1e-3)


def test_a_signal_comes_back() -> None:
    x = trine.tensor(randn(30))
    spectrum = trine.stft(x, 8, window=trine.hann_window(8), return_complex=True)
    np.testing.assert_allclose(trine.istft(spectrum, 8, window=trine.hann_window(8), length=30).numpy(), x.numpy(), atol=1e-5)
    with pytest.raises((RuntimeError, ValueError)):
        trine.stft(x, 8)


MASK = np.array([[True, False, True, True], [False, False, True, False], [False, False, False, False]])
REDUCTIONS = "sum prod amax amin mean norm var std logsumexp".split()


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dim", [None, 0, (0, 1)])
def test_masked_reductions(name: str, dim: Any) -> None:
    def call(module: Any) -> Any:
        return lambda x, m: getattr(module.masked, name)(x, dim=dim, mask=m)

    check(call(trine), call(torch), randn(3, 4), MASK, rtol=1e-4, atol=1e-5, grad=name not in ("amax", "amin"))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin", "cumsum", "cumprod", "argmax", "argmin", "median"])
def test_masked_along_an_axis(name: str) -> None:
    def call(module: Any) -> Any:
        return lambda x, m: getattr(module.masked, name)(x, 1, mask=m)

    check(call(trine), call(torch), randn(2, 4), MASK[:2], rtol=1e-4)


def test_masked_normalize_and_logaddexp() -> None:
    check(
        lambda x, m: trine.masked.normalize(x, 2.0, 1, mask=m),
        lambda x, m: torch.masked.normalize(x, 2.0, 1, mask=m),
        randn(2, 4),
        MASK[:2],
    )
    arguments = randn(2, 4), randn(2, 4), MASK[:2]
    check(
        lambda x, y, m: trine.masked.logaddexp(x, y, input_mask=m),
        lambda x, y, m: torch.masked.logaddexp(x, y, input_mask=m),
        *arguments,
        rtol=1e-4,
    )
