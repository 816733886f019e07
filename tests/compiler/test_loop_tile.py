"""Tile functions: an elementwise nest on rectangles of the matrices of a batch."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from harness import TARGETS, Table, compile_ir, value_array
from nest_reference import check, row_major, run

from trine.compiler.lower.loop import lower_tile, tile_operands
from trine.compiler.nest import Access, Axis, Instruction, LoopNest
from trine.compiler.target import Target
from trine.dtypes import float32
from trine.errors import ArgumentError

_TILE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 5)


def bias_relu(batch: tuple[int, ...], m: int, n: int) -> LoopNest:
    """Return max(c + bias, 0) * scale over (*batch, m, n), in place in c."""
    c, bias, scale = row_major((*batch, m, n), float32, "output"), row_major((n,), float32), row_major((*batch, 1, 1), float32)
    zeros = (0,) * len(batch)
    nest = LoopNest([Axis(e) for e in (*batch, m, n)])
    nest.accesses = [Access(c, 0, c.strides), Access(bias, 0, (*zeros, 0, 1)), Access(scale, 0, (*scale.strides[:-2], 0, 0))]
    nest.instructions = [
        Instruction("load", (), float32, (0,)),
        Instruction("load", (), float32, (1,)),
        Instruction("add", (0, 1), float32),
        Instruction("const", (), float32, (0.0,)),
        Instruction("maximum", (2, 3), float32),
        Instruction("load", (), float32, (2,)),
        Instruction("mul", (4, 5), float32),
    ]
    nest.stores = [(6, 0)]
    return nest


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_tiles_cover_the_matrix(target: Target, batch: tuple[int, ...]) -> None:
    m, n = 7, 100
    nest = bias_relu(batch, m, n)
    rng = np.random.default_rng(0)
    arrays = {a.value: value_array(a.value, rng.standard_normal(a.value.shape)) for a in nest.accesses}
    expected = {v: value_array(v, a) for v, a in arrays.items()}
    run(nest, expected)

    kernel, params = lower_tile(nest)
    operands = tile_operands(nest)
    assert [o.access for o in operands] == ["rw", "r", "r"]
    function = _TILE(compile_ir(kernel.emit(target), target).address("kernel"))
    table = Table([arrays[o.value] for o in operands], (), 0, 1)
    block = np.array([v for k, o in enumerate(operands) for v in (5 + k, o.offset)] + params, np.int64)
    for number in range(int(np.prod(batch))):
        for m0, m1 in ((0, 3), (3, 7)):
            for n0, n1 in ((0, 64), (64, 90), (90, 100)):
                function(table.entries.ctypes.data, block.ctypes.data, m0, m1, n0, n1, number)
    for value in arrays:
        np.testing.assert_array_equal(arrays[value], expected[value])


def test_the_same_nest_is_a_kernel() -> None:
    nest = bias_relu((2,), 5, 33)
    rng = np.random.default_rng(0)
    check(nest, {a.value: rng.standard_normal(a.value.shape).astype(np.float32) for a in nest.accesses})


def test_a_vector_is_no_tile() -> None:
    with pytest.raises(ArgumentError, match="expected at least two axes|at least two axes"):
        lower_tile(LoopNest([Axis(4)]))
