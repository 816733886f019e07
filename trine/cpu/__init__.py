"""The CPU, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from trine import namespace as _namespace  # noqa: F401 - gives the package its names before a subpackage takes one
from trine.cpu import amp
from trine.session import synchronize as _synchronize

__all__ = ["amp", "current_device", "device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """Return True: there is always a CPU."""
    return True


def device_count() -> int:
    """Return 1."""
    return 1


def current_device() -> str:
    """Return "cpu"."""
    return "cpu"


def synchronize(device: Any = None) -> None:
    """Run what is recorded."""
    _synchronize()
