"""The workloads: shapes, hyper-parameters, and `load(name) -> (params, data)`, the same numbers for every framework.

Canonical layouts: linear weights (in, out); convolution weights (out, in, height, width); images NCHW; LSTM gates i, f, g, o with one bias.
"""

from __future__ import annotations

import functools
import os
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]

THREADS = int(os.environ.get("BENCH_THREADS", "2"))

# kind: train (a loss per step), infer, once (the total of all steps, compilation included), micro
WORKLOADS = {
    "W1": ("small MLP 784-128-10, batch 32, SGD", "train"),
    "W2": ("large MLP 784-2048-2048-10, batch 256, Adam", "train"),
    "W3": ("convolutional network on 28x28 images, batch 128, Adam", "train"),
    "W3fit": ("the same, 50 batches from a DataLoader", "train"),
    "W4": ("ResNet-18 on 32x32 images, batch 32, SGD with momentum", "train"),
    "W5": ("GPT, 4 layers, width 256, context 128, batch 8, AdamW", "train"),
    "W6": ("LSTM, 2 layers of 256, 64 steps, batch 32, Adam", "train"),
    "W7b1": ("ResNet-18 on a 224x224 image", "infer"),
    "W7b16": ("ResNet-18 on 16 images", "infer"),
    "W8": ("GPT, logits of one next token", "infer"),
    "W9": ("small MLP on one row", "infer"),
    "W10": ("recurrent loop of changing length, 5 to 50: 200 steps, SGD", "once"),
    "M1": ("chain of 1000 operations on 10 elements", "micro"),
    "M1g": ("the same, gradients recorded", "micro"),
    "M1b": ("the same, forward and backward", "micro"),
    "M1v": ("the same, the gradient is the result", "micro"),
    "M2": ("matmul 1024 x 1024 x 1024", "micro"),
    "M3": ("softmax 4096 x 1024", "micro"),
    "M3b": ("softmax 4096 x 1024, forward and backward", "micro"),
    "M4": ("layer norm 4096 x 1024, forward and backward", "micro"),
    "M6": ("exp(tanh(x * y + 0.5) * x) + y on 1M floats", "micro"),
}
LR = {"W1": 0.01, "W2": 1e-3, "W3": 1e-3, "W3fit": 1e-3, "W4": 0.01, "W5": 3e-4, "W6": 1e-3, "W10": 0.05}
BATCH = {"W1": 32, "W2": 256, "W3": 128, "W3fit": 128, "W4": 32, "W5": 8, "W6": 32, "W7b1": 1, "W7b16": 16, "W8": 1, "W9": 1, "W10": 16}
MLP = {"W1": [784, 128, 10], "W2": [784, 2048, 2048, 10], "W9": [784, 128, 10]}
MOMENTUM = 0.9
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
ADAMW = {"b1": 0.9, "b2": 0.95, "eps": 1e-8, "wd": 0.1}
BN_EPS, BN_MOM, LN_EPS = 1e-5, 0.1, 1e-5
GPT = {"layers": 4, "d": 256, "heads": 8, "ctx": 128, "vocab": 256}  # GELU by tanh, untied head without bias
LSTM = {"inp": 64, "hid": 256, "seq": 64, "layers": 2, "out": 10}
RNN = {"inp": 64, "hid": 128, "out": 16, "maxlen": 50, "steps": 200}
FIT_BATCHES = 50
CHAIN = 500  # x = x * 1.0001 + 0.1, so often: 1000 operations
SEED_NAMES = {
    "W3fit": "W3",
    "W9": "W1",
    "W7b1": "W7",
    "W7b16": "W7",
    "W8": "W5",
    "M3b": "M3",
    "M1v": "M1b",
}  # workloads with the same weights share a seed


