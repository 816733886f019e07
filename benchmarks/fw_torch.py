"""The workloads of `bench.py` in PyTorch, eager and through torch.compile (see fw_trine.py for the interface)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from workloads import ADAM_EPS, CHAIN, LN_EPS, LR, RNN, Arrays, load

VARIANTS = {
    "eager": ["W3", "W10", "M1", "M1g", "M1b", "M1v", "M2", "M3", "M3b", "M4", "M6"],
    "compile": ["W3", "W10", "M3", "M3b", "M4", "M6"],
}
Step = Callable[[], Any]
Compile = Callable[[Any], Any]


def sync(handle: Any) -> None:
    """Nothing: PyTorch on the CPU has finished when it returns."""


def value(handle: Any) -> Any:
    return handle.detach().numpy()


def tensor(array: Any) -> Any:
    return torch.from_numpy(array)


def assign(module: Any, weight: Any, bias: Any) -> Any:
    with torch.no_grad():
        module.weight.copy_(tensor(weight.copy()))
        module.bias.copy_(tensor(bias))
    return module


def build(name: str, variant: str) -> Step:
    torch.set_num_threads(int(os.environ["BENCH_THREADS"]))
    p, d = load(name)
    compiled: Compile = torch.compile if variant == "compile" else lambda f: f
    return {"W3": cnn, "W10": recurrent_loop}.get(name, micro)(name, p, d, compiled)


def cnn(name: str, p: Arrays, d: Arrays, compiled: Compile) -> Step:
    first, second = assign(nn.Conv2d(1, 32, 3), p["c0w"], p["c0b"]), assign(nn.Conv2d(32, 64, 3), p["c1w"], p["c1b"])
    head = assign(nn.Linear(1600, 10), p["dw"].T, p["db"])
    network = nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), head)
    optimizer = torch.optim.Adam(network.parameters(), LR[name], eps=ADAM_EPS, fused=True)
    x, y = tensor(d["x"]), tensor(d["y"])
    loss_of = compiled(lambda x, y: F.cross_entropy(network(x), y))

    def step() -> Any:
        loss = loss_of(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def recurrent_loop(name: str, p: Arrays, d: Arrays, compiled: Compile) -> Step:
    wx, wh, bias, wo = params = [nn.Parameter(tensor(p[key]).clone()) for key in ("wx", "wh", "b", "wo")]
    optimizer, x, y = torch.optim.SGD(params, LR[name], fused=True), tensor(d["x"]), tensor(d["y"])
    lengths = iter([int(n) for n in d["lengths"]] * 2)

    def loss_of(x: Any, y: Any) -> Any:
        h = torch.zeros(x.shape[1], RNN["width"])
        for t in range(x.shape[0]):
            h = torch.tanh(x[t] @ wx + h @ wh + bias)
        return F.mse_loss(h @ wo, y)

    loss_of = compiled(loss_of)

    def step() -> Any:
        loss = loss_of(x[: next(lengths)], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def chain(d: Arrays, requires_grad: bool, has_backward: bool, is_gradient: bool) -> Step:
    start = tensor(d["x"]).requires_grad_(requires_grad)

    def step() -> Any:
        x = start
        for _ in range(CHAIN):
            x = x * 1.0001 + 0.1
        if has_backward:
            start.grad = None
            x.sum().backward()
        return start.grad if is_gradient else x

    return step


def micro(name: str, p: Arrays, d: Arrays, compiled: Compile) -> Step:
    if name.startswith("M1"):
        return chain(d, name != "M1", name in ("M1b", "M1v"), name == "M1v")
    data = {key: tensor(array) for key, array in d.items()}
    if name == "M2":
        return lambda: data["a"] @ data["b"]
    if name == "M6":
        fused = compiled(lambda x, y: torch.exp(torch.tanh(x * y + 0.5) * x) + y)
        return lambda: fused(data["x"], data["y"])
    softmax = compiled(lambda x: torch.softmax(x, -1))
    if name == "M3":
        return lambda: softmax(data["x"])
    x = data["x"].requires_grad_()
    if name == "M3b":
        return lambda: torch.autograd.grad(softmax(x), x, data["gy"])[0]
    gain, bias = (nn.Parameter(tensor(p[key])) for key in ("g", "b"))
    norm = compiled(lambda x, gain, bias: F.layer_norm(x, (1024,), gain, bias, LN_EPS))
    return lambda: torch.autograd.grad(norm(x, gain, bias), (x, gain, bias), data["gy"])[0]
