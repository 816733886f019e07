"""Holding the native engine to the NumPy reference."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from trine import dtypes
from trine.compiler.passes.verify import verify
from trine.compiler.pipeline import compile_stages
from trine.compiler.target import Target, host_target, host_targets
from trine.core import build as b
from trine.core.graph import Graph, Node, topological_order
from trine.core.interpreter import evaluate
from trine.dtypes import DType
from trine.engines.native import NativeEngine
from trine.runtime.memory import from_array

TARGETS = host_targets()
TOLERANCE = {dtypes.float32: 2e-5, dtypes.float64: 1e-11, dtypes.float16: 4e-3, dtypes.bfloat16: 3e-2}


@cache
def engine(target: Target) -> NativeEngine:
    """Return the native engine for a target."""
    return NativeEngine(target)


def run_native(
    graph: Graph, arrays: Sequence[np.ndarray], scalars: Sequence[float | int] = (), target: Target | None = None
) -> list[np.ndarray]:
    """Check every stage of the compilation, run the graph and return its outputs."""
    target = target or host_target()
    verify(compile_stages(graph, target, 1))
    executable = engine(target).compile(graph)
    buffers = [from_array(np.array(a, order="C")) for a in arrays]
    outputs = executable.run(buffers, scalars)
    for position, source in graph.donations:
        assert outputs[position] is buffers[source]
    return [buffer.array(node.dtype.numpy, node.shape).copy() for buffer, node in zip(outputs, graph.outputs, strict=True)]


def as_float(array: np.ndarray, dtype: DType) -> np.ndarray:
    """Return values that can be compared."""
    if dtype is dtypes.bfloat16:
        return dtypes.from_bfloat16_bits(array)
    return array


def check(outputs: Sequence[Node], arrays: Sequence[np.ndarray], scalars: Sequence[float | int] = (), *, target: Target | None = None,
          donations: tuple[tuple[int, int], ...] = (), tolerance: float = 1.0) -> None:  # fmt: skip
    """Assert that the native engine agrees with the reference on a graph."""
    positions: dict[int, Node] = {n.attrs[0]: n for n in topological_order(outputs) if n.op == "input"}
    inputs: list[Any] = [positions.get(k) for k in range(len(arrays))]
    graph = Graph(tuple(outputs), tuple(inputs), donations)
    with np.errstate(all="ignore"):
        expected = evaluate(outputs, arrays, scalars)
    actual = run_native(graph, arrays, scalars, target)
    for node, want, got in zip(outputs, expected, actual, strict=True):
        assert_close(node, want, got, tolerance)


def assert_close(node: Node, want: np.ndarray, got: np.ndarray, tolerance: float = 1.0) -> None:
    """Assert that a result is the reference's: exactly for integers, to rounding for floating point."""
    dtype = node.dtype
    want, got = as_float(want, dtype), as_float(got, dtype)
    bound = TOLERANCE.get(dtype)
    if bound is None and not dtype.is_complex:
        np.testing.assert_array_equal(got, want, err_msg=repr(node))
        return
    bound = (bound or 1e-5) * tolerance
    finite = np.abs(want[np.isfinite(want)])
    scale = float(finite.max()) if finite.size else 1.0
    np.testing.assert_allclose(got, want, rtol=bound, atol=bound * min(scale, 1.0) + 1e-30, err_msg=repr(node))


def array_of(dtype: DType, shape: tuple[int, ...], seed: int = 0, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Return random values as the dtype is held by NumPy."""
    rng = np.random.default_rng(seed + 17 * len(shape))
    if dtype.code == "b":
        return rng.random(shape) < 0.5
    if dtype.is_integer:
        return rng.integers(0 if dtype.code == "u" else -5, 6, shape).astype(dtype.numpy)
    if dtype.is_complex:
        return (rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)).astype(dtype.numpy)
    values = rng.uniform(low, high, shape).astype(np.float32 if dtype.is_half else dtype.numpy)
    return dtypes.to_bfloat16_bits(values) if dtype is dtypes.bfloat16 else values.astype(dtype.numpy)


def leaf(position: int, shape: tuple[int, ...], dtype: DType = dtypes.float32) -> Node:
    """Return an input node."""
    return b.input(position, shape, dtype)
