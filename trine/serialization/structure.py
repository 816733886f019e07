"""Nested data as JSON plus named tensors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from trine import dtypes
from trine.dtypes import DType
from trine.errors import CheckpointError, DTypeError, message
from trine.tensor import Tensor
from trine.tensor.size import Size

_MAX_DEPTH = 64
_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def flatten(value: Any) -> tuple[dict[str, Tensor], str | None]:
    """Return (name -> tensor, structure as JSON); the structure is None for a plain dict of tensors.

    Raises:
        DTypeError: if something in `value` is neither a tensor, a number, a string, None, a dtype, nor a dict, list or tuple of these.
    """
    if isinstance(value, Mapping) and value and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items()):
        return dict(value), None
    tensors: dict[str, Tensor] = {}
    tree = _encode(value, "", tensors, 0)
    return tensors, json.dumps(tree)


def _encode(value: Any, path: str, tensors: dict[str, Tensor], depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise CheckpointError(message("save: data is nested too deeply", received=f"more than {_MAX_DEPTH} levels"))
    if isinstance(value, Tensor):
        name = path or "value"
        tensors[name] = value
        return {"tensor": name}
    if value is None or isinstance(value, bool | int | str):
        return {"value": value}
    if isinstance(value, float):
        return {"value": value} if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, DType):
        return {"dtype": value.name}
    if isinstance(value, Mapping):
        items = []
        for k, v in value.items():
            if not isinstance(k, str | int | float | bool):
                raise DTypeError(message("save: a dict key cannot be saved", received=type(k).__name__, expected="str, int, float or bool"))
            items.append([k, _encode(v, f"{path}.{k}" if path else str(k), tensors, depth + 1)])
        return {"dict": items}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "size" if isinstance(value, Size) else "tuple"
        return {kind: [_encode(v, f"{path}.{i}" if path else str(i), tensors, depth + 1) for i, v in enumerate(value)]}
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return _encode(value.item(), path, tensors, depth)
    raise DTypeError(
        message(
            f"save: an object at '{path}' cannot be saved",
            received=type(value).__name__,
            expected="tensors, numbers, strings, None, dtypes, and dicts, lists and tuples of these",
            fix="save module.state_dict() rather than the module",
        )
    )


def unflatten(tensors: dict[str, Tensor], structure: str | None) -> Any:
    """Return the nested data again.

    Raises:
        CheckpointError: if the structure is malformed.
    """
    if structure is None:
        return tensors
    try:
        return _decode(json.loads(structure), tensors, 0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(message("load: the file's structure is malformed", received=f"{type(error).__name__}: {error}")) from None


def _decode(tree: Any, tensors: dict[str, Tensor], depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "value":
        if isinstance(content, dict | list):
            raise ValueError("a value must be plain")
        return content
    if kind == "float":
        return _SPECIAL[content]
    if kind == "dtype":
        return dtypes.by_name(content)
    if kind == "dict":
        return {k: _decode(v, tensors, depth + 1) for k, v in content}
    sequence = [_decode(v, tensors, depth + 1) for v in content]
    return {"list": list, "tuple": tuple, "size": Size}[kind](sequence)
