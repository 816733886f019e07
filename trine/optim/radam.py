"""RAdam."""

from __future__ import annotations

import math
from typing import Any

from trine.optim import rules
from trine.optim.adam import check_adam_options
from trine.optim.optimizer import Group, ParamsT
from trine.optim.recorded import Numbers, RecordedOptimizer, number
from trine.tensor import Tensor


class RAdam(RecordedOptimizer):
    """Rectified Adam: momentum alone while the variance of the adaptive learning rate is not yet tractable.

    Args:
        params: parameters or groups. lr: learning rate. betas: decay of the two moments. eps: added to the root.
        weight_decay: L2 penalty. decoupled_weight_decay: as AdamW. maximize: ascend. differentiable: record gradients through the step.
        foreach, capturable: accepted.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> optimizer = trine.optim.RAdam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.8
    """

    rule = rules.radam
    names = same_shape = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_adam_options("RAdam", lr, betas, eps, weight_decay)
        defaults: dict[str, Any] = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        defaults |= {"foreach": foreach, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, defaults | {"differentiable": differentiable})

    def flags(self, group: Group) -> rules.Flags:
        """Return what of the rule is switched on."""
        return rules.Flags(group["weight_decay"] != 0, group["maximize"], decoupled=group["decoupled_weight_decay"])

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the operands of `rules.radam`."""
        numbers["step"] += 1
        step, (beta1, beta2) = numbers["step"], map(number, group["betas"])
        lr, weight_decay = number(group["lr"]), number(group["weight_decay"])
        correction = 1 - beta2**step
        limit = 2 / (1 - beta2) - 1
        length = limit - 2 * step * beta2**step / correction
        adaptive, plain = 0.0, 1.0
        if length > 5:
            rectified = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
            adaptive, plain = math.sqrt(rectified) * math.sqrt(correction), 0.0
        return beta1, beta2, number(group["eps"]), lr / (1 - beta1**step), adaptive, plain, weight_decay, lr * weight_decay
