"""Adagrad."""

from __future__ import annotations

from typing import Any

from trine.optim import rules
from trine.optim.optimizer import Group, ParamsT
from trine.optim.recorded import INFINITY, Numbers, RecordedOptimizer, check_modes, check_options, number
from trine.tensor import Tensor


class Adagrad(RecordedOptimizer):
    """Adagrad: step sizes fall with the sum of squared gradients.

    Args:
        params: parameters or groups. lr: learning rate. lr_decay: of the learning rate with the steps. weight_decay: L2 penalty.
        initial_accumulator_value: where the sum begins. eps: added to the root. maximize: ascend.
        differentiable: record gradients through the step. foreach, fused: accepted.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> optimizer = trine.optim.Adagrad([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.5
    """

    rule = rules.adagrad
    names = same_shape = ("sum",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_options(
            "Adagrad",
            lr=(lr, 0, INFINITY),
            lr_decay=(lr_decay, 0, INFINITY),
            weight_decay=(weight_decay, 0, INFINITY),
            initial_accumulator_value=(initial_accumulator_value, 0, INFINITY),
            eps=(eps, 0, INFINITY),
        )
        check_modes("Adagrad", foreach, differentiable, fused)
        defaults: dict[str, Any] = {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay}
        defaults |= {"initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize}
        super().__init__(params, defaults | {"differentiable": differentiable, "fused": fused})
        for group in self.param_groups:
            for p in group["params"]:
                self._prepare(group, p)

    def share_memory(self) -> None:
        """Accepted: sums live in the memory of this process."""

    def initial_value(self, group: Group, name: str) -> float:
        """Return where the sum begins."""
        return number(group["initial_accumulator_value"])

    def flags(self, group: Group) -> rules.Flags:
        """Return what of the rule is switched on."""
        return rules.Flags(group["weight_decay"] != 0, group["maximize"])

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the operands of `rules.adagrad`."""
        lr = number(group["lr"]) / (1 + numbers["step"] * number(group["lr_decay"]))
        numbers["step"] += 1
        return lr, number(group["eps"]), number(group["weight_decay"])
