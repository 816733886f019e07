"""Weight normalisation by a hook: the older form of `trine.nn.utils.parametrizations.weight_norm`."""

from __future__ import annotations

import warnings
from typing import Any

from trine.errors import ArgumentError, TrineError, message
from trine.nn.module import Module
from trine.nn.parameter import Parameter, is_lazy
from trine.nn.utils.norm_except_dim import norm_except_dim, weight_from_parts
from trine.tensor import Tensor

__all__ = ["WeightNorm", "remove_weight_norm", "weight_norm"]


class TwiceNormalizedError(TrineError, RuntimeError):
    """A parameter has a hook of this kind already."""


class WeightNorm:
    """The hook that computes a weight from magnitude and direction before every call."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module: Module) -> Tensor:
        """Return ``g v / |v|``."""
        return weight_from_parts(getattr(module, self.name + "_v"), getattr(module, self.name + "_g"), self.dim)

    @staticmethod
    def apply(module: Any, name: str, dim: int | None) -> WeightNorm:
        """Split a parameter of the module, and add the hook."""
        if find_hook(module, WeightNorm, name) is not None:
            raise TwiceNormalizedError(message("Cannot register two weight_norm hooks on the same parameter", received=name))
        weight = module._parameters.get(name)
        if weight is None or is_lazy(weight):
            expected = "a parameter with a shape"
            raise ArgumentError(message(f"weight_norm: {name} of {type(module).__name__}", received=repr(weight), expected=expected))
        hook = WeightNorm(name, dim)
        del module._parameters[name]
        module.register_parameter(name + "_g", Parameter(norm_except_dim(weight.detach(), hook.dim)))
        module.register_parameter(name + "_v", Parameter(weight.detach()))
        setattr(module, name, hook.compute_weight(module))
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Any) -> None:
        """Make the weight a parameter again."""
        weight = self.compute_weight(module)
        for suffix in ("", "_g", "_v"):
            delattr(module, self.name + suffix)
        setattr(module, self.name, Parameter(weight.detach()))

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def find_hook(module: Any, kind: type, name: str) -> Any:
    """Return the number of the module's hook of a kind for a parameter, or None."""
    for number, entry in module._forward_pre_hooks.items():
        hook = entry[0] if isinstance(entry, tuple) else entry
        if isinstance(hook, kind) and hook.name == name:  # type: ignore[attr-defined]
            return number
    return None


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """Learn a weight as magnitude ``weight_g`` and direction ``weight_v`` (Salimans and Kingma, 2016); it is computed before every call.

    Args:
        dim: the axis along which there is a magnitude for each place; None for one magnitude.

    >>> import warnings
    >>> import trine
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     layer = trine.nn.utils.weight_norm(trine.nn.Linear(20, 40))
    >>> layer.weight_g.shape, layer.weight_v.shape
    (trine.Size([40, 1]), trine.Size([40, 20]))
    """
    text = "`torch.nn.utils.weight_norm` is deprecated in favor of `torch.nn.utils.parametrizations.weight_norm`."
    warnings.warn(text, FutureWarning, stacklevel=2)
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: Any, name: str = "weight") -> Any:
    """Undo `weight_norm`: the weight is a parameter again.

    Raises:
        ValueError: the parameter has no such hook.
    """
    number = find_hook(module, WeightNorm, name)
    if number is None:
        raise ArgumentError(message(f"weight_norm of '{name}' not found in {module}"))
    entry = module._forward_pre_hooks.pop(number)
    (entry[0] if isinstance(entry, tuple) else entry).remove(module)
    return module
