"""The shape of a tensor as a tuple with a method."""

from __future__ import annotations


class Size(tuple[int, ...]):
    """A shape. Behaves as a tuple of int.

    >>> Size((2, 3)).numel()
    6
    """

    __slots__ = ()

    def numel(self) -> int:
        """Return the number of elements of a tensor with this shape."""
        count = 1
        for size in self:
            count *= size
        return count

    def __repr__(self) -> str:
        return f"trine.Size({list(self)})"
