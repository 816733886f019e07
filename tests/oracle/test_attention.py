"""The kernel of attention against the NumPy reference: sizes, strides, masks, targets; the same bits for any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from oracle_support import TARGETS, array_of, check, leaf, run_native

from trine import dtypes
from trine.compiler.pipeline import compile_graph
from trine.compiler.program import HostCommand
from trine.compiler.target import Target
from trine.core import build as b
from trine.core.graph import Graph, Node
from trine.core.interpreter import evaluate
from trine.dtypes import DType

every_target = pytest.mark.parametrize("target", TARGETS, ids=[t.name for t in TARGETS])


def attend(
    sizes: tuple[int, int, int, int], batch: tuple[int, ...], mask: str, causal: bool, dtype: DType
) -> tuple[Node, list[np.ndarray]]:
    """Return an attention, packed, and the arrays of its operands; `mask`: "" (none), "plane", "row" or "empty" (a row of -infinity)."""
    queries, keys, width, value_width = sizes
    shapes = [(*batch, queries, width), (*batch, keys, width), (*batch, keys, value_width)]
    if mask:
        shapes.append((*(1,) * len(batch), 1 if mask == "row" else queries, keys))
    arrays = [array_of(dtype, shape, seed) for seed, shape in enumerate(shapes)]
    if mask == "empty":
        arrays[3][..., 1, :] = -np.inf
        arrays[3][..., : keys // 2] = -np.inf
    leaves = [leaf(k, shape, dtype) for k, shape in enumerate(shapes)]
    return b.attention(*leaves[:3], leaves[3] if mask else None, 0.3, causal, min(len(batch), 1)), arrays


def assert_native(node: Node, arrays: list[np.ndarray], target: Target) -> None:
    graph = Graph((node,), tuple(leaf(k, a.shape, node.dtype) for k, a in enumerate(arrays)))
    assert not any(isinstance(command, HostCommand) for command in compile_graph(graph, target, 1).commands)


@every_target
@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64], ids=lambda d: d.name)
@pytest.mark.parametrize("mask", ["", "plane", "row", "empty"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sizes", [(17, 17, 8, 8), (150, 301, 5, 7), (97, 33, 32, 20)], ids=str)
def test_sizes(sizes: tuple[int, int, int, int], causal: bool, mask: str, dtype: DType, target: Target) -> None:
    node, arrays = attend(sizes, (2, 2), mask, causal, dtype)
    assert_native(node, arrays, target)
    check(list(b.attention_parts(node)), arrays, target=target)


def differentiated(node: Node, arrays: list[np.ndarray]) -> tuple[Node, list[np.ndarray]]:
    """Return the gradient of an attention, packed, and the arrays of its operands."""
    inputs = [leaf(k, a.shape, node.dtype) for k, a in enumerate(arrays)]
    parts = evaluate(list(b.attention_parts(node)), arrays)
    more = [array_of(node.dtype, parts[0].shape, 7), parts[1], array_of(node.dtype, parts[1].shape, 8)]
    leaves = [leaf(len(arrays) + k, a.shape, node.dtype) for k, a in enumerate(more)]
    return b.attention_grad(*inputs[:3], *leaves, inputs[3] if len(inputs) > 3 else None, *node.attrs), [*arrays, *more]


@every_target
@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64], ids=lambda d: d.name)
@pytest.mark.parametrize("mask", ["", "plane", "row", "empty"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("sizes", [(17, 17, 8, 8), (150, 301, 5, 7), (97, 33, 32, 20)], ids=str)
def test_gradients(sizes: tuple[int, int, int, int], causal: bool, mask: str, dtype: DType, target: Target) -> None:
    node, arrays = differentiated(*attend(sizes, (2, 2), mask, causal, dtype))
    assert_native(node, arrays, target)
    check(list(b.attention_grad_parts(node)), arrays, target=target, tolerance=10)


def test_gradients_of_many_keys() -> None:
    for causal in (False, True):
        check(*differentiated_parts(attend((600, 530, 16, 16), (1,), "", causal, dtypes.float32)), tolerance=20)


def differentiated_parts(attention: tuple[Node, list[np.ndarray]]) -> tuple[list[Node], list[np.ndarray]]:
    """Return the parts of an attention's gradient, and the arrays."""
    node, arrays = differentiated(*attention)
    return b.attention_grad_parts(node), arrays


@pytest.mark.parametrize("batch", [(), (3,), (2, 1, 2)], ids=str)
def test_batches(batch: tuple[int, ...]) -> None:
    node, arrays = attend((20, 24, 16, 16), batch, "", False, dtypes.float32)
    check([node], arrays)


def test_few_rows_and_half_types_run_on_the_host() -> None:
    for sizes, dtype in (((2, 3, 4, 4), dtypes.float32), ((16, 16, 8, 8), dtypes.bfloat16)):
        node, arrays = attend(sizes, (2,), "", True, dtype)
        check([node], arrays)


def test_operands_are_read_as_they_lie() -> None:
    """Heads cut out of one projection, shared keys, and keys whose elements are not adjacent."""
    x = leaf(0, (2, 40, 3 * 24))
    array = array_of(dtypes.float32, x.shape)
    split = [b.permute(b.reshape(b.slice(x, (0, 0, k), (2, 40, k + 24)), (2, 40, 3, 8)), (0, 2, 1, 3)) for k in (0, 24, 48)]
    check([b.attention(*split, None, 1.0, True, 1)], [array])
    query, key, value = split
    shared = b.slice(key, (0, 0, 0, 0), (2, 1, 40, 8)), b.slice(value, (0, 0, 0, 0), (2, 1, 40, 8))
    check([b.attention(query, *shared, None, 1.0, False, 1)], [array])
    turned = leaf(1, (2, 3, 8, 40))
    check([b.attention(query, b.transpose(turned), value, None, 1.0, False, 1)], [array, array_of(dtypes.float32, turned.shape)])


def test_scores_of_all_sizes() -> None:
    """Large scores neither overflow nor lose the others; what is not a number stays in its row."""
    node, arrays = attend((40, 200, 8, 8), (1,), "", False, dtypes.float32)
    arrays[0] *= 60
    check([node], arrays, tolerance=20)
    arrays[0][0, 3] = np.nan
    output = b.attention_parts(node)[0]
    check([output], arrays, tolerance=20)


@pytest.mark.parametrize("causal", [False, True])
def test_results_do_not_depend_on_the_number_of_threads(causal: bool) -> None:
    from trine.runtime import pool

    node, arrays = attend((150, 200, 16, 16), (3, 2), "plane", causal, dtypes.float32)
    gradient, more = differentiated(node, arrays)
    graph = Graph((node, gradient), tuple(leaf(k, a.shape) for k, a in enumerate(more)))
    before = pool.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            pool.set_num_threads(threads)
            results.append([r.tobytes() for r in run_native(graph, more)])
    finally:
        pool.set_num_threads(before)
    assert results[0] == results[1] == results[2]
