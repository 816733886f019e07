"""A small GPT that learns to write, character by character.

python examples/gpt.py                    # learns from the Python reference manual that comes with Python
python examples/gpt.py --text plays.txt   # or from any text: Shakespeare is the classic
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np

import trine
from trine import nn
from trine.nn import functional as F


class Block(nn.Module):
    """One layer: causal self-attention, then a two-layer network, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, x: trine.Tensor, mask: trine.Tensor) -> trine.Tensor:
        batch, length, width = x.shape
        heads = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (batch, heads, length, width / heads)
        scores = q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)  # (batch, heads, length, length)
        weights = scores.masked_fill(mask, float("-inf")).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, length, width))

    def forward(self, x: trine.Tensor, mask: trine.Tensor) -> trine.Tensor:
        x = x + self.attend(self.norm1(x), mask)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """Token ids (batch, length) to logits (batch, length, vocabulary)."""

    def __init__(self, vocabulary: int, context: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.context = context
        self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: trine.Tensor) -> trine.Tensor:
        length = ids.shape[1]
        mask = trine.ones(length, length, dtype=trine.bool).triu(1)  # True: the future, not to be seen
        x = self.token(ids) + self.position(trine.arange(length))
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.norm(x))


def read_text(path: Path | None) -> str:
    if path is not None:
        return path.read_text(encoding="utf-8")
    from pydoc_data.topics import topics

    return "\n".join(topics.values())


def write(model: GPT, start: list[int], count: int, temperature: float, rng: np.random.Generator) -> list[int]:
    """Return `start` and `count` more ids, each drawn from what the model expects."""
    ids = list(start)
    with trine.no_grad():
        for _ in range(count):
            logits = model(trine.tensor([ids[-model.context :]]))[0, -1] / temperature
            ids.append(int(rng.choice(len(logits), p=logits.double().softmax(-1).numpy())))
    return ids


def main() -> float:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="a UTF-8 file")
    for name, value in (
        ("steps", 500),
        ("batch", 16),
        ("context", 64),
        ("width", 128),
        ("heads", 4),
        ("layers", 3),
        ("sample", 300),
        ("seed", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--temperature", type=float, default=0.8)
    options = parser.parse_args()

    text = read_text(options.text)
    characters = sorted(set(text))
    encode = {character: number for number, character in enumerate(characters)}
    data = np.array([encode[character] for character in text])
    print(f"{len(data):,} characters, {len(characters)} different")

    trine.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    model = GPT(len(characters), options.context, options.width, options.heads, options.layers)
    optimizer = trine.optim.AdamW(model.parameters(), lr=options.lr, betas=(0.9, 0.95), weight_decay=0.1)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")

    start, average = time.perf_counter(), math.log(len(characters))
    for step in range(options.steps):
        rows = rng.integers(0, len(data) - options.context - 1, options.batch)[:, None] + np.arange(options.context + 1)
        window = trine.from_numpy(data[rows])  # (batch, context + 1)
        logits = model(window[:, :-1])
        loss = F.cross_entropy(logits.reshape(-1, len(characters)), window[:, 1:].reshape(-1))
        for group in optimizer.param_groups:  # rises over 50 steps, then decays; nothing is compiled again
            group["lr"] = options.lr * min((step + 1) / 50, 0.5 + 0.5 * math.cos(math.pi * step / options.steps))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average += 0.05 * (loss.item() - average)
        if step % 50 == 0 or step == options.steps - 1:
            print(f"step {step:5d}  loss {average:.3f}  {(step + 1) / (time.perf_counter() - start):.1f} steps/s", flush=True)

    ids = write(model, [encode["\n"] if "\n" in encode else 0], options.sample, options.temperature, rng)
    print("-" * 60)
    print("".join(characters[i] for i in ids))
    return average


if __name__ == "__main__":
    main()
