"""Tensors: recording, views, in-place writes, gradients."""

from trine.tensor.recorder import flush, record, record_view
from trine.tensor.tensor import Tensor

__all__ = ["Tensor", "flush", "record", "record_view"]
