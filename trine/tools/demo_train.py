"""The training loop of the demo."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import trine
from trine import nn
from trine.tools.demo_model import Array, accuracy, predict, to_tensor
from trine.tools.mnist import Digits


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: passes over the training digits. batch_size: digits a step. lr: the largest learning rate.
        seed: of the initial weights, the order and the dropout. shift: largest random shift of a digit, in pixels.
    """

    epochs: int
    batch_size: int
    lr: float
    seed: int
    shift: int = 0


@dataclass(slots=True)
class Progress:
    """Where the training stands, as `watch` sees it after each step. Loss and accuracy are running averages."""

    epoch: int = 0
    step: int = 0
    num_steps: int = 0
    loss: float = math.nan
    accuracy: float = math.nan
    images: int = 0
    seconds: float = 0.0

    @property
    def images_per_second(self) -> float:
        """Digits trained on in a second, the first step and its compilation included."""
        return self.images / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float:
        """Estimated from the steps so far."""
        return self.seconds / self.step * (self.num_steps - self.step) if self.step else math.inf


@dataclass(slots=True)
class History:
    """What the curves show.

    Attributes:
        loss, accuracy: of each training step. test_steps, test_accuracy: after each epoch. seconds: of the whole training.
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    test_steps: list[int] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    images: int = 0
    seconds: float = 0.0


def learning_rate(step: int, num_steps: int, largest: float) -> float:
    """Return the learning rate of a step: a linear rise over the first tenth, then half a cosine down to nothing.

    >>> [round(learning_rate(step, 100, 1.0), 2) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warmup = max(1, num_steps // 10)
    if step < warmup:
        return largest * (step + 1) / warmup
    return largest * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, num_steps - warmup)))


def shifted(images: Array, largest: int, rng: np.random.Generator) -> Array:
    """Return images (N, 28, 28), each moved by up to `largest` pixels along both axes, background moving in."""
    if largest == 0:
        return images
    height, width = images.shape[1:]
    padded = np.pad(images, ((0, 0), (largest, largest), (largest, largest)))
    moves = rng.integers(0, 2 * largest + 1, (len(images), 2))
    result = np.empty_like(images)
    for top in range(2 * largest + 1):
        for left in range(2 * largest + 1):
            chosen = (moves == (top, left)).all(1)
            result[chosen] = padded[chosen, top : top + height, left : left + width]
    return result


def train(model: nn.Module, digits: Digits, recipe: Recipe, watch: Callable[[Progress], None]) -> History:
    """Train `model` and return the history; `watch` is called after each step and each epoch.

    The accuracy on the test digits is measured after each epoch for the curve alone: nothing is chosen by it.
    """
    rng = np.random.default_rng(recipe.seed)
    labels = trine.from_numpy(digits.train_labels)
    optimizer = trine.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=1e-2)
    steps_per_epoch = -(-len(digits.train_labels) // recipe.batch_size)
    progress, history = Progress(num_steps=recipe.epochs * steps_per_epoch), History()
    model.train()
    for epoch in range(recipe.epochs):
        progress.epoch = epoch + 1
        images = to_tensor(shifted(digits.train_images, recipe.shift, rng))
        batches = trine.utils.data.DataLoader(trine.utils.data.TensorDataset(images, labels), recipe.batch_size, shuffle=True)
        for x, y in batches:
            start = time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(progress.step, progress.num_steps, recipe.lr)
            loss, correct = train_step(model, optimizer, x, y)
            progress.seconds += time.perf_counter() - start
            _note(progress, history, loss, correct / len(y), len(y))
            watch(progress)
        history.test_steps.append(progress.step)
        history.test_accuracy.append(accuracy(predict(model, digits.test_images), digits.test_labels))
    history.images, history.seconds = progress.images, progress.seconds
    return history


def train_step(model: nn.Module, optimizer: Any, x: Any, y: Any) -> tuple[float, int]:
    """Train on one batch: x (B, 1, 28, 28), y (B,). Returns the loss and the number of right answers before the update."""
    logits = model(x)
    loss = nn.functional.cross_entropy(logits, y)
    correct = (logits.argmax(1) == y).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()  # everything recorded since the last step runs here, as one program
    return loss.item(), int(correct.item())


def _note(progress: Progress, history: History, loss: float, share: float, count: int) -> None:
    history.loss.append(loss)
    history.accuracy.append(share)
    progress.step += 1
    progress.images += count
    window = slice(-50, None)
    progress.loss, progress.accuracy = float(np.mean(history.loss[window])), float(np.mean(history.accuracy[window]))
