"""Samplers for several processes."""

from trine.data.distributed import DistributedSampler

__all__ = ["DistributedSampler"]
