"""Helpers for tests: comparing tensors, and making random ones."""

from trine.testing.comparison import assert_allclose, assert_close
from trine.testing.creation import make_tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]
