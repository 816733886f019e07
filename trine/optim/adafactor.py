"""Adafactor."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from trine import dtypes
from trine.core import build
from trine.core.graph import Node
from trine.errors import ArgumentError, UnsupportedError, message
from trine.ops.promotion import size
from trine.optim.optimizer import Group, ParamsT
from trine.optim.recorded import INFINITY, Numbers, RecordedOptimizer, check_options, number
from trine.optim.rules import Nodes, decayed, rest, squared
from trine.tensor import Tensor

_PRECISION = {dtypes.float16: 2.0**-10, dtypes.bfloat16: 2.0**-7, dtypes.float32: 2.0**-23, dtypes.float64: 2.0**-52}


class AdafactorFlags(NamedTuple):
    """What of Adafactor is switched on (static)."""

    weight_decay: bool
    maximize: bool


def adafactor(flags: AdafactorFlags, p: Node, g: Node, states: Nodes, coefficients: Nodes) -> Nodes:
    """The rule; states: factors of the variance along rows and columns, or (for vectors) the variance.

    Coefficients: decay of the variance, relative step size, the two epsilons, clipping threshold, lr times weight decay.
    """
    decay, relative, epsilon, least, threshold, shrink = coefficients
    g = build.neg(g) if flags.maximize else g
    epsilon = build.cast(epsilon, p.dtype)
    rate = build.mul(build.maximum(build.cast(least, p.dtype), _rms(p)), build.cast(relative, p.dtype))
    if flags.weight_decay:
        p = build.mul(p, rest(shrink, p))
    if len(g.shape) > 1:
        axis = len(g.shape) - 1
        rows = decayed(states[0], _mean(squared(g), axis), decay)
        columns = decayed(states[1], _mean(squared(g), axis - 1), decay)
        variance = build.div(build.mul(rows, columns), build.maximum(_mean(rows, axis - 1), epsilon))
        new: Nodes = (rows, columns)
    else:
        variance = decayed(states[0], squared(g), decay)
        new = (variance,)
    step = build.mul(build.rsqrt(build.maximum(variance, squared(epsilon))), g)
    clip = build.maximum(build.const(1.0, p.dtype), build.div(_rms(step), build.cast(threshold, p.dtype)))
    return build.sub(p, build.mul(step, build.div(rate, clip))), *new


def _mean(x: Node, axis: int) -> Node:
    return build.div(build.sum(x, (axis,)), size(x.shape[axis], x.dtype))


def _rms(x: Node) -> Node:
    total = build.sum(squared(x), tuple(range(len(x.shape)))) if x.shape else squared(x)
    return build.sqrt(build.div(build.reshape(total, ()), size(math.prod(x.shape), x.dtype)))


class Adafactor(RecordedOptimizer):
    """Adafactor: the variance of a matrix is kept as one number for each row and column.

    Args:
        params: parameters or groups. lr: greatest relative step size. beta2_decay: power of the step in the decay of the variance.
        eps: least variance (None: the precision of the dtype) and least size of a parameter. d: clipping threshold of the steps.
        weight_decay: decoupled. foreach: accepted. maximize: ascend.

    Source: Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([1.0]))
    >>> optimizer = trine.optim.Adafactor([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> round(w.item(), 4)
    0.9
    """

    rule = adafactor
    same_shape = ("variance",)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        check_options(
            "Adafactor",
            lr=(lr, 0, INFINITY),
            eps1=(eps[0] or 0, 0, INFINITY),
            eps2=(eps[1], 0, INFINITY),
            d=(d, 1, INFINITY),
            weight_decay=(weight_decay, 0, INFINITY),
        )
        if not beta2_decay <= 0:
            raise ArgumentError(message("Adafactor: invalid beta2_decay", received=beta2_decay, expected="beta2_decay <= 0"))
        defaults: dict[str, Any] = {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay}
        super().__init__(params, defaults | {"foreach": foreach, "maximize": maximize})

    def state_names(self, group: Group, p: Tensor) -> tuple[str, ...]:
        """Return the names of the factors, or of the variance."""
        return ("row_var", "col_var") if p.dim() > 1 else ("variance",)

    def initial_shape(self, name: str, p: Tensor) -> tuple[int, ...]:
        """Return the shape of a factor."""
        shape = p._meta.shape
        return {"row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, *shape[-1:]), "variance": shape}[name]

    def flags(self, group: Group) -> AdafactorFlags:
        """Return what of the rule is switched on."""
        return AdafactorFlags(group["weight_decay"] != 0, group["maximize"])

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the operands of `adafactor`."""
        numbers["step"] += 1
        step, lr = numbers["step"], number(group["lr"])
        decay, relative = 1 - step ** number(group["beta2_decay"]), min(lr, 1 / math.sqrt(step))
        epsilon, least = group["eps"]
        return decay, relative, number(epsilon), number(least), number(group["d"]), lr * number(group["weight_decay"])

    def _update(self, group: Group, params: Sequence[Tensor]) -> None:
        if any(p.dtype.is_complex for p in params):
            raise UnsupportedError(message("Adafactor does not support complex parameters", fix="use Adam"))
        by_precision: defaultdict[float, list[Tensor]] = defaultdict(list)
        for p in params:
            by_precision[_PRECISION[p.dtype] if group["eps"][0] is None else group["eps"][0]].append(p)
        for epsilon, members in by_precision.items():
            super()._update({**group, "eps": (epsilon, group["eps"][1])}, members)
