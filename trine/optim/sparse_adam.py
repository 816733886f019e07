"""SparseAdam."""

from __future__ import annotations

import math
from typing import Any

from trine.errors import ArgumentError, message
from trine.optim import rules
from trine.optim.adam import check_adam_options
from trine.optim.optimizer import Group, ParamsT
from trine.optim.recorded import Numbers, RecordedOptimizer, number
from trine.tensor import Tensor


class SparseAdam(RecordedOptimizer):
    """Adam that leaves the rows alone (along axis 0: the embeddings) that have no gradient.

    There are no sparse tensors here: gradients are dense, and a row counts as absent if all of it is zero. (PyTorch takes sparse
    gradients only, and updates a row that was looked up even if its gradient happens to be zero.)

    Args:
        params: parameters or groups, real. lr: learning rate. betas: decay of the two moments. eps: added to the root. maximize: ascend.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.ones(2, 1))
    >>> optimizer = trine.optim.SparseAdam([w], lr=0.5)
    >>> w[0].sum().backward()
    >>> optimizer.step()
    >>> [round(x, 4) for x in w.flatten().tolist()]
    [0.5, 1.0]
    """

    rule = rules.sparse_adam
    names = same_shape = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        check_adam_options("SparseAdam", lr, betas, eps)
        defaults: dict[str, Any] = {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize}
        super().__init__(params, defaults)
        if any(p.dtype.is_complex for group in self.param_groups for p in group["params"]):
            raise ArgumentError(message("SparseAdam does not support complex parameters", fix="use Adam"))

    def flags(self, group: Group) -> rules.Flags:
        """Return what of the rule is switched on."""
        return rules.Flags(maximize=group["maximize"])

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the operands of `rules.sparse_adam`."""
        numbers["step"] += 1
        step, (beta1, beta2) = numbers["step"], map(number, group["betas"])
        step_size = number(group["lr"]) * math.sqrt(1 - beta2**step) / (1 - beta1**step)
        return beta1, beta2, number(group["eps"]), step_size
