"""A count of changes that captured functions look at: of modules, optimizers and hooks."""

from __future__ import annotations

count = 0
"""How many there were."""


def note() -> None:
    """Let captured functions look again at what they use."""
    global count
    count += 1
