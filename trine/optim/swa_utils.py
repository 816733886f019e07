"""Averaging of models: stochastic weight averaging and exponential moving averages."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from trine.errors import ArgumentError, message
from trine.nn import Module
from trine.optim.lr_scheduler.base import LRScheduler, per_group
from trine.optim.optimizer import Optimizer
from trine.tensor import Tensor, flush
from trine.tensor.convert import tensor
from trine.tensor.grad_mode import no_grad

__all__ = ["SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn", "update_bn"]

Average = Callable[[Tensor, Tensor, Any], Tensor]
MultiAverage = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ArgumentError(message(f"Invalid decay value {decay} provided", received=decay, expected="a value in [0, 1]"))


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """Return the average ``decay * average + (1 - decay) * value``, for `AveragedModel`.

    >>> import trine
    >>> average = trine.optim.swa_utils.get_ema_avg_fn(0.75)
    >>> average(trine.tensor(1.0), trine.tensor(5.0), 1).item()
    2.0
    """
    _check_decay(decay)

    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        with no_grad():
            return ema_param * decay + current_param * (1 - decay)

    return ema_update


def get_swa_avg_fn() -> Average:
    """Return the average of equal weights, for `AveragedModel`."""

    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        with no_grad():
            averaged: Tensor = averaged_param + (current_param - averaged_param) / (num_averaged + 1)
            return averaged

    return swa_update


def _for_lists(average: Average) -> MultiAverage:
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Any) -> None:
        with no_grad():
            for mine, new in zip(averaged, current, strict=True):
                mine.copy_(average(mine, new, num_averaged))

    return update


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverage:
    """Return the average of `get_ema_avg_fn` for lists of tensors, in place."""
    return _for_lists(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> MultiAverage:
    """Return the average of `get_swa_avg_fn` for lists of tensors, in place."""
    return _for_lists(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a model whose parameters are running averages of the model's.

    Args:
        model: what is averaged. device: where the copy lives. avg_fn: (average, value, number so far) -> new average; multi_avg_fn: that
            for lists, in place; default: equal weights. use_buffers: average buffers too (else they are copied).

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018.

    >>> import trine
    >>> model = trine.nn.Linear(2, 1)
    >>> average = trine.optim.swa_utils.AveragedModel(model)
    >>> average.update_parameters(model)
    >>> average.n_averaged.item(), average(trine.ones(1, 2)).shape
    (1, trine.Size([1, 1]))
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: MultiAverage | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError(message("Only one of avg_fn and multi_avg_fn should be provided", received="both"))
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the averaged model returns."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the model's parameters into the average."""
        with no_grad():
            pairs = [(mine.detach(), new.detach()) for mine, new in zip(self._averaged(self.module), self._averaged(model), strict=True)]
            if self.n_averaged.item() == 0:
                for mine, new in pairs:
                    mine.copy_(new)
            elif self.multi_avg_fn is not None:
                groups = Optimizer._group_tensors_by_device_and_dtype([[p[0] for p in pairs], [p[1] for p in pairs]])
                for (averaged, current), _ in groups.values():
                    self.multi_avg_fn(averaged, current, self.n_averaged)
            else:
                average = self.avg_fn or get_swa_avg_fn()
                for mine, new in pairs:
                    mine.copy_(average(mine, new, self.n_averaged))
            if not self.use_buffers:
                for mine, new in zip(self.module.buffers(), model.buffers(), strict=True):
                    mine.detach().copy_(new.detach())
            self.n_averaged += 1
        flush()

    def _averaged(self, module: Module) -> Iterator[Tensor]:
        return itertools.chain(module.parameters(), module.buffers() if self.use_buffers else ())


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of the model's batch norm layers anew, from the batches of a loader (or their first parts)."""
    layers = [m for m in model.modules() if hasattr(m, "reset_running_stats") and hasattr(m, "momentum")]
    layers = [m for m in layers if getattr(m, "running_mean", None) is not None]
    if not layers:
        return
    momenta = [m.momentum for m in layers]
    was_training = model.training
    with no_grad():
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
        model.train()
        for batch in loader:
            x = batch[0] if isinstance(batch, list | tuple) else batch
            model(x if device is None else x.to(device))
            flush()
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    model.train(was_training)


_ANNEALINGS: dict[str, Callable[[float], float]] = {"cos": lambda t: (1 - math.cos(math.pi * t)) / 2, "linear": lambda t: t}


class SWALR(LRScheduler):
    """Moves the rates to `swa_lr` in `anneal_epochs` steps and keeps them there.

    Args:
        optimizer: its rates are set. swa_lr: a number, or one for each group. anneal_strategy: "cos" or "linear".
    """

    def __init__(
        self, optimizer: Optimizer, swa_lr: float, anneal_epochs: int = 10, anneal_strategy: str = "cos", last_epoch: int = -1
    ) -> None:
        for rate, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in _ANNEALINGS:
            raise ArgumentError(message("anneal_strategy must be one of 'cos' or 'linear'", received=repr(anneal_strategy)))
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ArgumentError(message("anneal_epochs must be equal or greater than 0", received=anneal_epochs))
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """Return the rates of the current step, from those of the step before."""
        self._check_called_in_step()
        step = self._step_count - 1
        step = max(1, step) if self.anneal_epochs == 0 else step
        length = max(1, self.anneal_epochs)
        anneal = _ANNEALINGS[self._anneal_strategy]
        before, now = (anneal(max(0, min(1, s / length))) for s in (step - 1, step))
        rates = []
        for group in self.optimizer.param_groups:
            target = group["swa_lr"]
            start = target if before == 1 else (group["lr"] - before * target) / (1 - before)
            rates.append(target * now + start * (1 - now))
        return rates