def resnet_convs(is_imagenet: bool) -> list[tuple[str, int, int, int, int, int]]:
    """Return (name, out, in, kernel, stride, padding) in order of use; the shortcut of a block is NAME.ds."""
    convs = [("stem", 64, 3, 7, 2, 3) if is_imagenet else ("stem", 64, 3, 3, 1, 1)]
    for stage, (before, width) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)]):
        for block in range(2):
            name, stride, channels = f"l{stage}.{block}", 2 if stage and not block else 1, width if block else before
            convs += [(f"{name}.c1", width, channels, 3, stride, 1), (f"{name}.c2", width, width, 3, 1, 1)]
            if stride != 1 or channels != width:
                convs.append((f"{name}.ds", width, channels, 1, stride, 0))
    return convs


BLOCKS = [(f"l{stage}.{block}", 2 if stage and not block else 1) for stage in range(4) for block in range(2)]


class Draw:
    """Seeded random numbers."""

    def __init__(self, name: str) -> None:
        self.state = np.random.RandomState(zlib.crc32(SEED_NAMES.get(name, name).encode()) & 0x7FFFFFFF)

    def normal(self, *shape: int, scale: float = 1.0) -> Array:
        return (self.state.standard_normal(shape) * scale).astype(np.float32)

    def linear(self, inputs: int, outputs: int) -> Array:
        return self.normal(inputs, outputs, scale=inputs**-0.5)

    def integers(self, low: int, high: int, *shape: int) -> Array:
        return self.state.randint(low, high, shape)


def _mlp(name: str, draw: Draw) -> tuple[Arrays, Arrays]:
    params = {}
    for i, (inputs, outputs) in enumerate(zip(MLP[name], MLP[name][1:], strict=False)):
        params |= {f"w{i}": draw.linear(inputs, outputs), f"b{i}": draw.normal(outputs, scale=0.01)}
    return params, {"x": draw.normal(BATCH[name], 784), "y": draw.integers(0, 10, BATCH[name])}


def _cnn(name: str, draw: Draw) -> tuple[Arrays, Arrays]:
    params = {
        "c0w": draw.normal(32, 1, 3, 3, scale=(2 / 9) ** 0.5),
        "c0b": draw.normal(32, scale=0.01),
        "c1w": draw.normal(64, 32, 3, 3, scale=(2 / 288) ** 0.5),
        "c1b": draw.normal(64, scale=0.01),
        "dw": draw.linear(1600, 10),
        "db": draw.normal(10, scale=0.01),
    }
    count = BATCH[name] * (FIT_BATCHES if name == "W3fit" else 1)
    return params, {"x": draw.normal(count, 1, 28, 28), "y": draw.integers(0, 10, count)}


def _resnet(name: str, draw: Draw) -> tuple[Arrays, Arrays]:
    is_imagenet, params = name != "W4", {}
    for conv, outputs, inputs, kernel, _, _ in resnet_convs(is_imagenet):
        params[f"{conv}.w"] = draw.normal(outputs, inputs, kernel, kernel, scale=(2 / (inputs * kernel * kernel)) ** 0.5)
        params |= {f"{conv}.g": 1 + draw.normal(outputs, scale=0.1), f"{conv}.b": draw.normal(outputs, scale=0.1)}
        params |= {f"{conv}.m": draw.normal(outputs, scale=0.1), f"{conv}.v": np.abs(1 + draw.normal(outputs, scale=0.1))}
    classes = 1000 if is_imagenet else 10
    params |= {"fc.w": draw.linear(512, classes), "fc.b": draw.normal(classes, scale=0.01)}
    if is_imagenet:
        return params, {"x": draw.normal(BATCH[name], 3, 224, 224)}
    return params, {"x": draw.normal(BATCH[name], 3, 32, 32), "y": draw.integers(0, 10, BATCH[name])}


