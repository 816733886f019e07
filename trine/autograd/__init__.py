"""Automatic differentiation.

This floor holds the gradient rules over nodes. The names of the table below are the public interface; they belong to
the tensor floor above and are found there on first use.
"""

import importlib
from typing import Any

_PUBLIC = {
    "Function": "trine.tensor.function",
    "backward": "trine.tensor.autograd",
    "enable_grad": "trine.tensor.grad_mode",
    "function": "trine.tensor.function",
    "grad": "trine.tensor.autograd",
    "gradcheck": "trine.tensor.gradcheck",
    "gradgradcheck": "trine.tensor.gradcheck",
    "inference_mode": "trine.tensor.grad_mode",
    "no_grad": "trine.tensor.grad_mode",
    "set_grad_enabled": "trine.tensor.grad_mode",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'trine.autograd' has no attribute '{name}'")
    module = importlib.import_module(_PUBLIC[name])
    value = module if name == "function" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
