"""The models of timm (resnet.py, vision_transformer.py), unchanged, with Trine in the place of PyTorch: the same outputs and training."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import trine

PROGRAM = Path(__file__).with_name("timm_program.py")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")
def test_models_of_timm(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(trine.__file__).parents[1])}
    results = []
    for library in ("torch", "trine"):
        path = tmp_path / f"{library}.npz"
        run = subprocess.run([sys.executable, PROGRAM, library, path], env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr[-2000:]
        results.append(np.load(path))
    expected, found = results
    assert sorted(expected) == sorted(found)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-8, err_msg=name)
