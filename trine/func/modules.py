"""Modules as functions of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trine
from trine.errors import ArgumentError, message
from trine.nn import Module
from trine.nn.utils.stateless import functional_call as functional_call
from trine.tensor import Tensor


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the parameters and the buffers of several modules of one class, stacked along a new first axis, for `vmap` over models.

    Raises:
        ArgumentError: no modules, or of several classes, or some in training and some in evaluation mode.

    >>> import trine
    >>> models = [trine.nn.Linear(2, 1) for _ in range(3)]
    >>> parameters, buffers = trine.func.stack_module_state(models)
    >>> tuple(parameters["weight"].shape)
    (3, 1, 2)
    """
    if not models:
        raise ArgumentError(message("stack_module_state: no models", received="nothing", expected="at least one"))
    if any(type(m) is not type(models[0]) for m in models):
        received = ", ".join(sorted({type(m).__name__ for m in models}))
        raise ArgumentError(message("stack_module_state: modules of several classes", received=received, expected="one class"))
    if any(m.training != models[0].training for m in models):
        raise ArgumentError(message("stack_module_state: modules in different modes", received="train and eval", expected="one mode"))
    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return _stacked(parameters), _stacked(buffers)


def _stacked(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    made = {}
    for name, first in states[0].items():
        stacked = trine.stack([s[name].detach() for s in states])
        made[name] = stacked.requires_grad_(first.requires_grad)
    return made


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """Return `func` itself: what Trine records has no writes in place, so there is nothing to remove.

    >>> import trine
    >>> trine.func.functionalize(lambda x: x.add_(1))(trine.zeros(2))
    tensor([1., 1.])
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise ArgumentError(message("functionalize: remove", received=remove, expected="'mutations' or 'mutations_and_views'"))
    return func
