"""Adadelta."""

from __future__ import annotations

from typing import Any

from trine.optim import rules
from trine.optim.optimizer import Group, ParamsT
from trine.optim.recorded import INFINITY, Numbers, RecordedOptimizer, check_options, number
from trine.tensor import Tensor


class Adadelta(RecordedOptimizer):
    """Adadelta: steps in the ratio of the averages of past steps and gradients.

    Args:
        params: parameters or groups. lr: factor of the steps. rho: decay of the averages. eps: under the roots.
        weight_decay: L2 penalty. maximize: ascend. differentiable: record gradients through the step. foreach, capturable: accepted.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> optimizer = trine.optim.Adadelta([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.9968
    """

    rule = rules.adadelta
    names = same_shape = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        positive = (weight_decay, 0, INFINITY)
        check_options("Adadelta", lr=(lr, 0, INFINITY), rho=(rho, 0, 1 + 2**-52), eps=(eps, 0, INFINITY), weight_decay=positive)
        defaults: dict[str, Any] = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults | {"capturable": capturable, "foreach": foreach, "differentiable": differentiable})

    def flags(self, group: Group) -> rules.Flags:
        """Return what of the rule is switched on."""
        return rules.Flags(group["weight_decay"] != 0, group["maximize"])

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the operands of `rules.adadelta`."""
        numbers["step"] += 1
        return number(group["lr"]), number(group["rho"]), number(group["eps"]), number(group["weight_decay"])
