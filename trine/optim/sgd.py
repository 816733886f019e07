"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trine.core.graph import Node
from trine.errors import ArgumentError, message
from trine.optim.optimizer import Group, Optimizer, check_options, parameter_result
from trine.optim.rules import SGDFlags, sgd
from trine.tensor import Tensor


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum or Nesterov momentum.

    Args:
        params: parameters or groups. lr: learning rate. momentum: 0 switches it off. dampening: of the momentum.
        weight_decay: L2 penalty. nesterov: Nesterov's momentum. maximize: ascend.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> optimizer = trine.optim.SGD([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.0]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        infinity = float("inf")
        check_options("SGD", lr=(lr, 0, infinity), momentum=(momentum, 0, infinity), weight_decay=(weight_decay, 0, infinity))
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentError(
                message(
                    "Nesterov momentum requires a momentum and zero dampening",
                    received=f"momentum={momentum}, dampening={dampening}",
                    expected="momentum > 0, dampening = 0",
                )
            )
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _update(self, group: Group, params: list[Tensor]) -> None:
        momentum = group["momentum"] != 0
        names = ("momentum_buffer",) if momentum else ()
        # a momentum buffer of zeros gives the same first step, unless dampening shortens the gradient
        dampened = momentum and group["dampening"] != 0
        is_fresh = [dampened and self.state[p].get("momentum_buffer") is None for p in params]
        fresh = [p for p, new in zip(params, is_fresh, strict=True) if new]
        known = [p for p, new in zip(params, is_fresh, strict=True) if not new]
        coefficients = (float(group["lr"]), float(group["momentum"]), float(group["dampening"]), float(group["weight_decay"]))
        for members, first in ((fresh, True), (known, False)):
            if members:
                flags = SGDFlags(group["weight_decay"] != 0, momentum, group["nesterov"], group["maximize"], first)
                self._apply(_sgd_step, members, names, coefficients, flags)


def _sgd_step(*operands: Any) -> tuple[Node, ...]:
    *nodes, count, flags = operands
    params, grads = nodes[:count], nodes[count : 2 * count]
    buffers = nodes[2 * count : 3 * count] if flags.momentum else [None] * count
    coefficients = nodes[-4:]
    made = [sgd(flags, p, g, b, *coefficients) for p, g, b in zip(params, grads, buffers, strict=True)]
    new_params = [parameter_result(new, p) for (new, _), p in zip(made, params, strict=True)]
    return (*new_params, *(b for _, b in made if b is not None))
