"""Muon: momentum, orthogonalized."""

from __future__ import annotations

from typing import Any, NamedTuple

from trine import dtypes
from trine.core import build
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.promotion import size
from trine.optim.optimizer import Group, ParamsT
from trine.optim.recorded import INFINITY, Numbers, RecordedOptimizer, check_options, number
from trine.optim.rules import Nodes, decayed, rest, scaled
from trine.tensor import Tensor

_ADJUSTMENTS = (None, "original", "match_rms_adamw")


class MuonFlags(NamedTuple):
    """What of Muon is switched on (static)."""

    nesterov: bool
    num_steps: int
    adjustment: str | None


def muon(flags: MuonFlags, p: Node, g: Node, states: Nodes, coefficients: Nodes) -> Nodes:
    """The rule; state: average gradient; coefficients: lr, lr times weight decay, momentum, epsilon, the three of the iteration."""
    lr, decay, momentum, epsilon, *abc = coefficients
    average = decayed(states[0], g, momentum)
    step = build.add(scaled(average, momentum), build.mul(g, rest(momentum, g))) if flags.nesterov else average
    step = orthogonalized(step, tuple(abc), flags.num_steps, epsilon)
    rate = build.mul(build.cast(lr, p.dtype), _adjustment(flags.adjustment, p))
    return build.sub(build.mul(p, rest(decay, p)), build.mul(build.cast(step, p.dtype), rate)), average


def orthogonalized(x: Node, abc: Nodes, num_steps: int, epsilon: Node) -> Node:
    """Return a matrix near the orthogonal factor of x: Newton-Schulz iterations on values rounded to bfloat16."""
    is_tall = x.shape[0] > x.shape[1]
    x = _rounded(build.permute(x, (1, 0)) if is_tall else x)
    norm = _rounded(build.sqrt(build.sum(build.mul(x, x), (0, 1))))
    x = _rounded(build.div(x, build.maximum(norm, _rounded(build.cast(epsilon, norm.dtype)))))
    a, b, c = (build.cast(k, x.dtype) for k in abc)
    for _ in range(num_steps):
        gram = _rounded(build.dot(x, build.permute(x, (1, 0))))
        update = _rounded(build.add(build.mul(gram, b), build.mul(build.dot(gram, gram), c)))
        x = _rounded(build.add(build.mul(x, a), build.dot(update, x)))
    return build.permute(x, (1, 0)) if is_tall else x


def _rounded(x: Node) -> Node:
    return build.cast(build.cast(x, dtypes.bfloat16), dtypes.float32)


def _adjustment(kind: str | None, p: Node) -> Node:
    rows, columns = (size(extent, p.dtype) for extent in p.shape)
    if kind == "match_rms_adamw":
        return build.mul(build.const(0.2, p.dtype), build.sqrt(build.maximum(rows, columns)))
    return build.sqrt(build.maximum(build.const(1.0, p.dtype), build.div(rows, columns)))


class Muon(RecordedOptimizer):
    """Momentum whose steps are orthogonalized by Newton-Schulz iterations in bfloat16; for matrices only.

    Args:
        params: matrices, or groups of them. lr: learning rate. weight_decay: decoupled. momentum: of the average.
        nesterov: look ahead. ns_coefficients: of the quintic iteration. eps: least norm of a step. ns_steps: number of iterations.
        adjust_lr_fn: "original" (or None): lr * sqrt(max(1, rows / columns)); "match_rms_adamw": lr * 0.2 * sqrt(max(rows, columns)).

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; Liu et al., "Muon is Scalable for LLM Training",
    2025.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.eye(2))
    >>> optimizer = trine.optim.Muon([w], lr=0.1, weight_decay=0.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w[0, 0].item() < 1
    True
    """

    rule = muon
    names = same_shape = ("momentum_buffer",)
    start = {}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_options("Muon", lr=(lr, 0, INFINITY), momentum=(momentum, 0, INFINITY), weight_decay=(weight_decay, 0, INFINITY))
        if adjust_lr_fn not in _ADJUSTMENTS:
            raise ArgumentError(message("Muon: invalid adjust_lr_fn", received=repr(adjust_lr_fn), expected=f"one of {_ADJUSTMENTS}"))
        if ns_steps >= 100 or len(ns_coefficients) != 3:
            expected = "fewer than 100 steps, three coefficients"
            raise ArgumentError(message("Muon: invalid iteration", received=f"{ns_steps} steps, {ns_coefficients}", expected=expected))
        defaults: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov}
        defaults |= {"ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn}
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p.dim() != 2 or p.dtype.is_complex:
                    received, fix = f"a {p.dtype.name} parameter of shape {tuple(p.shape)}", "give other parameters to AdamW"
                    raise ShapeError(message("Muon only supports 2D parameters", received=received, expected="real matrices", fix=fix))

    def flags(self, group: Group) -> MuonFlags:
        """Return what of the rule is switched on."""
        return MuonFlags(group["nesterov"], group["ns_steps"], group["adjust_lr_fn"])

    def coefficients(self, group: Group, numbers: Numbers) -> tuple[float, ...]:
        """Return the operands of `muon`."""
        lr, weight_decay = number(group["lr"]), number(group["weight_decay"])
        return lr, lr * weight_decay, number(group["momentum"]), number(group["eps"]), *map(number, group["ns_coefficients"])
