"""Collating examples into batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from trine.errors import DTypeError, ShapeError, message
from trine.ops import stack
from trine.tensor import Tensor
from trine.tensor.convert import as_tensor, from_numpy, tensor
from trine.tensor.state import Meta
from trine.tensor.tensor import from_buffer

Rules = dict[Any, Callable[..., Any]]
_EXPECTED = "tensors, numpy arrays, numbers, strings, dicts or lists"


def default_collate(batch: Sequence[Any]) -> Any:
    """Return a batch made of a list of examples: tensors and arrays are stacked, numbers become a tensor, containers are kept.

    Raises:
        ShapeError: if tensors differ in shape. DTypeError: for a type that cannot be batched.

    >>> import trine
    >>> trine.utils.data.default_collate([{"x": 1, "name": "a"}, {"x": 2, "name": "b"}])
    {'x': tensor([1, 2]), 'name': ['a', 'b']}
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def collate(batch: Sequence[Any], *, collate_fn_map: Rules | None = None) -> Any:
    """Return a batch made of a list of examples.

    Args:
        collate_fn_map: type, or tuple of types -> function (batch, collate_fn_map=) for examples of that type; other containers are
            collated item by item.
    """
    first = batch[0]
    rules = collate_fn_map or {}
    rule = rules.get(type(first)) or next((f for kinds, f in rules.items() if isinstance(first, kinds)), None)
    if rule is not None:
        return rule(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, Mapping):
        return _like_mapping(first, {k: collate([b[k] for b in batch], collate_fn_map=collate_fn_map) for k in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(collate(list(column), collate_fn_map=collate_fn_map) for column in zip(*batch, strict=True)))
    if isinstance(first, Sequence):
        if len({len(b) for b in batch}) != 1:
            raise ShapeError(message("each element in a batch should be of equal size", received=f"lengths {[len(b) for b in batch]}"))
        columns = [collate(list(column), collate_fn_map=collate_fn_map) for column in zip(*batch, strict=True)]
        return columns if isinstance(first, tuple) else _like_sequence(first, columns)
    raise _not_collatable(type(first).__name__)


def default_convert(data: Any) -> Any:
    """Return an example with its NumPy arrays and numbers as tensors; containers are kept, everything else is left as it is."""
    if isinstance(data, np.ndarray | np.generic) and data.dtype.kind in "biufc":
        return from_numpy(np.asarray(data))
    if isinstance(data, Mapping):
        return _like_mapping(data, {k: default_convert(v) for k, v in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(v) for v in data))
    if isinstance(data, tuple):
        return [default_convert(v) for v in data]
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _like_sequence(data, [default_convert(v) for v in data])
    return data


def _like_mapping(model: Any, values: dict[Any, Any]) -> Any:
    """Return the values in a mapping of the model's class, where it lets itself be made or copied, else in a dict."""
    if type(model) is dict:
        return values
    try:
        if not isinstance(model, MutableMapping):
            return type(model)(values)
        made = copy.copy(model)
        made.update(values)
        return made
    except TypeError:
        return values


def _like_sequence(model: Any, values: list[Any]) -> Any:
    if type(model) is list:
        return values
    try:
        if not isinstance(model, MutableSequence):
            return type(model)(values)
        made = copy.copy(model)
        for i, value in enumerate(values):
            made[i] = value
        return made
    except TypeError:
        return values


def _collate_tensors(batch: Sequence[Tensor], *, collate_fn_map: Rules | None = None) -> Tensor:
    if any(b.requires_grad for b in batch):
        stacked: Tensor = stack(list(batch))
        return stacked
    made = from_numpy(_stack([b._array() for b in batch]))
    dtype = batch[0].dtype
    return made if made.dtype is dtype else from_buffer(made._value(), Meta.of(made._meta.shape, dtype))


def _collate_arrays(batch: Sequence[Any], *, collate_fn_map: Rules | None = None) -> Tensor:
    if batch[0].dtype.kind not in "biufc":
        raise _not_collatable(f"a NumPy array of {batch[0].dtype}")
    return from_numpy(_stack([np.asarray(b) for b in batch]))


def _collate_scalars(batch: Sequence[Any], *, collate_fn_map: Rules | None = None) -> Tensor:
    return as_tensor(np.asarray(batch))


def _collate_floats(batch: Sequence[float], *, collate_fn_map: Rules | None = None) -> Tensor:
    return tensor(np.asarray(batch, np.float64))


def _collate_ints(batch: Sequence[int], *, collate_fn_map: Rules | None = None) -> Tensor:
    return tensor(list(batch))


def _collate_texts(batch: Sequence[Any], *, collate_fn_map: Rules | None = None) -> list[Any]:
    return list(batch)


default_collate_fn_map: Rules = {
    Tensor: _collate_tensors,
    np.ndarray: _collate_arrays,
    (np.bool_, np.number): _collate_scalars,
    float: _collate_floats,
    int: _collate_ints,
    str: _collate_texts,
    bytes: _collate_texts,
}
"""What `default_collate` does with examples that are no containers; programs may add types of their own."""


def _not_collatable(received: str) -> DTypeError:
    return DTypeError(message("default_collate", received=received, expected=_EXPECTED, fix="pass collate_fn= to the DataLoader"))


def _stack(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    try:
        return np.stack(arrays)
    except ValueError:
        shapes = sorted({a.shape for a in arrays})
        fix = "make the examples equal in shape, or pass collate_fn="
        raise ShapeError(message("default_collate: examples differ in shape", received=shapes, expected="one shape", fix=fix)) from None
