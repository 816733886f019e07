"""What a module is made of: its parameters, buffers and children, kept by name, and walking through them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from trine.errors import ArgumentError, message
from trine.nn import hooks
from trine.nn.parameter import Buffer, Parameter
from trine.nn.registry import Registry
from trine.tensor import Tensor, changes

if TYPE_CHECKING:
    from trine.nn.module import Module

KINDS = {"_parameters": "parameter", "_buffers": "buffer", "_modules": "child module"}
REGISTRIES = tuple(KINDS)
HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
"""Where a module keeps its hooks, by kind."""


class Members:
    """The part of `Module` that keeps its parameters, buffers and children."""

    training: bool
    _parameters: Registry
    _buffers: Registry
    _modules: Registry
    _non_persistent_buffers_set: set[str]

    def __init__(self) -> None:
        values = self.__dict__
        values["training"] = True
        for name in REGISTRIES:
            values[name] = Registry(self)
        values["_non_persistent_buffers_set"] = set()
        for name in HOOKS:
            values[name] = OrderedDict()

    # --- attributes -------------------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        # members of the registries are in __dict__ too, so only what is missing comes here
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        changes.note()
        values = self.__dict__
        if isinstance(value, Parameter | Members):
            self._require_init()
            registry = "_parameters" if isinstance(value, Parameter) else "_modules"
            if name not in values[registry]:  # a new value for a known name keeps its place
                self._forget(name)
            watchers = hooks.parameter_registration if registry == "_parameters" else hooks.module_registration
            values[registry][name] = hooks.registered(watchers, self, name, value)
        elif isinstance(value, Buffer):
            self._require_init()
            if name not in values["_buffers"]:
                self._forget(name)
            self.register_buffer(name, value, value.__dict__.get("persistent", True))
        elif name in KINDS and name in values:
            values[name].replace(value)
        else:
            for registry, kind in KINDS.items():
                found = values.get(registry)
                if found is not None and name in found:
                    if value is not None and not (registry == "_buffers" and isinstance(value, Tensor)):
                        received = f"a {type(value).__name__}"
                        raise TypeError(
                            message(f"cannot assign '{name}' as {kind}", received=received, expected="a matching object or None")
                        )
                    found[name] = value if registry != "_buffers" else hooks.registered(hooks.buffer_registration, self, name, value)
                    return
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        changes.note()
        for registry in REGISTRIES:
            if name in self.__dict__[registry]:
                del self.__dict__[registry][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __getstate__(self) -> dict[str, Any]:
        values = self.__dict__
        members = {name for registry in REGISTRIES for name in values[registry]}
        return {k: dict(v) if k in KINDS else v for k, v in values.items() if k not in members}

    def __setstate__(self, state: dict[str, Any]) -> None:
        values = self.__dict__
        values.update(state)
        for name in REGISTRIES:
            values[name] = Registry(self, state.get(name, ()))
        values.setdefault("_non_persistent_buffers_set", set())
        for name in HOOKS:
            values.setdefault(name, OrderedDict())

    def __dir__(self) -> list[str]:
        """Return the names of attributes (those that are not identifiers, such as "0", left out)."""
        return sorted(name for name in object.__dir__(self) if not name[:1].isdigit())

    def _forget(self, name: str) -> None:
        values = self.__dict__
        values.pop(name, None)
        self._non_persistent_buffers_set.discard(name)
        for registry in REGISTRIES:
            values[registry].pop(name, None)

    def _require_init(self) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameters or modules before Module.__init__() call: call super().__init__() first")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter (or None, to reserve the name).

        Raises:
            KeyError: the name is empty, has a dot in it, or is taken. TypeError: not a parameter. ValueError: a computed tensor.
        """
        self._check_name(name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(message(f"register_parameter '{name}'", received=type(param).__name__, expected="an nn.Parameter or None"))
        if param is not None and not param.is_leaf:
            received, fix = "a tensor computed from others", "compute the value in forward()"
            raise ArgumentError(message(f"register_parameter '{name}'", received=received, expected="a leaf", fix=fix))
        self._parameters[name] = hooks.registered(hooks.parameter_registration, self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is part of the state but not learnt; `persistent` says whether `state_dict` holds it."""
        self._check_name(name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(message(f"register_buffer '{name}'", received=type(tensor).__name__, expected="a Tensor or None"))
        self._buffers[name] = hooks.registered(hooks.buffer_registration, self, name, tensor)
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module.

        Raises:
            KeyError: the name is empty, has a dot in it, or is taken. TypeError: not a module.
        """
        self._check_name(name, "_modules")
        if module is not None and not isinstance(module, Members):
            raise TypeError(message(f"add_module '{name}'", received=type(module).__name__, expected="an nn.Module or None"))
        self._modules[name] = hooks.registered(hooks.module_registration, self, name, module)

    register_module = add_module

    def _check_name(self, name: str, registry: str) -> None:
        self._require_init()
        kind = KINDS[registry]
        if not isinstance(name, str):
            raise TypeError(message(f"{kind} name", received=type(name).__name__, expected="a string"))
        if not name or "." in name:
            raise KeyError(f'{kind} name must be a non-empty string without ".", received {name!r}')
        if name not in self.__dict__[registry] and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    # --- walking ----------------------------------------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield (dotted name, module) for this module and all below it."""
        memo = set() if memo is None else memo
        this: Any = self
        if this in memo:
            return
        if remove_duplicate:
            memo.add(this)
        yield prefix, this
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Yield this module and all below it."""
        return (m for _, m in self.named_modules(remove_duplicate=remove_duplicate))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) of the direct children."""
        seen: set[Any] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """Yield the direct children."""
        return (m for _, m in self.named_children())

    def _named_members(self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules: Any = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, member in module.__dict__[registry].items():
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield (f"{path}.{name}" if path else name), member

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Yield (dotted name, parameter)."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Yield (dotted name, buffer)."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """Return the module at a dotted path.

        Raises:
            AttributeError: if there is none.
        """
        module: Any = self
        for name in target.split(".") if target else ():
            module = getattr(module, name, None)
            if not isinstance(module, Members):
                raise AttributeError(f"{type(self).__name__} has no submodule `{target}` (at `{name}`)")
        found: Module = module
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a dotted path.

        Args:
            strict: only in place of a module that is there.

        Raises:
            ValueError: an empty path, or not a module. AttributeError: the parent does not exist, or (strict) there is no module.
        """
        path, _, name = target.rpartition(".") if isinstance(target, str) else ("", "", "")
        if not name or not isinstance(module, Members):
            received = f"{target!r} and a {type(module).__name__}"
            raise ArgumentError(message("set_submodule", received=received, expected="a dotted path and a module"))
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Members):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a dotted path."""
        path, _, name = target.rpartition(".")
        found: Parameter | None = self.get_submodule(path)._parameters.get(name)
        if found is None:
            raise AttributeError(f"{type(self).__name__} has no parameter `{target}`")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at a dotted path."""
        path, _, name = target.rpartition(".")
        found: Tensor | None = self.get_submodule(path)._buffers.get(name)
        if found is None:
            raise AttributeError(f"{type(self).__name__} has no buffer `{target}`")
        return found
