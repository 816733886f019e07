"""Gradient checkpointing: recompute a part of the program in the backward pass instead of keeping its values.

Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trine.core.graph import Node
from trine.tensor import recorder
from trine.tensor.autograd import grad
from trine.tensor.function import attach
from trine.tensor.recorder import record
from trine.tensor.tensor import Tensor


def _barrier(node: Node) -> Node:
    """The same value, which the compiler does not merge with the original: what is computed from it is computed again."""
    return Node("stop_gradient", (node,), ("barrier",), node.shape, node.dtype, node.requires_grad, node.source)


def checkpoint(
    function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True, **kwargs: Any
) -> Any:
    """Call `function(*args, **kwargs)` without keeping its intermediate values; the backward pass computes them again.

    Args:
        function: must compute the same thing when called again (random numbers are repeated if `preserve_rng_state`).
        args: its arguments; gradients flow to the tensors among them, and to the leaves that `function` uses.
        use_reentrant: accepted for compatibility; both values do the same.

    >>> import trine
    >>> x = trine.ones(3, requires_grad=True)
    >>> trine.utils.checkpoint.checkpoint(lambda x: (x * x).exp(), x).sum().backward()
    >>> [round(v, 4) for v in x.grad.tolist()]
    [5.4366, 5.4366, 5.4366]
    """
    from trine.runtime import random

    enabled = recorder.local.grad_enabled
    if not enabled:
        return function(*args, **kwargs)
    generator = random.default_generator
    state = generator.get_state()
    leaves = _closure_leaves(function, args, kwargs)
    generator.set_state(state)
    recorder.set_grad_enabled(False)
    try:
        results = function(*args, **kwargs)
    finally:
        recorder.set_grad_enabled(True)
    several = isinstance(results, tuple)
    outputs = list(results) if several else [results]
    inputs = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
    operands = [*inputs, *leaves]

    def rule(*gradients: Any) -> tuple[Any, ...]:
        before = recorder.set_grad_enabled(True)
        current = generator.get_state()
        try:
            if preserve_rng_state:
                generator.set_state(state)
            again = [_fresh(a) if isinstance(a, Tensor) else a for a in args]
            made = function(*again, **kwargs)
            made = list(made) if isinstance(made, tuple) else [made]
            roots = [(m, g) for m, g in zip(made, gradients, strict=True) if g is not None and isinstance(m, Tensor) and m.requires_grad]
            targets = [n for n, a in zip(again, args, strict=True) if isinstance(a, Tensor) and a.requires_grad]
            return grad([m for m, _ in roots], [*targets, *leaves], [g for _, g in roots], allow_unused=True)
        finally:
            generator.set_state(current)
            recorder.set_grad_enabled(before)

    if operands:
        attach("checkpoint", rule, operands, outputs)
    return tuple(outputs) if several else outputs[0]


def _fresh(tensor: Tensor) -> Tensor:
    requires_grad = tensor.requires_grad
    fresh = record(_barrier, (tensor.detach(),))
    return fresh.requires_grad_() if requires_grad else fresh  # type: ignore[no-any-return]


def _closure_leaves(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """Return the leaf tensors that the function uses besides its arguments, found by recording it once."""
    from trine.tensor.fragment import gradient_leaves

    trace = recorder.local.trace
    given = {id(a) for a in args}
    handles = len(trace.handles)
    probe = function(*args, **kwargs)
    outputs = [p for p in (probe if isinstance(probe, tuple) else (probe,)) if isinstance(p, Tensor) and p.requires_grad]
    if recorder.local.trace is not trace or any(o._trace is not trace for o in outputs):
        return []
    nodes = trace.nodes()
    leaves, _ = gradient_leaves([nodes[o._slot] for o in outputs])
    wanted = set(leaves)
    del trace.handles[handles:]
    return [t for s, t in trace.leaf_tensors.items() if nodes[s] in wanted and id(t) not in given]  # type: ignore[misc]
