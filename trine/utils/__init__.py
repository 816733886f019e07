"""Utilities under PyTorch's names: `trine.utils.data`, `trine.utils.checkpoint`."""

from trine import namespace as _namespace  # noqa: F401 - gives the package its names before a subpackage takes one
from trine.utils import _mode_utils, checkpoint, data  # noqa: F401

__all__ = ["checkpoint", "data"]
