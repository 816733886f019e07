"""Point-by-point operations after a convolution run on its tiles: what is fused, and that the kernels compute it."""

from __future__ import annotations

import numpy as np
import program_reference
import pytest

from tests.compiler.harness import TARGETS
from trine import dtypes
from trine.compiler.target import Target
from trine.core import build as b
from trine.core.graph import Graph, Node
from trine.core.interpreter import evaluate
from trine.engines.native import NativeEngine
from trine.runtime.memory import from_array

F32 = dtypes.float32
ONE = ((1, 1), ((1, 1), (1, 1)), (1, 1), 1)


def relu(x: Node) -> Node:
    zero = b.const(0.0, F32)
    return b.where(b.le(x, zero), zero, x)


def per_channel(number: int, channels: int) -> Node:
    return b.reshape(b.input(number, (channels,), F32), (channels, 1, 1))


def residual_graph(images: int, channels: int, side: int) -> Graph:
    """relu(conv(relu(conv(x, w) * s + t), w) * s + t + x), summed over the image, and a masked input gradient of it."""
    x, w = b.input(0, (images, channels, side, side), F32), b.input(1, (channels, channels, 3, 3), F32)
    scale, shift = per_channel(2, channels), per_channel(3, channels)
    y = relu(b.add(b.mul(b.conv(x, w, *ONE), scale), shift))
    z = relu(b.add(b.add(b.mul(b.conv(y, w, *ONE), scale), shift), y))
    gradient = b.conv_input_grad(z, w, y.shape, *ONE)
    masked = b.where(b.le(y, b.const(0.0, F32)), b.const(0.0, F32), gradient)
    outputs = (b.sum(masked, (2, 3)), b.sum(z, (0, 2)))
    return Graph(outputs, tuple(b.input(i, n.shape, F32) for i, n in enumerate((x, w, scale.inputs[0], shift.inputs[0]))))


def test_what_follows_a_convolution_is_computed_on_its_tiles() -> None:
    compilation = program_reference.compile_reference(residual_graph(2, 8, 6))
    groups = [group.node.op if group.node is not None else "nest" for group in compilation.schedule]
    assert sorted(groups) == ["conv", "conv", "conv_input_grad", "nest", "nest"]


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("shape", [(3, 5, 9), (4, 32, 12), (2, 33, 13)], ids=str)
def test_kernels(shape: tuple[int, int, int], target: Target) -> None:
    graph = residual_graph(*shape)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(node.shape).astype(np.float32) * 0.2 for node in graph.inputs]
    outputs = NativeEngine(target).compile(graph).run([from_array(a) for a in arrays])
    for node, buffer, want in zip(graph.outputs, outputs, evaluate(graph.outputs, arrays, []), strict=True):
        np.testing.assert_allclose(buffer.array(np.float32, node.shape), want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
def test_gradient_of_a_strided_convolution(stride: int, kernel: int) -> None:
    attributes = ((stride, stride), ((kernel // 2,) * 2,) * 2, (1, 1), 1)
    x, w = b.input(0, (2, 33, 8, 10), F32), b.input(1, (40, 33, kernel, kernel), F32)
    y = b.conv(relu(x), w, *attributes)
    gradient = b.add(b.conv_input_grad(y, w, x.shape, *attributes), relu(x))
    masked = b.where(b.le(x, b.const(0.0, F32)), b.const(0.5, F32), gradient)
    graph = Graph((b.conv(masked, w, *attributes),), (x, w))
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(node.shape).astype(np.float32) for node in graph.inputs]
    (buffer,) = NativeEngine(TARGETS[-1]).compile(graph).run([from_array(a) for a in arrays])
    (want,) = evaluate(graph.outputs, arrays, [])
    np.testing.assert_allclose(buffer.array(np.float32, want.shape), want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_a_small_array_is_computed_once_where_many_points_read_it() -> None:
    x, first, second = b.input(0, (64, 32, 1024), F32), b.input(1, (32,), F32), b.input(2, (32,), F32)
    scale = b.mul(b.reshape(first, (32, 1)), b.reshape(second, (32, 1)))
    for points, nests in ((x, 2), (b.slice(x, (0, 0, 0), (1, 32, 16), (1, 1, 1)), 1)):
        compilation = program_reference.compile_reference(Graph((b.mul(points, scale),), (x, first, second)))
        assert len(compilation.schedule) == nests
