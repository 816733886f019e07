"""Rprop."""

from __future__ import annotations

from typing import Any

from trine.errors import ArgumentError, message
from trine.optim import rules
from trine.optim.optimizer import Group, ParamsT
from trine.optim.recorded import INFINITY, Numbers, RecordedOptimizer, check_options, number
from trine.tensor import Tensor


class Rprop(RecordedOptimizer):
    """Resilient propagation: step sizes of their own, which grow while the gradient keeps its sign.

    Args:
        params: parameters or groups. lr: the first step size. etas: factors after a change of sign and without. step_sizes: least and
            greatest. maximize: ascend. differentiable: record gradients through the step. capturable, foreach: accepted.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> optimizer = trine.optim.Rprop([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.9
    """

    rule = rules.rprop
    names = same_shape = ("prev", "step_size")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_options("Rprop", lr=(lr, 0, INFINITY))
        if not 0 < etas[0] < 1 < etas[1]:
            raise ArgumentError(message("Rprop: invalid etas", received=etas, expected="0 < eta- < 1 < eta+"))
        defaults: dict[str, Any] = {"lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach}
        super().__init__(params, defaults | {"maximize": maximize, "differentiable": differentiable, "capturable": capturable})

    def initial_value(self, group: Group, name: str) -> float:
        """Return the first step size, and a gradient of zero before the first."""
        return number(group["lr"]) if name == "step_size" else 0.0

    def flags(self, group: Group) -> rules.Flags:
        """Return what of the rule is switched on."""
        return rules.Flags(maximize=group["maximize"])

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the operands of `rules.rprop`."""
        numbers["step"] += 1
        return tuple(map(number, (*group["etas"], *group["step_sizes"])))
