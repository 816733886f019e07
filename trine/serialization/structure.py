"""Nested data as JSON plus named tensors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from trine import dtypes
from trine.dtypes import DType
from trine.errors import CheckpointError, DTypeError, message
from trine.serialization.layout import METADATA
from trine.tensor import Tensor
from trine.tensor.convert import from_numpy
from trine.tensor.size import Size

_MAX_DEPTH = 64
_MAX_BITS = 1 << 12
_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def flatten(value: Any) -> tuple[dict[str, Tensor], str | None]:
    """Return (name -> tensor, structure as JSON); the structure is None for a plain dict of tensors.

    Raises:
        DTypeError: if something in `value` is neither a tensor, an array, a number, a string, None, a dtype, nor a dict, list or tuple of
            these.
    """
    if isinstance(value, Mapping) and value and all(_is_plain(k, v) for k, v in value.items()):
        return dict(value), None
    encoder = _Encoder()
    tree = encoder.encode(value, "", 0)
    return encoder.tensors, json.dumps(tree, separators=(",", ":"))


def _is_plain(name: Any, value: Any) -> bool:
    return type(name) is str and name != METADATA and isinstance(value, Tensor) and value.dtype is not dtypes.complex128


class _Encoder:
    """Walks through nested data and collects its tensors."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._name_of: dict[int, str] = {}
        self._kept: list[Any] = []

    def encode(self, value: Any, path: str, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            expected = f"at most {_MAX_DEPTH} levels, and no cycles"
            raise CheckpointError(message("save: data is nested too deeply", received=f"more at '{path[:80]}'", expected=expected))
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if value is None or isinstance(value, bool | str) or (isinstance(value, int) and value.bit_length() <= _MAX_BITS):
            return {"value": value}
        if isinstance(value, float):
            return {"value": float(value)} if math.isfinite(value) else {"float": repr(float(value))}
        if isinstance(value, DType):
            return {"dtype": value.name}
        if isinstance(value, Mapping):
            return {"dict": [[self._key(k), self.encode(v, f"{path}.{k}" if path else str(k), depth + 1)] for k, v in value.items()]}
        if isinstance(value, list | tuple):
            kind = "list" if isinstance(value, list) else "size" if isinstance(value, Size) else "tuple"
            return {kind: [self.encode(v, f"{path}.{i}" if path else str(i), depth + 1) for i, v in enumerate(value)]}
        if isinstance(value, np.generic) and value.dtype.kind in "biuf":
            return self.encode(value.item(), path, depth)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            return {"array": self._tensor(from_numpy(value.copy()), path)}
        raise DTypeError(
            message(
                f"save: an object at '{path}' cannot be saved",
                received=type(value).__name__,
                expected="tensors, arrays, numbers, strings, None, dtypes, and dicts, lists and tuples of these",
                fix="save module.state_dict() rather than the module",
            )
        )

    def _key(self, key: Any) -> Any:
        if isinstance(key, str | int | bool) or (isinstance(key, float) and math.isfinite(key)):
            return key
        expected = "str, int, bool or a finite float"
        raise DTypeError(message("save: a dict key cannot be saved", received=f"{key!r} ({type(key).__name__})", expected=expected))

    def _tensor(self, value: Tensor, path: str) -> Any:
        name = self._name_of.get(id(value))
        if name is None:
            name = path or "value"
            while name in self.tensors or name == METADATA:  # "a.b" may be a key, or a key in a key
                name += "'"
            self._name_of[id(value)] = name
            self._kept.append(value)  # so that no other object gets its id
            is_wide = value.dtype is dtypes.complex128
            self.tensors[name] = from_numpy(value._array().reshape(*value.shape, 1).view(np.float64)) if is_wide else value
        return {"complex128" if value.dtype is dtypes.complex128 else "tensor": name}


def unflatten(tensors: dict[str, Tensor], structure: str | None) -> Any:
    """Return the nested data again.

    Raises:
        CheckpointError: if the structure is malformed.
    """
    if structure is None:
        return tensors
    try:
        return _decode(json.loads(structure), tensors, 0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise CheckpointError(message("load: the file's structure is malformed", received=f"{type(error).__name__}: {error}")) from None


def _decode(tree: Any, tensors: dict[str, Tensor], depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "complex128":
        return _complex(tensors[content])
    if kind == "array":
        return _decode(content, tensors, depth + 1).numpy()
    if kind == "value":
        if isinstance(content, dict | list):
            raise ValueError("a value must be plain")
        return content
    if kind == "float":
        return _SPECIAL[content]
    if kind == "dtype":
        return dtypes.by_name(content)
    if kind == "dict":
        found = {k: _decode(v, tensors, depth + 1) for k, v in content}
        if len(found) != len(content):
            raise ValueError("a key stands twice")
        return found
    sequence = [_decode(v, tensors, depth + 1) for v in content]
    return {"list": list, "tuple": tuple, "size": Size}[kind](sequence)


def _complex(pairs: Tensor) -> Tensor:
    if pairs.dtype is not dtypes.float64 or pairs.ndim == 0 or pairs.shape[-1] != 2:
        raise ValueError("a complex tensor is stored as pairs of float64")
    return from_numpy(pairs._array().copy().view(np.complex128).reshape(tuple(pairs.shape[:-1])))
