"""What `trine.utils.data` has beyond the loader: chains, stacks, parts for processes, import paths, collating rules."""

from __future__ import annotations

import collections
import doctest
import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest

import trine
from trine import data as package
from trine.utils.data import (
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Sampler,
    StackDataset,
    Subset,
    TensorDataset,
    default_collate,
    default_convert,
    random_split,
)

torch = pytest.importorskip("torch")
MODULES = sorted(m.name for m in pkgutil.iter_modules(package.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"trine.data.{name}")).failed == 0


def test_import_paths() -> None:
    for path in (
        "dataset.random_split",
        "dataset.Subset",
        "dataloader.DataLoader",
        "dataloader.default_collate",
        "sampler.SubsetRandomSampler",
    ):
        module, name = path.split(".")
        assert getattr(importlib.import_module(f"trine.utils.data.{module}"), name) is getattr(trine.utils.data, name)
    assert trine.utils.data.distributed.DistributedSampler is DistributedSampler
    assert importlib.import_module("trine.utils.data._utils.collate").default_collate is default_collate


@pytest.mark.parametrize("size,replicas", [(10, 3), (2, 5), (9, 3), (1, 1)])
@pytest.mark.parametrize("drop_last", [False, True])
def test_distributed_sampler(size: int, replicas: int, drop_last: bool) -> None:
    for rank in range(replicas):
        options = {"num_replicas": replicas, "rank": rank, "drop_last": drop_last}
        ours = DistributedSampler(range(size), shuffle=False, **options)
        theirs = torch.utils.data.DistributedSampler(range(size), shuffle=False, **options)
        assert len(ours) == len(theirs)
        if len(theirs) * replicas >= 0 and not (drop_last and size < replicas):
            assert list(ours) == list(theirs)
    shuffled = [DistributedSampler(range(size), replicas, r, seed=3) for r in range(replicas)]
    first = [list(s) for s in shuffled]
    assert {i for part in first for i in part} == set(range(size)) and [list(s) for s in shuffled] == first
    for sampler in shuffled:
        sampler.set_epoch(1)
    assert size < 9 or [list(s) for s in shuffled] != first
    with pytest.raises(ValueError, match="rank"):
        DistributedSampler(range(3), 2, 2)
    with pytest.raises(RuntimeError, match="distributed"):
        DistributedSampler(range(3))


class Count(IterableDataset[int]):
    def __init__(self, end: int) -> None:
        self.end = end

    def __iter__(self) -> Any:
        return iter(range(self.end))

    def __len__(self) -> int:
        return self.end


def test_chain() -> None:
    both = Count(2) + Count(3)
    assert isinstance(both, ChainDataset) and list(both) == [0, 1, 0, 1, 2] and len(both) == 5
    assert [b.tolist() for b in DataLoader(both, batch_size=2)] == [[0, 1], [0, 1], [2]]
    with pytest.raises(TypeError, match="IterableDataset"):
        list(ChainDataset([[1]]))
    with pytest.raises(ValueError, match="IterableDataset"):
        ConcatDataset([Count(1)])


class Several(Dataset[int]):
    def __init__(self, wrong: bool = False) -> None:
        self.asked = 0
        self.wrong = wrong

    def __len__(self) -> int:
        return 4

    def __getitems__(self, indices: list[int]) -> list[int]:
        self.asked += 1
        return [10 * i for i in indices][self.wrong :]


def test_stack_and_several_items_at_once() -> None:
    data = Several()
    stacked = StackDataset(range(4), data)
    assert len(stacked) == 4 and stacked.__getitems__([3, 1]) == [(3, 30), (1, 10)]
    named = StackDataset(a=range(4), b=data)
    assert [b["b"].tolist() for b in DataLoader(Subset(named, [3, 2, 1]), batch_size=2)] == [[30, 20], [10]] and data.asked == 3
    for arguments, text in (((range(3), range(4)), "mismatch"), ((), "position or by name")):
        with pytest.raises(ValueError, match=text):
            StackDataset(*arguments)
    with pytest.raises(ValueError, match="size mismatch"):
        StackDataset(Several(wrong=True)).__getitems__([1, 2])


def test_fractions() -> None:
    for size, fractions in ((10, [0.5, 0.3, 0.2]), (7, [0.5, 0.5]), (11, [0.9, 0.1])):
        ours = random_split(range(size), fractions, generator=trine.Generator(3))
        theirs = torch.utils.data.random_split(range(size), fractions)
        assert [len(p) for p in ours] == [len(p) for p in theirs] and sorted(i for p in ours for i in p) == list(range(size))
        again = random_split(range(size), fractions, generator=trine.Generator(3))
        assert [p.indices for p in ours] == [p.indices for p in again]
    with pytest.raises(ValueError, match="Fraction at index 0"):
        random_split(range(3), [1.5, -0.5])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        random_split(range(1), [0.5, 0.5])


class Row(collections.UserDict[str, Any]):
    pass


def test_containers_keep_their_class() -> None:
    batch = default_collate([collections.OrderedDict(a=1, b=[2.0, 3]), collections.OrderedDict(a=4, b=[5.0, 6])])
    assert type(batch) is collections.OrderedDict and batch["b"][1].tolist() == [3, 6]
    assert isinstance(default_collate([Row(a=1), Row(a=2)]), Row)
    assert isinstance(default_convert(Row(a=np.ones(2)))["a"], trine.Tensor)
    with pytest.raises(TypeError, match="NumPy array"):
        default_collate([np.asarray(["a"])])
    w = trine.ones(2, requires_grad=True)
    assert default_collate([w * 1, w * 2]).requires_grad


def test_rules_of_the_user() -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    collate_utils = importlib.import_module("trine.utils.data._utils.collate")
    rules = {**collate_utils.default_collate_fn_map, Point: lambda batch, collate_fn_map: [p.x for p in batch]}
    assert collate_utils.collate([(Point(1), 2), (Point(3), 4)], collate_fn_map=rules)[0] == [1, 3]


def test_loaders_are_fixed_once_made_and_iterators_have_a_length() -> None:
    loader: DataLoader[Any] = DataLoader(TensorDataset(trine.arange(5)), 2, pin_memory=True, pin_memory_device="")
    for name in ("batch_size", "sampler", "dataset", "drop_last"):
        with pytest.raises(ValueError, match="should not be set"):
            setattr(loader, name, 3)
    batches = iter(loader)
    assert len(batches) == 3 and next(batches)[0].tolist() == [0, 1] and [len(b[0]) for b in batches] == [2, 1]
    batches.close()
    assert loader._auto_collation and list(loader._index_sampler) == [[0, 1], [2, 3], [4]]

    class Reverse(Sampler[int]):
        def __iter__(self) -> Any:
            return iter((2, 1))

    assert [b[0].tolist() for b in DataLoader(TensorDataset(trine.arange(5)), sampler=Reverse())] == [[2], [1]]
