"""Adamax."""

from __future__ import annotations

from typing import Any

from trine.optim import rules
from trine.optim.adam import check_adam_options
from trine.optim.optimizer import Group, ParamsT
from trine.optim.recorded import Numbers, RecordedOptimizer, number
from trine.tensor import Tensor


class Adamax(RecordedOptimizer):
    """Adam with the infinity norm.

    Args:
        params: parameters or groups. lr: learning rate. betas: decay of mean and norm. eps: added to the gradients' size.
        weight_decay: L2 penalty. maximize: ascend. differentiable: record gradients through the step. foreach, capturable: accepted.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> optimizer = trine.optim.Adamax([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.9
    """

    rule = rules.adamax
    names = same_shape = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_adam_options("Adamax", lr, betas, eps, weight_decay)
        defaults: dict[str, Any] = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach}
        super().__init__(params, defaults | {"maximize": maximize, "differentiable": differentiable, "capturable": capturable})

    def flags(self, group: Group) -> rules.Flags:
        """Return what of the rule is switched on."""
        return rules.Flags(group["weight_decay"] != 0, group["maximize"])

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the operands of `rules.adamax`."""
        numbers["step"] += 1
        beta1, beta2 = map(number, group["betas"])
        step_size = number(group["lr"]) / (1 - beta1 ** numbers["step"])
        return beta1, beta2, number(group["eps"]), step_size, number(group["weight_decay"])
