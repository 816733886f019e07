"""The loader, with what it is made of."""

from trine.data.collate import default_collate, default_convert
from trine.data.dataset import Dataset, IterableDataset
from trine.data.loader import DataLoader
from trine.data.loader import LoaderIterator as _BaseDataLoaderIter
from trine.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
from trine.data.worker_info import get_worker_info

__all__ = [
    "BatchSampler",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "_BaseDataLoaderIter",
    "default_collate",
    "default_convert",
    "get_worker_info",
]
