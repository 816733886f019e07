"""Modules that run on several devices or in several processes; here there is one of each."""

from trine.nn.parallel.data_parallel import DataParallel, data_parallel
from trine.nn.parallel.distributed import DistributedDataParallel
from trine.nn.parallel.scatter_gather import gather, scatter

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel", "gather", "scatter"]
