"""Datasets and loaders (`trine.data` under PyTorch's name)."""

from trine.data import *  # noqa: F403
from trine.data import __all__ as __all__
from trine.utils.data import _utils as _utils
from trine.utils.data import dataloader as dataloader
from trine.utils.data import dataset as dataset
from trine.utils.data import distributed as distributed
from trine.utils.data import sampler as sampler
