"""Differentiation: gradient rules over nodes, and what programs call.

The names are found on first use: those that work on tensors lie on a higher floor than the rules.
"""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = {
    "Function": "trine.tensor.function",
    "backward": "trine.tensor.autograd",
    "detect_anomaly": "trine.tensor.anomaly",
    "enable_grad": "trine.tensor.grad_mode",
    "forward_ad": "trine.tensor.forward_ad",
    "function": "trine.tensor.function_names",
    "functional": "trine.tensor.functional",
    "grad": "trine.tensor.autograd",
    "grad_mode": "trine.tensor.grad_mode",
    "gradcheck": "trine.tensor.gradcheck",
    "gradgradcheck": "trine.tensor.gradcheck",
    "graph": "trine.tensor.graph_hooks",
    "inference_mode": "trine.tensor.grad_mode",
    "no_grad": "trine.tensor.grad_mode",
    "set_detect_anomaly": "trine.tensor.anomaly",
    "set_grad_enabled": "trine.tensor.grad_mode",
    "variable": "trine.tensor.function_names",
    "Variable": "trine.tensor.function_names",
}
_MODULES = ("forward_ad", "function", "functional", "grad_mode", "graph", "variable")


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'trine.autograd' has no attribute '{name}'")
    module = importlib.import_module(_PUBLIC[name])
    value = module if name in _MODULES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
