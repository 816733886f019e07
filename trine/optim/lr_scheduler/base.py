"""The base of learning rate schedulers."""

from __future__ import annotations

import contextlib
import types
import warnings
from collections.abc import Iterator
from typing import Any

from trine.errors import ArgumentError, DTypeError, message
from trine.optim.optimizer import Optimizer
from trine.tensor import Tensor

_EPOCH = "scheduler.step(epoch): the argument is deprecated; call scheduler.step(). With it, the closed form is used where there is one."
_ORDER = (
    "lr_scheduler.step() was called before optimizer.step(): the first value of the learning rate schedule is skipped. "
    "Call optimizer.step() first."
)


class MissingInitialRate(ArgumentError, KeyError):
    """A group has no "initial_lr", which a scheduler that goes on from an epoch needs."""


def values_of(optimizer: Optimizer, key: str) -> list[Any]:
    """Return an option of every group (copies of tensors)."""
    return [group[key].clone() if isinstance(group[key], Tensor) else group[key] for group in optimizer.param_groups]


def set_value(group: dict[str, Any], key: str, value: Any) -> None:
    """Set an option of a group; a tensor is filled in place."""
    if isinstance(group[key], Tensor):
        group[key].fill_(float(value))
    else:
        group[key] = value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """Return a value for every group, from one value or a list of them.

    Raises:
        ArgumentError: the list has another length.
    """
    groups = optimizer.param_groups
    values = list(value) if isinstance(value, list | tuple) else [value] * len(groups)
    if len(values) != len(groups):
        what = f"{name} must have the same length as optimizer.param_groups"
        raise ArgumentError(message(what, received=f"{len(values)} values", expected=f"{len(groups)}"))
    return [v.clone() if isinstance(v, Tensor) else v for v in values]


def check_optimizer(optimizer: Any) -> None:
    """Raise DTypeError (a TypeError) unless it is an optimizer."""
    if not isinstance(optimizer, Optimizer):
        what = f"{type(optimizer).__name__} is not an Optimizer"
        raise DTypeError(message(what, received=type(optimizer).__name__, expected="an Optimizer"))


def saved_functions(functions: list[Any]) -> list[Any]:
    """Return what of user functions can be saved: the attributes of callable objects, None for functions."""
    return [None if isinstance(f, types.FunctionType) or not hasattr(f, "__dict__") else dict(f.__dict__) for f in functions]


class LRScheduler:
    """Base of learning rate schedulers: a subclass gives `get_lr`, from `last_epoch`, `base_lrs` and the groups' current rates.

    Args:
        optimizer: its groups' "lr" is set. last_epoch: -1 begins; another value goes on (groups must have their "initial_lr").

    Raises:
        DTypeError: it is no optimizer. MissingInitialRate: a KeyError; last_epoch is given and a group has no "initial_lr".

    >>> import trine
    >>> optimizer = trine.optim.SGD([trine.nn.Parameter(trine.ones(1))], lr=1.0)
    >>> class Halved(trine.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base / 2**self.last_epoch for base in self.base_lrs]
    >>> scheduler = Halved(optimizer)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                rate = group["lr"]
                group.setdefault("initial_lr", rate.clone() if isinstance(rate, Tensor) else rate)
            elif "initial_lr" not in group:
                what = f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with last_epoch >= 0"
                raise MissingInitialRate(message(what, fix="load the optimizer's state first, or leave last_epoch out"))
        self.base_lrs: list[Any] = values_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            del self._is_initial

    def state_dict(self) -> dict[str, Any]:
        """Return the state: everything but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that `state_dict` returned."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """Return the rates that were set last, one for each group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """Return the rates of `last_epoch`, one for each group."""
        raise NotImplementedError(f"{type(self).__name__} must define get_lr")

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch (after optimizer.step()), or to the given one."""
        if self._step_count == 1 and not getattr(self.optimizer, "_opt_called", False):
            warnings.warn(_ORDER, UserWarning, stacklevel=2)
        self._step_count += 1
        if epoch is not None:
            warnings.warn(_EPOCH, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        with self._inside_step():
            if epoch is None:
                self.last_epoch += 1
                values = self.get_lr()
            else:
                self.last_epoch = epoch
                values = getattr(self, "_get_closed_form_lr", self.get_lr)()
        self._set(values)

    def _set(self, values: list[Any]) -> None:
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            set_value(group, "lr", value)
        self._last_lr: list[Any] = values_of(self.optimizer, "lr")

    @contextlib.contextmanager
    def _inside_step(self) -> Iterator[None]:
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def _check_called_in_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn("To get the last learning rate computed by the scheduler, please use `get_last_lr()`.", UserWarning, stacklevel=3)


class _LRScheduler(LRScheduler):
    """`LRScheduler` under its old name."""
