"""Splitting a batch over devices, and joining the results: there is one device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine.errors import ArgumentError, message
from trine.tensor.device import check_device


def _check_devices(devices: Sequence[Any]) -> None:
    if len(devices) != 1:
        raise ArgumentError(message("parallel: devices", received=list(devices), expected="one, the CPU"))
    check_device(devices[0])


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> list[Any]:
    """Return the inputs for each of the devices: a list with the inputs, for the CPU.

    Raises:
        ValueError: there are several devices. RuntimeError: it is not the CPU.
    """
    _check_devices(target_gpus)
    return [inputs]


def scatter_kwargs(inputs: Any, kwargs: Any, target_gpus: Sequence[Any], dim: int = 0) -> tuple[Any, Any]:
    """Return the inputs and the keyword arguments for each of the devices."""
    _check_devices(target_gpus)
    return (tuple(inputs),), (dict(kwargs or {}),)


def gather(outputs: Sequence[Any], target_device: Any, dim: int = 0) -> Any:
    """Return the outputs of all devices joined along an axis: the only one.

    Raises:
        ValueError: there are several.
    """
    if len(outputs) != 1:
        raise ArgumentError(message("parallel.gather: outputs", received=f"{len(outputs)} of them", expected="1, from the CPU"))
    return outputs[0]
