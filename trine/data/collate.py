"""Collating examples into batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trine.errors import DTypeError, ShapeError, message
from trine.tensor import Tensor
from trine.tensor.convert import from_numpy, tensor
from trine.tensor.state import Meta
from trine.tensor.tensor import from_buffer


def default_collate(batch: Sequence[Any]) -> Any:
    """Return a batch made of a list of examples: tensors and arrays are stacked, numbers become a tensor, containers are kept.

    Raises:
        ShapeError: if tensors differ in shape. DTypeError: for a type that cannot be batched.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return _stack_tensors(batch)
    if isinstance(first, np.ndarray):
        return from_numpy(_stack(batch))
    if isinstance(first, np.generic):
        return from_numpy(np.asarray(batch))
    if isinstance(first, bool | int | float):
        return tensor(list(batch)) if not isinstance(first, float) else tensor(np.asarray(batch, np.float64))
    if isinstance(first, str | bytes):
        return list(batch)
    if isinstance(first, Mapping):
        return {k: default_collate([b[k] for b in batch]) for k in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(list(column)) for column in zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        if len({len(b) for b in batch}) != 1:
            raise ShapeError(message("each element in a batch should be of equal size", received=f"lengths {[len(b) for b in batch]}"))
        columns = [default_collate(list(column)) for column in zip(*batch, strict=True)]
        return columns
    expected = "tensors, arrays, numbers, strings, dicts or sequences"
    raise DTypeError(message("default_collate", received=type(first).__name__, expected=expected, fix="pass collate_fn= to the DataLoader"))


def default_convert(data: Any) -> Any:
    """Return an example with its NumPy arrays and numbers as tensors; containers are kept, everything else is left as it is."""
    if isinstance(data, np.ndarray | np.generic) and data.dtype.kind in "biufc":
        return from_numpy(np.asarray(data))
    if isinstance(data, Mapping):
        return {k: default_convert(v) for k, v in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(v) for v in data))
    if isinstance(data, list | tuple):
        return [default_convert(v) for v in data]
    return data


def _stack_tensors(batch: Sequence[Tensor]) -> Tensor:
    arrays = [b._array() for b in batch]
    made = from_numpy(_stack(arrays))
    dtype = batch[0].dtype
    return made if made.dtype is dtype else from_buffer(made._value(), Meta.of(made._meta.shape, dtype))


def _stack(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    try:
        return np.stack(arrays)
    except ValueError:
        shapes = sorted({a.shape for a in arrays})
        fix = "make the examples equal in shape, or pass collate_fn="
        raise ShapeError(message("default_collate: examples differ in shape", received=shapes, expected="one shape", fix=fix)) from None
