"""Saving and loading the state of a module by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from trine.errors import CheckpointError, DTypeError, message
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad

if TYPE_CHECKING:
    from trine.nn.module import Module

_SHOWN = 8


class IncompatibleKeys(NamedTuple):
    """Names that the module has and the state lacks, and the other way round."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def save_state(module: Module, destination: dict[str, Any], prefix: str, keep_vars: bool) -> dict[str, Any]:
    """Fill `destination` with the module's tensors, children after own."""
    for name, p in module._parameters.items():
        if p is not None:
            destination[prefix + name] = p if keep_vars else p.detach()
    for name, b in module._buffers.items():
        if b is not None and name not in module._non_persistent_buffers_set:
            destination[prefix + name] = b if keep_vars else b.detach()
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    return destination


def _targets(module: Module, prefix: str = "") -> dict[str, tuple[Module, str, Tensor]]:
    found = {}
    for name, p in module._parameters.items():
        if p is not None:
            found[prefix + name] = (module, name, p)
    for name, b in module._buffers.items():
        if b is not None and name not in module._non_persistent_buffers_set:
            found[prefix + name] = (module, name, b)
    for name, child in module._modules.items():
        if child is not None:
            found.update(_targets(child, f"{prefix}{name}."))
    return found


def load_state(module: Module, state: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """Check everything first, then copy; see `Module.load_state_dict`."""
    if not isinstance(state, Mapping):
        raise DTypeError(message("load_state_dict", received=type(state).__name__, expected="a mapping from names to tensors"))
    targets = _targets(module)
    missing = [n for n in targets if n not in state]
    unexpected = [n for n in state if n not in targets]
    problems = []
    if strict and unexpected:
        problems.append(f"unexpected names: {_listed(unexpected)}")
    if strict and missing:
        problems.append(f"missing names: {_listed(missing)}")
    for name, (_, _, tensor) in targets.items():
        if name not in state:
            continue
        value = state[name]
        if not isinstance(value, Tensor):
            problems.append(f"{name}: a {type(value).__name__} instead of a Tensor")
        elif value._meta.shape != tensor._meta.shape:
            problems.append(f"{name}: shape {value._meta.shape} in the state, {tensor._meta.shape} in the module")
    if problems:
        what = f"load_state_dict: the state does not fit {type(module).__name__}\n  " + "\n  ".join(problems)
        fix = "load into a model of the same architecture, or pass strict=False to skip names that differ"
        raise CheckpointError(message(what, fix=fix))
    with no_grad():
        for name, (owner, attribute, tensor) in targets.items():
            if name in state:
                _load_one(owner, attribute, tensor, state[name], assign)
    return IncompatibleKeys(missing, unexpected)


def _load_one(owner: Module, attribute: str, tensor: Tensor, value: Tensor, assign: bool) -> None:
    if not assign:
        tensor.copy_(value)
    elif attribute in owner._buffers:
        owner._buffers[attribute] = value
    else:
        tensor.data = value


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
