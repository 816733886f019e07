"""Spectral normalisation by a hook: the older form of `trine.nn.utils.parametrizations.spectral_norm`."""

from __future__ import annotations

from typing import Any

from trine.errors import ArgumentError, message
from trine.nn import functional as F
from trine.nn.module import Module
from trine.nn.parameter import Parameter, is_lazy
from trine.nn.utils.parametrizations import default_dim
from trine.nn.utils.weight_norm import TwiceNormalizedError, find_hook
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad

__all__ = ["SpectralNorm", "remove_spectral_norm", "spectral_norm"]


class SpectralNorm:
    """The hook that divides a weight by its largest singular value before every call."""

    _version = 1

    def __init__(self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        if n_power_iterations <= 0:
            received = f"n_power_iterations={n_power_iterations}"
            raise ArgumentError(message("spectral_norm", received=received, expected="1 or more"))
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def reshape_weight_to_matrix(self, weight: Any) -> Any:
        """Return the weight as a matrix with a row for each output."""
        if self.dim:
            weight = weight.permute(self.dim, *(k for k in range(weight.dim()) if k != self.dim))
        return weight.reshape(weight.shape[0], -1)

    def compute_weight(self, module: Any, do_power_iteration: bool) -> Tensor:
        """Return the weight, divided by the estimate ``u W v`` of its largest singular value."""
        weight, u, v = (getattr(module, self.name + suffix) for suffix in ("_orig", "_u", "_v"))
        matrix = self.reshape_weight_to_matrix(weight)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(F.normalize(matrix.T @ u, dim=0, eps=self.eps))
                    u.copy_(F.normalize(matrix @ v, dim=0, eps=self.eps))
            # Another call may change them before this one's gradients are computed.
            u, v = u.clone(), v.clone()
        return weight / u.dot(matrix @ v)  # type: ignore[no-any-return]

    @staticmethod
    def apply(module: Any, name: str, n_power_iterations: int, dim: int, eps: float) -> SpectralNorm:
        """Rename a parameter of the module, add the vectors of the power iteration, and the hooks."""
        if find_hook(module, SpectralNorm, name) is not None:
            raise TwiceNormalizedError(message("Cannot register two spectral_norm hooks on the same parameter", received=name))
        hook = SpectralNorm(name, n_power_iterations, dim, eps)
        weight = module._parameters.get(name)
        if weight is None or is_lazy(weight):
            expected = "a parameter with a shape"
            raise ArgumentError(message(f"spectral_norm: {name} of {type(module).__name__}", received=repr(weight), expected=expected))
        with no_grad():
            height, width = hook.reshape_weight_to_matrix(weight).shape
            u, v = (F.normalize(weight.new_empty((n,)).normal_(), dim=0, eps=eps) for n in (height, width))
        del module._parameters[name]
        module.register_parameter(name + "_orig", weight)
        setattr(module, name, weight.detach())
        module.register_buffer(name + "_u", u)
        module.register_buffer(name + "_v", v)
        module.register_forward_pre_hook(hook)
        module._register_state_dict_hook(_SaveVersion(name))
        return hook

    def remove(self, module: Any) -> None:
        """Make the weight a parameter again."""
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        for suffix in ("", "_u", "_v", "_orig"):
            delattr(module, self.name + suffix)
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, do_power_iteration=module.training))


class _SaveVersion:
    """Notes in the metadata of a state which form it has, as PyTorch's loader expects."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: Any, state_dict: Any, prefix: str, local_metadata: dict[str, Any]) -> None:
        local_metadata.setdefault("spectral_norm", {})[self.name + ".version"] = SpectralNorm._version


def spectral_norm(module: Any, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> Any:
    """Divide a weight by its largest singular value before every call (Miyato et al., 2018).

    What is learnt is ``weight_orig``; ``weight_u`` and ``weight_v`` are the vectors of the power iteration.

    Args:
        n_power_iterations: steps at each call in training. dim: the axis of the outputs: 0, or 1 for transposed convolutions, unless given.

    >>> import trine
    >>> layer = trine.nn.utils.spectral_norm(trine.nn.Linear(20, 40))
    >>> layer.weight_u.shape
    trine.Size([40])
    """
    SpectralNorm.apply(module, name, n_power_iterations, default_dim(module) if dim is None else dim, eps)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Undo `spectral_norm`: the weight is a parameter again.

    Raises:
        ValueError: the parameter has no such hook.
    """
    number = find_hook(module, SpectralNorm, name)
    if number is None:
        raise ArgumentError(message(f"spectral_norm of '{name}' not found in {module}"))
    hooks: Any = module._forward_pre_hooks
    entry = hooks.pop(number)
    (entry[0] if isinstance(entry, tuple) else entry).remove(module)
    for key, hook in list(module._state_dict_hooks.items()):
        if isinstance(hook, _SaveVersion) and hook.name == name:
            del module._state_dict_hooks[key]
    return module
