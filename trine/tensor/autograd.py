"""`backward` and `grad`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trine.errors import ArgumentError, GradientError, message
from trine.tensor import recorder
from trine.tensor.backward import accumulate, repeat_backward, run_backward
from trine.tensor.handle import Handle
from trine.tensor.hooks import AfterAccumulation
from trine.tensor.recorder import local

if TYPE_CHECKING:
    from trine.tensor.tensor import Tensor


def _sequence(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Accumulate the gradients of `tensors` into the `grad` of the leaves that they were computed from.

    Args:
        tensors: one tensor or several.
        grad_tensors: their own gradients; may be left out for tensors of one element.
        retain_graph: keep what a second backward needs (default: the value of create_graph).
        create_graph: record the gradients themselves, for higher derivatives.
        inputs: accumulate only into these tensors.

    >>> import trine
    >>> x = trine.tensor(3.0, requires_grad=True)
    >>> trine.autograd.backward(x * x)
    >>> x.grad.item()
    6.0
    """
    retain = create_graph if retain_graph is None else retain_graph
    is_plain = grad_tensors is None and inputs is None and not create_graph and isinstance(tensors, Handle)
    if is_plain and repeat_backward(tensors, retain):
        if local.eager:
            recorder.flush()
        return
    roots = _sequence(tensors)
    seeds = _seeds(grad_tensors, len(roots))
    wanted = None if inputs is None else _sequence(inputs)
    if wanted is not None and not wanted:
        raise ArgumentError(message("backward: inputs is empty", expected="at least one tensor"))
    outer, local.accumulated = local.accumulated, {}  # a hook may run a backward pass inside of another
    try:
        found = run_backward(roots, seeds, wanted, retain, create_graph)
        if found or local.accumulated:
            before = recorder.set_grad_enabled(create_graph)
            try:
                _accumulate(wanted or (), found)
            finally:
                recorder.set_grad_enabled(before)
    finally:
        local.accumulated = outer
    if local.eager:
        recorder.flush()


def _accumulate(wanted: Sequence[Tensor], found: dict[int, Tensor]) -> None:
    """Add the gradients that were asked for, and call the hooks of the tensors whose `grad` is complete now."""
    for tensor in wanted:
        value = found.get(id(tensor))
        if value is not None:
            accumulate(tensor, value)
    for tensor in list(local.accumulated.values()):
        for hook in list(tensor._hooks.values()):
            if type(hook) is AfterAccumulation:
                hook.hook(tensor)


def _seeds(grad_tensors: Any, count: int) -> list[Any]:
    seeds = [None] * count if grad_tensors is None else _sequence(grad_tensors)
    if len(seeds) != count:
        raise ArgumentError(message("backward: number of gradients", received=len(seeds), expected=f"{count}, one per tensor"))
    return seeds


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of `outputs` with respect to `inputs`, without touching any `grad`.

    Args:
        outputs, grad_outputs: as in `backward`.
        inputs: tensors that require grad, leaves or computed ones.
        retain_graph, create_graph: as in `backward`.
        allow_unused: return None for an input that the outputs do not depend on, instead of raising.
        is_grads_batched: `grad_outputs` have a batch as their first axis, and so have the results: one gradient for each.
        materialize_grads: return zeros instead of None.

    Raises:
        GradientError: if an input does not require grad, or is unused.

    >>> import trine
    >>> x = trine.tensor(2.0, requires_grad=True)
    >>> (dy,) = trine.autograd.grad(x ** 3, x, create_graph=True)
    >>> (ddy,) = trine.autograd.grad(dy, x)
    >>> dy.item(), ddy.item()
    (12.0, 12.0)
    """
    if is_grads_batched:
        return _batched_grad(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads)
    roots, wanted = _sequence(outputs), _sequence(inputs)
    for i, tensor in enumerate(wanted):
        if not tensor.requires_grad:
            what = f"grad: input {i} does not require grad"
            raise GradientError(message(what, received="requires_grad=False", fix="call requires_grad_()"))
    retain = create_graph if retain_graph is None else retain_graph
    found = run_backward(roots, _seeds(grad_outputs, len(roots)), wanted, retain, create_graph)
    results: list[Tensor | None] = []
    for i, tensor in enumerate(wanted):
        value = found.get(id(tensor))
        if value is None and materialize_grads:
            value = tensor.detach() * 0
        elif value is None and not allow_unused:
            raise GradientError(
                message(
                    f"grad: input {i} was not used in the graph",
                    received=f"a tensor of shape {tuple(tensor.shape)}",
                    fix="pass allow_unused=True to get None for it",
                )
            )
        results.append(value)
    return tuple(results)


def _batched_grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any,
    retain_graph: bool | None,
    create_graph: bool,
    allow_unused: bool | None,
    materialize: bool,
) -> tuple[Tensor | None, ...]:
    from trine.tensor.vmap import vmap

    seeds = _seeds(grad_outputs, len(_sequence(outputs)))
    if any(s is None for s in seeds):
        fix = "pass grad_outputs with a batch as their first axis"
        raise ArgumentError(message("grad: is_grads_batched needs grad_outputs", received="None", fix=fix))
    there: list[bool] = []

    def one(*given: Any) -> list[Any]:
        found = grad(
            outputs, inputs, list(given), True if retain_graph is None else retain_graph, create_graph, allow_unused, False, materialize
        )
        there[:] = [g is not None for g in found]
        return [g for g in found if g is not None]

    values = iter(vmap(one, randomness="different")(*seeds))
    return tuple(next(values) if is_there else None for is_there in there)
