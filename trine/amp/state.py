"""What is switched on in this thread, by kind of device."""

from __future__ import annotations

import threading
from typing import Any

from trine import dtypes
from trine.amp.policy import MODES
from trine.dtypes import DType
from trine.errors import ArgumentError, UnsupportedError, message
from trine.tensor.recorder import set_autocast

DEVICE_TYPES = ("cpu", "cuda", "xpu", "hpu", "mps", "mtia", "maia", "xla", "ipu", "privateuseone", "meta")


class _Local(threading.local):
    def __init__(self) -> None:
        self.enabled = dict.fromkeys(DEVICE_TYPES, False)
        self.dtype: dict[str, DType] = dict.fromkeys(DEVICE_TYPES, dtypes.float16) | {"cpu": dtypes.bfloat16, "xla": dtypes.bfloat16}
        self.cache_enabled = True
        self.nesting = 0


local = _Local()


def check_device_type(device_type: Any) -> str:
    """Return a kind of device.

    Raises:
        ArgumentError: a ValueError; it is no string. UnsupportedError: a RuntimeError; there is no such kind.
    """
    if not isinstance(device_type, str):
        what = "Expected `device_type` of type `str`"
        raise ArgumentError(message(what, received=type(device_type).__name__, fix="pass 'cpu', or str(device.type)"))
    if device_type not in DEVICE_TYPES:
        what = f"unsupported autocast device_type '{device_type}'"
        raise UnsupportedError(message(what, received=repr(device_type), expected=f"one of {', '.join(DEVICE_TYPES)}"))
    return device_type


def _apply() -> None:
    set_autocast(MODES[local.dtype["cpu"]] if local.enabled["cpu"] else None)


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Return True inside `autocast` for a kind of device.

    >>> import trine
    >>> with trine.autocast("cpu"):
    ...     print(trine.is_autocast_enabled("cpu"))
    True
    """
    return local.enabled[check_device_type(device_type)]


def set_autocast_enabled(device_type: str | bool, enabled: bool | None = None) -> None:
    """Switch autocast on or off in this thread: ``set_autocast_enabled(device_type, enabled)``, or with one argument for "cuda"."""
    if enabled is None:
        device_type, enabled = "cuda", bool(device_type)
    local.enabled[check_device_type(device_type)] = bool(enabled)
    _apply()


def get_autocast_dtype(device_type: str) -> DType:
    """Return the lower precision of autocast for a kind of device.

    >>> import trine
    >>> trine.get_autocast_dtype("cpu")
    trine.bfloat16
    """
    return local.dtype[check_device_type(device_type)]


def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """Set the lower precision of autocast for a kind of device.

    Raises:
        ArgumentError: for the CPU, neither bfloat16 nor float16.
    """
    if check_device_type(device_type) == "cpu" and dtype not in MODES:
        raise ArgumentError(message("set_autocast_dtype: not a lower precision", received=dtype, expected="bfloat16 or float16"))
    local.dtype[device_type] = dtype
    _apply()


def is_autocast_cpu_enabled() -> bool:
    """Return True inside `autocast("cpu")`."""
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """Switch autocast on or off for the CPU."""
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> DType:
    """Return the lower precision of autocast for the CPU."""
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: DType) -> None:
    """Set the lower precision of autocast for the CPU."""
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> DType:
    """Return the lower precision of autocast for "cuda"."""
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: DType) -> None:
    """Set the lower precision of autocast for "cuda"."""
    set_autocast_dtype("cuda", dtype)


def is_autocast_cache_enabled() -> bool:
    """Return whether casts are kept; they are nodes of a program here, which are never computed twice in any case."""
    return local.cache_enabled


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Say whether casts are kept (see `is_autocast_cache_enabled`)."""
    local.cache_enabled = bool(enabled)


def clear_autocast_cache() -> None:
    """Forget kept casts: there are none to forget."""


def autocast_increment_nesting() -> int:
    """Count one more `autocast` around and return their number."""
    local.nesting += 1
    return local.nesting


def autocast_decrement_nesting() -> int:
    """Count one `autocast` less and return their number."""
    local.nesting -= 1
    return local.nesting
