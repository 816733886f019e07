"""RMSprop."""

from __future__ import annotations

from typing import Any

from trine.optim import rules
from trine.optim.optimizer import Group, ParamsT
from trine.optim.recorded import INFINITY, Numbers, RecordedOptimizer, check_options, number
from trine.tensor import Tensor


class RMSprop(RecordedOptimizer):
    """RMSprop: gradients over the root of their average square.

    Args:
        params: parameters or groups. lr: learning rate. alpha: decay of the averages. eps: added to the root. weight_decay: L2 penalty.
        momentum: 0 switches it off. centered: take the variance instead of the square. maximize: ascend.
        differentiable: record gradients through the step. capturable, foreach: accepted.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> optimizer = trine.optim.RMSprop([w], lr=0.01)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.9
    """

    rule = rules.rmsprop
    same_shape = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options(
            "RMSprop",
            lr=(lr, 0, INFINITY),
            eps=(eps, 0, INFINITY),
            momentum=(momentum, 0, INFINITY),
            weight_decay=(weight_decay, 0, INFINITY),
            alpha=(alpha, 0, INFINITY),
        )
        defaults: dict[str, Any] = {"lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered}
        defaults |= {"weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize}
        super().__init__(params, defaults | {"differentiable": differentiable})

    def state_names(self, group: Group, p: Tensor) -> tuple[str, ...]:
        """Return the names of the averages and of the momentum buffer."""
        switched = (True, group["momentum"] > 0, group["centered"])
        return tuple(name for name, on in zip(self.same_shape, switched, strict=True) if on)

    def flags(self, group: Group) -> rules.Flags:
        """Return what of the rule is switched on."""
        return rules.Flags(group["weight_decay"] != 0, group["maximize"], momentum=group["momentum"] > 0, centered=group["centered"])

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the operands of `rules.rmsprop`."""
        numbers["step"] += 1
        lr, alpha, eps = number(group["lr"]), number(group["alpha"]), number(group["eps"])
        return lr, alpha, eps, number(group["momentum"]), number(group["weight_decay"])
