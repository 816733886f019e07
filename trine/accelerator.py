"""The accelerator of this process, under the names of `torch.accelerator`: there is none, everything runs on the CPU."""

from __future__ import annotations

from trine.errors import ArgumentError, message
from trine.session import synchronize as _synchronize
from trine.tensor.device import Device

__all__ = [
    *("current_accelerator", "current_device_index", "device_count", "is_available", "set_device_index", "synchronize"),
]


def is_available() -> bool:
    """Return whether there is an accelerator: False.

    >>> is_available()
    False
    """
    return False


def device_count() -> int:
    """Return the number of accelerators: 0.

    >>> device_count()
    0
    """
    return 0


def current_accelerator(check_available: bool = False) -> Device | None:
    """Return the accelerator, or None where there is none.

    >>> current_accelerator() is None
    True
    """
    return None


def current_device_index() -> int:
    """Return the number of the accelerator in use.

    Raises:
        ArgumentError: there is none.
    """
    raise ArgumentError(message("accelerator: there is none", received="no accelerator", fix="check accelerator.is_available() first"))


def set_device_index(device: object) -> None:
    """Choose the accelerator to use.

    Raises:
        ArgumentError: there is none.
    """
    raise ArgumentError(message("accelerator: there is none", received=repr(device), fix="check accelerator.is_available() first"))


def synchronize(device: object = None) -> None:
    """Run what is recorded and wait for it.

    >>> synchronize()
    """
    _synchronize()
