"""Utilities under PyTorch's names: `trine.utils.data`, `trine.utils.checkpoint`."""

from trine import namespace as _namespace  # noqa: F401 - gives the package its names before a subpackage takes one
from trine.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
