"""CyclicLR."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trine.errors import ArgumentError, message
from trine.optim.lr_scheduler.base import LRScheduler, check_optimizer, per_group, saved_functions, set_value
from trine.optim.lr_scheduler.momentum import set_momentum, start_momentum, uses_beta1
from trine.optim.optimizer import Optimizer

# mode -> (how high a cycle is, from its number or that of the iteration; which of both)
_MODES: dict[str, tuple[Callable[[float, float], float], str]] = {
    "triangular": (lambda gamma, x: 1.0, "cycle"),
    "triangular2": (lambda gamma, x: 1 / 2.0 ** (x - 1), "cycle"),
    "exp_range": (lambda gamma, x: gamma**x, "iterations"),
}


class CyclicLR(LRScheduler):
    """Moves the rate between `base_lr` and `max_lr` in triangles, and the momentum the other way.

    Args:
        optimizer: its rates are set after each batch. base_lr, max_lr: numbers, or one for each group. step_size_up, step_size_down: of the
            two sides. mode: "triangular", "triangular2" (each cycle half as high) or "exp_range" (times gamma ** iteration).
        scale_fn, scale_mode: a function of the user instead of the mode, of the "cycle" or the "iterations".
        cycle_momentum, base_momentum, max_momentum: for the momentum.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for rate, group in zip(base_lrs, optimizer.param_groups, strict=True):
                set_value(group, "lr", rate)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if mode not in _MODES and scale_fn is None:
            raise ArgumentError(message("mode is invalid and scale_fn is None", received=mode, expected=f"one of {list(_MODES)}"))
        self.mode, self.gamma = mode, gamma
        self._scale_fn_custom: Any = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else _MODES[mode][1]
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = uses_beta1(optimizer)
            self.base_momentums = per_group("base_momentum", optimizer, base_momentum)
            self.max_momentums = per_group("max_momentum", optimizer, max_momentum)
            if last_epoch == -1:
                start_momentum(optimizer, self.base_momentums, self.max_momentums, self.use_beta1)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """Return how high the cycle (or iteration) number x is."""
        if self._scale_fn_custom is not None:
            return float(self._scale_fn_custom(x))
        return _MODES[self.mode][0](self.gamma, x)

    def get_lr(self) -> list[Any]:
        """Return the rates of `last_epoch` (and set the momentum)."""
        self._check_called_in_step()
        position = self.last_epoch / self.total_size
        cycle = math.floor(1 + position)
        x = 1.0 + position - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            limits = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in limits:
                set_momentum(group, high - (high - low) * height * scale, self.use_beta1)
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Return the state; of a function of the user, only the attributes of a callable object."""
        saved = saved_functions([self._scale_fn_custom])[0] if self._scale_fn_custom is not None else None
        return {**super().state_dict(), "_scale_fn_custom": saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that `state_dict` returned; a function stays that of this scheduler."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_scale_fn_custom"})
        if state_dict.get("_scale_fn_custom") is not None:
            self._scale_fn_custom.__dict__.update(state_dict["_scale_fn_custom"])
