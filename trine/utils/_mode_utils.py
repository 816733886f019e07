"""`no_dispatch`, which programs written for PyTorch use around reading and writing the random state."""

from trine._C import _DisableTorchDispatch as no_dispatch

__all__ = ["no_dispatch"]
