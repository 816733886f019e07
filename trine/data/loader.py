"""DataLoader: batches of a dataset, shuffled, fetched ahead by workers if wanted."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from trine.data.collate import default_collate, default_convert
from trine.data.dataset import IterableDataset, gathered
from trine.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from trine.data.worker_info import Dry
from trine.errors import ArgumentError, message
from trine.runtime import random

if TYPE_CHECKING:
    from trine.data.workers import Workers

T = TypeVar("T")

_FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class LoaderIterator:
    """One pass over a loader."""

    def __init__(self, loader: DataLoader[Any], batches: Iterator[Any]) -> None:
        self._loader, self._batches = loader, batches

    def __iter__(self) -> LoaderIterator:
        return self

    def __next__(self) -> Any:
        return next(self._batches)

    def __len__(self) -> int:
        return len(self._loader)

    def close(self) -> None:
        """End the pass; workers that are not persistent stop."""
        if isinstance(self._batches, Generator):
            self._batches.close()


class DataLoader(Generic[T]):
    """Iterates over a dataset in batches.

    Args:
        dataset: map-style (``__getitem__``, ``__len__``) or iterable. batch_size: None gives single examples.
        shuffle: a new random order each epoch. sampler, batch_sampler: instead of shuffle. num_workers: 0 fetches in this thread.
        collate_fn: makes a batch of a list of examples. drop_last: leave out an incomplete last batch.
        timeout: seconds to wait for a worker.
        worker_init_fn: called with the worker's number. generator: source of the random order. prefetch_factor: batches ahead per worker.
        persistent_workers: keep the workers between epochs. in_order: False yields batches as they come.
        worker_kind: "process" or "thread".
        pin_memory, pin_memory_device: accepted; memory is the CPU's.

    >>> import trine
    >>> data = trine.utils.data.TensorDataset(trine.arange(10))
    >>> [batch.tolist() for (batch,) in trine.utils.data.DataLoader(data, batch_size=4)]
    [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        worker_kind: str = "process",
    ) -> None:
        self.is_iterable = isinstance(dataset, IterableDataset)
        _check(num_workers, timeout, worker_kind, prefetch_factor, persistent_workers)
        if self.is_iterable and batch_size is not None and batch_size < 1:
            raise ArgumentError(message("batch_size", received=batch_size, expected="a positive integer, or None"))
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise ArgumentError(message("batch_sampler is mutually exclusive with batch_size, shuffle, sampler and drop_last"))
        if sampler is not None and shuffle:
            raise ArgumentError(message("sampler is mutually exclusive with shuffle", received="both", fix="leave one out"))
        if self.is_iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ArgumentError(
                message("an iterable dataset has its own order", received="shuffle or a sampler", fix="shuffle in __iter__")
            )
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.num_workers, self.timeout, self.worker_init_fn = num_workers, timeout, worker_init_fn
        self.generator, self.worker_kind, self.multiprocessing_context = generator, worker_kind, multiprocessing_context
        self.prefetch_factor = 2 if prefetch_factor is None else prefetch_factor
        self.persistent_workers, self.pin_memory, self.in_order = persistent_workers, pin_memory, in_order
        if isinstance(multiprocessing_context, str):
            import multiprocessing

            self.multiprocessing_context = multiprocessing.get_context(multiprocessing_context)
        if sampler is None and not self.is_iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle and len(dataset) else SequentialSampler(dataset)
        self.sampler = sampler
        if batch_sampler is None and batch_size is not None and not self.is_iterable:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_sampler = batch_sampler
        is_batched = batch_size is not None or batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if is_batched else default_convert)
        self.pin_memory_device = pin_memory_device
        self._workers: Workers | None = None
        self._is_ready = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and getattr(self, "_is_ready", False):
            what = f"{name} attribute should not be set after {type(self).__name__} is initialized"
            raise ArgumentError(message(what, fix="make another loader"))
        super().__setattr__(name, value)

    def __len__(self) -> int:
        if self.is_iterable:
            count = len(self.dataset)
            if self.batch_size is None:
                return count
            return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
        return len(self.batch_sampler if self.batch_sampler is not None else self.sampler)

    def __iter__(self) -> Iterator[T]:
        # drawn without workers too, so that their number does not change the order of the examples
        seed = self._draw_seed()
        if self.num_workers == 0:
            return LoaderIterator(self, self._stream() if self.is_iterable else map(self._fetch(), self._tasks()))
        return LoaderIterator(self, self._from_workers(seed))

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.batch_sampler if self.batch_sampler is not None else self.sampler

    def _draw_seed(self) -> int:
        generator = self.generator if self.generator is not None else random.default_generator
        return (generator.initial_seed() + generator.reserve(1)) & ((1 << 62) - 1)

    def _tasks(self, epoch: int = 0) -> Iterator[Any]:
        return iter(self.batch_sampler if self.batch_sampler is not None else self.sampler)

    def _fetch(self) -> Callable[[Any], Any]:
        if self.batch_sampler is None:
            return partial(fetch_one, self.dataset, self.collate_fn)
        return partial(fetch_batch, self.dataset, self.collate_fn)

    def _stream(self) -> Iterator[Any]:
        return stream(self.dataset, self.collate_fn, self.batch_size, self.drop_last)

    def _from_workers(self, seed: int) -> Iterator[Any]:
        workers = self._workers or self._start(seed)
        self._workers = workers if self.persistent_workers else None
        is_done = False
        try:
            yield from workers.run(partial(_until_dry, workers) if self.is_iterable else self._tasks)
            is_done = True
        except GeneratorExit:
            is_done = True
            raise
        finally:
            if not self.persistent_workers or not is_done:  # after an error the next epoch starts with new workers
                self._workers = None
                workers.close()

    def _start(self, seed: int) -> Workers:
        from trine.data.workers import Workers  # loads multiprocessing, which most programs do without

        if self.is_iterable:
            fetch: Callable[[Any], Any] = StreamFetch(self.dataset, self.collate_fn, self.batch_size, self.drop_last)
        else:
            fetch = self._fetch()
        return Workers(
            fetch,
            self.num_workers,
            self.worker_kind,
            self.prefetch_factor,
            self.timeout,
            seed,
            self.dataset,
            self.worker_init_fn,
            self.multiprocessing_context,
            self.in_order,
        )


