"""`autocast` by its path."""

from trine.cuda.amp import autocast

__all__ = ["autocast"]
