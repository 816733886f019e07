"""Models written once for both libraries: ``build(library)`` takes the module `trine` or `torch`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Spec(NamedTuple):
    """How a model is built and trained."""

    build: Callable[[Any], Any]
    shape: tuple[int, ...]
    classes: int
    optimizer: str
    options: dict[str, Any]


def mlp(library: Any) -> Any:
    nn = library.nn
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4))


def cnn(library: Any) -> Any:
    nn = library.nn
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3),
        nn.BatchNorm2d(8),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


def lstm(library: Any) -> Any:
    nn = library.nn

    class Recurrent(nn.Module):  # type: ignore[misc, name-defined]
        """A long short-term memory cell made of linear layers, in a Python loop."""

        def __init__(self) -> None:
            super().__init__()
            self.size = 8
            self.from_input = nn.Linear(3, 4 * self.size)
            self.from_state = nn.Linear(self.size, 4 * self.size, bias=False)
            self.out = nn.Linear(self.size, 3)

        def forward(self, x: Any) -> Any:
            h = c = library.zeros(x.shape[0], self.size)
            for t in range(x.shape[1]):
                i, f, g, o = (self.from_input(x[:, t]) + self.from_state(h)).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
            return self.out(h)

    return Recurrent()


def transformer(library: Any) -> Any:
    nn = library.nn

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        """Attention and feed-forward, each with a norm before and a shortcut around it; classified by the mean."""

        def __init__(self) -> None:
            super().__init__()
            self.heads = 2
            self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
            self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)
            self.feed = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
            self.head = nn.Linear(8, 3)

        def forward(self, x: Any) -> Any:
            n, length, size = x.shape
            q, k, v = self.qkv(self.norm1(x)).reshape(n, length, 3, self.heads, size // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(y.transpose(1, 2).reshape(n, length, size))
            x = x + self.feed(self.norm2(x))
            return self.head(x.mean(1))

    return Block()


MODELS = {
    "mlp": Spec(mlp, (8, 6), 4, "SGD", {"lr": 0.1, "momentum": 0.9}),
    "cnn": Spec(cnn, (4, 1, 8, 8), 3, "SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}),
    "lstm": Spec(lstm, (5, 4, 3), 3, "Adam", {"lr": 0.01}),
    "transformer": Spec(transformer, (4, 5, 8), 3, "AdamW", {"lr": 0.01}),
}
