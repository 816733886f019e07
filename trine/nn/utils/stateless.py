"""Modules called with other parameters than their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from trine.errors import ArgumentError, message
from trine.nn.module import Module
from trine.tensor import Tensor

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with these tensors in the place of its parameters and buffers.

    Args:
        module: stays as it is. A buffer that its call writes is written in the tensor that was given.
        parameter_and_buffer_dicts: name -> tensor, with the names of `named_parameters` and `named_buffers`; or several such dicts.
        args: a tuple of arguments, or one argument. kwargs: arguments by name.
        tie_weights: a tensor that the module has under several names is replaced under all of them.
        strict: every parameter and buffer must be given.

    Raises:
        ArgumentError: a name that the module does not have, or (strict) one that is missing; or two values for tied names.

    >>> import trine
    >>> layer = trine.nn.Linear(2, 1)
    >>> weights = {"weight": trine.ones(1, 2), "bias": trine.zeros(1)}
    >>> trine.func.functional_call(layer, weights, (trine.tensor([[1.0, 2.0]]),))
    tensor([[3.]])
    """
    given = _merged(parameter_and_buffer_dicts)
    if strict:
        _check_complete(module, given)
    if tie_weights:
        given = _tied(module, given)
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, given):
        return module(*arguments, **(kwargs or {}))


def _merged(dicts: Any) -> dict[str, Tensor]:
    if isinstance(dicts, Mapping):
        return dict(dicts)
    if not isinstance(dicts, Sequence) or not all(isinstance(d, Mapping) for d in dicts):
        received = type(dicts).__name__
        raise ArgumentError(message("functional_call: parameters", received=received, expected="a dict, or several dicts"))
    merged: dict[str, Tensor] = {}
    for part in dicts:
        twice = merged.keys() & part.keys()
        if twice:
            raise ArgumentError(message("functional_call: a name stands in two dicts", received=", ".join(sorted(twice))))
        merged.update(part)
    return merged


def _places(module: Module) -> dict[str, tuple[Any, str]]:
    """Return name of each parameter and buffer, tied ones too -> (registry, name there)."""
    found = {}
    for prefix, child in module.named_modules(remove_duplicate=False):
        for registry in (child._parameters, child._buffers):
            for name in registry:
                found[f"{prefix}.{name}" if prefix else name] = (registry, name)
    return found


def _check_complete(module: Module, given: Mapping[str, Tensor]) -> None:
    names = {n for n, _ in module.named_parameters()} | {n for n, _ in module.named_buffers()}
    missing, unknown = sorted(names - given.keys()), sorted(given.keys() - _places(module).keys())
    if missing or unknown:
        received = f"missing keys: {', '.join(missing) or 'none'}; unexpected keys: {', '.join(unknown) or 'none'}"
        raise ArgumentError(message("functional_call: strict", received=received, expected="every parameter and buffer"))


def _tied(module: Module, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with those added that the module has under another name too."""
    groups: dict[int, list[str]] = {}
    for name, (registry, key) in _places(module).items():
        if registry[key] is not None:
            groups.setdefault(id(registry[key]), []).append(name)
    full = dict(given)
    for names in groups.values():
        values = [given[n] for n in names if n in given]
        if any(v is not values[0] for v in values):
            received = ", ".join(n for n in names if n in given)
            raise ArgumentError(message("functional_call: several values for tied weights", received=received, fix="tie_weights=False"))
        full.update(dict.fromkeys(names, values[0]) if values else {})
    return full


@contextmanager
def _replaced(module: Module, given: Mapping[str, Tensor]) -> Iterator[None]:
    places = _places(module)
    former = []
    try:
        for name, value in given.items():
            if name not in places:
                received = f"'{name}'"
                raise ArgumentError(message("functional_call: the module has no such parameter or buffer", received=received))
            registry, key = places[name]
            former.append((registry, key, registry[key]))
            registry[key] = value
        yield
    finally:
        for registry, key, value in reversed(former):
            registry[key] = value
