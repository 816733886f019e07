"""Schedulers along a cosine."""

from __future__ import annotations

import math
from typing import Any

from trine.errors import ArgumentError, message
from trine.optim.lr_scheduler.base import LRScheduler, values_of
from trine.optim.optimizer import Optimizer


def _cosine(progress: float) -> float:
    return 1 + math.cos(math.pi * progress)


class CosineAnnealingLR(LRScheduler):
    """Lets the rate fall to `eta_min` in `T_max` epochs along half a cosine (and rise again).

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017.

    >>> import trine
    >>> optimizer = trine.optim.SGD([trine.nn.Parameter(trine.ones(1))], lr=1.0)
    >>> scheduler = trine.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> round(scheduler.get_last_lr()[0], 4)
    0.5
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the rates of `last_epoch`, from those of the epoch before."""
        self._check_called_in_step()
        if self._is_initial:
            return values_of(self.optimizer, "lr")
        if self._step_count == 1 and self.last_epoch > 0:
            return self._get_closed_form_lr()
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # out of the minimum, where the ratio below has no meaning
            rise = (2 - _cosine(1 / self.T_max)) / 2
            return [rate + (base - self.eta_min) * rise for rate, base in zip(rates, self.base_lrs, strict=True)]
        ratio = _cosine(self.last_epoch / self.T_max) / _cosine((self.last_epoch - 1) / self.T_max)
        return [ratio * (rate - self.eta_min) + self.eta_min for rate in rates]

    def _get_closed_form_lr(self) -> list[Any]:
        height = _cosine(self.last_epoch / self.T_max) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """As `CosineAnnealingLR`, and starts again after `T_0` epochs, after `T_0 * T_mult` more, and so on.

    Raises:
        ArgumentError: T_0 is no positive integer, T_mult no integer of 1 or more, or eta_min no number.
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ArgumentError(message("Expected positive integer T_0", received=T_0))
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ArgumentError(message("Expected integer T_mult >= 1", received=T_mult))
        if not isinstance(eta_min, float | int):
            raise ArgumentError(message("Expected float or int eta_min", received=repr(eta_min)))
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the rates of the place in the current period."""
        self._check_called_in_step()
        height = _cosine(self.T_cur / self.T_i) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go to the next epoch, or to the given one (which may be a fraction)."""
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            if epoch < 0:
                raise ArgumentError(message("Expected non-negative epoch", received=epoch))
            self._place(epoch)
        self.last_epoch = math.floor(epoch)
        with self._inside_step():
            values = self.get_lr()
        self._set(values)

    def _place(self, epoch: float) -> None:
        """Set the place in the period that holds an epoch."""
        self.T_i, self.T_cur = self.T_0, epoch
        if epoch >= self.T_0 and self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        elif epoch >= self.T_0:
            period = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**period - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**period
