"""The workloads as a user writes them: `build(workload, variant) -> step`, `sync(handle)`, `value(handle) -> array`.

The same program runs in PyTorch, with another import (`fw_torch.py`). In Trine a step leaves nothing unfinished: what a training step
computes runs in `optimizer.step()`, everything else in `synchronize()` (otherwise results that nobody looks at would never be computed).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from common import ADAM, ADAMW, BATCH, BLOCKS, BN_EPS, BN_MOM, CHAIN, GPT, LN_EPS, LR, LSTM, MLP, MOMENTUM, RNN, THREADS, load

import trine as torch

nn, F = torch.nn, torch.nn.functional
Arrays = dict[str, Any]
TRAINING, INFERENCE = ["W1", "W2", "W3", "W4", "W5", "W6"], ["W7b1", "W7b16", "W8", "W9"]
VARIANTS = {
    "recorded": [*TRAINING, *INFERENCE, "W3fit", "W10", "M1", "M1g", "M1b", "M1v", "M2", "M3", "M3b", "M4", "M6"],
    "compile": [*TRAINING, *INFERENCE, "W10", "M1", "M3", "M3b", "M4", "M6"],
}
IS_TRINE = torch.__name__ == "trine"
Step = Callable[[], Any]


def sync(handle: Any) -> None:
    """Wait for a handle's value; a step has run by the time it returns."""


def value(handle: Any) -> Any:
    """Return a handle's value as an array."""
    return handle.detach().numpy()


def num_plans() -> int:
    """Return how many plans were compiled so far (PyTorch's eager mode compiles none)."""
    return int(torch.cache_info()["programs"]["plans_built"]) if IS_TRINE else 0


def tensor(array: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(array))


def copied(array: Any) -> Any:
    return torch.from_numpy(np.array(array, order="C"))


def assign(**pairs: tuple[Any, Any]) -> None:
    with torch.no_grad():
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
    module = nn.BatchNorm2d(p[f"{name}.g"].shape[0], BN_EPS, BN_MOM)
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

    def forward(self, x: Any) -> Any:
        batch, length, width = x.shape
        q, k, v = (t.view(batch, length, GPT["heads"], -1).transpose(1, 2) for t in self.qkv(self.norm1(x)).split(width, 2))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, p: Arrays, is_last_only: bool) -> None:
        super().__init__()
        self.token, self.position = nn.Parameter(copied(p["wte"])), nn.Parameter(copied(p["wpe"]))
        self.blocks = nn.Sequential(*(GptBlock(p, f"h{i}") for i in range(GPT["layers"])))
        self.norm, self.head, self.is_last_only = layer_norm(p["lnf.g"], p["lnf.b"]), linear(p["head.w"]), is_last_only

    def forward(self, ids: Any) -> Any:
        x = self.norm(self.blocks(F.embedding(ids, self.token) + self.position))
        return self.head(x[:, -1] if self.is_last_only else x)


class LstmNet(nn.Module):
    def __init__(self, p: Arrays) -> None:
        super().__init__()
        self.layers = nn.LSTM(LSTM["inp"], LSTM["hid"], LSTM["layers"], batch_first=True)
        for i in range(LSTM["layers"]):
            keys = {"weight_ih": p[f"l{i}.wi"].T, "weight_hh": p[f"l{i}.wh"].T, "bias_ih": p[f"l{i}.b"]}
            assign(**{key: (getattr(self.layers, f"{key}_l{i}"), array) for key, array in keys.items()})
            getattr(self.layers, f"bias_hh_l{i}").requires_grad_(False).zero_()  # one bias
        self.head = linear(p["head.w"], p["head.b"])

    def forward(self, x: Any) -> Any:
        return self.head(self.layers(x)[0][:, -1])


NETWORKS: dict[str, Callable[[Arrays], nn.Module]] = {
    **dict.fromkeys(MLP, mlp),
    **dict.fromkeys(("W3", "W3fit"), cnn),
    "W4": lambda p: ResNet(p, False),
    **dict.fromkeys(("W7b1", "W7b16"), lambda p: ResNet(p, True)),
    "W5": lambda p: Gpt(p, False),
    "W8": lambda p: Gpt(p, True),
    "W6": LstmNet,
}


def optimizer(name: str, params: Iterable[Any]) -> Any:
    trained = [p for p in params if p.requires_grad]
    if name in ("W1", "W10"):
        return torch.optim.SGD(trained, LR[name], fused=True)
    if name == "W4":
        return torch.optim.SGD(trained, LR[name], MOMENTUM, fused=True)
    if name == "W5":
        betas = (ADAMW["b1"], ADAMW["b2"])
        return torch.optim.AdamW(trained, LR[name], betas, ADAMW["eps"], ADAMW["wd"], fused=True)
    return torch.optim.Adam(trained, LR[name], (ADAM["b1"], ADAM["b2"]), ADAM["eps"], fused=True)


