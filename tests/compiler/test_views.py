"""Index maps against NumPy: every movement of an array of addresses."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trine import dtypes
from trine.compiler.passes.views import NotAffine, channels_last, element_strides, extents, identity, operand_index, row_major
from trine.core import build as b
from trine.core.graph import Node
from trine.core.interpreter import evaluate


def read(node: Node, array: np.ndarray) -> np.ndarray:
    """Read the input below a chain of movement nodes through its index."""
    index = identity(node.shape)
    sizes = extents(node.shape)
    shape = node.shape
    while node.op != "input":
        index = operand_index(node, index, sizes)
        node = node.inputs[0]
    offset, strides = element_strides(index, row_major(array.shape), len(sizes))
    positions = np.indices(sizes)
    address = np.full(sizes, offset)
    inside = np.ones(sizes, bool)
    for k, stride in enumerate(strides):
        address = address + stride * positions[k]
    for axis, low, high in index.bounds:
        inside &= (positions[axis] >= low) & (positions[axis] < high)
    result = np.where(inside, array.reshape(-1)[np.where(inside, address, 0)] if array.size else 0, index.fill if index.bounds else 0)
    return result.reshape(shape)


def chain(seed: int) -> tuple[Node, np.ndarray]:
    r = random.Random(seed)
    shape = r.choice([(4, 6), (2, 3, 4), (12,), (3, 1, 5)])
    node = b.input(0, shape, dtypes.int64)
    for _ in range(r.randint(1, 4)):
        rank = len(node.shape)
        kind = r.randrange(6)
        if kind == 0:
            node = b.permute(node, r.sample(range(rank), rank))
        elif kind == 1:
            low = [r.randint(0, 1) for _ in node.shape]
            node = b.slice(node, [min(a, s - 1) for a, s in zip(low, node.shape, strict=True)], node.shape, [r.randint(1, 2)] * rank)
        elif kind == 2:
            node = b.flip(node, (r.randrange(rank),))
        elif kind == 3:
            node = b.pad(node, [r.randint(0, 2) for _ in node.shape], [r.randint(0, 1) for _ in node.shape], 0)
        elif kind == 4:
            node = b.expand(node, (2, *node.shape))
        else:
            size = int(np.prod(node.shape))
            divisors = [d for d in range(1, size + 1) if size % d == 0]
            d = r.choice(divisors)
            node = b.reshape(node, (d, size // d))
    return node, np.arange(1, 1 + int(np.prod(shape))).reshape(shape)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 1 << 30))
def test_chains_of_movement(seed: int) -> None:
    node, array = chain(seed)
    try:
        actual = read(node, array)
    except NotAffine:
        return
    np.testing.assert_array_equal(actual, evaluate([node], [array])[0])


def test_reshapes_that_merge_and_split() -> None:
    x = b.input(0, (2, 3, 4), dtypes.int64)
    array = np.arange(24).reshape(2, 3, 4)
    merged = b.reshape(b.reshape(x, (6, 4)), (2, 3, 4))
    np.testing.assert_array_equal(read(merged, array), array)
    split = b.reshape(b.input(0, (24,), dtypes.int64), (2, 3, 4))
    np.testing.assert_array_equal(read(split, np.arange(24)), array)


def test_reshape_across_axes_is_not_affine() -> None:
    x = b.input(0, (4, 6), dtypes.int64)
    node = b.reshape(b.permute(x, (1, 0)), (4, 6))
    with pytest.raises(NotAffine):
        read(node, np.arange(24).reshape(4, 6))


def test_equal_indices_are_one_object() -> None:
    assert identity((3, 1, 4)) is identity((3, 1, 4))
    x = b.input(0, (3, 4), dtypes.int64)
    node = b.permute(x, (1, 0))
    assert operand_index(node, identity((4, 3)), (4, 3)) is operand_index(node, identity((4, 3)), (4, 3))


def test_strides() -> None:
    assert row_major((2, 3, 4)) == (12, 4, 1)
    assert channels_last((2, 3, 4, 5)) == (60, 1, 15, 3)
