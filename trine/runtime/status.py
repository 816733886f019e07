"""The status block that kernels report to: i64 code, i64 node id, i64 value, i64 limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from trine.errors import IndexOutOfRangeError, TrineError, message

STATUS_WORDS = 4
INDEX_OUT_OF_RANGE = 1
NOT_NEGATIVE = "number of a class or row"
"""Name of an operation whose indices do not count from the end when they are negative."""


def raise_status(words: Sequence[int], sources: Sequence[tuple[str, str | None]]) -> NoReturn:
    """Raise the error that a status block describes.

    Args:
        words: code, node id, value, limit.
        sources: for each node id, the operation's name and the user's line.

    Raises:
        IndexOutOfRangeError: code 1: an index is outside [-limit, limit), or [0, limit) for labels and row numbers.
        TrineError: any other code.
    """
    code, node, value, limit = words
    name, line = sources[node] if 0 <= node < len(sources) else ("operation", None)
    if code == INDEX_OUT_OF_RANGE:
        lowest = 0 if name == NOT_NEGATIVE else -limit
        expected = f"an index from {lowest} to {limit - 1}" if limit else "no index at all, since the axis has size 0"
        raise IndexOutOfRangeError(
            message(f"{name}: index out of range for an axis of size {limit}", received=value, expected=expected, where=line)
        )
    raise TrineError(message(f"{name}: a kernel reported the unknown status {code}", received=f"value {value}, limit {limit}", where=line))
