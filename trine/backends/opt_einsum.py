"""The library opt_einsum, whose work `trine.einsum` does itself."""

from __future__ import annotations

__all__ = ["enabled", "is_available", "strategy"]

enabled = True
strategy: str | None = "auto"


def is_available() -> bool:
    """False: the order of contractions is found without it."""
    return False
