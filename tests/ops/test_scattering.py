"""Writing by index with reductions, against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from tests.ops.parity import check, randn, torch
from trine import ops
from trine.tensor.convert import tensor

INDEX = np.array([[0, 1, 1, 2], [2, 2, 0, 0]])


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce(reduce: str, include_self: bool) -> None:
    def call(module: object, x: object, i: object, s: object) -> object:
        return module.scatter_reduce(x, 1, i, s, reduce, include_self=include_self)  # type: ignore[attr-defined]

    check(lambda *a: call(ops, *a), lambda *a: call(torch, *a), randn(2, 3), INDEX, randn(2, 4))
    integers = np.arange(6).reshape(2, 3), INDEX, np.array([[5, -3, 2, 7], [1, 4, -6, 2]])
    check(lambda *a: call(ops, *a), lambda *a: call(torch, *a), *integers)


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("reduce", ["prod", "mean", "amax", "amin"])
def test_index_reduce(reduce: str) -> None:
    arguments = randn(4, 3), np.array([0, 2, 2]), randn(4, 3)
    check(
        lambda x, i, s: ops.index_reduce(x, 1, i, s, reduce, include_self=False),
        lambda x, i, s: torch.index_reduce(x, 1, i, s, reduce, include_self=False),
        *arguments,
        grad=False,
    )


def test_products_with_zeros_have_gradients() -> None:
    x, source = np.array([2.0, 0.0, 1.0], np.float32), np.array([3.0, 0.0, 0.0, 5.0], np.float32)
    index = np.array([0, 0, 1, 2])
    check(
        lambda x, i, s: ops.scatter_reduce(x, 0, i, s, "prod"), lambda x, i, s: torch.scatter_reduce(x, 0, i, s, "prod"), x, index, source
    )


@pytest.mark.parametrize("accumulate", [True, False])
def test_put(accumulate: bool) -> None:
    index = np.array([[5, 0], [-1, 2]]) if not accumulate else np.array([[5, 0], [5, 2]])
    if not accumulate:
        index[1, 0] = 3
    check(lambda x, i, s: ops.put(x, i, s, accumulate), lambda x, i, s: x.put(i, s, accumulate), randn(2, 3), index, randn(2, 2))


@pytest.mark.filterwarnings("ignore:The reduce argument")
def test_bool() -> None:
    x, source = np.array([True, False, False]), np.array([True, True])
    check(lambda x, s: ops.index_add(x, 0, tensor([1, 1]), s), lambda x, s: torch.index_add(x, 0, torch.tensor([1, 1]), s), x, source)
    check(
        lambda x, s: ops.scatter(x, 0, tensor([0, 2]), s, reduce="multiply"),
        lambda x, s: torch.scatter(x, 0, torch.tensor([0, 2]), s, reduce="multiply"),
        x,
        source,
    )


def test_numbers_and_0d() -> None:
    check(lambda x: ops.scatter(x, 0, tensor([1]), 4.0), lambda x: torch.scatter(x, 0, torch.tensor([1]), 4.0), randn(3))
    check(lambda x: ops.index_fill(x, 0, tensor([0]), 2.0), lambda x: torch.index_fill(x, 0, torch.tensor([0]), 2.0), np.float32(3)[...])
    check(lambda x: ops.gather(x, 0, tensor([0, 0])), lambda x: torch.gather(x, 0, torch.tensor([0, 0])), randn(3))


def test_errors() -> None:
    x = tensor([1.0, 2.0])
    with pytest.raises(RuntimeError):
        ops.scatter(x, 0, tensor([0]), tensor([1]))
    with pytest.raises(RuntimeError):
        ops.scatter(x, 0, tensor([0, 1]), tensor([1.0]))
    with pytest.raises(RuntimeError):
        ops.put(x, tensor([0]), tensor([1.0, 2.0]))
    with pytest.raises(ValueError):
        ops.scatter_reduce(x, 0, tensor([0]), x, "median")
    with pytest.raises(IndexError):
        ops.index_add(x, 0, tensor([7]), tensor([1.0])).tolist()
