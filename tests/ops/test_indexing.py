"""Indexing: reads and writes against PyTorch, aliasing of views, gradients, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ops.parity import check, randn, torch
from trine import ops
from trine.tensor import Tensor
from trine.tensor.convert import tensor

ROWS, COLUMNS = np.array([1, 0, -1]), np.array([[0], [2]])
INDICES: list[Any] = [
    0,
    -1,
    (0, 1),
    slice(1, None),
    slice(None, None, 2),
    (slice(None), slice(-2, None)),
    (Ellipsis, 0),
    (None, Ellipsis, None),
    (0, slice(None), None, slice(1, 4, 2)),
    (slice(5, 1),),
    ROWS,
    (ROWS,),
    (slice(None), ROWS),
    (ROWS, slice(None), np.array([0, 1, 2])),
    (ROWS, np.array([0, 1, 2])),
    (COLUMNS, ROWS),
    (slice(None), COLUMNS, ROWS),
    (Ellipsis, ROWS),
    (0, ROWS),
    (0, slice(None), ROWS),
    (np.array(1), slice(None)),
    ([0, 2],),
    (slice(None), np.array([True, False, True, True])),
    np.random.default_rng(0).random((3, 4, 5)) > 0.5,
    (np.array([True, False, True]), 1),
    (np.array([False, False, False]),),
    True,
    False,
]


def _convert(index: Any, kind: Callable[[np.ndarray], Any]) -> Any:
    if isinstance(index, tuple):
        return tuple(_convert(i, kind) for i in index)
    return kind(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("number", range(len(INDICES)))
def test_getitem(number: int) -> None:
    index = INDICES[number]
    check(lambda x: x[_convert(index, tensor)], lambda x: x[_convert(index, torch.tensor)], randn(3, 4, 5))


@pytest.mark.parametrize("number", range(len(INDICES)))
@pytest.mark.parametrize("is_number", [True, False])
def test_setitem(number: int, is_number: bool) -> None:
    index = INDICES[number]
    start = randn(3, 4, 5)
    mine, other = tensor(start), torch.tensor(start)
    value: Any = 7.5
    if not is_number:
        value = np.arange(other[_convert(index, torch.tensor)].numel(), dtype=np.float32).reshape(
            tuple(other[_convert(index, torch.tensor)].shape)
        )
    mine[_convert(index, tensor)] = value if is_number else tensor(value)
    other[_convert(index, torch.tensor)] = value if is_number else torch.tensor(value)
    np.testing.assert_array_equal(mine.numpy(), other.numpy())


def test_setitem_broadcasts_converts_and_aliases() -> None:
    x = ops.zeros(2, 3)
    view = x[1]
    x[:, 1] = tensor([1, 2])
    view[0] = 9
    assert x.tolist() == [[0.0, 1.0, 0.0], [9.0, 2.0, 0.0]]
    x[0] = [4, 5, 6]
    x[..., 2:] = np.array([[7], [8]])
    assert x.tolist() == [[4.0, 5.0, 7.0], [9.0, 2.0, 8.0]]
    x[x > 6] = 0
    assert x.tolist() == [[4.0, 5.0, 0.0], [0.0, 2.0, 0.0]]
    x[0] += 1
    assert x[0].tolist() == [5.0, 6.0, 1.0]


def test_gradients_through_writes() -> None:
    def mine(x: Any, v: Any, kind: Any) -> Any:
        y = x * 2
        y[1:, 0] = v
        y[kind(np.array([0, 0]))] = v[0] * 3
        return y

    check(lambda x, v: mine(x, v, tensor), lambda x, v: mine(x, v, torch.tensor), randn(3, 2), randn(2))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_random_basic_indices(data: st.DataObject) -> None:
    array = np.arange(60.0).reshape(3, 4, 5)
    items: list[Any] = []
    for extent in array.shape[: data.draw(st.integers(0, 3))]:
        bound = st.none() | st.integers(-extent - 1, extent + 1)
        item = st.integers(-extent, extent - 1) | st.builds(slice, bound, bound, st.none() | st.integers(1, 3))
        items.append(data.draw(item))
    if data.draw(st.booleans()):
        items.insert(data.draw(st.integers(0, len(items))), data.draw(st.sampled_from([None, Ellipsis])))
    np.testing.assert_array_equal(tensor(array)[tuple(items)].numpy(), array[tuple(items)])


def test_index_functions() -> None:
    x = randn(3, 4)
    index = np.array([[0, 2, 1, 0], [2, 2, 0, 1]])
    check(ops.gather, torch.gather, x, 0, index)
    check(ops.index_select, torch.index_select, x, 1, np.array([3, 0, 0]))
    check(ops.take, torch.take, x, np.array([[0, 11], [5, -1]]))
    check(ops.take_along_dim, torch.take_along_dim, x, np.array([[0], [1], [2]]), 1)
    check(ops.scatter, torch.scatter, x, 0, np.array([[0, 1, 2, 0]]), randn(1, 4))
    check(ops.scatter, torch.scatter, x, 0, np.array([[0, 1, 2]]), 2.5)
    check(ops.scatter_add, torch.scatter_add, x, 0, index, randn(2, 4))
    check(ops.scatter_add, torch.scatter_add, x, 1, np.array([[0, 1], [1, 1]]), randn(2, 2))
    for reduce in ("sum", "mean", "amax", "amin"):
        for include_self in (True, False):
            check(
                ops.scatter_reduce, torch.scatter_reduce, x, 0, index, randn(2, 4), reduce, include_self=include_self, grad=reduce != "mean"
            )
    check(ops.index_add, torch.index_add, x, 0, np.array([0, 0]), randn(2, 4), alpha=2)
    check(ops.index_copy, torch.index_copy, x, 1, np.array([3, 0]), randn(3, 2))
    check(ops.index_fill, torch.index_fill, x, 1, np.array([3, 0]), 2.5)
    check(ops.masked_select, torch.masked_select, x, x > 0)
    check(ops.masked_scatter, torch.masked_scatter, x, x > 0, randn(12))
    check(ops.nonzero, torch.nonzero, np.array([[0, 1], [2, 0]]))
    check(ops.nonzero, torch.nonzero, np.array([[0, 1], [2, 0]]), as_tuple=True)
    mine = ops.index_put(tensor(x), [tensor([0, 0]), tensor([1, 1])], tensor(np.ones(2, np.float32)), accumulate=True)
    other = torch.tensor(x).index_put([torch.tensor([0, 0]), torch.tensor([1, 1])], torch.ones(2), accumulate=True)
    np.testing.assert_allclose(mine.numpy(), other.numpy())


BAD: list[tuple[Any, type[Exception], str]] = [
    (3, IndexError, "out of range"),
    (-4, IndexError, "out of range"),
    ((0, 0, 0, 0), IndexError, "too many indices"),
    (slice(None, None, -1), ValueError, "step"),
    (slice(None, None, 0), ValueError, "step"),
    ((Ellipsis, Ellipsis), IndexError, "ellips"),
    ("a", IndexError, "not an index"),
    (1.5, IndexError, "not an index"),
    (np.array([0.5]), IndexError, "integer or bool"),
    (np.array([True, False]), IndexError, "mask"),
]


@pytest.mark.parametrize("index,error,text", BAD)
def test_bad_indices(index: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        ops.zeros(3, 4, 5)[_convert(index, tensor)]


def test_index_tensor_out_of_range_raises_when_computed() -> None:
    x = tensor([0.0, 0.0, 0.0])
    with pytest.raises(IndexError):
        x[tensor([0, 3])].tolist()
    assert x.tolist() == [0.0, 0.0, 0.0]


def test_views_share_memory() -> None:
    x = ops.zeros(2, 3)
    for view in (x.view(3, 2), x.t(), x[0], x.narrow(1, 0, 2), x.unsqueeze(0), x.diagonal(), x.flatten(), x.split(1)[1], x.chunk(3, 1)[2]):
        assert isinstance(view, Tensor)
        view += 1
    reference = torch.zeros(2, 3)
    for other in (
        reference.view(3, 2),
        reference.t(),
        reference[0],
        reference.narrow(1, 0, 2),
        reference.unsqueeze(0),
        reference.diagonal(),
        reference.flatten(),
        reference.split(1)[1],
        reference.chunk(3, 1)[2],
    ):
        other += 1
    np.testing.assert_array_equal(x.numpy(), reference.numpy())
