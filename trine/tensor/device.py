"""Devices. Only the CPU exists; a tensor and a plan belong to a device all the same."""

from __future__ import annotations

from trine.errors import DeviceError, message

KINDS = frozenset(
    """cpu cuda ipu xpu mkldnn opengl opencl ideep hip ve fpga maia xla lazy vulkan mps meta hpu mtia privateuseone""".split()
)
"""What may be named; tensors can be on the CPU alone."""


class Device:
    """Where tensors live. Inside of ``with device:`` new tensors are made there.

    Raises:
        DeviceError: there is no such kind of device.

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
        kind, colon, number = str(device).partition(":")
        if kind not in KINDS or (colon and not number.isdigit()) or (number and index is not None):
            raise DeviceError(message("device", received=repr(device), expected="'cpu'", fix="only the CPU is available"))
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

    def __enter__(self) -> Device:
        check_device(self)
        return self

    def __exit__(self, *_: object) -> None:
        pass


CPU = Device("cpu")


def check_device(device: object) -> None:
    """Raise unless tensors can be on this device.

    Raises:
        DeviceError
    """
    if Device(device).type != "cpu":  # type: ignore[arg-type]  # any object may come from the user; its text decides
        raise DeviceError(message("device", received=repr(str(device)), expected="'cpu'", fix="only the CPU is available"))
