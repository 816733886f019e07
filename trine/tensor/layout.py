"""Layouts and memory formats: names that programs pass on. Every tensor is dense and row-major, so they choose nothing."""

from __future__ import annotations

from typing import Final


class Layout:
    """How the elements of a tensor are held; there is one object for each layout.

    >>> strided
    trine.strided
    """

    __slots__ = ("name",)
    name: str

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"trine.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class MemoryFormat(Layout):
    """The order in which PyTorch keeps axes in memory; accepted wherever PyTorch takes one."""

    __slots__ = ()


strided: Final = Layout("strided")
contiguous_format: Final = MemoryFormat("contiguous_format")
preserve_format: Final = MemoryFormat("preserve_format")
channels_last: Final = MemoryFormat("channels_last")
channels_last_3d: Final = MemoryFormat("channels_last_3d")
legacy_contiguous_format: Final = contiguous_format
