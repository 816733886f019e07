"""Utilities under PyTorch's names: `trine.utils.data`, `trine.utils.checkpoint`."""

from trine.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
