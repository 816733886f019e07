"""Adam."""

from __future__ import annotations

import math
from typing import Any

from trine.optim import rules
from trine.optim.optimizer import Group, ParamsT
from trine.optim.recorded import INFINITY, Numbers, RecordedOptimizer, check_modes, check_options, number
from trine.tensor import Tensor


class Adam(RecordedOptimizer):
    """Adam: adaptive moments.

    Args:
        params: parameters or groups. lr: learning rate. betas: decay of the two moments. eps: added to the root.
        weight_decay: L2 penalty. amsgrad: use the largest second moment. maximize: ascend. decoupled_weight_decay: as AdamW.
        differentiable: record gradients through the step. foreach, capturable, fused: accepted; every update is one fused program.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> optimizer = trine.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.9
    """

    rule = rules.adam
    same_shape = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        name = type(self).__name__
        check_adam_options(name, lr, betas, eps, weight_decay)
        check_modes(name, foreach, differentiable, fused)
        defaults: dict[str, Any] = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        defaults |= {"maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable, "fused": fused}
        super().__init__(params, defaults | {"decoupled_weight_decay": decoupled_weight_decay})

    def state_names(self, group: Group, p: Tensor) -> tuple[str, ...]:
        """Return the names of the moments."""
        return self.same_shape if group["amsgrad"] else self.same_shape[:2]

    def flags(self, group: Group) -> rules.Flags:
        """Return what of the rule is switched on."""
        decoupled = bool(group["decoupled_weight_decay"])
        return rules.Flags(group["weight_decay"] != 0, group["maximize"], decoupled=decoupled, amsgrad=group["amsgrad"])

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the operands of `rules.adam`."""
        numbers["step"] += 1
        step, (beta1, beta2) = numbers["step"], map(number, group["betas"])
        lr, weight_decay = number(group["lr"]), number(group["weight_decay"])
        return beta1, beta2, number(group["eps"]), lr / (1 - beta1**step), math.sqrt(1 - beta2**step), weight_decay, lr * weight_decay


def check_adam_options(name: str, lr: Any, betas: Any, eps: float, weight_decay: float = 0.0) -> None:
    """Check the options that all relatives of Adam have."""
    check_options(
        name,
        lr=(lr, 0, INFINITY),
        eps=(eps, 0, INFINITY),
        beta1=(betas[0], 0, 1),
        beta2=(betas[1], 0, 1),
        weight_decay=(weight_decay, 0, INFINITY),
    )
