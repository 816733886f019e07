"""NAdam."""

from __future__ import annotations

from typing import Any

from trine.optim import rules
from trine.optim.adam import check_adam_options
from trine.optim.optimizer import Group, ParamsT
from trine.optim.recorded import INFINITY, Numbers, RecordedOptimizer, check_options, number
from trine.tensor import Tensor


class NAdam(RecordedOptimizer):
    """Adam with Nesterov momentum.

    Args:
        params: parameters or groups. lr: learning rate. betas: decay of the two moments. eps: added to the root.
        weight_decay: L2 penalty. momentum_decay: how fast the momentum grows to beta1. decoupled_weight_decay: as AdamW.
        maximize: ascend. differentiable: record gradients through the step. foreach, capturable: accepted.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> optimizer = trine.optim.NAdam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.item() < 1
    True
    """

    rule = rules.nadam
    names = same_shape = ("exp_avg", "exp_avg_sq")
    numbers = ("step", "mu_product")
    start = {"step": 0, "mu_product": 1.0}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_adam_options("NAdam", lr, betas, eps, weight_decay)
        check_options("NAdam", momentum_decay=(momentum_decay, 0, INFINITY))
        defaults: dict[str, Any] = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
        defaults |= {"decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach}
        super().__init__(params, defaults | {"capturable": capturable, "differentiable": differentiable})

    def flags(self, group: Group) -> rules.Flags:
        """Return what of the rule is switched on."""
        return rules.Flags(group["weight_decay"] != 0, group["maximize"], decoupled=group["decoupled_weight_decay"])

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the operands of `rules.nadam`."""
        numbers["step"] += 1
        step, (beta1, beta2) = numbers["step"], map(number, group["betas"])
        lr, weight_decay, decay = number(group["lr"]), number(group["weight_decay"]), number(group["momentum_decay"])
        momentum, following = (beta1 * (1 - 0.5 * 0.96 ** (t * decay)) for t in (step, step + 1))
        numbers["mu_product"] *= momentum
        product = numbers["mu_product"]
        of_gradient, of_mean = lr * (1 - momentum) / (1 - product), lr * following / (1 - product * following)
        return beta1, beta2, number(group["eps"]), 1 - beta2**step, of_gradient, of_mean, weight_decay, lr * weight_decay
