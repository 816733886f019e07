"""`autograd.graph`: hooks on what backward keeps and on several gradients, and where a gradient arrives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from trine.errors import ArgumentError, GradientError, message
from trine.tensor.alias import is_leaf
from trine.tensor.grad_fn import AccumulateGrad, GradFn
from trine.tensor.saved import disable_saved_tensors_hooks, save_on_cpu, saved_tensors_hooks
from trine.tensor.tensor import Tensor

__all__ = [
    "GradientEdge",
    "MultiGradHandle",
    "Node",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]

Node = GradFn


class GradientEdge(NamedTuple):
    """Where the gradient of a tensor arrives: what computed it, and the number of the result there."""

    node: GradFn
    output_nr: int


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Return where the gradient of a tensor arrives.

    Raises:
        GradientError: the tensor does not require grad.
    """
    if not tensor.requires_grad:
        raise GradientError(message("get_gradient_edge", received="a tensor that does not require grad", expected="requires_grad=True"))
    function = AccumulateGrad(tensor) if is_leaf(tensor) else tensor.grad_fn
    return GradientEdge(function or GradFn("unknown"), tensor.output_nr)


def increment_version(tensor: Tensor | Sequence[Tensor]) -> None:
    """Count a write that was made past Trine (through an address, say), so that a backward pass which needs the old value raises."""
    for t in [tensor] if isinstance(tensor, Tensor) else tensor:
        t._version += 1


class MultiGradHandle:
    """Removes the hooks of `register_multi_grad_hook`."""

    def __init__(self, handles: Sequence[Any]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Remove them."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> MultiGradHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable[..., None], *, mode: str = "all") -> MultiGradHandle:
    """Call `fn` when the gradients of `tensors` are known in a backward pass.

    Args:
        tensors: tensors that require grad.
        fn: called with the list of all gradients (mode "all"), or with the first one that arrives ("any").
        mode: "all" waits until each of the tensors has its gradient.

    Raises:
        ArgumentError: an unknown mode.

    >>> import trine
    >>> x, y = trine.ones(2, requires_grad=True), trine.ones(2, requires_grad=True)
    >>> seen = []
    >>> handle = trine.autograd.graph.register_multi_grad_hook([x, y], lambda gradients: seen.append(len(gradients)))
    >>> (x * y).sum().backward()
    >>> seen
    [2]
    """
    if mode not in ("all", "any"):
        raise ArgumentError(message("register_multi_grad_hook: mode", received=mode, expected="'all' or 'any'"))
    lock = threading.Lock()
    arrived: dict[int, Tensor] = {}

    def hook_of(index: int) -> Callable[[Tensor], None]:
        def hook(gradient: Tensor) -> None:
            with lock:
                first = not arrived
                arrived[index] = gradient
                is_complete = len(arrived) == len(tensors)
                gradients = [arrived.get(i) for i in range(len(tensors))]
                if is_complete:
                    arrived.clear()
            if mode == "any" and first:
                fn(gradient)
            elif mode == "all" and is_complete:
                fn(gradients)

        return hook

    return MultiGradHandle([t.register_hook(hook_of(i)) for i, t in enumerate(tensors)])
