"""The inference workloads in ONNX Runtime: the models of fw_trine.py, written as ONNX graphs node by node."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
from common import BLOCKS, BN_EPS, GPT, LN_EPS, THREADS, load
from onnx import TensorProto, helper, numpy_helper

VARIANTS = {"cpu": ["W7b1", "W7b16", "W8", "W9"]}
OPSET = 20  # the first that has Gelu
Arrays = dict[str, Any]


def sync(handle: Any) -> None:
    """Results are there when `run` returns."""


def value(handle: Any) -> Any:
    return np.asarray(handle)


def build(name: str, variant: str) -> Callable[[], Any]:
    params, data = load(name)
    graph = Graph(params)
    output = NETWORKS[name](graph, "x")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    model = graph.model(data["x"], output)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {"x": data["x"]}
    return lambda: session.run(None, feed)[0]


class Graph:
    """An ONNX graph in the making: nodes, and the constants that they use.

    Args:
        params: arrays that become constants under their names when they are used.
    """

    def __init__(self, params: Arrays) -> None:
        self.params = params
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.numbers = itertools.count()

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; return the name of its output, or the names of several."""
        names = [f"{op}{next(self.numbers)}" for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def param(self, name: str, change: Callable[[Any], Any] = np.asarray) -> str:
        """Return the name of a parameter, changed on the way into the graph."""
        self.constants[name] = change(self.params[name])
        return name

    def constant(self, array: Any) -> str:
        name = f"constant{next(self.numbers)}"
        self.constants[name] = np.asarray(array)
        return name

    def model(self, x: Any, output: str) -> Any:
        kind = {"f": TensorProto.FLOAT, "i": TensorProto.INT64}[x.dtype.kind]
        constants = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in self.constants.items()]
        ends = [helper.make_tensor_value_info("x", kind, x.shape)], [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, "workload", *ends, constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def mlp(g: Graph, x: str) -> str:
    last = len(g.params) // 2 - 1
    for layer in range(last + 1):
        x = g.add("Gemm", x, g.param(f"w{layer}"), g.param(f"b{layer}"))
        x = x if layer == last else g.add("Relu", x)
    return x


def resnet(g: Graph, x: str) -> str:
    def normalized(x: str, name: str, stride: int, padding: int) -> str:
        x = g.add("Conv", x, g.param(f"{name}.w"), strides=[stride] * 2, pads=[padding] * 4)
        return str(g.add("BatchNormalization", x, *(g.param(f"{name}.{key}") for key in "gbmv"), epsilon=BN_EPS))

    x = g.add("Relu", normalized(x, "stem", 2, 3))
    x = g.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for name, stride in BLOCKS:
        y = g.add("Relu", normalized(x, f"{name}.c1", stride, 1))
        shortcut = normalized(x, f"{name}.ds", stride, 0) if f"{name}.ds.w" in g.params else x
        x = g.add("Relu", g.add("Add", normalized(y, f"{name}.c2", 1, 1), shortcut))
    x = g.add("Flatten", g.add("GlobalAveragePool", x))
    return str(g.add("Gemm", x, g.param("fc.w"), g.param("fc.b")))


def gpt(g: Graph, x: str) -> str:
    heads, width, length = GPT["heads"], GPT["d"], GPT["ctx"]
    mask = g.constant(np.triu(np.full((length, length), -np.inf, np.float32), 1))
    scale, last = g.constant(np.float32((width // heads) ** -0.5)), g.constant(np.int64(-1))
    by_head, joined = g.constant([0, 0, heads, -1]), g.constant([0, 0, width])

    def norm(x: str, name: str) -> str:
        return str(g.add("LayerNormalization", x, g.param(f"{name}.g"), g.param(f"{name}.b"), axis=-1, epsilon=LN_EPS))

    def linear(x: str, name: str) -> str:
        return str(g.add("Add", g.add("MatMul", x, g.param(f"{name}.w")), g.param(f"{name}.b")))

    def attention(x: str, name: str) -> str:
        q, k, v = (g.add("Reshape", t, by_head) for t in g.add("Split", linear(x, f"{name}.qkv"), outputs=3, axis=-1, num_outputs=3))
        q, k, v = (g.add("Transpose", t, perm=perm) for t, perm in ((q, [0, 2, 1, 3]), (k, [0, 2, 3, 1]), (v, [0, 2, 1, 3])))
        scores = g.add("Add", g.add("Mul", g.add("MatMul", q, k), scale), mask)
        attended = g.add("Transpose", g.add("MatMul", g.add("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        return linear(g.add("Reshape", attended, joined), f"{name}.proj")

    x = g.add("Add", g.add("Gather", g.param("wte"), x), g.param("wpe"))
    for layer in range(GPT["layers"]):
        x = g.add("Add", x, attention(norm(x, f"h{layer}.ln1"), f"h{layer}"))
        up = g.add("Gelu", linear(norm(x, f"h{layer}.ln2"), f"h{layer}.fc"), approximate="tanh")
        x = g.add("Add", x, linear(up, f"h{layer}.fc2"))
    return str(g.add("MatMul", g.add("Gather", norm(x, "lnf"), last, axis=1), g.param("head.w")))


NETWORKS: dict[str, Callable[[Graph, str], str]] = {"W7b1": resnet, "W7b16": resnet, "W8": gpt, "W9": mlp}
