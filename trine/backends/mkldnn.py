"""The library oneDNN, which is not used."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

from trine.backends.switches import switched

__all__ = ["flags", "is_available"]


def is_available() -> bool:
    """False: oneDNN is not used."""
    return False


enabled = True
deterministic = False
allow_tf32 = True


def flags(enabled: bool = False, deterministic: bool = False, allow_tf32: bool = True) -> AbstractContextManager[None]:
    """Return a context manager that sets the switches."""
    return switched(sys.modules[__name__], {"enabled": enabled, "deterministic": deterministic, "allow_tf32": allow_tf32})
