"""What an optimizer keeps for a parameter, on its way into and out of a state dict."""

from __future__ import annotations

from typing import Any

from trine.tensor import Tensor
from trine.tensor.convert import from_dlpack, tensor


def pack_value(value: Any) -> Any:
    """Return a number as a 0-d tensor of the default dtype, anything else as it is."""
    return tensor(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


def load_value(value: Any, p: Tensor) -> Any:
    """Return a value of a loaded state for the parameter `p`: tensors (at any depth) as copies in its dtype; other arrays as tensors.

    Only floating-point and complex values follow the dtype of the parameter.
    """
    if isinstance(value, dict):
        return {k: load_value(v, p) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([load_value(v, p) for v in value]) if not hasattr(value, "_fields") else value
    if not isinstance(value, Tensor):
        if not hasattr(value, "__dlpack__") or not hasattr(value, "shape"):
            return value
        value = from_dlpack(value)
    follows = (value.dtype.is_floating_point or value.dtype.is_complex) and (p.dtype.is_floating_point or p.dtype.is_complex)
    return value.detach().to(p.dtype if follows else value.dtype).clone()
