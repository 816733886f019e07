"""Schedulers made of schedulers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from trine.errors import ArgumentError, DTypeError, message
from trine.optim.lr_scheduler.base import LRScheduler, set_value, values_of
from trine.optim.lr_scheduler.plateau import ReduceLROnPlateau
from trine.optim.optimizer import Optimizer


class _Combined(LRScheduler):
    """Base: keeps a list of schedulers."""

    _schedulers: Sequence[LRScheduler]

    def _check(self, schedulers: Sequence[Any], optimizer: Any) -> None:
        name = type(self).__name__
        for i, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise DTypeError(
                    message(f"{name} at index {i} should have `optimizer` as its attribute", received=type(scheduler).__name__)
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                what = f"{name} does not support `ReduceLROnPlateau`, whose step takes a metric"
                raise ArgumentError(message(what, received=f"one at index {i}", fix="call its step yourself"))
            if scheduler.optimizer is not optimizer:
                what = f"{name} expects all schedulers to belong to the same optimizer"
                raise ArgumentError(message(what, received=f"{type(scheduler).__name__} at index {i} has another one"))

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with those of the schedulers."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that `state_dict` returned."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class SequentialLR(_Combined):
    """One scheduler after another: `milestones` are the epochs at which the next one takes over.

    >>> import trine
    >>> from trine.optim import lr_scheduler
    >>> optimizer = trine.optim.SGD([trine.nn.Parameter(trine.ones(1))], lr=1.0)
    >>> warmup = lr_scheduler.ConstantLR(optimizer, factor=0.1, total_iters=20)
    >>> decay = lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = lr_scheduler.SequentialLR(optimizer, [warmup, decay], milestones=[2])
    >>> rates = []
    >>> for _ in range(4):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.1, 0.1, 1.0, 0.5]
    """

    def __init__(self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1) -> None:
        if not schedulers:
            raise ArgumentError(message("SequentialLR expects at least one scheduler", received="none"))
        self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            expected = f"{len(schedulers) - 1} for {len(schedulers)} schedulers"
            raise ArgumentError(message("SequentialLR: milestones", received=f"{len(milestones)} of them", expected=expected))
        self._schedulers, self._milestones, self.optimizer = schedulers, milestones, optimizer
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:  # undo what the schedulers set when they were made
            set_value(group, "lr", group["initial_lr"])
        self.recursive_undo()
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def recursive_undo(self, sched: Any = None) -> None:
        """Take back the first step of the schedulers (and of those in them)."""
        one = self if sched is None else sched
        if hasattr(one, "_schedulers"):
            for scheduler in one._schedulers:
                self.recursive_undo(scheduler)
        elif hasattr(one, "last_epoch"):
            one.last_epoch -= 1

    def step(self) -> None:  # type: ignore[override]
        """Go to the next epoch."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Combined):
    """Schedulers that all step together, each from the rates that the one before has set."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ArgumentError(message("ChainedScheduler expects at least one scheduler to be chained", received="none"))
        optimizer = optimizer or getattr(schedulers[0], "optimizer", None)
        self._check(schedulers, optimizer)
        self._schedulers, self.optimizer = schedulers, schedulers[0].optimizer
        self._last_lr = values_of(self.optimizer, "lr")

    def step(self) -> None:  # type: ignore[override]
        """Step all schedulers."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = values_of(self.optimizer, "lr")
