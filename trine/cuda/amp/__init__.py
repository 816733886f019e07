"""Mixed precision under its older names; without CUDA it is switched off, with a warning, as in PyTorch."""

from __future__ import annotations

import functools
from typing import Any

from trine import dtypes
from trine.amp import GradScaler as _GradScaler
from trine.amp import autocast as _autocast
from trine.amp import custom_bwd as _custom_bwd
from trine.amp import custom_fwd as _custom_fwd
from trine.dtypes import DType

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


class autocast(_autocast):
    """`trine.autocast("cuda", …)`."""

    def __init__(self, enabled: bool = True, dtype: DType = dtypes.float16, cache_enabled: bool = True) -> None:
        super().__init__("cuda", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


class GradScaler(_GradScaler):
    """`trine.amp.GradScaler("cuda", …)`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__("cuda", *args, **options)


custom_fwd = functools.partial(_custom_fwd, device_type="cuda")
custom_bwd = functools.partial(_custom_bwd, device_type="cuda")
