"""Datasets made of datasets: streams one after another, and examples side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from trine.data.dataset import Dataset, IterableDataset
from trine.errors import ArgumentError, DTypeError, ShapeError, message


class ChainDataset(IterableDataset[Any]):
    """Streams one after another.

    >>> import trine
    >>> class Count(trine.utils.data.IterableDataset):
    ...     def __iter__(self):
    ...         return iter(range(2))
    >>> list(Count() + Count())
    [0, 1, 0, 1]
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise DTypeError(message("ChainDataset only supports IterableDataset", received=type(dataset).__name__))
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)


class StackDataset(Dataset[Any]):
    """Examples of several datasets side by side: tuples, or dicts if the datasets are given by name.

    Raises:
        ArgumentError: none is given, or some by position and some by name. ShapeError: a ValueError; lengths differ.

    >>> import trine
    >>> trine.utils.data.StackDataset(x=[1, 2], y=["a", "b"])[1]
    {'x': 2, 'y': 'b'}
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            received = "both" if args else "none"
            raise ArgumentError(message("StackDataset: datasets by position or by name", received=received, expected="one of the two"))
        self.datasets: Any = args or kwargs
        sizes = [len(d) for d in args or kwargs.values()]
        if len(set(sizes)) != 1:
            raise ShapeError(message("Size mismatch between datasets", received=f"lengths {sizes}", expected="equal lengths"))
        self._length = sizes[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {k: dataset[index] for k, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return several examples; datasets that have `__getitems__` are asked once."""
        if isinstance(self.datasets, dict):
            columns = zip(*(_items(d, indices) for d in self.datasets.values()), strict=True)
            return [dict(zip(self.datasets, row, strict=True)) for row in columns]
        return list(zip(*(_items(d, indices) for d in self.datasets), strict=True))

    def __len__(self) -> int:
        return self._length


def _items(dataset: Any, indices: Sequence[int]) -> list[Any]:
    if not callable(getattr(dataset, "__getitems__", None)):
        return [dataset[i] for i in indices]
    items = list(dataset.__getitems__(indices))
    if len(items) != len(indices):
        what = "Nested dataset's output size mismatch"
        raise ShapeError(message(what, received=len(items), expected=len(indices)))
    return items
