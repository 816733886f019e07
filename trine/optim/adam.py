"""Adam and AdamW."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from trine.core.graph import Node
from trine.optim.optimizer import Group, Optimizer, check_options, parameter_result
from trine.optim.rules import AdamFlags, adam
from trine.tensor import Tensor


class Adam(Optimizer):
    """Adam: adaptive moments.

    Args:
        params: parameters or groups. lr: learning rate. betas: decay of the two moments. eps: added to the root.
        weight_decay: L2 penalty. amsgrad: use the largest second moment. maximize: ascend. decoupled_weight_decay: as AdamW.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> optimizer = trine.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.9
    """

    _decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        infinity = float("inf")
        check_options(
            type(self).__name__,
            lr=(lr, 0, infinity),
            eps=(eps, 0, infinity),
            beta1=(betas[0], 0, 1),
            beta2=(betas[1], 0, 1),
            weight_decay=(weight_decay, 0, infinity),
        )
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay or self._decoupled,
            },
        )

    def _update(self, group: Group, params: list[Tensor]) -> None:
        by_step: defaultdict[int, list[Tensor]] = defaultdict(list)
        for p in params:
            by_step[self.state[p].get("step", 0)].append(p)
        names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")
        for before, members in by_step.items():
            flags = AdamFlags(group["weight_decay"] != 0, group["decoupled_weight_decay"], group["amsgrad"], group["maximize"])
            self._apply(_adam_step, members, names, _coefficients(group, before + 1), flags)
            for p in members:
                self.state[p]["step"] = before + 1


class AdamW(Adam):
    """Adam with decoupled weight decay; arguments as for `Adam`, weight_decay is 0.01 by default."""

    _decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **options)


def _coefficients(group: Group, step: int) -> tuple[float, ...]:
    """Return the run-time operands of a step, in the order that `rules.adam` takes them."""
    beta1, beta2 = group["betas"]
    lr, weight_decay = float(group["lr"]), float(group["weight_decay"])
    step_size = lr / (1 - float(beta1) ** step)
    return (
        float(beta1),
        float(beta2),
        float(group["eps"]),
        step_size,
        math.sqrt(1 - float(beta2) ** step),
        weight_decay,
        lr * weight_decay,
    )


def _adam_step(*operands: Any) -> tuple[Node, ...]:
    *nodes, count, flags = operands
    params, grads = nodes[:count], nodes[count : 2 * count]
    coefficients = tuple(nodes[-7:])
    states = nodes[2 * count : -7]
    means, squares = states[:count], states[count : 2 * count]
    largest = states[2 * count :] if flags.amsgrad else [None] * count
    made = [adam(flags, *values, coefficients) for values in zip(params, grads, means, squares, largest, strict=True)]
    new_params = [parameter_result(new[0], p) for new, p in zip(made, params, strict=True)]
    num_states = 3 if flags.amsgrad else 2
    return (*new_params, *(new[k + 1] for k in range(num_states) for new in made))  # type: ignore[arg-type]
