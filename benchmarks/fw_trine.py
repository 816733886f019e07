"""The workloads in Trine: `build(workload, variant) -> step`, `sync(handle)`, `value(handle) -> array`.

A step leaves nothing unfinished: what a training step computes runs in `optimizer.step()`, everything else in `trine.synchronize()`
(otherwise results that nobody looks at would never be computed).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from workloads import (
    ADAM_EPS,
    ADAMW_BETAS,
    ADAMW_DECAY,
    BLOCKS,
    BN_EPS,
    BN_MOMENTUM,
    CHAIN,
    GPT,
    LN_EPS,
    LR,
    LSTM,
    MLP,
    MOMENTUM,
    RNN,
    Arrays,
    load,
)

import trine
from trine import nn
from trine.nn import functional as F

_TRAINING, _INFERENCE = ["W1", "W2", "W3", "W4", "W5", "W6"], ["W7b1", "W7b16", "W8", "W9"]
VARIANTS = {
    "recorded": [*_TRAINING, *_INFERENCE, "W10", "M1", "M1g", "M1b", "M1v", "M2", "M3", "M3b", "M4", "M6"],
    "compile": [*_TRAINING, *_INFERENCE, "W10", "M1", "M3", "M4"],
}
Step = Callable[[], Any]


def sync(handle: Any) -> None:
    """Wait for a handle's value; a step has run by the time it returns."""


def value(handle: Any) -> Any:
    """Return a handle's value as an array."""
    return handle.detach().numpy()


def tensor(array: Any) -> Any:
    return trine.from_numpy(np.ascontiguousarray(array))


def copied(array: Any) -> Any:
    return trine.from_numpy(np.array(array, order="C"))


def assign(**pairs: tuple[Any, Any]) -> None:
    with trine.no_grad():
        for destination, array in pairs.values():
            destination.copy_(copied(array))


def linear(weight: Any, bias: Any = None) -> nn.Linear:
    module = nn.Linear(*weight.shape, bias=bias is not None)
    assign(weight=(module.weight, weight.T), **({} if bias is None else {"bias": (module.bias, bias)}))
    return module


def conv(weight: Any, bias: Any = None, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    module = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], stride, padding, bias=bias is not None)
    assign(weight=(module.weight, weight), **({} if bias is None else {"bias": (module.bias, bias)}))
    return module


def layer_norm(gain: Any, bias: Any) -> nn.LayerNorm:
    module = nn.LayerNorm(gain.shape[0], LN_EPS)
    assign(weight=(module.weight, gain), bias=(module.bias, bias))
    return module


def batch_norm(p: Arrays, name: str) -> nn.BatchNorm2d:
    module = nn.BatchNorm2d(p[f"{name}.g"].shape[0], BN_EPS, BN_MOMENTUM)
    keys = {"weight": "g", "bias": "b", "running_mean": "m", "running_var": "v"}
    assign(**{attribute: (getattr(module, attribute), p[f"{name}.{key}"]) for attribute, key in keys.items()})
    return module


def mlp(p: Arrays) -> nn.Module:
    layers: list[nn.Module] = []
    for i in range(len(p) // 2):
        layers += [nn.ReLU()] if i else []
        layers.append(linear(p[f"w{i}"], p[f"b{i}"]))
    return nn.Sequential(*layers)


def cnn(p: Arrays) -> nn.Module:
    first, second = conv(p["c0w"], p["c0b"]), conv(p["c1w"], p["c1b"])
    return nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), linear(p["dw"], p["db"]))


class Residual(nn.Module):
    def __init__(self, p: Arrays, name: str, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv(p[f"{name}.c1.w"], None, stride, 1), batch_norm(p, f"{name}.c1")
        self.conv2, self.norm2 = conv(p[f"{name}.c2.w"], None, 1, 1), batch_norm(p, f"{name}.c2")
        has_shortcut = f"{name}.ds.w" in p
        self.shortcut = nn.Sequential(conv(p[f"{name}.ds.w"], None, stride), batch_norm(p, f"{name}.ds")) if has_shortcut else None

    def forward(self, x: Any) -> Any:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nn.Module):
    def __init__(self, p: Arrays, is_imagenet: bool) -> None:
        super().__init__()
        self.stem = conv(p["stem.w"], None, 2 if is_imagenet else 1, 3 if is_imagenet else 1)
        self.norm = batch_norm(p, "stem")
        self.pool = nn.MaxPool2d(3, 2, 1) if is_imagenet else nn.Identity()
        self.blocks = nn.Sequential(*(Residual(p, name, stride) for name, stride in BLOCKS))
        self.head = linear(p["fc.w"], p["fc.b"])

    def forward(self, x: Any) -> Any:
        return self.head(self.blocks(self.pool(F.relu(self.norm(self.stem(x))))).mean((2, 3)))


