from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trine import shapes
from trine.errors import ArgumentError, AxisError, ShapeError

SHAPE = st.lists(st.sampled_from([0, 1, 2, 3]), max_size=4).map(tuple)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(SHAPE, SHAPE)
def test_broadcast_is_that_of_numpy(a, b):
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ShapeError, match="do not broadcast"):
            shapes.broadcast("add", a, b)
        return
    assert shapes.broadcast("add", a, b) == expected


@settings(deadline=None, max_examples=200, derandomize=True)
@given(SHAPE, st.lists(st.sampled_from([-1, 0, 1, 2, 3, 4, 6]), max_size=4).map(tuple))
def test_reshape_is_that_of_numpy(old, new):
    try:
        expected = np.zeros(old).reshape(new).shape
    except ValueError:
        with pytest.raises(ShapeError, match="number of elements"):
            shapes.reshape(old, new)
        return
    assert shapes.reshape(old, new) == expected


def test_axes():
    assert shapes.canonical_axis(-1, 3) == 2
    assert shapes.canonical_axes([2, -3], 3) == (0, 2)
    assert shapes.canonical_axes(None, 2) == (0, 1)
    assert shapes.canonical_axes(np.int64(1), 2) == (1,)
    with pytest.raises(AxisError, match="from -2 to 1"):
        shapes.canonical_axis(2, 2)
    with pytest.raises(AxisError, match="has none"):
        shapes.canonical_axis(0, 0)
    with pytest.raises(AxisError, match="twice"):
        shapes.canonical_axes((0, -2), 2)
    with pytest.raises(ArgumentError, match="not an integer"):
        shapes.canonical_axis(1.0, 2)  # type: ignore[arg-type]


def test_canonical_shape():
    assert shapes.canonical_shape(3) == (3,)
    assert shapes.canonical_shape([np.int32(2), 1]) == (2, 1)
    with pytest.raises(ArgumentError, match="not a shape"):
        shapes.canonical_shape((2.5,))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="negative"):
        shapes.canonical_shape((2, -1))


def test_sizes():
    assert shapes.size_of(()) == 1 and shapes.size_of((2, 0, 3)) == 0
    assert shapes.row_major_strides((2, 3, 4)) == (12, 4, 1)
    assert shapes.row_major_strides((2, 0, 4)) == (4, 4, 1)
    with pytest.raises(ShapeError, match="too large"):
        shapes.check_bytes("add", (1 << 31, 1 << 31), 4)