def fetch_one(dataset: Any, collate: Callable[[Any], Any], index: Any) -> Any:
    """Return one example."""
    return collate(dataset[index])


def fetch_batch(dataset: Any, collate: Callable[[Any], Any], indices: Any) -> Any:
    """Return the collated batch of these examples."""
    if collate is default_collate:
        batch = gathered(dataset, indices)
        if batch is not None:
            return batch
    if hasattr(dataset, "__getitems__"):
        return collate(dataset.__getitems__(indices))
    return collate([dataset[i] for i in indices])


def stream(dataset: Any, collate: Callable[[Any], Any], batch_size: int | None, drop_last: bool) -> Iterator[Any]:
    """Yield the batches of an iterable dataset."""
    if batch_size is None:
        yield from map(collate, dataset)
        return
    examples = iter(dataset)
    while batch := list(itertools.islice(examples, batch_size)):
        if len(batch) == batch_size or not drop_last:
            yield collate(batch)


class StreamFetch:
    """Fetches the next batch of a worker's stream; the task is the number of the epoch, and a new one starts the stream again.

    A stream is a thread's own: threads share this object.
    """

    def __init__(self, dataset: Any, collate: Callable[[Any], Any], batch_size: int | None, drop_last: bool) -> None:
        self.args = (dataset, collate, batch_size, drop_last)
        self.own = threading.local()

    def __call__(self, epoch: int) -> Any:
        if getattr(self.own, "epoch", 0) != epoch:
            self.own.epoch = epoch
            self.own.batches = stream(*self.args)
        return next(self.own.batches, _DRY)

    def __reduce__(self) -> Any:
        return StreamFetch, self.args


_DRY = Dry()


def _until_dry(workers: Workers, epoch: int) -> Iterator[int]:
    """Yield the epoch's number until every worker's stream has ended."""
    while len(workers.dry) < workers.count:
        yield epoch


def _check(num_workers: int, timeout: float, kind: str, prefetch: int | None, persistent: bool) -> None:
    if num_workers < 0:
        raise ArgumentError(message("DataLoader: num_workers", received=num_workers, expected="0 or more"))
    if timeout < 0:
        raise ArgumentError(message("DataLoader: timeout", received=timeout, expected="0 or more seconds"))
    if kind not in ("process", "thread"):
        raise ArgumentError(message("DataLoader: worker_kind", received=repr(kind), expected="'process' or 'thread'"))
    if prefetch is not None and prefetch < 1:
        raise ArgumentError(message("DataLoader: prefetch_factor", received=prefetch, expected="1 or more"))
    if num_workers == 0 and (prefetch is not None or persistent):
        raise ArgumentError(message("prefetch_factor and persistent_workers need workers", received="num_workers=0"))
