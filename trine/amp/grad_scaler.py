"""GradScaler: losses are scaled so that small gradients do not vanish in half precision."""

from __future__ import annotations

import enum
import warnings
from collections.abc import Iterable
from typing import Any

from trine import dtypes
from trine.amp.state import check_device_type
from trine.core import build
from trine.core.graph import Node
from trine.errors import ArgumentError, TrineError, UnsupportedError, message
from trine.ops.promotion import number
from trine.tensor import Tensor, record
from trine.tensor.alias import assign_all
from trine.tensor.convert import tensor
from trine.tensor.grad_mode import no_grad

__all__ = ["GradScaler", "OptState", "ScalerStateError"]


class ScalerStateError(TrineError, RuntimeError, AssertionError):
    """Methods of a scaler were called in an order that has no meaning."""


class OptState(enum.Enum):
    """Where an optimizer is between two updates of the scale."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


class GradScaler:
    """Scales losses, and gradients back; steps with gradients that are not finite are left out and lower the scale.

    Args:
        device: "cpu"; for others the scaler is disabled, with a warning. init_scale: the first scale.
        growth_factor, backoff_factor: what it is multiplied by after `growth_interval` steps that were good, or one that was not.
        enabled: False makes all methods do nothing.

    >>> import trine
    >>> w = trine.nn.Parameter(trine.ones(1))
    >>> optimizer, scaler = trine.optim.SGD([w], lr=0.5), trine.amp.GradScaler("cpu")
    >>> scaler.scale((w * w).sum()).backward()
    >>> w.grad.item()
    131072.0
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> w.item()
    0.0
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._device, self._enabled = check_device_type(device), enabled
        if enabled and device != "cpu":
            warnings.warn(f"GradScaler is enabled, but there is no {device} device. Disabling.", UserWarning, stacklevel=2)
            self._enabled = False
        if growth_factor <= 1.0 or backoff_factor >= 1.0:
            received = f"growth_factor {growth_factor}, backoff_factor {backoff_factor}"
            raise ScalerStateError(message("GradScaler: impossible factors", received=received, expected="growth > 1, backoff < 1"))
        self._init_scale, self._init_growth_tracker = init_scale, 0
        self._growth_factor, self._backoff_factor, self._growth_interval = growth_factor, backoff_factor, growth_interval
        self._scale: Tensor | None = None
        self._growth_tracker = 0
        self._stages: dict[int, OptState] = {}
        self._found_inf: dict[int, Tensor] = {}

    # --- a step ---------------------------------------------------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """Return a tensor, or the tensors in an iterable, times the scale."""
        if not self._enabled:
            return outputs
        if self._scale is None:
            self._scale = tensor(float(self._init_scale), dtype=dtypes.float32)
            self._growth_tracker = self._init_growth_tracker
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        if not isinstance(outputs, Iterable):
            raise ArgumentError(message("outputs must be a Tensor or an iterable of Tensors", received=type(outputs).__name__))
        scaled = (self.scale(value) for value in outputs)
        return type(outputs)(scaled) if isinstance(outputs, list | tuple) else scaled

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer by the scale, in place, before they are looked at or clipped; `step` does it otherwise.

        Raises:
            ScalerStateError: a RuntimeError; it was done already, or nothing was scaled. ArgumentError: a ValueError; float16 gradients.
        """
        if not self._enabled:
            return
        scale = self._checked_scale("unscale_")
        stage = self._stages.get(id(optimizer), OptState.READY)
        if stage is OptState.UNSCALED:
            raise ScalerStateError(message("unscale_() has already been called on this optimizer since the last update()"))
        if stage is OptState.STEPPED:
            raise ScalerStateError(message("unscale_() is being called after step()"))
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if any(g.dtype is dtypes.float16 for g in grads):
            fix = "keep parameters in float32, and let autocast lower the precision"
            raise ArgumentError(message("Attempting to unscale FP16 gradients", received="a float16 gradient", fix=fix))
        if grads:
            with no_grad():
                *unscaled, found = record(_unscaled, (*grads, scale))
                assign_all(grads, tuple(unscaled))
            self._found_inf[id(optimizer)] = found
        self._stages[id(optimizer)] = OptState.UNSCALED

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Step the optimizer if all its gradients are finite, and return what its step returns (None for a step that was left out)."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise UnsupportedError(message("Closure use is not currently supported if GradScaler is enabled"))
        self._checked_scale("step")
        if self._stages.get(id(optimizer)) is OptState.STEPPED:
            raise ScalerStateError(message("step() has already been called since the last update()"))
        if self._stages.get(id(optimizer), OptState.READY) is OptState.READY:
            self.unscale_(optimizer)
        if id(optimizer) not in self._found_inf:
            raise ScalerStateError(message("No inf checks were recorded for this optimizer", fix="call backward() before step()"))
        result = None
        if not self._found_inf[id(optimizer)].item():
            result = optimizer.step(*args, **kwargs)
        self._stages[id(optimizer)] = OptState.STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Set the scale for the next iteration: by what the steps have met, or to a given value."""
        if not self._enabled:
            return
        scale = self._checked_scale("update")
        if new_scale is not None:
            if isinstance(new_scale, Tensor) and (new_scale.numel() != 1 or new_scale.requires_grad):
                what = "new_scale should be a float or a 1-element tensor with requires_grad=False"
                raise ScalerStateError(message(what, received=f"a tensor of shape {tuple(new_scale.shape)}"))
            scale.fill_(float(new_scale))
        else:
            if not self._found_inf:
                raise ScalerStateError(message("No inf checks were recorded prior to update", fix="call step() before update()"))
            self._adapt(scale, any(found.item() for found in self._found_inf.values()))
        self._stages, self._found_inf = {}, {}

    def _adapt(self, scale: Tensor, found_inf: bool) -> None:
        if found_inf:
            scale.fill_(scale.item() * self._backoff_factor)
            self._growth_tracker = 0
            return
        self._growth_tracker += 1
        if self._growth_tracker == self._growth_interval:
            grown = tensor(scale.item() * self._growth_factor, dtype=dtypes.float32)
            if grown.isfinite().item():
                scale.copy_(grown)
            self._growth_tracker = 0

    def _checked_scale(self, name: str) -> Tensor:
        if self._scale is None:
            raise ScalerStateError(message(f"Attempted {name} but _scale is None", fix="call scaler.scale(loss) earlier in the iteration"))
        return self._scale

    # --- what it is -----------------------------------------------------------------------------------------------------------------

    def is_enabled(self) -> bool:
        """Return True if the scaler does something."""
        return self._enabled

    def get_scale(self) -> float:
        """Return the scale (1.0 if disabled)."""
        if not self._enabled:
            return 1.0
        return float(self._init_scale if self._scale is None else self._scale.item())

    def get_growth_factor(self) -> float:
        """Return the growth factor."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set the growth factor."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """Return the backoff factor."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set the backoff factor."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Return the growth interval."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set the growth interval."""
        self._growth_interval = new_interval

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        return self._init_growth_tracker if self._scale is None else self._growth_tracker

    def state_dict(self) -> dict[str, Any]:
        """Return the state (empty if disabled)."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that `state_dict` returned, here or in PyTorch.

        Raises:
            ScalerStateError: a RuntimeError; the state is that of a disabled scaler.
        """
        if not self._enabled:
            return
        if not state_dict:
            what = "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler"
            raise ScalerStateError(message(what))
        self._init_scale, self._init_growth_tracker = state_dict["scale"], state_dict["_growth_tracker"]
        if self._scale is not None:
            self._scale.fill_(state_dict["scale"])
            self._growth_tracker = state_dict["_growth_tracker"]
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]

    def __getstate__(self) -> dict[str, Any]:
        if self._stages:
            raise ScalerStateError(message("A GradScaler can only be pickled at the beginning of an iteration, or after update()"))
        made = dict(self.__dict__)
        return made | {"_init_scale": self.get_scale(), "_init_growth_tracker": self._get_growth_tracker(), "_scale": None}


def _unscaled(*nodes: Node) -> tuple[Node, ...]:
    """Return gradients over a scale, and whether one of them is not finite (as a float32 number)."""
    *grads, scale = nodes
    found: Node | None = None
    results = []
    for g in grads:
        inverse = build.cast(build.reciprocal(build.cast(scale, dtypes.float64)), dtypes.float32)
        bad = build.logical_not(build.isfinite(g))
        bad = build.reshape(build.max(bad, tuple(range(len(g.shape)))), ()) if g.shape else bad
        found = bad if found is None else build.bitwise_or(found, bad)
        results.append(build.mul(g, build.cast(inverse, g.dtype)))
    flag = number(0, scale) if found is None else build.cast(found, dtypes.float32)
    return (*results, flag)