class GptBlock(nn.Module):
    def __init__(self, p: Arrays, name: str) -> None:
        super().__init__()
        self.norm1, self.norm2 = (layer_norm(p[f"{name}.{key}.g"], p[f"{name}.{key}.b"]) for key in ("ln1", "ln2"))
        parts = (linear(p[f"{name}.{key}.w"], p[f"{name}.{key}.b"]) for key in ("qkv", "proj", "fc", "fc2"))
        self.qkv, self.proj, self.up, self.down = parts

    def forward(self, x: Any, mask: Any) -> Any:
        batch, length, width = x.shape
        q, k, v = (t.view(batch, length, GPT["heads"], -1).transpose(1, 2) for t in self.qkv(self.norm1(x)).split(width, 2))
        scores = (q @ k.transpose(-2, -1)) * (width // GPT["heads"]) ** -0.5
        attended = scores.masked_fill(mask, float("-inf")).softmax(-1) @ v
        x = x + self.proj(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, p: Arrays, is_last_only: bool) -> None:
        super().__init__()
        self.token, self.position = nn.Parameter(copied(p["wte"])), nn.Parameter(copied(p["wpe"]))
        self.blocks = nn.ModuleList(GptBlock(p, f"h{i}") for i in range(GPT["layers"]))
        self.norm, self.head, self.is_last_only = layer_norm(p["lnf.g"], p["lnf.b"]), linear(p["head.w"]), is_last_only
        self.mask = tensor(np.triu(np.ones((GPT["context"],) * 2, bool), 1))

    def forward(self, ids: Any) -> Any:
        x = F.embedding(ids, self.token) + self.position
        for block in self.blocks:
            x = block(x, self.mask)
        x = self.norm(x)
        return self.head(x[:, -1] if self.is_last_only else x)


class LstmNet(nn.Module):
    def __init__(self, p: Arrays) -> None:
        super().__init__()
        self.layers = nn.LSTM(LSTM["inputs"], LSTM["width"], LSTM["layers"], batch_first=True)
        for i in range(LSTM["layers"]):
            keys = {"weight_ih": p[f"l{i}.wi"].T, "weight_hh": p[f"l{i}.wh"].T, "bias_ih": p[f"l{i}.b"]}
            assign(**{key: (getattr(self.layers, f"{key}_l{i}"), array) for key, array in keys.items()})
            getattr(self.layers, f"bias_hh_l{i}").requires_grad_(False).zero_()  # one bias
        self.head = linear(p["head.w"], p["head.b"])

    def forward(self, x: Any) -> Any:
        return self.head(self.layers(x)[0][:, -1])


NETWORKS: dict[str, Callable[[Arrays], nn.Module]] = {
    **dict.fromkeys(MLP, mlp),
    "W3": cnn,
    "W4": lambda p: ResNet(p, False),
    **dict.fromkeys(("W7b1", "W7b16"), lambda p: ResNet(p, True)),
    "W5": lambda p: Gpt(p, False),
    "W8": lambda p: Gpt(p, True),
    "W6": LstmNet,
}


def optimizer(name: str, params: Iterable[Any]) -> trine.optim.Optimizer:
    if name in ("W1", "W10"):
        return trine.optim.SGD(params, LR[name])
    if name == "W4":
        return trine.optim.SGD(params, LR[name], MOMENTUM)
    if name == "W5":
        return trine.optim.AdamW(params, LR[name], ADAMW_BETAS, ADAM_EPS, ADAMW_DECAY)
    return trine.optim.Adam(params, LR[name], eps=ADAM_EPS)


def build(name: str, variant: str) -> Step:
    """Return the step of a workload; each call runs one step and returns a handle, a loss or an output."""
    p, d = load(name)
    compiled = trine.compile if variant == "compile" else lambda function: function
    if name[0] == "M":
        step = MICRO[name](p, d)
        return compiled(step) if variant == "compile" else step
    if name == "W10":
        return recurrent_loop(p, d, compiled)
    network, x = NETWORKS[name](p), tensor(d["x"])
    if "y" not in d or name in ("W8", "W9"):
        return inference(compiled(network.eval()), x)
    y, optim = tensor(d["y"].reshape(-1)), optimizer(name, [q for q in network.parameters() if q.requires_grad])

    @compiled
    def train(x: Any, y: Any) -> Any:
        logits = network(x)
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y)
        optim.zero_grad()
        loss.backward()
        optim.step()
        return loss.detach()

    return lambda: train(x, y)


