"""Hooks of modules: those for all modules, and backward hooks, which are identity functions that see the gradients go by."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from trine.tensor import Tensor
from trine.tensor.function import Function
from trine.tensor.grad_mode import is_grad_enabled
from trine.tensor.hooks import HookHandle

Gradients = tuple[Any, ...]
Hook = Callable[[Any, Gradients, Gradients], Any]


forward_pre: OrderedDict[int, Any] = OrderedDict()
forward: OrderedDict[int, Any] = OrderedDict()
backward_pre: OrderedDict[int, Any] = OrderedDict()
backward: OrderedDict[int, Any] = OrderedDict()
parameter_registration: OrderedDict[int, Any] = OrderedDict()
buffer_registration: OrderedDict[int, Any] = OrderedDict()
module_registration: OrderedDict[int, Any] = OrderedDict()


def any_global() -> bool:
    """True if calls of all modules are watched."""
    return bool(forward_pre or forward or backward_pre or backward)


def registered(watchers: OrderedDict[int, Any], module: Any, name: str, member: Any) -> Any:
    """Return the member that is registered: the one given, or what a hook puts in its place."""
    for hook in watchers.values():
        replaced = hook(module, name, member)
        if replaced is not None:
            member = replaced
    return member


def register(hooks: OrderedDict[int, Any], hook: Any, prepend: bool = False) -> HookHandle:
    """Add a hook, at the end or at the beginning."""
    handle = HookHandle(hooks, hook)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> HookHandle:
    """Call ``hook(module, args)`` before every module's forward; what it returns (if not None) replaces the arguments."""
    return register(forward_pre, (hook, False))


def register_module_forward_hook(hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False) -> HookHandle:
    """Call ``hook(module, args, output)`` after every module's forward; what it returns (if not None) replaces the output."""
    return register(forward, (hook, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> HookHandle:
    """Call ``hook(module, grad_output)`` when the gradients of any module's outputs are known; what it returns replaces them."""
    return register(backward_pre, hook)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> HookHandle:
    """Call ``hook(module, grad_input, grad_output)`` when any module's gradients are known; what it returns replaces grad_input."""
    return register(backward, hook)


register_module_backward_hook = register_module_full_backward_hook


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> HookHandle:
    """Call ``hook(module, name, parameter)`` for every parameter that a module takes; what it returns takes its place."""
    return register(parameter_registration, hook)


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> HookHandle:
    """Call ``hook(module, name, buffer)`` for every buffer that a module takes; what it returns takes its place."""
    return register(buffer_registration, hook)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> HookHandle:
    """Call ``hook(module, name, child)`` for every child that a module takes; what it returns takes its place."""
    return register(module_registration, hook)


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


def watched_call(module: Any, hooks: Sequence[Hook], pre_hooks: Sequence[Any], args: tuple[Any, ...], forward: Callable[..., Any]) -> Any:
    """Return ``forward(*args)``; in backward, call ``hook(module, grad_input, grad_output)`` when all these gradients are known.

    `grad_input` has an entry for each argument (None where there is no gradient), `grad_output` for each result; what a hook returns (if
    not None) replaces `grad_input`. Before it, each of `pre_hooks` is called with `grad_output`, and may replace that.
    """
    if not is_grad_enabled():
        return forward(*args)
    inputs = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
    known: dict[str, Gradients] = {}

    def run(grad_input: Gradients) -> Gradients:
        for hook in hooks:
            grad_input = _replaced(hook(module, grad_input, known.get("output", ())), grad_input)
        return grad_input

    def at_inputs(gradients: Gradients) -> Gradients:
        by_position = dict(zip(inputs, gradients, strict=True))
        grad_input = run(tuple(by_position.get(i) for i in range(len(args))))
        return tuple(grad_input[i] for i in inputs)

    def at_outputs(gradients: Gradients) -> Gradients:
        for hook in pre_hooks:
            gradients = _replaced(hook(module, gradients), gradients)
        known["output"] = gradients
        if not inputs:
            run((None,) * len(args))
        return gradients

    output = forward(*_watch(at_inputs, args, inputs))
    results = output if isinstance(output, tuple) else (output,)
    outputs = [i for i, r in enumerate(results) if isinstance(r, Tensor) and r.requires_grad]
    watched = _watch(at_outputs, results, outputs)
    return watched if isinstance(output, tuple) else watched[0]


def _replaced(returned: Any, gradients: Gradients) -> Gradients:
    """Return what a hook put in the place of the gradients, or these."""
    if returned is None:
        return gradients
    return returned if isinstance(returned, tuple) else (returned,)


def _watch(notice: Callable[[Gradients], Gradients], values: tuple[Any, ...], positions: Sequence[int]) -> tuple[Any, ...]:
    """Return the values with those at `positions` (tensors that require grad) watched."""
    if not positions:
        return values
    seen = dict(zip(positions, _Watch.apply(notice, *(values[i] for i in positions)), strict=True))
    return tuple(seen.get(i, v) for i, v in enumerate(values))
