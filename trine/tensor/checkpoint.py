"""Gradient checkpointing: recompute a part of the program in the backward pass instead of keeping its values.

Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from trine.core.graph import Node
from trine.errors import ArgumentError, GradientError, message
from trine.runtime import random
from trine.tensor import recorder
from trine.tensor.autograd import grad
from trine.tensor.fragment import gradient_leaves
from trine.tensor.function import attach
from trine.tensor.recorder import local, record
from trine.tensor.tensor import Tensor

Contexts = Callable[[], tuple[Any, Any]]


def _barrier(node: Node) -> Node:
    """The same value, which the compiler does not merge with the original: what is computed from it is computed again."""
    return Node("stop_gradient", (node,), ("barrier",), node.shape, node.dtype, node.requires_grad, node.source)


def noop_context_fn() -> tuple[Any, Any]:
    """Return two contexts that do nothing: the default of `checkpoint(context_fn=…)`."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Contexts = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Call `function(*args, **kwargs)` without keeping its intermediate values; the backward pass computes them again.

    A function that observes a value is not checkpointed: its values are there already.

    Args:
        function: must compute the same thing when called again (random numbers are repeated if `preserve_rng_state`).
        args: its arguments; gradients flow to the tensors among them, and to the leaves that `function` uses.
        use_reentrant: both values do the same; True takes no keyword arguments for `function`, as in PyTorch.
        context_fn: returns two context managers, for the call and for its repetition.
        determinism_check: "default" compares the shapes and dtypes of the repeated results, "none" nothing.
        debug, early_stop: accepted for compatibility.

    Raises:
        ArgumentError: an argument that does not exist. GradientError: in backward, if the repetition gave other results.

    >>> import trine
    >>> x = trine.ones(3, requires_grad=True)
    >>> trine.utils.checkpoint.checkpoint(lambda x: (x * x).exp(), x).sum().backward()
    >>> [round(v, 4) for v in x.grad.tolist()]
    [5.4366, 5.4366, 5.4366]
    """
    if use_reentrant and kwargs:
        fix = "pass use_reentrant=False"
        raise ArgumentError(message("checkpoint: unexpected keyword arguments", received=", ".join(kwargs), expected="none", fix=fix))
    if determinism_check not in ("default", "none"):
        raise ArgumentError(message("checkpoint: determinism_check", received=determinism_check, expected="'default' or 'none'"))
    forward_context, repeat_context = context_fn()
    if not local.grad_enabled or local.levels:
        with forward_context:
            return function(*args, **kwargs)
    trace, state = local.trace, random.default_generator.get_state()
    inputs = [a for a in args if isinstance(a, Tensor) and a.requires_grad]
    for tensor in inputs:
        trace.slot_of(tensor)
    with recorder.held_back(), forward_context:
        results = function(*args, **kwargs)
    several = isinstance(results, tuple)
    outputs = list(results) if several else [results]
    leaves = _leaves(trace, outputs, inputs)
    if leaves is None:
        return results
    call = _Repetition(function, args, kwargs, leaves, repeat_context, state if preserve_rng_state else None)
    call.metas = [o._meta if isinstance(o, Tensor) and determinism_check == "default" else None for o in outputs]
    if inputs or leaves:
        detached = [o.detach() if isinstance(o, Tensor) else o for o in outputs]
        excluded = {id(d) for d, o in zip(detached, outputs, strict=True) if isinstance(o, Tensor) and not o.requires_grad}
        attach("checkpoint", call, [*inputs, *leaves], detached, excluded)
        outputs = detached
    return tuple(outputs) if several else outputs[0]


class _Repetition:
    """The backward rule of a checkpointed call."""

    def __init__(self, function: Any, args: tuple[Any, ...], kwargs: Any, leaves: list[Tensor], context: Any, state: Any) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.leaves, self.context, self.state = leaves, context, state
        self.metas: list[Any] = []

    def __call__(self, *gradients: Any) -> tuple[Any, ...]:
        generator = random.default_generator
        before, current = recorder.set_grad_enabled(True), generator.get_state()
        try:
            if self.state is not None:
                generator.set_state(self.state)
            again = [_fresh(a) if isinstance(a, Tensor) else a for a in self.args]
            with self.context:
                made = self.function(*again, **self.kwargs)
            outputs = list(made) if isinstance(made, tuple) else [made]
            self._check(outputs)
            roots = [(m, g) for m, g in zip(outputs, gradients, strict=True) if g is not None and isinstance(m, Tensor) and m.requires_grad]
            targets = [n for n, a in zip(again, self.args, strict=True) if isinstance(a, Tensor) and a.requires_grad]
            return grad([m for m, _ in roots], [*targets, *self.leaves], [g for _, g in roots], allow_unused=True)
        finally:
            generator.set_state(current)
            recorder.set_grad_enabled(before)

    def _check(self, outputs: Sequence[Any]) -> None:
        for meta, output in zip(self.metas, outputs, strict=False):
            if meta is not None and (meta.shape, meta.dtype) != (output._meta.shape, output._meta.dtype):
                received = f"shape {output._meta.shape}, dtype {output._meta.dtype.name}"
                expected = f"shape {meta.shape}, dtype {meta.dtype.name}, as in the first call"
                raise GradientError(message("checkpoint: the repeated call gave another result", received=received, expected=expected))


def _fresh(tensor: Tensor) -> Tensor:
    requires_grad = tensor.requires_grad
    fresh = record(_barrier, (tensor.detach(),))
    return fresh.requires_grad_() if requires_grad else fresh  # type: ignore[no-any-return]


def _leaves(trace: recorder.Trace, outputs: Sequence[Any], inputs: Sequence[Tensor]) -> list[Tensor] | None:
    """Return the leaf tensors that a call used besides its arguments; None if its recording is not there any more."""
    made = [o for o in outputs if isinstance(o, Tensor) and o.requires_grad]
    if local.trace is not trace or any(o._trace is not trace for o in made):
        return None
    nodes = trace.nodes()
    stops = frozenset(nodes[t._slot] for t in inputs)
    cuts = {nodes[slot]: cut for slot, cut in trace.cuts.items()}
    roots = [nodes[o._slot] for o in made]
    wanted: set[Node] = set()
    while roots:
        found = set(gradient_leaves([r for r in roots if r not in stops], stops)[0]) - wanted - stops
        wanted |= found
        operands = [o for n in found if n in cuts for o in cuts[n].call.operands if isinstance(o, Tensor) and o.requires_grad]
        roots = [trace.nodes()[trace.slot_of(o)] for o in operands]  # a custom function: on with its arguments
    given = {id(t) for t in inputs}
    return [t for s, t in trace.leaf_tensors.items() if nodes[s] in wanted and id(t) not in given]  # type: ignore[misc]


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, preserve_rng_state: bool = True
) -> Any:
    """Run functions (or an `nn.Sequential`) one after the other in `segments` pieces, all but the last checkpointed.

    >>> import trine
    >>> x = trine.ones(2, requires_grad=True)
    >>> trine.utils.checkpoint.checkpoint_sequential([trine.exp, trine.log, trine.exp], 2, x).sum().backward()
    >>> [round(v, 4) for v in x.grad.tolist()]
    [2.7183, 2.7183]
    """
    steps = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = len(steps) // segments

    def run(first: int, last: int) -> Callable[[Any], Any]:
        def forward(value: Any) -> Any:
            for step in steps[first:last]:
                value = step(value)
            return value

        return forward

    first = 0
    for first in range(0, size * (segments - 1), size):
        input = checkpoint(run(first, first + size), input, use_reentrant=use_reentrant, preserve_rng_state=preserve_rng_state)
    return run(first + size if size * (segments - 1) else 0, len(steps))(input)


class set_checkpoint_early_stop:
    """Accepted for compatibility: a repetition always computes what the gradients need and nothing else."""

    def __init__(self, enable: bool) -> None:
        self.enable = enable

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