def _gpt(name: str, draw: Draw) -> tuple[Arrays, Arrays]:
    width, vocabulary, context = GPT["d"], GPT["vocab"], GPT["ctx"]
    params = {"wte": draw.normal(vocabulary, width, scale=0.02), "wpe": draw.normal(context, width, scale=0.02)}
    for layer in range(GPT["layers"]):
        for norm in ("ln1", "ln2"):
            params |= {f"h{layer}.{norm}.g": 1 + draw.normal(width, scale=0.02), f"h{layer}.{norm}.b": draw.normal(width, scale=0.02)}
        for part, inputs, outputs in (("qkv", 1, 3), ("proj", 1, 1), ("fc", 1, 4), ("fc2", 4, 1)):
            params[f"h{layer}.{part}.w"] = draw.normal(inputs * width, outputs * width, scale=0.02)
            params[f"h{layer}.{part}.b"] = draw.normal(outputs * width, scale=0.02)
    params |= {"lnf.g": 1 + draw.normal(width, scale=0.02), "lnf.b": draw.normal(width, scale=0.02)}
    params["head.w"] = draw.normal(width, vocabulary, scale=0.02)
    tokens = draw.integers(0, vocabulary, BATCH[name], context + 1)
    return params, {"x": tokens[:, :-1].copy(), "y": tokens[:, 1:].copy()}


def _lstm(name: str, draw: Draw) -> tuple[Arrays, Arrays]:
    width, params = LSTM["hid"], {}
    for layer in range(LSTM["layers"]):
        inputs = width if layer else LSTM["inp"]
        params[f"l{layer}.wi"] = draw.normal(inputs, 4 * width, scale=width**-0.5)
        params[f"l{layer}.wh"] = draw.normal(width, 4 * width, scale=width**-0.5)
        params[f"l{layer}.b"] = draw.normal(4 * width, scale=0.05)
    params |= {"head.w": draw.linear(width, LSTM["out"]), "head.b": draw.normal(LSTM["out"], scale=0.01)}
    x = draw.normal(BATCH[name], LSTM["seq"], LSTM["inp"])
    return params, {"x": x, "y": draw.integers(0, LSTM["out"], BATCH[name])}


def _rnn(name: str, draw: Draw) -> tuple[Arrays, Arrays]:
    inputs, width, outputs, longest = RNN["inp"], RNN["hid"], RNN["out"], RNN["maxlen"]
    params = {
        "wx": draw.normal(inputs, width, scale=inputs**-0.5),
        "wh": draw.normal(width, width, scale=0.7 * width**-0.5),
        "b": draw.normal(width, scale=0.01),
        "wo": draw.linear(width, outputs),
    }
    x, y = draw.normal(longest, BATCH[name], inputs), draw.normal(BATCH[name], outputs)
    return params, {"x": x, "y": y, "lengths": draw.integers(5, longest + 1, RNN["steps"])}


def _norm(name: str, draw: Draw) -> tuple[Arrays, Arrays]:
    data = {"x": draw.normal(4096, 1024), "gy": draw.normal(4096, 1024)}
    return {"g": 1 + draw.normal(1024, scale=0.1), "b": draw.normal(1024, scale=0.1)}, data


def _arrays(**shapes: tuple[int, ...]) -> Callable[[str, Draw], tuple[Arrays, Arrays]]:
    return lambda name, draw: ({}, {key: draw.normal(*shape) for key, shape in shapes.items()})


MAKERS: dict[str, Callable[[str, Draw], tuple[Arrays, Arrays]]] = {
    **dict.fromkeys(("W1", "W2", "W9"), _mlp),
    **dict.fromkeys(("W3", "W3fit"), _cnn),
    **dict.fromkeys(("W4", "W7b1", "W7b16"), _resnet),
    **dict.fromkeys(("W5", "W8"), _gpt),
    "W6": _lstm,
    "W10": _rnn,
    **dict.fromkeys(("M1", "M1g", "M1b", "M1v"), _arrays(x=(10,))),
    "M2": _arrays(a=(1024, 1024), b=(1024, 1024)),
    "M3": _arrays(x=(4096, 1024)),
    "M3b": _arrays(x=(4096, 1024), gy=(4096, 1024)),
    "M4": _norm,
    "M6": _arrays(x=(1 << 20,), y=(1 << 20,)),
}


@functools.cache
def load(name: str) -> tuple[Arrays, Arrays]:
    """Return the weights and the data of a workload."""
    return MAKERS[name](name, Draw(name))
