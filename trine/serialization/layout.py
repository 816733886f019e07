"""The safetensors layout: 8 bytes of header size, a JSON header, and the elements, one tensor after the other.

Source: the format's description, https://github.com/huggingface/safetensors#format. Everything in a header is checked before any of it is
used: a file is data from strangers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from trine import dtypes
from trine.dtypes import DType

METADATA = "__metadata__"
MAX_HEADER = 100_000_000
"""Bytes; the limit of the format."""

CODES: dict[str, DType] = {
    "F64": dtypes.float64,
    "I64": dtypes.int64,
    "U64": dtypes.uint64,
    "C64": dtypes.complex64,
    "F32": dtypes.float32,
    "I32": dtypes.int32,
    "U32": dtypes.uint32,
    "BF16": dtypes.bfloat16,
    "F16": dtypes.float16,
    "I16": dtypes.int16,
    "U16": dtypes.uint16,
    "I8": dtypes.int8,
    "U8": dtypes.uint8,
    "BOOL": dtypes.bool_,
}
_CODE_OF = {dtype: code for code, dtype in CODES.items()}


class Entry(NamedTuple):
    """Where a tensor lies: `begin` and `end` count from the end of the header."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    begin: int
    end: int


class LayoutError(ValueError):
    """A header is malformed; the text says how."""


def encode(tensors: Mapping[str, tuple[DType, tuple[int, ...]]], metadata: Mapping[str, str]) -> tuple[bytes, list[str]]:
    """Return the header with its size, and the names in the order in which their elements follow.

    The header lists the tensors in their given order; of the elements the largest come first, so that every tensor is aligned.
    """
    order = sorted(tensors, key=lambda name: -tensors[name][0].itemsize)
    header: dict[str, Any] = {METADATA: dict(metadata)} | dict.fromkeys(tensors)
    begin = 0
    for name in order:
        dtype, shape = tensors[name]
        end = begin + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": _CODE_OF[dtype], "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise LayoutError(f"a header of {len(text)} bytes; the format allows {MAX_HEADER}")
    return len(text).to_bytes(8, "little") + text, order


def header_size(prefix: bytes) -> int:
    """Return the size of the header from the first 8 bytes of a file.

    Raises:
        LayoutError: there are fewer, or the size is impossible.
    """
    if len(prefix) < 8:
        raise LayoutError(f"only {len(prefix)} bytes")
    size = int.from_bytes(prefix, "little")
    if not 2 <= size <= MAX_HEADER:
        raise LayoutError(f"a header of {size} bytes")
    return size


def decode(text: bytes) -> tuple[list[Entry], dict[str, str]]:
    """Return the entries in the order of the header, and the metadata.

    Raises:
        LayoutError: the header is malformed, or the tensors overlap or leave gaps.
    """
    try:
        header = json.loads(text.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise LayoutError(f"its header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise LayoutError("its header is not an object")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise LayoutError("its metadata is not a mapping from text to text")
    entries = [_entry(name, value) for name, value in header.items()]
    position = 0
    for entry in in_file_order(entries):
        if entry.begin != position:
            raise LayoutError(f"tensor '{entry.name}' begins at {entry.begin}, not where the one before ends ({position})")
        position = entry.end
    return entries, metadata


def in_file_order(entries: list[Entry]) -> list[Entry]:
    """Return the entries in the order of their elements."""
    return sorted(entries, key=lambda e: (e.begin, e.end))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise LayoutError("a name stands twice")
    return found


def _entry(name: str, value: Any) -> Entry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise LayoutError(f"the entry of '{name}' does not consist of dtype, shape and data_offsets")
    dtype = CODES.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    if dtype is None:
        raise LayoutError(f"tensor '{name}' has the unknown dtype {value['dtype']!r}; known are {', '.join(CODES)}")
    shape, offsets = value["shape"], value["data_offsets"]
    if not _are_sizes(shape) or len(shape) > 64:
        raise LayoutError(f"tensor '{name}' has the impossible shape {shape!r}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise LayoutError(f"tensor '{name}' has the impossible data_offsets {offsets!r}")
    begin, end = offsets
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise LayoutError(f"tensor '{name}' of shape {shape} and dtype {value['dtype']} does not take the {end - begin} bytes that it has")
    return Entry(name, dtype, tuple(shape), begin, end)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 48 for v in values)
