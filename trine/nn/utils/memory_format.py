"""Memory formats of convolution weights."""

from __future__ import annotations

from typing import Any, TypeVar

from trine.nn.module import Module

M = TypeVar("M", bound=Module)


def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Return the module: the compiler chooses the order of axes in memory for each program, whatever is asked for."""
    return module


def convert_conv3d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Return the module: the compiler chooses the order of axes in memory for each program, whatever is asked for."""
    return module