def inference(network: nn.Module, x: Any) -> Step:
    def step() -> Any:
        with trine.no_grad():
            return finished(network(x))

    return step


def finished(result: Any) -> Any:
    trine.synchronize()
    return result


def recurrent_loop(p: Arrays, d: Arrays, compiled: Callable[[Any], Any]) -> Step:
    wx, wh, bias, wo = (nn.Parameter(copied(p[key])) for key in ("wx", "wh", "b", "wo"))
    optim, x, y = optimizer("W10", [wx, wh, bias, wo]), tensor(d["x"]), tensor(d["y"])
    lengths = iter([int(n) for n in d["lengths"]] * 2)

    @compiled
    def train(x: Any, y: Any) -> Any:
        h = trine.zeros(x.shape[1], RNN["width"])
        for t in range(x.shape[0]):
            h = trine.tanh(x[t] @ wx + h @ wh + bias)
        loss = F.mse_loss(h @ wo, y)
        optim.zero_grad()
        loss.backward()
        optim.step()
        return loss.detach()

    return lambda: train(x[: next(lengths)], y)


def chain(d: Arrays, requires_grad: bool, has_backward: bool = False, is_gradient: bool = False) -> Step:
    start = tensor(d["x"]).requires_grad_(requires_grad)

    def step() -> Any:
        x = start
        for _ in range(CHAIN):
            x = x * 1.0001 + 0.1
        if has_backward:
            start.grad = None
            x.sum().backward()
        finished(x)
        return start.grad if is_gradient else x

    return step


def matmul(d: Arrays) -> Step:
    a, b = tensor(d["a"]), tensor(d["b"])
    return lambda: finished(a @ b)


def softmax(d: Arrays) -> Step:
    x = tensor(d["x"])
    return lambda: finished(trine.softmax(x, -1))


def softmax_gradient(d: Arrays) -> Step:
    x, gy = tensor(d["x"]).requires_grad_(), tensor(d["gy"])
    return lambda: finished(trine.autograd.grad(trine.softmax(x, -1), x, gy)[0])


def layer_norm_gradient(p: Arrays, d: Arrays) -> Step:
    x, gy = tensor(d["x"]).requires_grad_(), tensor(d["gy"])
    gain, bias = nn.Parameter(copied(p["g"])), nn.Parameter(copied(p["b"]))

    def step() -> Any:
        gradients = trine.autograd.grad(F.layer_norm(x, (1024,), gain, bias, LN_EPS), (x, gain, bias), gy)
        return finished(gradients)[0]

    return step


def elementwise(d: Arrays) -> Step:
    x, y = tensor(d["x"]), tensor(d["y"])
    return lambda: finished(trine.exp(trine.tanh(x * y + 0.5) * x) + y)


MICRO: dict[str, Callable[[Arrays, Arrays], Step]] = {
    "M1": lambda p, d: chain(d, False),
    "M1g": lambda p, d: chain(d, True),
    "M1b": lambda p, d: chain(d, True, True),
    "M1v": lambda p, d: chain(d, True, True, True),
    "M2": lambda p, d: matmul(d),
    "M3": lambda p, d: softmax(d),
    "M3b": lambda p, d: softmax_gradient(d),
    "M4": layer_norm_gradient,
    "M6": lambda p, d: elementwise(d),
}
