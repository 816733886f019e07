"""The few private names of `torch._C` that programs written for PyTorch use: switches of a dispatcher, which does not exist here."""

from __future__ import annotations

from contextlib import nullcontext as _Switch


class _DisableFuncTorch(_Switch[None]):
    """Context manager that does nothing: there are no function transforms below the tensor to switch off."""


class _DisableTorchDispatch(_Switch[None]):
    """Context manager that does nothing: there is no dispatch to switch off."""
