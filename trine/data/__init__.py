"""Datasets, samplers and the DataLoader."""

from trine import namespace as _namespace  # noqa: F401 - gives the package its names before a subpackage takes one
from trine.data.collate import default_collate, default_convert
from trine.data.dataset import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from trine.data.dataset_chain import ChainDataset, StackDataset
from trine.data.distributed import DistributedSampler
from trine.data.loader import DataLoader
from trine.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from trine.data.worker_info import WorkerError, WorkerInfo, get_worker_info

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "WorkerError",
    "WorkerInfo",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]
