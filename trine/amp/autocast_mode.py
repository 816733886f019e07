"""The context manager `autocast`, and custom functions inside it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from trine import dtypes
from trine.amp import state
from trine.amp.policy import MODES
from trine.dtypes import DType
from trine.tensor import Tensor

__all__ = ["autocast", "autocast_decorator", "custom_bwd", "custom_fwd", "is_autocast_available"]

F = TypeVar("F", bound=Callable[..., Any])


def is_autocast_available(device_type: str) -> bool:
    """Return True if autocast does something for a kind of device: for the CPU.

    >>> import trine
    >>> trine.amp.is_autocast_available("cpu")
    True
    """
    return state.check_device_type(device_type) == "cpu"


class autocast:
    """Context manager or decorator inside which matrix products and convolutions run in a lower precision.

    Operations run in lower precision (products, convolutions, attention), in float32 (losses, decompositions, …), or in the widest
    precision of their operands (`cat`, `stack`), as in PyTorch on the CPU; float64 is never cast, and everything else takes what comes.
    Gradients have the dtype of their tensors. Autocasts nest.

    Args:
        device_type: "cpu"; for other kinds of device it does nothing, with a warning. dtype: bfloat16 (default) or float16.
        enabled: False switches autocast off inside. cache_enabled: accepted; nothing is cast twice in any case.

    >>> import trine
    >>> x = trine.ones(2, 2)
    >>> with trine.autocast("cpu"):
    ...     y = x @ x
    >>> y.dtype
    trine.bfloat16
    """

    def __init__(self, device_type: str, dtype: DType | None = None, enabled: bool = True, cache_enabled: bool | None = None) -> None:
        self.device = state.check_device_type(device_type)
        self.fast_dtype = state.get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = state.is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        self._enabled = bool(enabled)
        self._before: list[tuple[bool, DType, bool]] = []
        reason = None
        if self._enabled and not is_autocast_available(device_type):
            reason = f"there is no {device_type} device"
        elif self._enabled and self.fast_dtype not in MODES:
            reason = f"the CPU autocast only supports bfloat16 and float16, not {self.fast_dtype}"
        if reason is not None:
            warnings.warn(f"autocast: {reason}; disabled.", UserWarning, stacklevel=2)
            self._enabled = False

    def __enter__(self) -> autocast:
        device = self.device
        self._before.append((state.is_autocast_enabled(device), state.get_autocast_dtype(device), state.is_autocast_cache_enabled()))
        if self.fast_dtype in MODES or device != "cpu":
            state.set_autocast_dtype(device, self.fast_dtype)
        state.set_autocast_enabled(device, self._enabled)
        state.autocast_increment_nesting()
        state.set_autocast_cache_enabled(self._cache_enabled)
        return self

    def __exit__(self, *_: object) -> None:
        enabled, dtype, cache = self._before.pop()
        state.autocast_decrement_nesting()
        state.set_autocast_enabled(self.device, enabled)
        state.set_autocast_dtype(self.device, dtype)
        state.set_autocast_cache_enabled(cache)

    def __call__(self, function: F) -> F:
        return autocast_decorator(self, function)


def autocast_decorator(autocast_instance: autocast, func: F) -> F:
    """Return a function that runs inside an autocast."""

    @functools.wraps(func)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        with autocast_instance:
            return func(*args, **kwargs)

    return decorated  # type: ignore[return-value]


def _cast(value: Any, device_type: str, dtype: DType) -> Any:
    """Return a value with the tensors in it (float32 and less) in another dtype."""
    if isinstance(value, Tensor):
        is_eligible = value.is_floating_point() and value.dtype is not dtypes.float64 and value.device.type == device_type
        return value.to(dtype) if is_eligible else value
    if isinstance(value, str | bytes | np.ndarray):
        return value
    if isinstance(value, Mapping):
        return {_cast(k, device_type, dtype): _cast(v, device_type, dtype) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_cast(v, device_type, dtype) for v in value])
    if isinstance(value, Iterable):
        return (_cast(v, device_type, dtype) for v in value)
    return value


def custom_fwd(fwd: Any = None, *, device_type: str, cast_inputs: DType | None = None) -> Any:
    """Decorator of the forward of an `autograd.Function`: it runs with autocast as it is, or, with `cast_inputs`, without autocast on
    inputs of that dtype. Use `custom_bwd` with it.
    """
    state.check_device_type(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorate_fwd(*args: Any, **kwargs: Any) -> Any:
        ctx, is_on = args[0], state.is_autocast_enabled(device_type)
        ctx._dtype = state.get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = is_on and cast_inputs is None
        if cast_inputs is None or not is_on:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            cast_args = [_cast(a, device_type, cast_inputs) for a in args[1:]]
            return fwd(ctx, *cast_args, **_cast(kwargs, device_type, cast_inputs))

    return decorate_fwd


def custom_bwd(bwd: Any = None, *, device_type: str) -> Any:
    """Decorator of the backward of an `autograd.Function`: it runs with the autocast of its forward."""
    state.check_device_type(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorate_bwd(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, dtype=args[0]._dtype, enabled=args[0]._fwd_used_autocast):
            return bwd(*args, **kwargs)

    return decorate_bwd
