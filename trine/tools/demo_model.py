"""The network of the demo, and its use on arrays of digits."""

from __future__ import annotations

from typing import Any

import numpy as np

import trine
from trine import nn

MEAN, STD = 0.1307, 0.3081  # of the pixels of the training digits, when 255 is 1
Array = np.ndarray[Any, Any]


class DigitNet(nn.Module):
    """Two convolutions and a linear layer, 34 826 parameters.

    Takes pixels (N, 1, 28, 28) uint8, gives one logit for each digit (N, 10).
    """

    def __init__(self, dropout: float = 0.25) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)  # 28 -> 26, pooled 13
        self.conv2 = nn.Conv2d(32, 64, 3)  # 13 -> 11, pooled 5
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(64 * 5 * 5, 10)

    def forward(self, pixels: Any) -> Any:
        """Return the logits."""
        x = (pixels.float() / 255 - MEAN) / STD
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv1(x)), 2)
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv2(x)), 2)
        return self.linear(self.dropout(x.flatten(1)))


def to_tensor(images: Array) -> Any:
    """Return images (N, 28, 28) uint8 as a tensor (N, 1, 28, 28) uint8."""
    return trine.from_numpy(np.ascontiguousarray(images).reshape(-1, 1, 28, 28))


def predict(model: nn.Module, images: Array, batch_size: int = 500) -> Array:
    """Return the logits (N, 10) float32 of images (N, 28, 28) uint8, in evaluation mode; the mode is restored afterwards."""
    was_training = model.training
    model.eval()
    try:
        with trine.no_grad():
            parts = [model(to_tensor(images[i : i + batch_size])).numpy() for i in range(0, len(images), batch_size)]
    finally:
        model.train(was_training)
    return np.concatenate(parts)


def accuracy(logits: Array, labels: Array) -> float:
    """Return the share of digits whose largest logit is the right one."""
    return float((logits.argmax(1) == labels).mean())
