"""Convolution layers."""

from __future__ import annotations

import math
from typing import Any

from trine.errors import ArgumentError, ShapeError, message
from trine.nn import functional as F
from trine.nn import init
from trine.nn.module import Module
from trine.nn.parameter import Parameter
from trine.ops.creation import empty
from trine.tensor import Tensor

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _pad_amounts(padding: Any, kernel_size: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """Return the padding in the order of `F.pad`: (low, high) of the last axis first."""
    if padding == "valid":
        return (0, 0) * len(kernel_size)
    if isinstance(padding, str):
        totals = [d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True)]
        pairs = [(total // 2, total - total // 2) for total in totals]
    else:
        pairs = [(p, p) for p in padding]
    return tuple(n for pair in reversed(pairs) for n in pair)


def _sizes(name: str, value: Any, rank: int) -> tuple[int, ...]:
    """Return one number for each spatial axis."""
    sizes = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(sizes) != rank:
        raise ShapeError(message(f"Conv{rank}d: {name}", received=sizes, expected=f"a number, or {rank} numbers"))
    return sizes


class _Conv(Module):
    """What convolution layers of every rank share."""

    rank: int
    function: Any
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if groups <= 0 or channels % groups:
                raise ArgumentError(
                    message(f"{type(self).__name__}: {name} must be divisible by groups", received=f"{channels}, groups={groups}")
                )
        if padding_mode not in _PADDING_MODES:
            received, expected = repr(padding_mode), ", ".join(map(repr, _PADDING_MODES))
            raise ArgumentError(message(f"{type(self).__name__}: padding_mode", received=received, expected=expected))
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = _sizes("kernel_size", kernel_size, self.rank)
        self.stride, self.dilation = _sizes("stride", stride, self.rank), _sizes("dilation", dilation, self.rank)
        if isinstance(padding, str) and (padding not in ("same", "valid") or (padding == "same" and self.stride != (1,) * self.rank)):
            received, expected = f"{padding!r}, stride {self.stride}", "numbers, 'valid', or 'same' with a stride of 1"
            raise ArgumentError(message(f"{type(self).__name__}: padding", received=received, expected=expected))
        self.padding = padding if isinstance(padding, str) else _sizes("padding", padding, self.rank)
        self.padding_mode = padding_mode
        self._amounts = _pad_amounts(self.padding, self.kernel_size, self.dilation)
        self.weight = Parameter(empty(*self._weight_shape(), dtype=dtype, device=device))
        if bias:
            self.bias = Parameter(empty(out_channels, dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def reset_parameters(self) -> None:
        """Draw new initial values (uniform, bound 1 / sqrt(fan in))."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = math.prod(self.weight.shape[1:])
            if fan_in:
                init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self.rank:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self.rank:
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"

    def forward(self, input: Tensor) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._amounts, self.padding_mode), 0
        return type(self).function(  # type: ignore[no-any-return]
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class Conv1d(_Conv):
    """Convolution over the last axis of ``(N, C, L)``.

    Args:
        in_channels, out_channels, kernel_size, stride, padding (a number or "same", "valid"), dilation, groups, bias;
        padding_mode: "zeros", "reflect", "replicate" or "circular".
    """

    rank = 1
    function = F.conv1d


class Conv2d(_Conv):
    """Convolution over the last two axes of ``(N, C, H, W)``; arguments as for `Conv1d`, with a number or a pair for sizes.

    >>> import trine
    >>> trine.nn.Conv2d(3, 8, 3, padding=1)(trine.ones(2, 3, 5, 5)).shape
    trine.Size([2, 8, 5, 5])
    """

    rank = 2
    function = F.conv2d


class Conv3d(_Conv):
    """Convolution over the last three axes of ``(N, C, D, H, W)``; arguments as for `Conv1d`."""

    rank = 3
    function = F.conv3d
