"""OneCycleLR."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trine.errors import ArgumentError, message
from trine.optim.lr_scheduler.base import LRScheduler, check_optimizer, per_group
from trine.optim.lr_scheduler.momentum import set_momentum, start_momentum, uses_beta1
from trine.optim.optimizer import Optimizer

ANNEALINGS: dict[str, Callable[[Any, Any, float], Any]] = {
    "cos": lambda start, end, progress: end + (start - end) / 2.0 * (math.cos(math.pi * progress) + 1),
    "linear": lambda start, end, progress: (end - start) * progress + start,
}


class OneCycleLR(LRScheduler):
    """Raises the rate to `max_lr` and lets it fall far below where it began; the momentum goes the other way. Stepped after each batch.

    Args:
        optimizer: its rates are set. max_lr: a number, or one for each group. total_steps: of the cycle, or epochs and steps_per_epoch.
        pct_start: part of the cycle in which the rate rises. anneal_strategy: "cos" or "linear".
        cycle_momentum, base_momentum, max_momentum: for the momentum. div_factor: max_lr over the initial rate.
        final_div_factor: initial rate over the last. three_phase: back to the initial rate before the last phase.

    Source: Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2018.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = _num_steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ArgumentError(message("Expected float between 0 and 1 pct_start", received=pct_start))
        if anneal_strategy not in ANNEALINGS:
            what = f"anneal_strategy must be one of {list(ANNEALINGS)}"
            raise ArgumentError(message(what, received=repr(anneal_strategy)))
        self._schedule_phases = _phases(pct_start, self.total_steps, three_phase)
        self._anneal_func_type = anneal_strategy
        rates = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for rate, group in zip(rates, optimizer.param_groups, strict=True):
                group["initial_lr"], group["max_lr"] = rate / div_factor, rate
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = uses_beta1(optimizer)
            if last_epoch == -1:
                lowest = per_group("base_momentum", optimizer, base_momentum)
                start_momentum(optimizer, lowest, per_group("max_momentum", optimizer, max_momentum), self.use_beta1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the rates of the current step (and set the momentum).

        Raises:
            ArgumentError: the cycle is over.
        """
        self._check_called_in_step()
        if self.last_epoch > self.total_steps:
            raise ArgumentError(message(f"Tried to step {self.last_epoch} times", expected=f"{self.total_steps} steps in all"))
        anneal = ANNEALINGS[self._anneal_func_type]
        phase, progress = self._place()
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                value = anneal(group[phase["start_momentum"]], group[phase["end_momentum"]], progress)
                set_momentum(group, value, self.use_beta1)
        return [anneal(group[phase["start_lr"]], group[phase["end_lr"]], progress) for group in self.optimizer.param_groups]

    def _place(self) -> tuple[dict[str, Any], float]:
        start = 0.0
        for phase in self._schedule_phases[:-1]:
            if self.last_epoch <= phase["end_step"]:
                break
            start = phase["end_step"]
        else:
            phase = self._schedule_phases[-1]
        return phase, (self.last_epoch - start) / (phase["end_step"] - start)


def _num_steps(total: int | None, epochs: int | None, per_epoch: int | None) -> int:
    if total is None and (epochs is None or per_epoch is None):
        raise ArgumentError(message("You must define either total_steps OR (epochs AND steps_per_epoch)"))
    given = {"total_steps": total} if total is not None else {"epochs": epochs, "steps_per_epoch": per_epoch}
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ArgumentError(message(f"Expected positive integer {name}", received=value))
    return math.prod(given.values())  # type: ignore[arg-type]


def _phases(pct_start: float, total: int, three_phase: bool) -> list[dict[str, Any]]:
    """Return the phases: where each ends, and which entries of a group it goes between."""
    ends: list[float] = [pct_start * total - 1, total - 1]
    rates = ["initial_lr", "max_lr", "min_lr"]
    momenta = ["max_momentum", "base_momentum", "max_momentum"]
    if three_phase:
        ends.insert(1, 2 * pct_start * total - 2)
        rates.insert(2, "initial_lr")
        momenta.append("max_momentum")
    return [
        {"end_step": end, "start_lr": rates[i], "end_lr": rates[i + 1], "start_momentum": momenta[i], "end_momentum": momenta[i + 1]}
        for i, end in enumerate(ends)
    ]
