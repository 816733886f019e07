"""Backward hooks of modules: identity functions around `forward` that see the gradients go by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trine.tensor import Tensor
from trine.tensor.function import Function
from trine.tensor.grad_mode import is_grad_enabled

Gradients = tuple[Any, ...]
Hook = Callable[[Any, Gradients, Gradients], Any]


class _Watch(Function):
    """Returns its tensors; in backward hands their gradients to `notice`, which returns the gradients that go on."""

    @staticmethod
    def forward(ctx: Any, notice: Callable[[Gradients], Gradients], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.notice = notice
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Gradients:
        return (None, *ctx.notice(gradients))


def watched_call(module: Any, hooks: Sequence[Hook], args: tuple[Any, ...], forward: Callable[..., Any]) -> Any:
    """Return ``forward(*args)``; in backward, call ``hook(module, grad_input, grad_output)`` when all these gradients are known.

    `grad_input` has an entry for each argument (None where there is no gradient), `grad_output` for each result; what a hook returns (if
    not None) replaces `grad_input`.
    """
    if not is_grad_enabled():
        return forward(*args)
    inputs = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
    known: dict[str, Gradients] = {}

    def run(grad_input: Gradients) -> Gradients:
        for hook in hooks:
            replaced = hook(module, grad_input, known.get("output", ()))
            if replaced is not None:
                grad_input = replaced if isinstance(replaced, tuple) else (replaced,)
        return grad_input

    def at_inputs(gradients: Gradients) -> Gradients:
        by_position = dict(zip(inputs, gradients, strict=True))
        grad_input = run(tuple(by_position.get(i) for i in range(len(args))))
        return tuple(grad_input[i] for i in inputs)

    def at_outputs(gradients: Gradients) -> Gradients:
        known["output"] = gradients
        if not inputs:
            run((None,) * len(args))
        return gradients

    output = forward(*_watch(at_inputs, args, inputs))
    results = output if isinstance(output, tuple) else (output,)
    outputs = [i for i, r in enumerate(results) if isinstance(r, Tensor) and r.requires_grad]
    watched = _watch(at_outputs, results, outputs)
    return watched if isinstance(output, tuple) else watched[0]


def _watch(notice: Callable[[Gradients], Gradients], values: tuple[Any, ...], positions: Sequence[int]) -> tuple[Any, ...]:
    """Return the values with those at `positions` (tensors that require grad) watched."""
    if not positions:
        return values
    seen = dict(zip(positions, _Watch.apply(notice, *(values[i] for i in positions)), strict=True))
    return tuple(seen.get(i, v) for i, v in enumerate(values))
