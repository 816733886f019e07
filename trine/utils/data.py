"""Datasets and loaders (`trine.data` under PyTorch's name)."""

from trine.data import *  # noqa: F403
from trine.data import __all__ as __all__
