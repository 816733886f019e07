"""The version of Trine, under the names of `torch.version`: no CUDA, no ROCm, no debugging build."""

from __future__ import annotations

from trine import __version__

__all__ = ["__version__", "cuda", "debug", "git_version", "hip", "xpu"]

cuda: str | None = None
hip: str | None = None
xpu: str | None = None
debug = False
git_version = "Unknown"
