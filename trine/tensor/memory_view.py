"""Views of concrete tensors that are one contiguous piece of memory: made at once, without recording.

``data[i]`` with another i each time is then the same program: the piece is a leaf, and its place never enters a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trine.core import build
from trine.core.graph import Node
from trine.runtime.memory import Buffer
from trine.tensor.state import Meta

if TYPE_CHECKING:
    from trine.tensor.recorder import Builder

_MAX_KNOWN = 1 << 16
_known: dict[Any, tuple[int, Meta] | None] = {}


def contiguous_piece(builder: Builder, meta: Meta, attrs: tuple[Any, ...]) -> tuple[int, Meta] | None:
    """Return (offset in bytes, Meta) if a view of a row-major array is one contiguous piece of it, else None."""
    key = (builder, meta, attrs)
    try:
        return _known[key]
    except KeyError:
        pass
    if len(_known) >= _MAX_KNOWN:
        _known.clear()
    found = _known[key] = _find(builder, meta, attrs)
    return found


def _find(builder: Builder, meta: Meta, attrs: tuple[Any, ...]) -> tuple[int, Meta] | None:
    source = build.input(0, meta.shape, meta.dtype, False)
    result = builder(source, *attrs)
    steps = []
    node: Node = result
    while node is not source:
        steps.append(node)
        node = node.inputs[0]
    offset = 0
    for step in steps:
        piece = _step_offset(step)
        if piece is None:
            return None
        offset += piece
    return offset * meta.dtype.itemsize, Meta.of(result.shape, result.dtype)


def _step_offset(node: Node) -> int | None:
    """Return the offset in elements of one movement step, or None if its result is not contiguous."""
    if node.op == "reshape":
        return 0
    if node.op != "slice":
        return None
    start, stop, step = node.attrs
    shape = node.inputs[0].shape
    offset = 0
    is_whole = True  # of all axes looked at so far, from the last to the first
    stride = 1
    for begin, end, by, size in zip(reversed(start), reversed(stop), reversed(step), reversed(shape), strict=True):
        count = end - begin
        if not is_whole and count > 1:
            return None
        if by != 1 and count > 1:
            return None
        if count != size:
            is_whole = False
        offset += begin * stride
        stride *= size
    return offset


def piece_of(buffer: Buffer, offset: int, meta: Meta) -> Buffer:
    """Return the part of a buffer that begins `offset` bytes into it; it keeps the buffer alive."""
    nbytes = meta.dtype.itemsize
    for size in meta.shape:
        nbytes *= size
    return Buffer(buffer.address + offset, nbytes, buffer, buffer.readonly, buffer.external)
