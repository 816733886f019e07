"""Training a small residual network with strides, shortcuts and batch norm: the losses and outputs of PyTorch."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import trine

torch = pytest.importorskip("torch")

CHANNELS = 32


def trained(framework: ModuleType, steps: int = 4) -> list[float]:
    nn, functional = framework.nn, framework.nn.functional
    rng = np.random.default_rng(0)

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1, self.norm1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
            self.conv2, self.norm2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

        def forward(self, x: Any) -> Any:
            y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
            return functional.relu(y + self.shortcut(x))

    blocks = [Block(CHANNELS, CHANNELS, 1), Block(CHANNELS, 40, 2), Block(40, 40, 1)]
    network = nn.Sequential(
        nn.Conv2d(3, CHANNELS, 3, 1, 1), nn.MaxPool2d(2), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 5)
    )
    with framework.no_grad():
        for parameter in network.parameters():
            array = rng.standard_normal(tuple(parameter.shape)) * 0.1 + (1.0 if parameter.dim() == 1 else 0.0)
            parameter.copy_(framework.tensor(array.astype(np.float32)))
    x = framework.tensor(rng.standard_normal((6, 3, 20, 24)).astype(np.float32))
    target = framework.tensor(rng.integers(0, 5, 6))
    optimizer = framework.optim.SGD(network.parameters(), 0.05, 0.9)
    losses = []
    for _ in range(steps):
        loss = functional.cross_entropy(network(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    network.eval()
    with framework.no_grad():
        losses += [float(value) for value in network(x).abs().mean(0)]
    return losses


def test_losses_are_those_of_torch() -> None:
    np.testing.assert_allclose(trained(trine), trained(torch), rtol=2e-3, atol=1e-4)
