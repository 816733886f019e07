"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from trine.optim import rules
from trine.optim.optimizer import Group, ParamsT
from trine.optim.recorded import INFINITY, Numbers, RecordedOptimizer, check_options, number
from trine.tensor import Tensor


class ASGD(RecordedOptimizer):
    """Averaged stochastic gradient descent; the average of a parameter is in its state as "ax".

    Args:
        params: parameters or groups. lr: learning rate. lambd: decay. alpha: power of the learning rate's fall. t0: step at which averaging
            begins. weight_decay: L2 penalty. maximize: ascend. differentiable: record gradients through the step.
            foreach, capturable: accepted.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> optimizer = trine.optim.ASGD([w], lr=0.25, lambd=0.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.5]
    """

    rule = rules.asgd
    names = same_shape = ("ax",)
    numbers = ("step", "eta", "mu")
    start = {"step": 0, "eta": 0.0, "mu": 1.0}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        check_options("ASGD", lr=(lr, 0, INFINITY), weight_decay=(weight_decay, 0, INFINITY))
        defaults: dict[str, Any] = {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay}
        defaults |= {"foreach": foreach, "maximize": maximize, "differentiable": differentiable, "capturable": capturable}
        super().__init__(params, defaults)

    def first_numbers(self, group: Group) -> Numbers:
        """Return the numbers of a parameter before its first step: eta is the learning rate."""
        return {**self.start, "eta": number(group["lr"])}

    def flags(self, group: Group) -> rules.Flags:
        """Return what of the rule is switched on."""
        return rules.Flags(group["weight_decay"] != 0, group["maximize"])

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the operands of `rules.asgd`."""
        lr, lambd = number(group["lr"]), number(group["lambd"])
        eta, mu = numbers["eta"], numbers["mu"]
        numbers["step"] = step = numbers["step"] + 1
        numbers["eta"] = lr / (1 + lambd * lr * step) ** number(group["alpha"])
        numbers["mu"] = 1 / max(1, step - number(group["t0"]))
        return eta, 1 - lambd * eta, mu, number(group["weight_decay"])
