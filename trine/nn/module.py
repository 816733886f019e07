"""The base class of layers and models."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from trine.dtypes import DType
from trine.errors import ArgumentError, message
from trine.nn.hooks import watched_call
from trine.nn.parameter import Buffer, Parameter
from trine.nn.registry import Registry
from trine.nn.state import load_state, save_state
from trine.tensor import Tensor
from trine.tensor.device import Device
from trine.tensor.grad_mode import no_grad
from trine.tensor.hooks import HookHandle

M = TypeVar("M", bound="Module")
_KINDS = {"_parameters": "parameter", "_buffers": "buffer", "_modules": "child module"}
_REGISTRIES = tuple(_KINDS)


class Module:
    """Base class of all layers and models.

    Assign parameters, buffers (`register_buffer`) and other modules as attributes in ``__init__`` and define ``forward``.

    Attributes:
        training: True after `train()`, False after `eval()`.

    >>> import trine
    >>> from trine import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = nn.Linear(3, 2)
    ...     def forward(self, x):
    ...         return self.layer(x).relu()
    >>> Net()(trine.ones(5, 3)).shape
    trine.Size([5, 2])
    """

    training: bool
    _parameters: Registry
    _buffers: Registry
    _modules: Registry

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        values = self.__dict__
        values["training"] = True
        for name in _REGISTRIES:
            values[name] = Registry(self)
        values["_non_persistent_buffers_set"] = set()
        values["_forward_hooks"] = OrderedDict()
        values["_forward_pre_hooks"] = OrderedDict()
        values["_backward_hooks"] = OrderedDict()
        values["_state_dict_hooks"] = OrderedDict()
        values["_load_state_dict_pre_hooks"] = OrderedDict()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result; defined by every subclass."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values = self.__dict__
        if not (values["_forward_hooks"] or values["_forward_pre_hooks"] or values["_backward_hooks"]):
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hook, with_kwargs in list(self._forward_pre_hooks.values()):
            result = hook(self, args, kwargs) if with_kwargs else hook(self, args)
            if result is not None:
                if with_kwargs:
                    args, kwargs = result
                else:
                    args = result if isinstance(result, tuple) else (result,)
        backward_hooks = tuple(self._backward_hooks.values())
        if backward_hooks:
            output = watched_call(self, backward_hooks, args, lambda *args: self.forward(*args, **kwargs))
        else:
            output = self.forward(*args, **kwargs)
        for hook, with_kwargs in list(self._forward_hooks.values()):
            result = hook(self, args, kwargs, output) if with_kwargs else hook(self, args, output)
            if result is not None:
                output = result
        return output

    # --- attributes -------------------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        # members of the registries are in __dict__ too, so only what is missing comes here
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        values = self.__dict__
        if isinstance(value, Parameter | Module):
            self._require_init()
            registry = "_parameters" if isinstance(value, Parameter) else "_modules"
            if name not in values[registry]:  # a new value for a known name keeps its place
                _forget(values, name)
            values[registry][name] = value
        elif isinstance(value, Buffer):
            self.register_buffer(name, value, value.__dict__.get("persistent", True))
        elif name in _KINDS and name in values:
            values[name].replace(value)
        else:
            for registry, kind in _KINDS.items():
                found = values.get(registry)
                if found is not None and name in found:
                    if value is not None and not (registry == "_buffers" and isinstance(value, Tensor)):
                        received = f"a {type(value).__name__}"
                        raise TypeError(
                            message(f"cannot assign '{name}' as {kind}", received=received, expected="a matching object or None")
                        )
                    found[name] = value
                    return
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        for registry in _REGISTRIES:
            if name in self.__dict__[registry]:
                del self.__dict__[registry][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __getstate__(self) -> dict[str, Any]:
        values = self.__dict__
        members = {name for registry in _REGISTRIES for name in values[registry]}
        return {k: dict(v) if k in _KINDS else v for k, v in values.items() if k not in members}

    def __setstate__(self, state: dict[str, Any]) -> None:
        values = self.__dict__
        values.update(state)
        for name in _REGISTRIES:
            values[name] = Registry(self, state.get(name, ()))

    def _require_init(self) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameters or modules before Module.__init__() call: call super().__init__() first")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter (or None, to reserve the name)."""
        self._check_name(name, "parameter")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(message(f"register_parameter '{name}'", received=type(param).__name__, expected="an nn.Parameter or None"))
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is part of the state but not learnt; `persistent` says whether `state_dict` holds it."""
        if name not in self._buffers:
            self._check_name(name, "buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(message(f"register_buffer '{name}'", received=type(tensor).__name__, expected="a Tensor or None"))
        self._buffers[name] = tensor
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module."""
        self._check_name(name, "module")
        if module is not None and not isinstance(module, Module):
            raise TypeError(message(f"add_module '{name}'", received=type(module).__name__, expected="an nn.Module or None"))
        self._modules[name] = module

    register_module = add_module

    def _check_name(self, name: str, kind: str) -> None:
        self._require_init()
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f'{kind} name must be a non-empty string without ".", received {name!r}')
        if hasattr(self, name) and not any(name in self.__dict__[r] for r in _REGISTRIES):
            raise KeyError(f"attribute '{name}' already exists")

    # --- walking ----------------------------------------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield (dotted name, module) for this module and all below it."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it."""
        return (m for _, m in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) of the direct children."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """Yield the direct children."""
        return (m for _, m in self.named_children())

    def _named_members(self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else iter([(prefix, self)])
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
            if not isinstance(module, Module):
                raise AttributeError(f"{type(self).__name__} has no submodule `{target}` (at `{name}`)")
        return module  # type: ignore[no-any-return]

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

    # --- modes and conversion ---------------------------------------------------------------------------------------------------

    def train(self: M, mode: bool = True) -> M:
        """Set training mode (dropout drops, batch norm measures) for this module and all below it."""
        if not isinstance(mode, bool):
            raise ArgumentError(message("train", received=repr(mode), expected="a bool"))
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: M) -> M:
        """Set evaluation mode."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Freeze (False) or unfreeze all parameters."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters (or set them to zero in place)."""
        with no_grad():
            for p in self.parameters():
                if set_to_none:
                    p._grad = None
                elif p._grad is not None:
                    p._grad.detach_().zero_()

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call `fn` on every module below and then on this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def _apply(self: M, fn: Callable[[Tensor], Tensor]) -> M:
        """Replace every parameter's and buffer's value by `fn(value)`."""
        with no_grad():
            for module in self.modules():
                for p in module._parameters.values():
                    if p is not None:
                        p.data = fn(p.detach())
                        if p._grad is not None:
                            p._grad = fn(p._grad)
                for name, b in module._buffers.items():
                    if b is not None:
                        module._buffers[name] = fn(b)
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Convert floating-point parameters and buffers to a dtype; devices are accepted ("cpu")."""
        dtype = kwargs.get("dtype")
        for arg in args:
            if isinstance(arg, DType):
                dtype = arg
            elif isinstance(arg, Tensor):
                dtype = arg.dtype
            elif isinstance(arg, str | Device):
                Device(arg)
        if kwargs.get("device") is not None:
            Device(kwargs["device"])
        if dtype is None:
            return self
        if not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(message("Module.to", received=dtype.name, expected="a floating-point or complex dtype"))
        return self._apply(lambda t: t.to(dtype) if t.dtype.is_floating_point or t.dtype.is_complex else t)

    def float(self: M) -> M:
        """Convert to float32."""
        from trine import dtypes

        return self.to(dtypes.float32)

    def double(self: M) -> M:
        """Convert to float64."""
        from trine import dtypes

        return self.to(dtypes.float64)

    def half(self: M) -> M:
        """Convert to float16."""
        from trine import dtypes

        return self.to(dtypes.float16)

    def bfloat16(self: M) -> M:
        """Convert to bfloat16."""
        from trine import dtypes

        return self.to(dtypes.bfloat16)

    def cpu(self: M) -> M:
        """Return the module: everything is on the CPU."""
        return self

    # --- hooks ------------------------------------------------------------------------------------------------------------------

    def register_forward_hook(
        self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> HookHandle:
        """Call ``hook(module, args, output)`` after forward; what it returns (if not None) replaces the output."""
        return _register(self._forward_hooks, (hook, with_kwargs), prepend)

    def register_forward_pre_hook(self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False) -> HookHandle:
        """Call ``hook(module, args)`` before forward; what it returns (if not None) replaces the arguments."""
        return _register(self._forward_pre_hooks, (hook, with_kwargs), prepend)

    def register_full_backward_hook(self, hook: Any, prepend: bool = False) -> HookHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of inputs and outputs are known.

        What it returns (if not None) replaces grad_input.
        """
        return _register(self._backward_hooks, hook, prepend)

    # --- state ------------------------------------------------------------------------------------------------------------------

    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> dict[str, Any]:
        """Return dotted name -> tensor of all parameters and persistent buffers (sharing memory)."""
        return save_state(self, OrderedDict() if destination is None else destination, prefix, keep_vars)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Copy values of the same names into this module.

        Args:
            strict: raise if names are missing or unexpected. assign: take the tensors themselves instead of copying.

        Returns:
            the missing and the unexpected names (`missing_keys`, `unexpected_keys`).

        Raises:
            CheckpointError: names or shapes do not match; the module is unchanged then, and the message lists all mismatches.
        """
        return load_state(self, state_dict, strict, assign)

    def extra_repr(self) -> str:
        """Return what stands in the parentheses of the module's repr."""
        return ""

    def __repr__(self) -> str:
        lines = []
        for name, child in self._modules.items():
            text = repr(child).split("\n")
            lines.append(f"({name}): " + "\n  ".join(text))
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        head = [extra] if extra else []
        return f"{type(self).__name__}(\n  " + "\n  ".join(head + lines) + "\n)"


def _forget(values: dict[str, Any], name: str) -> None:
    values.pop(name, None)
    for registry in _REGISTRIES:
        values[registry].pop(name, None)


def _register(hooks: OrderedDict[int, Any], hook: Any, prepend: bool) -> HookHandle:
    handle = HookHandle(hooks, hook)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle
