"""Reductions with a mask: `trine.masked`, with the names of `torch.masked`. There is no masked tensor class."""

from __future__ import annotations

from trine.namespace import Tensor  # noqa: F401  (the namespace before its parts)
from trine.ops.masked import *  # noqa: F403
from trine.ops.masked import __all__ as __all__
