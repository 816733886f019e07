"""Datasets: what can be indexed or iterated for examples."""

from __future__ import annotations

import bisect
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from trine.errors import ArgumentError, IndexOutOfRangeError, ShapeError, message
from trine.runtime.memory import allocate
from trine.tensor import Tensor
from trine.tensor.convert import as_tensor
from trine.tensor.state import Meta
from trine.tensor.tensor import from_buffer

T = TypeVar("T")


class Dataset(Generic[T]):
    """Base of map-style datasets: define ``__getitem__`` and ``__len__``."""

    def __getitem__(self, index: Any) -> T:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __add__(self, other: Dataset[T]) -> ConcatDataset[T]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T]):
    """Base of datasets that are streams: define ``__iter__``."""

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def __add__(self, other: Dataset[T]) -> Any:
        from trine.data.dataset_chain import ChainDataset

        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Examples are slices of tensors along their first axis.

    >>> import trine
    >>> data = trine.utils.data.TensorDataset(trine.zeros(5, 2), trine.arange(5))
    >>> len(data), data[3][1].item()
    (5, 3)
    """

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ArgumentError(message("TensorDataset", received="no tensors", expected="at least one"))
        self.tensors = tuple(as_tensor(t) for t in tensors)
        sizes = [len(t) for t in self.tensors]
        if len(set(sizes)) != 1:
            raise ShapeError(message("TensorDataset: size mismatch between tensors", received=f"lengths {sizes}", expected="equal lengths"))

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def batch(self, indices: Sequence[int]) -> list[Tensor]:
        """Return the collated batch of these examples in one go.

        Raises:
            IndexOutOfRangeError: there is no such example.
        """
        rows, size = np.asarray(indices, np.int64).reshape(-1), len(self)
        outside = (rows < -size) | (rows >= size)
        if outside.any():
            received, expected = f"index {rows[outside][0]}", f"an index of {size} examples"
            raise IndexOutOfRangeError(message("TensorDataset", received=received, expected=expected))
        rows = np.where(rows < 0, rows + size, rows)
        return [_rows_of(t, rows) for t in self.tensors]


class Subset(Dataset[T]):
    """Some examples of a dataset, by index."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> T:
        chosen = [self.indices[i] for i in index] if isinstance(index, list) else self.indices[index]
        return self.dataset[chosen]  # type: ignore[no-any-return]

    def __getitems__(self, indices: Sequence[int]) -> list[T]:
        """Return several examples; a dataset that has `__getitems__` is asked once."""
        places = [self.indices[i] for i in indices]
        if callable(getattr(self.dataset, "__getitems__", None)):
            return self.dataset.__getitems__(places)  # type: ignore[no-any-return]
        return [self.dataset[i] for i in places]

    def __len__(self) -> int:
        return len(self.indices)


def gathered(dataset: Any, indices: Sequence[int]) -> list[Tensor] | None:
    """Return a collated batch in one go, if the dataset is a TensorDataset or a part of one, else None."""
    while type(dataset) is Subset:
        places = dataset.indices
        dataset, indices = dataset.dataset, [places[i] for i in indices]
    return dataset.batch(indices) if type(dataset) is TensorDataset else None


def _rows_of(tensor: Tensor, rows: np.ndarray[Any, Any]) -> Tensor:
    meta = tensor._meta
    shape = (len(rows), *meta.shape[1:])
    buffer = allocate(math.prod(shape) * meta.dtype.itemsize)
    # the rows are checked: "clip" spares NumPy the copy that "raise" makes
    np.take(tensor._array(), rows, 0, out=buffer.array(meta.dtype.numpy, shape), mode="clip")
    return from_buffer(buffer, Meta.of(shape, meta.dtype))


class ConcatDataset(Dataset[T]):
    """Datasets one after another."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError(message("ConcatDataset", received="no datasets", expected="at least one"))
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise ArgumentError(message("ConcatDataset does not support IterableDataset", fix="use ChainDataset"))
        self.cumulative_sizes = [int(n) for n in np.cumsum([len(d) for d in self.datasets])]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> T:
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            what = f"index {index} is out of range (its absolute value should not exceed the dataset length)"
            raise IndexOutOfRangeError(message(what, received=f"index {index}", expected=f"an index of {len(self)} examples"))
        number = bisect.bisect_right(self.cumulative_sizes, position)
        before = self.cumulative_sizes[number - 1] if number else 0
        return self.datasets[number][position - before]  # type: ignore[no-any-return]


def random_split(dataset: Any, lengths: Sequence[int | float], generator: Any = None) -> list[Subset[Any]]:
    """Split a dataset at random into parts of the given lengths, or of the given fractions (which sum to 1).

    Raises:
        ArgumentError: if the lengths do not add up to the size of the dataset, or a fraction is not one.

    >>> import trine
    >>> [len(part) for part in trine.utils.data.random_split(range(10), [0.7, 0.3])]
    [7, 3]
    """
    from trine.data.sampler import permutation

    size = len(dataset)
    counts = [int(n) for n in lengths]
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        counts = _counts_of(size, lengths)
    if sum(counts) != size or min(counts) < 0:
        raise ArgumentError(
            message("random_split: lengths do not add up", received=f"sum {sum(counts)}", expected=f"{size}, the size of the dataset")
        )
    order = permutation(size, generator)
    parts: list[Subset[Any]] = []
    start = 0
    for count in counts:
        parts.append(Subset(dataset, order[start : start + count]))
        start += count
    return parts


def _counts_of(size: int, fractions: Sequence[float]) -> list[int]:
    for i, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ArgumentError(message(f"Fraction at index {i} is not between 0 and 1", received=fraction))
    counts = [math.floor(size * fraction) for fraction in fractions]
    for i in range(size - sum(counts)):
        counts[i % len(counts)] += 1
    for i, count in enumerate(counts):
        if count == 0:
            warnings.warn(f"Length of split at index {i} is 0. This might result in an empty dataset.", stacklevel=3)
    return counts
