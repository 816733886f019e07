"""Saving and loading the state of a module by name."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from trine.errors import CheckpointError, DTypeError, message
from trine.nn import hooks
from trine.nn.members import Members
from trine.nn.parameter import Parameter, is_lazy
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad
from trine.tensor.hooks import HookHandle

_SHOWN = 8
_EXTRA = "_extra_state"
Hook = Callable[..., Any]
Copies = list[Callable[[], None]]


class IncompatibleKeys(NamedTuple):
    """Names that the module has and the state lacks, and the other way round."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"

    def __str__(self) -> str:
        return repr(self)


class States(Members):
    """The part of `Module` that saves and loads its state.

    Attributes:
        _version: number of the form of a class's state; saved as `state_dict()._metadata` and given to `_load_from_state_dict`.
    """

    _version: int | None = 1
    _state_dict_hooks: Any
    _state_dict_pre_hooks: Any
    _load_state_dict_pre_hooks: Any
    _load_state_dict_post_hooks: Any

    # --- saving -------------------------------------------------------------------------------------------------------------------

    def get_extra_state(self) -> Any:
        """Return what `state_dict` saves besides parameters and buffers; defined by subclasses that have such state."""
        raise NotImplementedError("get_extra_state is called only where a subclass defines it")

    def set_extra_state(self, state: Any) -> None:
        """Take what `get_extra_state` returned; defined by subclasses that have such state."""
        raise NotImplementedError("set_extra_state is called only where a subclass defines it")

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Put the module's own tensors into `destination`."""
        for name, p in self._parameters.items():
            if p is not None:
                destination[prefix + name] = p if keep_vars or is_lazy(p) else p.detach()
        for name, b in self._buffers.items():
            if b is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = b if keep_vars or is_lazy(b) else b.detach()
        if _overrides(self, "get_extra_state"):
            destination[prefix + _EXTRA] = self.get_extra_state()

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> dict[str, Any]:
        """Return dotted name -> tensor of all parameters and persistent buffers (sharing memory).

        Args:
            destination: a dict to fill. prefix: what the names begin with. keep_vars: the tensors themselves, not detached.

        Example:
            >>> import trine
            >>> list(trine.nn.Linear(2, 1).state_dict())
            ['weight', 'bias']
        """
        old = ("destination", "prefix", "keep_vars")
        given = {"destination": destination, "prefix": prefix, "keep_vars": keep_vars} | dict(zip(old, args, strict=False))
        return self._saved(given["destination"], given["prefix"], given["keep_vars"])

    def _saved(self, destination: Any, prefix: str, keep_vars: bool) -> dict[str, Any]:
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, metadata)
            destination = destination if result is None else result
        return destination  # type: ignore[no-any-return]

    def _register_state_dict_hook(self, hook: Hook) -> HookHandle:
        """Call ``hook(module, state_dict, prefix, metadata)`` after saving; what it returns (if not None) is the state."""
        return hooks.register(self._state_dict_hooks, hook)

    def register_state_dict_post_hook(self, hook: Hook) -> HookHandle:
        """Call ``hook(module, state_dict, prefix, metadata)`` after `state_dict`; it may change the dict in place."""

        def in_place(*args: Any) -> None:
            if hook(*args) is not None:
                raise DTypeError(message("state_dict post-hook", received="a value", expected="None: change the dict in place"))

        return hooks.register(self._state_dict_hooks, in_place)

    def register_state_dict_pre_hook(self, hook: Hook) -> HookHandle:
        """Call ``hook(module, prefix, keep_vars)`` before `state_dict`."""
        return hooks.register(self._state_dict_pre_hooks, hook)

    # --- loading ------------------------------------------------------------------------------------------------------------------

    def _register_load_state_dict_pre_hook(self, hook: Hook, with_module: bool = False) -> HookHandle:
        """Call ``hook(state_dict, prefix, metadata, strict, missing, unexpected, errors)`` before loading (the module first, if asked)."""
        return hooks.register(self._load_state_dict_pre_hooks, (hook, with_module))

    def register_load_state_dict_pre_hook(self, hook: Hook) -> HookHandle:
        """Call ``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)`` before loading."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def register_load_state_dict_post_hook(self, hook: Hook) -> HookHandle:
        """Call ``hook(module, incompatible_keys)`` after loading; it may change the lists of names in place."""
        return hooks.register(self._load_state_dict_post_hooks, hook)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load the module's own tensors, without those of its children; subclasses may override it to read older forms."""
        for hook, with_module in self._load_state_dict_pre_hooks.values():
            given = (state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
            hook(*((self, *given) if with_module else given))
        assign, copies = local_metadata.get("assign_to_params_buffers", False), local_metadata.get("copies")
        for name, tensor in self._own_state().items():
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            problem = _misfit(key, tensor, state_dict[key], assign)
            if problem:
                error_msgs.append(problem)
            elif copies is None:
                self._take(name, tensor, state_dict[key], assign)
            else:
                copies.append(lambda name=name, tensor=tensor, value=state_dict[key]: self._take(name, tensor, value, assign))
        self._load_extra(state_dict, prefix, strict, missing_keys, unexpected_keys)
        if strict:
            unexpected_keys += self._unknown(state_dict, prefix)

    def _load_extra(
        self, state_dict: dict[str, Any], prefix: str, strict: bool, missing_keys: list[str], unexpected_keys: list[str]
    ) -> None:
        key = prefix + _EXTRA
        if _overrides(self, "set_extra_state"):
            if key in state_dict:
                self.set_extra_state(state_dict[key])
            elif strict:
                missing_keys.append(key)
        elif strict and key in state_dict:
            unexpected_keys.append(key)

    def _own_state(self) -> dict[str, Tensor]:
        buffers = {n: b for n, b in self._buffers.items() if n not in self._non_persistent_buffers_set}
        return {name: tensor for name, tensor in (*self._parameters.items(), *buffers.items()) if tensor is not None}

    def _unknown(self, state_dict: Mapping[str, Any], prefix: str) -> list[str]:
        own = self._own_state()
        found = []
        for key in state_dict:
            if key.startswith(prefix) and key != prefix + _EXTRA:
                head, *rest = key[len(prefix) :].split(".", 1)
                if (self._modules.get(head) is None) if rest else head not in own:
                    found.append(key)
        return found

    def _take(self, name: str, tensor: Tensor, value: Tensor, assign: bool) -> None:
        with no_grad():
            if not assign:
                if value.ndim == 1 and tensor.ndim == 0:
                    value = value[0]
                tensor.copy_(value)
            elif isinstance(tensor, Parameter) and not isinstance(value, Parameter):
                setattr(self, name, Parameter(value, requires_grad=tensor.requires_grad))
            else:
                setattr(self, name, value)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Copy values of the same names into this module.

        Args:
            strict: raise if names are missing or unexpected. assign: take the tensors themselves instead of copying.

        Returns:
            the missing and the unexpected names (`missing_keys`, `unexpected_keys`).

        Raises:
            CheckpointError: names or shapes do not match; the message lists all mismatches. The module is unchanged then (unless one of its
                modules defines a way of loading of its own, or hooks watch the loading).
        """
        if not isinstance(state_dict, Mapping):
            received = type(state_dict).__name__
            raise DTypeError(message("load_state_dict: not a state dict", received=received, expected="a mapping from names to tensors"))
        modules = list(self.modules())
        plain = not any(_loads_in_its_own_way(m) or m._load_state_dict_post_hooks for m in modules)
        copies: Copies | None = [] if plain else None
        keys, problems = IncompatibleKeys([], []), list[str]()
        metadata = getattr(state_dict, "_metadata", None)
        state: Any = OrderedDict(state_dict)
        if metadata is not None:
            state._metadata = metadata
        _load(self, state, "", metadata, assign, copies, keys, problems)
        _raise_problems(self, keys if strict else IncompatibleKeys([], []), problems)
        for copy in copies or ():
            copy()
        return keys


def _loads_in_its_own_way(module: Any) -> bool:
    """Return True if a user's class defines the loading; the layers here leave the copying to `load_state_dict`."""
    method: Any = type(module)._load_from_state_dict
    return str(method.__module__).split(".")[0] != __name__.split(".")[0]


def _overrides(module: Any, method: str) -> bool:
    return getattr(type(module), method) is not getattr(States, method)


def _load(
    module: Any,
    state: Any,
    prefix: str,
    metadata: Any,
    assign: bool,
    copies: Copies | None,
    keys: IncompatibleKeys,
    problems: list[str],
) -> None:
    """Load a module and what is below it."""
    local = {} if metadata is None else dict(metadata.get(prefix[:-1], {}))
    if assign:
        local["assign_to_params_buffers"] = True
    if copies is not None:
        local["copies"] = copies
    module._load_from_state_dict(state, prefix, local, True, keys.missing_keys, keys.unexpected_keys, problems)
    for name, child in module._modules.items():
        if child is not None:
            below = f"{prefix}{name}."
            _load(child, {k: v for k, v in state.items() if k.startswith(below)}, below, metadata, assign, copies, keys, problems)
    for hook in module._load_state_dict_post_hooks.values():
        if hook(module, keys) is not None:
            raise DTypeError(message("load_state_dict post-hook", received="a value", expected="None: change the lists in place"))


def _misfit(key: str, tensor: Tensor, value: Any, assign: bool) -> str:
    """Return why a value can't be loaded into a tensor, or nothing."""
    if not isinstance(value, Tensor):
        return f"{key}: a {type(value).__name__} instead of a Tensor"
    if is_lazy(tensor):
        return ""
    if is_lazy(value):
        return f"{key}: not initialized in the state; call the lazy module with an example first"
    ours, theirs = tensor._meta.shape, value._meta.shape
    if ours != theirs and not (ours == () and theirs == (1,)):
        return f"size mismatch for {key}: shape {theirs} in the state, {ours} in the module"
    if not assign and value.dtype.is_complex and not tensor.dtype.is_complex:
        warnings.warn(f"load_state_dict: {key} is complex in the state and real in the module", UserWarning, stacklevel=4)
    return ""


def _raise_problems(module: Any, keys: IncompatibleKeys, problems: list[str]) -> None:
    """Raise the error that lists all mismatches, if there are any."""
    texts = []
    if keys.missing_keys:
        texts.append(f"Missing key(s) in state_dict: {_listed(keys.missing_keys)}")
    if keys.unexpected_keys:
        texts.append(f"Unexpected key(s) in state_dict: {_listed(keys.unexpected_keys)}")
    texts += problems
    if texts:
        what = f"Error(s) in loading state_dict for {type(module).__name__}:\n  " + "\n  ".join(texts)
        fix = "load into a model of the same architecture, or pass strict=False to skip names that differ"
        raise CheckpointError(message(what, fix=fix))


def _listed(names: list[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
