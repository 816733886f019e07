"""Whole models against PyTorch's: the same weights, five training steps, the same losses, on both engines; reloaded in another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trine
from tests.doors.torch_models import MODELS
from tests.doors.torch_parity import assert_close, copy_weights, torch
from trine import config
from trine.tensor.state import automaton

STEPS = 5


@pytest.fixture(params=["native", "numpy"])
def engine(request: Any) -> Iterator[str]:
    before = config.settings.engine
    trine.set_engine(request.param)
    yield request.param
    trine.set_engine(before)


def batches(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(5)
    shape, classes = MODELS[name].shape, MODELS[name].classes
    return [(rng.standard_normal(shape).astype(np.float32), rng.integers(0, classes, shape[0])) for _ in range(STEPS)]


def train(library: Any, model: Any, optimizer: Any, data: Any) -> list[Any]:
    losses = []
    for x, y in data:
        optimizer.zero_grad()
        loss = library.nn.functional.cross_entropy(model(library.tensor(x)), library.tensor(y))
        loss.backward()
        optimizer.step()
        losses.append(loss)
    return [loss.item() for loss in losses]


@pytest.mark.parametrize("name", MODELS)
def test_training(name: str, engine: str, tmp_path: Path) -> None:
    spec = MODELS[name]
    torch.manual_seed(0)
    ours, theirs = spec.build(trine), spec.build(torch)
    copy_weights(ours, theirs)
    optimizers = [getattr(library.optim, spec.optimizer)(m.parameters(), **spec.options) for library, m in ((trine, ours), (torch, theirs))]
    data = batches(name)
    mine = train(trine, ours, optimizers[0], data[:3])
    built = automaton.info()["plans_built"]
    mine += train(trine, ours, optimizers[0], data[3:])
    assert automaton.info()["plans_built"] <= built + 1  # reading the losses ends two steps at another place than three
    other = train(torch, theirs, optimizers[1], data)
    np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)
    ours.eval()
    theirs.eval()
    x = data[0][0]
    predictions = ours(trine.tensor(x)).detach()
    assert_close(predictions, theirs(torch.tensor(x)), 1e-3, 1e-4)
    if engine == "native":
        reload_elsewhere(name, ours, x, predictions.numpy(), tmp_path)


def reload_elsewhere(name: str, model: Any, x: np.ndarray, predictions: np.ndarray, place: Path) -> None:
    """The saved model gives the same bits in another process."""
    trine.save(model.state_dict(), place / "model")
    np.save(place / "x.npy", x)
    program = f"""
import sys
import numpy as np
import trine
from tests.doors.torch_models import MODELS
model = MODELS[{name!r}].build(trine)
model.load_state_dict(trine.load({str(place / "model")!r}))
model.eval()
np.save({str(place / "y.npy")!r}, model(trine.tensor(np.load({str(place / "x.npy")!r}))).detach().numpy())
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=120, cwd=root)
    assert np.load(place / "y.npy").tobytes() == predictions.tobytes()
