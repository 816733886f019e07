"""The workloads in PyTorch: the program of `fw_trine.py` with another import. Variants: eager, compile, cl (channels last)."""

from __future__ import annotations

from pathlib import Path

_program = Path(__file__).with_name("fw_trine.py")
exec(compile(_program.read_text("utf-8").replace("import trine as torch", "import torch"), str(_program), "exec"))  # noqa: S102

_all = TRAINING + INFERENCE  # noqa: F821
VARIANTS = {
    "eager": [*_all, "W3fit", "W10", "M1", "M1g", "M1b", "M1v", "M2", "M3", "M3b", "M4", "M6"],
    "compile": [*_all, "W10", "M3", "M3b", "M4", "M6"],
    "cl": ["W3", "W4", "W7b1", "W7b16"],
}
