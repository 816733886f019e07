"""The momentum that cyclic schedulers move against the rate."""

from __future__ import annotations

from typing import Any

from trine.errors import ArgumentError, message
from trine.optim.optimizer import Optimizer


def uses_beta1(optimizer: Optimizer) -> bool:
    """Return True if the momentum is the first of "betas".

    Raises:
        ArgumentError: the optimizer has no momentum.
    """
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        what = "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
        raise ArgumentError(message(what, received=type(optimizer).__name__, fix="pass cycle_momentum=False"))
    return "betas" in optimizer.defaults


def set_momentum(group: dict[str, Any], value: Any, beta1: bool) -> None:
    """Set the momentum of a group."""
    if beta1:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


def start_momentum(optimizer: Optimizer, lowest: list[Any], greatest: list[Any], beta1: bool) -> None:
    """Give groups their greatest momentum, and note the limits in them."""
    for group, low, high in zip(optimizer.param_groups, lowest, greatest, strict=True):
        set_momentum(group, high, beta1)
        group["max_momentum"], group["base_momentum"] = high, low
