"""What programs ask about CUDA, answered for a machine without it: no device is there, and nothing has to be waited for."""

from __future__ import annotations

from typing import Any

from trine import namespace as _namespace  # noqa: F401 - gives the package its names before a subpackage takes one
from trine.cuda import amp
from trine.errors import UnsupportedError, message
from trine.session import synchronize as _synchronize
from trine.tensor.tensor_types import CUDA_TENSOR_TYPES as _CUDA_TENSOR_TYPES

__all__ = [
    "OutOfMemoryError",
    "amp",
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "init",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "seed_all",
    "set_device",
    "synchronize",
]


class OutOfMemoryError(RuntimeError):
    """Raised by PyTorch when a GPU has no memory left; never raised here."""


def is_available() -> bool:
    """Return False: programs run on the CPU.

    >>> import trine
    >>> trine.device("cuda" if trine.cuda.is_available() else "cpu")
    device(type='cpu')
    """
    return False


def is_initialized() -> bool:
    """Return False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Return False: there is no device to support it."""
    return False


def device_count() -> int:
    """Return 0."""
    return 0


def _refuse(*_: Any, **__: Any) -> Any:
    raise UnsupportedError(message("CUDA is not available", received="a call that needs a device", fix="use the CPU: device='cpu'"))


def init() -> None:
    """Raise UnsupportedError (a RuntimeError): there is no device."""
    _refuse()


def current_device() -> int:
    """Raise UnsupportedError (a RuntimeError): there is no device."""
    return int(_refuse())


def set_device(device: Any) -> None:
    """Raise UnsupportedError (a RuntimeError): there is no device."""
    _refuse()


def get_device_name(device: Any = None) -> str:
    """Raise UnsupportedError (a RuntimeError): there is no device."""
    return str(_refuse())


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Raise UnsupportedError (a RuntimeError): there is no device."""
    _refuse()
    return 0, 0


def get_device_properties(device: Any = None) -> Any:
    """Raise UnsupportedError (a RuntimeError): there is no device."""
    return _refuse()


def synchronize(device: Any = None) -> None:
    """Run what is recorded (so that a program that measures time measures it)."""
    _synchronize()


def empty_cache() -> None:
    """Do nothing: no memory of a device is held."""


def manual_seed(seed: int) -> None:
    """Do nothing: there is no generator of a device. `trine.manual_seed` seeds the CPU's."""


def manual_seed_all(seed: int) -> None:
    """Do nothing, as `manual_seed`."""


def seed_all() -> None:
    """Do nothing, as `manual_seed`."""


def memory_allocated(device: Any = None) -> int:
    """Return 0 bytes."""
    return 0


def max_memory_allocated(device: Any = None) -> int:
    """Return 0 bytes."""
    return 0


def memory_reserved(device: Any = None) -> int:
    """Return 0 bytes."""
    return 0


def max_memory_reserved(device: Any = None) -> int:
    """Return 0 bytes."""
    return 0


def reset_peak_memory_stats(device: Any = None) -> None:
    """Do nothing: no memory of a device is counted."""


def __getattr__(name: str) -> Any:
    if name in _CUDA_TENSOR_TYPES:
        return _CUDA_TENSOR_TYPES[name]
    raise AttributeError(f"module 'trine.cuda' has no attribute '{name}'")
