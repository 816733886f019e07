"""Padding layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine.errors import ArgumentError, ShapeError, message
from trine.nn import functional as F
from trine.nn.module import Module
from trine.tensor import Tensor


class _PadNd(Module):
    """What padding layers share: amounts in the order of `F.pad` (low and high of the last axis first), a mode, a value."""

    rank: int
    mode: str
    value: float | None = None

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        count = 2 * self.rank
        amounts = (padding,) * count if isinstance(padding, int) else tuple(padding)
        if len(amounts) != count:
            raise ArgumentError(message(f"{type(self).__name__}: padding", received=amounts, expected=f"an integer, or {count} of them"))
        self.padding = amounts

    def _check(self, input: Tensor) -> None:
        if input.dim() not in (self.rank + 1, self.rank + 2):
            received = f"shape {tuple(input.shape)}"
            raise ShapeError(
                message(f"{type(self).__name__}: input", received=received, expected=f"{self.rank + 1} or {self.rank + 2} axes")
            )

    def forward(self, input: Tensor) -> Tensor:
        if self.mode != "constant":
            self._check(input)
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_PadNd):
    mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ReflectionPadNd(_PadNd):
    mode = "reflect"


class _ReplicationPadNd(_PadNd):
    mode = "replicate"


class _CircularPadNd(_PadNd):
    mode = "circular"


class ConstantPad1d(_ConstantPadNd):
    """Adds elements of one value around the last axis: padding (left, right) or one number.

    >>> import trine
    >>> trine.nn.ConstantPad1d((1, 2), 9.0)(trine.zeros(1, 1, 1))
    tensor([[[9., 0., 9., 9.]]])
    """

    rank = 1


class ConstantPad2d(_ConstantPadNd):
    """Adds elements of one value around the last two axes: padding (left, right, top, bottom) or one number."""

    rank = 2


class ConstantPad3d(_ConstantPadNd):
    """Adds elements of one value around the last three axes: padding (left, right, top, bottom, front, back) or one number."""

    rank = 3


class _ZeroPadNd(_ConstantPadNd):
    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPadNd):
    """Adds zeros around the last axis."""

    rank = 1


class ZeroPad2d(_ZeroPadNd):
    """Adds zeros around the last two axes.

    >>> import trine
    >>> trine.nn.ZeroPad2d((0, 1, 0, 0))(trine.ones(1, 1, 1))
    tensor([[[1., 0.]]])
    """

    rank = 2


class ZeroPad3d(_ZeroPadNd):
    """Adds zeros around the last three axes."""

    rank = 3


class ReflectionPad1d(_ReflectionPadNd):
    """Continues the last axis by its mirror image; the edge itself is not repeated.

    >>> import trine
    >>> trine.nn.ReflectionPad1d(1)(trine.tensor([[[1.0, 2.0, 3.0]]]))
    tensor([[[2., 1., 2., 3., 2.]]])
    """

    rank = 1


class ReflectionPad2d(_ReflectionPadNd):
    """Continues the last two axes by their mirror image."""

    rank = 2


class ReflectionPad3d(_ReflectionPadNd):
    """Continues the last three axes by their mirror image."""

    rank = 3


class ReplicationPad1d(_ReplicationPadNd):
    """Repeats the edge of the last axis."""

    rank = 1


class ReplicationPad2d(_ReplicationPadNd):
    """Repeats the edges of the last two axes."""

    rank = 2


class ReplicationPad3d(_ReplicationPadNd):
    """Repeats the edges of the last three axes."""

    rank = 3


class CircularPad1d(_CircularPadNd):
    """Continues the last axis by its other end.

    >>> import trine
    >>> trine.nn.CircularPad1d(1)(trine.tensor([[[1.0, 2.0, 3.0]]]))
    tensor([[[3., 1., 2., 3., 1.]]])
    """

    rank = 1


class CircularPad2d(_CircularPadNd):
    """Continues the last two axes by their other ends."""

    rank = 2


class CircularPad3d(_CircularPadNd):
    """Continues the last three axes by their other ends."""

    rank = 3


def pad_amounts(padding: Any, kernel_size: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """Return a convolution's padding in the order of `F.pad`: (low, high) of the last axis first."""
    if padding == "valid":
        return (0, 0) * len(kernel_size)
    if isinstance(padding, str):
        totals = [d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True)]
        pairs = [(total // 2, total - total // 2) for total in totals]
    else:
        pairs = [(p, p) for p in padding]
    return tuple(n for pair in reversed(pairs) for n in pair)
