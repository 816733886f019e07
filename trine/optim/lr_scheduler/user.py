"""Schedulers by functions of the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine.errors import ArgumentError, DTypeError, message
from trine.optim.lr_scheduler.base import LRScheduler, saved_functions, values_of
from trine.optim.optimizer import Optimizer

Lambda = Callable[[int], float]


class _UserScheduler(LRScheduler):
    """Base: a function for each group."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Lambda | list[Lambda], last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        groups = optimizer.param_groups
        self.lr_lambdas: list[Any] = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * len(groups)
        if len(self.lr_lambdas) != len(groups):
            raise ArgumentError(message(f"Expected {len(groups)} lr_lambdas", received=len(self.lr_lambdas), expected=len(groups)))
        for function in self.lr_lambdas:
            if not callable(function):
                raise DTypeError(message("lr_lambda should be a function", received=type(function).__name__))
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the state; of the functions, only the attributes of callable objects."""
        return {**super().state_dict(), "lr_lambdas": saved_functions(self.lr_lambdas)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that `state_dict` returned; functions stay those of this scheduler."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "lr_lambdas"})
        for function, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                function.__dict__.update(attributes)


class LambdaLR(_UserScheduler):
    """Sets the rate to the initial one times ``lr_lambda(epoch)`` (a function, or one for each group).

    >>> import trine
    >>> optimizer = trine.optim.SGD([trine.nn.Parameter(trine.ones(1))], lr=1.0)
    >>> scheduler = trine.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def get_lr(self) -> list[Any]:
        """Return the rates of `last_epoch`."""
        self._check_called_in_step()
        return [base * function(self.last_epoch) for function, base in zip(self.lr_lambdas, self.base_lrs, strict=True)]


class MultiplicativeLR(_UserScheduler):
    """Multiplies the rate by ``lr_lambda(epoch)`` (a function, or one for each group)."""

    def get_lr(self) -> list[Any]:
        """Return the rates of `last_epoch`, from those of the epoch before."""
        self._check_called_in_step()
        if self._is_initial:
            return values_of(self.optimizer, "lr")
        return [g["lr"] * function(self.last_epoch) for function, g in zip(self.lr_lambdas, self.optimizer.param_groups, strict=True)]
