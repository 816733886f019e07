"""Datasets."""

from trine.data.dataset import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from trine.data.dataset_chain import ChainDataset, StackDataset

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]
