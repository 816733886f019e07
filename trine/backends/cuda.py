"""The switches of CUDA's libraries, which are not used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

__all__ = [
    "cufft_plan_cache",
    "enable_cudnn_sdp",
    "enable_flash_sdp",
    "enable_math_sdp",
    "enable_mem_efficient_sdp",
    "flash_sdp_enabled",
    "is_built",
    "math_sdp_enabled",
    "matmul",
    "mem_efficient_sdp_enabled",
    "preferred_blas_library",
    "preferred_linalg_library",
    "sdp_kernel",
]

matmul = SimpleNamespace(
    allow_tf32=False,
    allow_fp16_reduced_precision_reduction=True,
    allow_bf16_reduced_precision_reduction=True,
    allow_fp16_accumulation=False,
    fp32_precision="none",
)
cufft_plan_cache = SimpleNamespace(size=0, max_size=0, clear=lambda: None)
_kinds = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


def is_built() -> bool:
    """False: Trine is built without CUDA."""
    return False


def flash_sdp_enabled() -> bool:
    """Return the switch that `enable_flash_sdp` sets."""
    return _kinds["flash"]


def enable_flash_sdp(enabled: bool) -> None:
    """Set a switch without effect: attention has one implementation."""
    _kinds["flash"] = bool(enabled)


def mem_efficient_sdp_enabled() -> bool:
    """Return the switch that `enable_mem_efficient_sdp` sets."""
    return _kinds["mem_efficient"]


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Set a switch without effect: attention has one implementation."""
    _kinds["mem_efficient"] = bool(enabled)


def math_sdp_enabled() -> bool:
    """Return the switch that `enable_math_sdp` sets."""
    return _kinds["math"]


def enable_math_sdp(enabled: bool) -> None:
    """Set a switch without effect: attention has one implementation."""
    _kinds["math"] = bool(enabled)


def cudnn_sdp_enabled() -> bool:
    """Return the switch that `enable_cudnn_sdp` sets."""
    return _kinds["cudnn"]


def enable_cudnn_sdp(enabled: bool) -> None:
    """Set a switch without effect: attention has one implementation."""
    _kinds["cudnn"] = bool(enabled)


@contextmanager
def sdp_kernel(
    enable_flash: bool = True, enable_math: bool = True, enable_mem_efficient: bool = True, enable_cudnn: bool = True
) -> Iterator[None]:
    """Set the switches of attention inside a `with` block; they have no effect."""
    before = dict(_kinds)
    _kinds.update(flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn)
    try:
        yield
    finally:
        _kinds.update(before)


def preferred_linalg_library(backend: str | None = None) -> str:
    """Return "default": linear algebra goes through NumPy's LAPACK."""
    return "default"


def preferred_blas_library(backend: str | None = None) -> str:
    """Return "default": matrix products are compiled here."""
    return "default"
