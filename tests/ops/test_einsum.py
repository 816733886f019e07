"""einsum: all forms of the equation against PyTorch, and the order of contraction."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tests.ops.parity import check, randn, torch
from trine import ops
from trine.ops.einsum import contraction_order
from trine.tensor.convert import tensor

CASES = {
    "ij,jk->ik": [(2, 3), (3, 4)],
    "ij,jk,kl,lm->im": [(3, 4), (4, 9), (9, 2), (2, 5)],
    "...ij,...jk": [(2, 1, 3, 4), (5, 4, 2)],
    "a...,...b->...ab": [(2, 3, 4), (3, 4, 5)],
    "iij->j": [(3, 3, 4)],
    "iii->i": [(3, 3, 3)],
    "ii": [(3, 3)],
    "i,j": [(3,), (4,)],
    "bij,bkj->bik": [(2, 3, 4), (2, 5, 4)],
    "ij,i->ij": [(3, 4), (3,)],
    "ijk->": [(2, 3, 4)],
    "ij,kj->ik": [(2, 1), (3, 4)],
    "Ab,bA": [(2, 3), (3, 2)],
    ",ij->ji": [(), (2, 3)],
    "ij,jk->ikj": [(2, 3), (3, 4)],
}


@pytest.mark.parametrize("equation", CASES)
def test_equations(equation: str) -> None:
    arrays = [randn(*shape) for shape in CASES[equation]]
    check(lambda *x: ops.einsum(equation, *x), lambda *x: torch.einsum(equation, *x), *arrays, rtol=1e-4)


def test_lists_of_axes() -> None:
    x, y = randn(2, 3), randn(3, 4)
    check(lambda x, y: ops.einsum(x, [0, 1], y, [1, 2], [0, 2]), lambda x, y: torch.einsum(x, [0, 1], y, [1, 2], [0, 2]), x, y)
    check(lambda x, y: ops.einsum(x, [0, 1], y, [1, 2]), lambda x, y: torch.einsum(x, [0, 1], y, [1, 2]), x, y)
    check(lambda x: ops.einsum(x, [..., 0], [0, ...]), lambda x: torch.einsum(x, [..., 0], [0, ...]), x)


def cost(order: list[tuple[int, int]], operands: list[frozenset[str]], result: frozenset[str], sizes: dict[str, int]) -> int:
    alive, total = dict(enumerate(operands)), 0
    for number, (i, j) in enumerate(order, len(operands)):
        merged = alive.pop(i) | alive.pop(j)
        total += math.prod(sizes[v] for v in merged)
        alive[number] = merged & result.union(*alive.values())
    return total


def all_orders(numbers: list[int], following: int) -> list[list[tuple[int, int]]]:
    if len(numbers) == 1:
        return [[]]
    return [
        [(i, j), *rest]
        for i, j in itertools.combinations(numbers, 2)
        for rest in all_orders([k for k in numbers if k not in (i, j)] + [following], following + 1)
    ]


def test_the_order_is_the_cheapest_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        sizes = {v: int(rng.integers(2, 9)) for v in "abcdef"}
        operands = [frozenset(rng.choice(list("abcdef"), int(rng.integers(1, 4)), replace=False)) for _ in range(4)]
        result = frozenset(v for v in "ab" if any(v in labels for labels in operands))
        found = cost(contraction_order(operands, result, sizes), operands, result, sizes)
        assert found == min(cost(order, operands, result, sizes) for order in all_orders(list(range(4)), 4))


def test_many_operands() -> None:
    names = "abcdefghijkl"
    arrays = [randn(2, 2) for _ in range(11)]
    equation = ",".join(x + y for x, y in itertools.pairwise(names))
    found = ops.einsum(equation, *[tensor(x) for x in arrays])
    np.testing.assert_allclose(found.numpy(), np.linalg.multi_dot(arrays), rtol=1e-3, atol=1e-3)


def test_errors() -> None:
    x = tensor(randn(2, 3))
    for equation, operands in (("ij,jk->ik", [x]), ("ij,jk->ik", [x, x]), ("ij->ik", [x]), ("i->i", [x]), ("ij->ii", [x]), ("i1->i", [x])):
        with pytest.raises((RuntimeError, ValueError)):
            ops.einsum(equation, *operands)
