"""L-BFGS."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from trine.errors import ArgumentError, UnsupportedError, message
from trine.ops import cat, view_as_complex, view_as_real, zeros
from trine.optim.line_search import Point, strong_wolfe
from trine.optim.optimizer import Optimizer, ParamsT
from trine.optim.recorded import INFINITY, check_options
from trine.tensor import Tensor
from trine.tensor.grad_mode import enable_grad, no_grad

_CURVATURE = 1e-10  # pairs with less curvature do not enter the history
_MEMORY = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")


class LBFGS(Optimizer):
    """Limited-memory BFGS: a quasi-Newton method that calls the closure several times a step.

    Args:
        params: parameters (one group). lr: length of a step, with a line search of the first trial. max_iter: iterations a step.
        max_eval: calls of the closure a step (default: 1.25 max_iter). tolerance_grad: ends when no gradient is larger.
        tolerance_change: ends when parameters or loss change less. history_size: remembered steps.
        line_search_fn: "strong_wolfe" or None.

    Source: Nocedal and Wright, "Numerical Optimization", chapters 3 and 7.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.tensor([3.0, -2.0]))
    >>> optimizer = trine.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (w * w).sum()
    ...     loss.backward()
    ...     return loss
    >>> loss = optimizer.step(closure)
    >>> w.abs().max().item() < 1e-4
    True
    """

    numbers = ()

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_options("LBFGS", lr=(lr, 0, INFINITY))
        defaults: dict[str, Any] = {"lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval}
        defaults |= {"tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size}
        super().__init__(params, defaults | {"line_search_fn": line_search_fn})
        if len(self.param_groups) != 1:
            received = f"{len(self.param_groups)} groups"
            raise ArgumentError(message("LBFGS doesn't support per-parameter options (parameter groups)", received=received))
        self._params: list[Tensor] = self.param_groups[0]["params"]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do up to max_iter iterations.

        Args:
            closure: computes the loss and its gradients, and returns the loss.
        """
        if closure is None:
            raise ArgumentError(message("LBFGS.step: a closure is missing", fix="step(closure) with the loss and its backward()"))
        group = self.param_groups[0]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise UnsupportedError(message("only 'strong_wolfe' is supported", received=repr(group["line_search_fn"])))
        with no_grad():
            return self._iterate(enable_grad()(closure), group)

    def _iterate(self, closure: Callable[[], Any], group: dict[str, Any]) -> Any:
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss, gradient = float(first_loss), self._gradient()
        evaluations = 1
        state["func_evals"] += 1
        if _largest(gradient) <= group["tolerance_grad"]:
            return first_loss
        memory: dict[str, Any] = {name: state.get(name) for name in _MEMORY}
        lr = float(group["lr"])
        for iteration in itertools.count(1):
            state["n_iter"] += 1
            is_first = state["n_iter"] == 1
            _advance_memory(memory, gradient, is_first, group["history_size"])
            memory["prev_flat_grad"], memory["prev_loss"] = gradient, loss
            memory["t"] = min(1.0, 1.0 / float(gradient.abs().sum())) * lr if is_first else lr
            slope = float(gradient.dot(memory["d"]))
            if slope > -group["tolerance_change"]:
                break
            is_last = iteration == group["max_iter"]
            if group["line_search_fn"] is not None:
                start = Point(0.0, loss, gradient, slope)
                budget = group["max_eval"] - evaluations
                loss, gradient, memory["t"], calls = self._search(closure, memory["t"], memory["d"], start, group, budget)
            else:
                self._move(memory["t"], memory["d"])
                calls = 0
                if not is_last:
                    loss, gradient, calls = float(closure()), self._gradient(), 1
            evaluations += calls
            state["func_evals"] += calls
            if is_last or evaluations >= group["max_eval"] or _largest(gradient) <= group["tolerance_grad"]:
                break
            if _largest(memory["d"] * memory["t"]) <= group["tolerance_change"]:
                break
            if abs(loss - memory["prev_loss"]) < group["tolerance_change"]:
                break
        state.update(memory)
        return first_loss

    def _search(
        self, closure: Callable[[], Any], t: float, d: Tensor, start: Point, group: dict[str, Any], budget: int
    ) -> tuple[float, Tensor, float, int]:
        before = [p.clone() for p in self._params]

        def evaluate(length: float) -> tuple[float, Tensor]:
            self._move(length, d)
            found = float(closure()), self._gradient()
            for p, value in zip(self._params, before, strict=True):
                p.copy_(value)
            return found

        found, calls = strong_wolfe(evaluate, t, d, start, tolerance_change=group["tolerance_change"], max_steps=budget)
        self._move(found.length, d)
        return found.loss, found.gradient, found.length, calls

    def _gradient(self) -> Tensor:
        """Return all gradients as one vector."""
        gradient: Tensor = cat([_flat(zeros(p.shape, dtype=p.dtype) if p.grad is None else p.grad) for p in self._params])
        return gradient

    def _move(self, length: float, d: Tensor) -> None:
        """Add `length` times the direction to the parameters."""
        start = 0
        for p in self._params:
            count = p.numel() * (2 if p.dtype.is_complex else 1)
            piece = d[start : start + count]
            change = view_as_complex(piece.reshape(*p.shape, 2)) if p.dtype.is_complex else piece.reshape(p.shape)
            p.add_(change, alpha=length)
            start += count


def _flat(x: Tensor) -> Tensor:
    flat: Tensor = (view_as_real(x) if x.dtype.is_complex else x).reshape(-1)
    return flat


def _largest(x: Tensor) -> float:
    return float(x.abs().max())


def _advance_memory(memory: dict[str, Any], gradient: Tensor, is_first: bool, history_size: int) -> None:
    """Take in the last step and set the next direction, by the two-loop recursion."""
    if is_first:
        memory |= {"d": -gradient, "old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1}
        return
    y = gradient - memory["prev_flat_grad"]
    s = memory["d"] * memory["t"]
    history = memory["old_dirs"], memory["old_stps"], memory["ro"]
    curvature = y.dot(s)
    if float(curvature) > _CURVATURE:
        if len(history[0]) == history_size:
            for kept in history:
                kept.pop(0)
        for kept, value in zip(history, (y, s, 1.0 / curvature), strict=True):
            kept.append(value)
        memory["H_diag"] = curvature / y.dot(y)
    q = -gradient
    weights = []
    for old_y, old_s, ro in reversed(list(zip(*history, strict=True))):
        weights.append(old_s.dot(q) * ro)
        q = q - old_y * weights[-1]
    d = q * memory["H_diag"]
    for (old_y, old_s, ro), weight in zip(zip(*history, strict=True), reversed(weights), strict=True):
        d = d + old_s * (weight - old_y.dot(d) * ro)
    memory["d"] = d
