"""`GradScaler` by its path."""

from trine.cuda.amp import GradScaler

__all__ = ["GradScaler"]