def build(name: str, variant: str) -> Step:
    """Return the step of a workload; each call runs one step and returns a handle, a loss or an output.

    Trine compiles whole training steps, PyTorch what computes the loss: each the most that it can.
    """
    torch.set_num_threads(1 if variant == "1t" else THREADS)
    p, d = load(name)
    whole = torch.compile if variant == "compile" and IS_TRINE else lambda function: function
    part = torch.compile if variant == "compile" and not IS_TRINE else lambda function: function
    if name[0] == "M":
        step = MICRO[name](p, d, part)
        return whole(step) if variant == "compile" else step
    if name == "W10":
        return recurrent_loop(p, d, whole, part)
    network, x = NETWORKS[name](p), tensor(d["x"])
    if variant == "cl":
        network, x = network.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    if name in INFERENCE:
        return inference(whole(part(network.eval())), x, is_plain=variant == "compile")
    y, optim = tensor(d["y"]), optimizer(name, network.parameters())

    def loss_of(x: Any, y: Any) -> Any:
        logits = network(x)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), y.view(-1))

    train = whole(trainer(part(loss_of), optim))
    return epochs(train, x, y, BATCH[name]) if name == "W3fit" else lambda: train(x, y)


def trainer(loss_of: Callable[[Any, Any], Any], optim: Any) -> Callable[[Any, Any], Any]:
    def train(x: Any, y: Any) -> Any:
        loss = loss_of(x, y)
        optim.zero_grad()
        loss.backward()
        optim.step()
        return loss.detach()

    return train


def epochs(train: Callable[[Any, Any], Any], x: Any, y: Any, batch_size: int) -> Step:
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=batch_size)

    def epoch() -> Any:
        loss = None
        for batch in loader:
            loss = train(*batch)
        return loss

    return epoch


def inference(network: nn.Module, x: Any, is_plain: bool) -> Step:
    mode = torch.no_grad if is_plain else torch.inference_mode

    def step() -> Any:
        with mode():
            return finished(network(x))

    return step


def finished(result: Any) -> Any:
    if IS_TRINE:
        torch.synchronize()
    return result


def recurrent_loop(p: Arrays, d: Arrays, whole: Callable[[Any], Any], part: Callable[[Any], Any]) -> Step:
    wx, wh, bias, wo = (nn.Parameter(copied(p[key])) for key in ("wx", "wh", "b", "wo"))
    x, y = tensor(d["x"]), tensor(d["y"])
    lengths = iter([int(n) for n in d["lengths"]] * 2)

    def loss_of(x: Any, y: Any) -> Any:
        h = torch.zeros(x.shape[1], RNN["hid"])
        for t in range(x.shape[0]):
            h = torch.tanh(x[t] @ wx + h @ wh + bias)
        return F.mse_loss(h @ wo, y)

    train = whole(trainer(part(loss_of), optimizer("W10", [wx, wh, bias, wo])))
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


def softmax(d: Arrays, part: Callable[[Any], Any]) -> Step:
    x, function = tensor(d["x"]), part(lambda x: torch.softmax(x, -1))
    return lambda: finished(function(x))


def softmax_gradient(d: Arrays, part: Callable[[Any], Any]) -> Step:
    x, gy, function = tensor(d["x"]).requires_grad_(), tensor(d["gy"]), part(lambda x: torch.softmax(x, -1))
    return lambda: finished(torch.autograd.grad(function(x), x, gy)[0])


def layer_norm_gradient(p: Arrays, d: Arrays, part: Callable[[Any], Any]) -> Step:
    x, gy = tensor(d["x"]).requires_grad_(), tensor(d["gy"])
    gain, bias = nn.Parameter(copied(p["g"])), nn.Parameter(copied(p["b"]))
    function = part(lambda x, gain, bias: F.layer_norm(x, (1024,), gain, bias, LN_EPS))
    return lambda: finished(torch.autograd.grad(function(x, gain, bias), (x, gain, bias), gy))[0]


def elementwise(d: Arrays, part: Callable[[Any], Any]) -> Step:
    x, y, function = tensor(d["x"]), tensor(d["y"]), part(lambda x, y: torch.exp(torch.tanh(x * y + 0.5) * x) + y)
    return lambda: finished(function(x, y))


MICRO: dict[str, Callable[[Arrays, Arrays, Callable[[Any], Any]], Step]] = {
    "M1": lambda p, d, part: chain(d, False),
    "M1g": lambda p, d, part: chain(d, True),
    "M1b": lambda p, d, part: chain(d, True, True),
    "M1v": lambda p, d, part: chain(d, True, True, True),
    "M2": lambda p, d, part: matmul(d),
    "M3": lambda p, d, part: softmax(d, part),
    "M3b": lambda p, d, part: softmax_gradient(d, part),
    "M4": layer_norm_gradient,
    "M6": lambda p, d, part: elementwise(d, part),
}
