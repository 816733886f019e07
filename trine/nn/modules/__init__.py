"""The layers under the module names that PyTorch programs import: ``from trine.nn.modules.conv import _ConvNd``.

Each name here stands for one or more modules of `trine.nn`; nothing is defined twice.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from trine import nn as _nn
from trine.nn.modules import utils as utils

_SOURCES = {
    "activation": "activation multi_head_attention attention",
    "adaptive": "adaptive",
    "batchnorm": "normalization lazy_layers",
    "channelshuffle": "rearranging",
    "container": "container parameter_containers",
    "conv": "conv lazy_layers",
    "distance": "distance",
    "dropout": "dropout",
    "flatten": "flatten",
    "fold": "rearranging",
    "instancenorm": "normalization lazy_layers",
    "lazy": "lazy",
    "linear": "linear lazy",
    "loss": "loss",
    "module": "module",
    "normalization": "normalization",
    "padding": "padding",
    "pixelshuffle": "rearranging",
    "pooling": "pooling",
    "rnn": "rnn rnn_cell",
    "sparse": "embedding",
    "transformer": "transformer",
    "upsampling": "upsampling",
}
"""Name below `trine.nn.modules` -> modules of `trine.nn` that hold its classes, where they exist."""


class _View(ModuleType):
    """A module that finds its names in others."""

    def __init__(self, name: str, sources: tuple[str, ...]) -> None:
        super().__init__(f"{__name__}.{name}", f"The classes of torch.nn.modules.{name}.")
        self._sources = sources

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return sorted({n for module in self._found() for n in vars(module) if _is_class_of(module, n)})
        if not (name.startswith("__") and name.endswith("__")):
            for module in self._found():
                if hasattr(module, name):
                    return getattr(module, name)
            if hasattr(_nn, name) and not name.startswith("_"):
                return getattr(_nn, name)
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.__all__]

    def _found(self) -> list[ModuleType]:
        found = []
        for source in self._sources:
            name = f"trine.nn.{source}"
            try:
                found.append(importlib.import_module(name))
            except ModuleNotFoundError as error:
                if error.name != name:
                    raise
        return found


def _is_class_of(module: ModuleType, name: str) -> bool:
    value = vars(module)[name]
    return isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_")


for _name, _sources in _SOURCES.items():
    globals()[_name] = sys.modules[f"{__name__}.{_name}"] = _View(_name, tuple(_sources.split()))


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return [n for n in _nn.__all__ if isinstance(getattr(_nn, n), type)]
    if not name.startswith("_") and hasattr(_nn, name):
        return getattr(_nn, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
