"""Parametrizations: a parameter computed by modules from what is really learnt, every time it is used."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.nn.container import ModuleDict, ModuleList
from trine.nn.module import Module
from trine.nn.parameter import Parameter
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]

_depth = 0
_values: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Inside this context a parametrized tensor is computed once, at its first use.

    >>> import trine
    >>> from trine.nn.utils import parametrize
    >>> layer = trine.nn.utils.parametrizations.weight_norm(trine.nn.Linear(2, 2))
    >>> with parametrize.cached():
    ...     layer.weight is layer.weight
    True
    """
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            _values.clear()


def _register(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _inverse(module: Any, value: Any) -> Any:
    """Return what leads to `value`; a parametrization without `right_inverse` is taken for the identity."""
    if not hasattr(module, "right_inverse"):
        return value
    try:
        return module.right_inverse(value)
    except NotImplementedError:
        return value


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, applied one after the other, and the tensors that they start from.

    Attributes:
        original: what the first parametrization takes; original0, original1, … where it takes several.
    """

    original: Tensor
    unsafe: bool

    def __init__(self, modules: Sequence[Module], original: Tensor | Parameter, unsafe: bool = False) -> None:
        if not modules:
            raise ArgumentError(message("ParametrizationList", received="no modules", expected="one or more"))
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with no_grad():
            start: Any = original
            for module in reversed(list(self)):
                start = _inverse(module, start)
        self.is_tensor = isinstance(start, Tensor)
        self.ntensors = 1 if self.is_tensor else len(start) if isinstance(start, Sequence) else 0
        if not self.is_tensor and not isinstance(start, Sequence):
            raise ArgumentError(message("right_inverse", received=type(start).__name__, expected="a Tensor or a sequence of Tensors"))
        if self.is_tensor:
            if not unsafe and start.dtype is not dtype:
                raise ArgumentError(message("right_inverse: the dtype changes", received=start.dtype.name, expected=dtype.name))
            with no_grad():
                original.data = start.detach()
            _register(self, "original", original)
        else:
            for i, part in enumerate(start):
                if not isinstance(part, Tensor):
                    raise ArgumentError(message("right_inverse", received=type(part).__name__, expected="Tensors"))
                if isinstance(original, Parameter):
                    part = Parameter(part, original.requires_grad)
                part.requires_grad_(original.requires_grad)
                _register(self, f"original{i}", part)
        if not unsafe:
            _check_result(self(), shape, dtype)

    def right_inverse(self, value: Tensor) -> None:
        """Set what is learnt so that the parametrized tensor becomes `value`, through the `right_inverse` of every parametrization.

        Raises:
            RuntimeError: one of them has none.
        """
        with no_grad():
            start: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    received = f"parametrization {type(module).__name__}"
                    raise _NoInverse(message("the parametrized tensor can't be assigned: no right_inverse", received=received))
                start = module.right_inverse(start)
            parts = [start] if self.is_tensor else list(start)
            targets = [self.original] if self.is_tensor else [getattr(self, f"original{i}") for i in range(self.ntensors)]
            if len(parts) != len(targets):
                raise ArgumentError(message("right_inverse", received=f"{len(parts)} tensors", expected=f"{len(targets)}"))
            for target, part in zip(targets, parts, strict=True):
                if not isinstance(part, Tensor):
                    raise ArgumentError(message("right_inverse", received=type(part).__name__, expected="a Tensor"))
                if part.dtype is not target.dtype:
                    raise ArgumentError(message("right_inverse: the dtype changes", received=part.dtype.name, expected=target.dtype.name))
                target.data = part.detach()

    def forward(self) -> Any:
        """Return the parametrized tensor."""
        first, *others = self
        x = first(self.original) if self.is_tensor else first(*(getattr(self, f"original{i}") for i in range(self.ntensors)))
        for module in others:
            x = module(x)
        return x


class _NoInverse(ShapeError):
    """A tensor was assigned whose parametrization has no right inverse."""


def _check_result(result: Any, shape: Any, dtype: Any) -> None:
    if not isinstance(result, Tensor):
        raise ArgumentError(message("a parametrization must return a tensor", received=type(result).__name__, expected="a Tensor"))
    if result.dtype is not dtype:
        what, fix = "a parametrization must keep the dtype", "register it with unsafe=True"
        raise ArgumentError(message(what, received=result.dtype.name, expected=dtype.name, fix=fix))
    if result.shape != shape:
        what, fix = "a parametrization must keep the shape", "register it with unsafe=True"
        raise ArgumentError(message(what, received=tuple(result.shape), expected=tuple(shape), fix=fix))


def _give_own_class(module: Module) -> None:
    """Make the class of the module one that only this object has, so that it can have properties."""
    cls = type(module)

    def deepcopy(self: Any, memo: dict[int, Any]) -> Any:
        replica = self.__class__.__new__(self.__class__)
        memo[id(self)] = replica
        replica.__setstate__(copy.deepcopy(Module.__getstate__(self), memo))
        return replica

    def getstate(self: Any) -> Any:
        raise _NotPicklable(message("serialization of parametrized modules is only supported through state_dict()"))

    own = type(f"Parametrized{cls.__name__}", (cls,), {"__getstate__": getstate, "__module__": cls.__module__})
    if not hasattr(cls, "__deepcopy__"):
        own.__deepcopy__ = deepcopy  # type: ignore[attr-defined]
    module.__class__ = own


class _NotPicklable(DTypeError):
    """A module whose class exists only in this process."""


def _add_property(module: Any, name: str) -> None:
    def get(self: Any) -> Any:
        if not _depth:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _values:
            _values[key] = self.parametrizations[name]()
        return _values[key]

    def put(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(get, put))


def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False) -> Module:
    """Compute a parameter or buffer of a module by another module: ``module.weight`` becomes ``parametrization(original)``.

    What is learnt is ``module.parametrizations.weight.original``. A second parametrization takes the result of the first. Where the
    parametrization has a method ``right_inverse``, ``module.weight = value`` sets what is learnt accordingly.

    Args:
        unsafe: the result may have another shape or dtype.

    Raises:
        ValueError: the module has no such tensor, or shape or dtype would change.

    >>> import trine
    >>> class Symmetric(trine.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = trine.nn.Linear(3, 3)
    >>> _ = trine.nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    """
    target: Any = module
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        known = target.parametrizations[tensor_name]
        if not unsafe:
            value = getattr(module, tensor_name)
            _check_result(parametrization(value), value.shape, value.dtype)
            with no_grad():
                start = _inverse(parametrization, value)
            if hasattr(parametrization, "right_inverse"):
                if not isinstance(start, Tensor):
                    raise ArgumentError(message("right_inverse", received=type(start).__name__, expected="a Tensor: it is not the first"))
                _check_result(start, value.shape, value.dtype)
                known.right_inverse(start)
        known.append(parametrization)
        known.unsafe = known.unsafe or unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        made = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _give_own_class(module)
            target.parametrizations = ModuleDict()
        _add_property(module, tensor_name)
        target.parametrizations[tensor_name] = made
    else:
        received = f"'{tensor_name}' of {type(module).__name__}"
        raise ArgumentError(
            message("register_parametrization", received=received, expected="a parameter, a buffer or a parametrized tensor")
        )
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Return whether a tensor of the module (any, if none is named) is parametrized."""
    found = getattr(module, "parametrizations", None)
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Take the parametrizations of a tensor away.

    Args:
        leave_parametrized: the tensor keeps its value; otherwise it becomes the original again (if there is one).

    Raises:
        ValueError: the tensor is not parametrized, or has several originals and is to become them.

    >>> import trine
    >>> layer = trine.nn.utils.parametrizations.weight_norm(trine.nn.Linear(2, 2))
    >>> trine.nn.utils.parametrize.remove_parametrizations(layer, "weight")
    Linear(in_features=2, out_features=2, bias=True)
    """
    target: Any = module
    if not is_parametrized(module, tensor_name):
        received = f"'{tensor_name}' of {type(module).__name__}"
        raise ArgumentError(message("remove_parametrizations: the tensor is not parametrized", received=received))
    known = target.parametrizations[tensor_name]
    if not known.is_tensor and not leave_parametrized:
        expected = "leave_parametrized=True for a tensor with several originals"
        raise ArgumentError(message("remove_parametrizations", received="leave_parametrized=False", expected=expected))
    original = known.original if known.is_tensor else known.original0
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach()
            if known.is_tensor:
                original.data = value
            else:
                original = Parameter(value, original.requires_grad) if isinstance(original, Parameter) else value
    delattr(type(module), tensor_name)
    del target.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del target.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """Return the class that the module had before it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module: Module, to_module: Module, tensor_name: str | None = None) -> Module:
    """Parametrize `to_module` as `from_module` is, with its originals (of one tensor, or of all)."""
    source: Any = from_module
    target: Any = to_module
    if not is_parametrized(from_module):
        return to_module
    for name in source.parametrizations if tensor_name is None else [tensor_name]:
        known = source.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach().clone()))
        for parametrization in known:
            register_parametrization(to_module, name, parametrization)
        made = target.parametrizations[name]
        if made.is_tensor:
            made.original = known.original
        else:
            for i in range(known.ntensors):
                setattr(made, f"original{i}", getattr(known, f"original{i}"))
    return to_module
