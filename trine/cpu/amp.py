"""Mixed precision for the CPU, under its older names."""

from __future__ import annotations

from typing import Any

from trine import dtypes
from trine.amp import GradScaler as _GradScaler
from trine.amp import autocast as _autocast
from trine.dtypes import DType

__all__ = ["GradScaler", "autocast"]


class autocast(_autocast):
    """`trine.autocast("cpu", …)`."""

    def __init__(self, enabled: bool = True, dtype: DType = dtypes.bfloat16, cache_enabled: bool = True) -> None:
        super().__init__("cpu", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


class GradScaler(_GradScaler):
    """`trine.amp.GradScaler("cpu", …)`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__("cpu", *args, **options)
