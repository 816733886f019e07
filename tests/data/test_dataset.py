"""Datasets, samplers and collating."""

from __future__ import annotations

from collections import Counter, namedtuple
from typing import Any

import numpy as np
import pytest

import trine
from trine.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    random_split,
)

Point = namedtuple("Point", "x y")


def pairs(count: int = 10) -> TensorDataset:
    return TensorDataset(trine.arange(count * 2).reshape(count, 2).float(), trine.arange(count))


def test_tensor_dataset() -> None:
    data = pairs()
    assert len(data) == 10 and [t.tolist() for t in data[3]] == [[6.0, 7.0], 3] and data[-1][1].item() == 9
    assert len(TensorDataset(np.zeros((3, 2)))) == 3
    with pytest.raises(ValueError, match="size mismatch"):
        TensorDataset(trine.ones(2), trine.ones(3))
    with pytest.raises(ValueError, match="no tensors"):
        TensorDataset()
    x, y = data.batch([2, -1, 2])
    assert x.tolist() == [[4.0, 5.0], [18.0, 19.0], [4.0, 5.0]] and y.tolist() == [2, 9, 2]
    for index in (10, -11):
        with pytest.raises(IndexError, match=str(index)):
            data.batch([0, index])
    x.add_(1)
    assert data[2][0].tolist() == [4.0, 5.0]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "bool", "uint8"])
def test_a_batch_keeps_the_dtype(dtype: str) -> None:
    data = TensorDataset(trine.tensor([[0, 1], [1, 0], [1, 1]]).to(getattr(trine, dtype)))
    (batch,) = data.batch([2, 0])
    assert batch.dtype is getattr(trine, dtype) and batch.tolist() == [[1, 1], [0, 1]]
    (batch,) = default_collate([data[2], data[0]])
    assert batch.dtype is getattr(trine, dtype) and batch.tolist() == [[1, 1], [0, 1]]


def test_subset_concat_and_split() -> None:
    data = pairs()
    part = Subset(data, [4, 1, 9])
    assert len(part) == 3 and part[1][1].item() == 1
    both = data + part
    assert isinstance(both, ConcatDataset) and len(both) == 13 and both[11][1].item() == 1 and both[-1][1].item() == 9
    for index in (13, -14):
        with pytest.raises(IndexError, match="out of range"):
            both[index]
    with pytest.raises(ValueError, match="no datasets"):
        ConcatDataset([])
    trine.manual_seed(3)
    first, second = random_split(data, [7, 3])
    trine.manual_seed(3)
    again, _ = random_split(data, [7, 3])
    assert sorted(first.indices + second.indices) == list(range(10)) and first.indices == again.indices != list(range(7))
    assert [len(p) for p in random_split(data, [0.5, 0.25, 0.25])] == [6, 2, 2]
    assert (
        random_split(data, [7, 3], generator=trine.Generator(1))[0].indices
        == random_split(data, [7, 3], generator=trine.Generator(1))[0].indices
    )
    for lengths in ([7, 4], [0.5, 0.4], [11, -1]):
        with pytest.raises(ValueError, match="add up|negative"):
            random_split(data, lengths)


def test_parts_of_a_tensor_dataset_are_batched_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pairs(20)
    monkeypatch.setattr(TensorDataset, "__getitem__", lambda self, index: pytest.fail("one example at a time"))
    part = Subset(random_split(data, [15, 5])[0], [3, 1, 2])
    expected = [part.dataset.indices[i] for i in (3, 1, 2)]
    (batch,) = DataLoader(part, batch_size=3)
    assert batch[1].tolist() == expected and batch[0][:, 0].tolist() == [2.0 * i for i in expected]


def test_bases_say_what_to_define() -> None:
    for thing, text in ((Dataset(), "__getitem__"), (IterableDataset(), "__iter__"), (Sampler(), "__iter__")):
        with pytest.raises(NotImplementedError, match=text):
            thing[0] if isinstance(thing, Dataset) and not isinstance(thing, IterableDataset) else iter(thing)


def test_samplers() -> None:
    data = pairs()
    assert list(SequentialSampler(data)) == list(range(10))
    trine.manual_seed(0)
    one, two = list(RandomSampler(data)), list(RandomSampler(data))
    trine.manual_seed(0)
    assert list(RandomSampler(data)) == one != two and sorted(one) == sorted(two) == list(range(10))
    assert len(list(RandomSampler(data, num_samples=23))) == 23
    assert max(Counter(RandomSampler(data, num_samples=20)).values()) == 2
    draws = list(RandomSampler(data, replacement=True, num_samples=200))
    assert len(draws) == 200 and set(draws) == set(range(10))
    generator = trine.Generator(5)
    assert list(RandomSampler(data, generator=generator)) == list(RandomSampler(data, generator=trine.Generator(5)))
    assert sorted(SubsetRandomSampler([3, 5, 8])) == [3, 5, 8]
    weighted = list(WeightedRandomSampler([0.0, 1.0, 3.0], 400))
    assert 0 not in weighted and 240 < weighted.count(2) < 360
    assert sorted(WeightedRandomSampler(trine.tensor([1.0, 2.0, 1.0]), 3, replacement=False)) == [0, 1, 2]
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]] and len(BatchSampler(range(5), 2, False)) == 3
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]] and len(BatchSampler(range(5), 2, True)) == 2
    for size in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match="batch_size"):
            BatchSampler(range(5), size, False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_samples"):
        RandomSampler([])
    for weights in ([-1.0, 2.0], [0.0, 0.0], [[1.0]], [float("nan"), 1.0]):
        with pytest.raises(ValueError, match="weights"):
            WeightedRandomSampler(weights, 2)


def test_collate() -> None:
    batch = default_collate(
        [
            {"x": trine.ones(2), "n": i, "f": 0.5, "name": "ab", "nested": (Point(i, [i, np.float32(2.0)]), True), "array": np.arange(2)}
            for i in range(3)
        ]
    )
    assert batch["x"].shape == (3, 2) and batch["n"].tolist() == [0, 1, 2] and batch["n"].dtype is trine.int64
    assert batch["f"].dtype is trine.float64 and batch["name"] == ["ab"] * 3 and batch["array"].shape == (3, 2)
    point, flags = batch["nested"]
    assert isinstance(point, Point) and point.x.tolist() == [0, 1, 2] and flags.dtype is trine.bool
    assert point.y[1].dtype is trine.float32
    with pytest.raises(ValueError, match="differ in shape"):
        default_collate([trine.ones(2), trine.ones(3)])
    with pytest.raises(ValueError, match="equal size"):
        default_collate([[1, 2], [1]])
    with pytest.raises(TypeError, match="object"):
        default_collate([object()])


def test_convert() -> None:
    converted: Any = default_convert({"a": np.arange(2), "b": [Point(np.float32(1), "text")], "c": None})
    assert (
        converted["a"].tolist() == [0, 1] and converted["b"][0].x.item() == 1.0 and converted["b"][0].y == "text" and converted["c"] is None
    )
