"""Devices. Only the CPU exists; a tensor and a plan belong to a device all the same."""

from __future__ import annotations

from trine.errors import ArgumentError, message


class Device:
    """Where tensors live.

    >>> Device("cpu")
    device(type='cpu')
    """

    __slots__ = ("type", "index")
    type: str
    index: int | None

    def __init__(self, device: str | Device = "cpu", index: int | None = None) -> None:
        if isinstance(device, Device):
            self.type, self.index = device.type, device.index
            return
        kind, _, number = str(device).partition(":")
        if kind != "cpu" or (number and not number.isdigit()):
            raise ArgumentError(message("device", received=repr(device), expected="'cpu'", fix="only the CPU is available"))
        self.type = kind
        self.index = int(number) if number else index

    def __repr__(self) -> str:
        return f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.type == self.type and (other.index or 0) == (self.index or 0)

    def __hash__(self) -> int:
        return hash((self.type, self.index or 0))


CPU = Device("cpu")
