"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine.errors import ArgumentError, message
from trine.optim import rules
from trine.optim.optimizer import Group, ParamsT
from trine.optim.recorded import INFINITY, Numbers, RecordedOptimizer, check_modes, check_options, number
from trine.tensor import Tensor


class SGD(RecordedOptimizer):
    """Stochastic gradient descent, with momentum or Nesterov momentum.

    Args:
        params: parameters or groups. lr: learning rate. momentum: 0 switches it off. dampening: of the momentum.
        weight_decay: L2 penalty. nesterov: Nesterov's momentum. maximize: ascend. differentiable: record gradients through the step.
        foreach, fused: accepted; every update is one fused program.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> optimizer = trine.optim.SGD([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.0]
    """

    rule = rules.sgd
    start = {}
    same_shape = ("momentum_buffer",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_options("SGD", lr=(lr, 0, INFINITY), momentum=(momentum, 0, INFINITY), weight_decay=(weight_decay, 0, INFINITY))
        check_modes("SGD", foreach, differentiable, fused)
        if nesterov and (momentum <= 0 or dampening != 0):
            received, expected = f"momentum={momentum}, dampening={dampening}", "momentum > 0, dampening = 0"
            raise ArgumentError(message("Nesterov momentum requires a momentum and zero dampening", received=received, expected=expected))
        defaults: dict[str, Any] = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        defaults |= {"nesterov": nesterov, "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused}
        super().__init__(params, defaults)

    def state_names(self, group: Group, p: Tensor) -> tuple[str, ...]:
        """Return the name of the buffer, if there is momentum."""
        return self.same_shape if group["momentum"] != 0 else ()

    def flags(self, group: Group) -> rules.Flags:
        """Return what of the rule is switched on."""
        momentum = bool(group["momentum"] != 0)
        return rules.Flags(bool(group["weight_decay"] != 0), group["maximize"], momentum=momentum, nesterov=group["nesterov"])

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the operands of `rules.sgd`."""
        return number(group["lr"]), number(group["momentum"]), number(group["dampening"]), number(group["weight_decay"])

    def _update(self, group: Group, params: Sequence[Tensor]) -> None:
        fresh: list[Tensor] = []
        if group["momentum"] != 0 and group["dampening"] != 0:
            # a momentum buffer of zeros gives the same first step, unless dampening shortens the gradient
            fresh = [p for p in params if self.state[p].get("momentum_buffer") is None]
        others = [p for p in params if not any(p is f for f in fresh)] if fresh else params
        flags, coefficients, through = self.flags(group), self.coefficients(group, {}), bool(group["differentiable"])
        for members, first in ((fresh, True), (others, False)):
            if members:
                names = [self._prepare(group, p) for p in members][0]
                self._apply(flags._replace(first=first), members, names, coefficients, through)
