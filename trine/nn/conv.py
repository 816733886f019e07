"""Convolution layers, plain and transposed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trine.errors import ArgumentError, ShapeError, message
from trine.nn import functional as F
from trine.nn import init
from trine.nn.module import Module
from trine.nn.padding import pad_amounts
from trine.nn.parameter import Parameter
from trine.ops.creation import empty
from trine.tensor import Tensor

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _sizes(layer: str, name: str, value: Any, rank: int) -> tuple[int, ...]:
    """Return one number for each spatial axis."""
    sizes = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(sizes) == 1:
        sizes *= rank
    if len(sizes) != rank:
        raise ShapeError(message(f"{layer}: {name}", received=sizes, expected=f"a number, or {rank} numbers"))
    return sizes


class _ConvNd(Module):
    """What convolution layers of every rank share. Sizes are tuples, one number per spatial axis."""

    function: Any
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: str | tuple[int, ...],
        dilation: tuple[int, ...],
        transposed: bool,
        output_padding: tuple[int, ...],
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        layer = type(self).__name__
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if groups <= 0 or channels % groups:
                raise ArgumentError(message(f"{layer}: {name} must be divisible by groups", received=f"{channels}, groups={groups}"))
        if padding_mode not in _PADDING_MODES:
            received, expected = repr(padding_mode), ", ".join(map(repr, _PADDING_MODES))
            raise ArgumentError(message(f"{layer}: padding_mode", received=received, expected=expected))
        if isinstance(padding, str) and (padding not in ("same", "valid") or (padding == "same" and any(s != 1 for s in stride))):
            received, expected = f"{padding!r}, stride {stride}", "numbers, 'valid', or 'same' with a stride of 1"
            raise ArgumentError(message(f"{layer}: padding", received=received, expected=expected))
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.transposed, self.output_padding, self.groups, self.padding_mode = transposed, output_padding, groups, padding_mode
        self._reversed_padding_repeated_twice = pad_amounts(padding, kernel_size, dilation)
        outer, inner = (in_channels, out_channels) if transposed else (out_channels, in_channels)
        self.weight = Parameter(empty(outer, inner // groups, *kernel_size, dtype=dtype, device=device))
        if bias:
            self.bias = Parameter(empty(out_channels, dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values (uniform, bound 1 / sqrt(fan in))."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = math.prod(self.weight.shape[1:])
            if fan_in:
                init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def extra_repr(self) -> str:
        rank = len(self.kernel_size)
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * rank:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * rank:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * rank:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._reversed_padding_repeated_twice, self.padding_mode), 0
        function = type(self).function
        return function(input, weight, bias, self.stride, padding, self.dilation, self.groups)  # type: ignore[no-any-return]

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight, self.bias)


class _Conv(_ConvNd):
    """A convolution whose arguments are numbers, or tuples with one number per spatial axis."""

    rank: int

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
        layer, rank = type(self).__name__, self.rank
        super().__init__(
            in_channels,
            out_channels,
            _sizes(layer, "kernel_size", kernel_size, rank),
            _sizes(layer, "stride", stride, rank),
            padding if isinstance(padding, str) else _sizes(layer, "padding", padding, rank),
            _sizes(layer, "dilation", dilation, rank),
            False,
            (0,) * rank,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
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


class _ConvTransposeNd(_ConvNd):
    """A transposed convolution: the gradient of a convolution with respect to its input."""

    rank: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        layer, rank = type(self).__name__, self.rank
        if padding_mode != "zeros":
            raise ArgumentError(message(f"{layer}: padding_mode", received=repr(padding_mode), expected="'zeros'"))
        super().__init__(
            in_channels,
            out_channels,
            _sizes(layer, "kernel_size", kernel_size, rank),
            _sizes(layer, "stride", stride, rank),
            _sizes(layer, "padding", padding, rank),
            _sizes(layer, "dilation", dilation, rank),
            True,
            _sizes(layer, "output_padding", output_padding, rank),
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def _output_padding(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """Return the output padding that leads to `output_size`: as many sizes as spatial axes, or as axes.

        Raises:
            ArgumentError: no output padding leads there.
        """
        if output_size is None:
            return self.output_padding
        rank = self.rank
        sizes = tuple(output_size)[-rank:]
        if len(output_size) not in (rank, input.dim()):
            received, expected = f"output_size {tuple(output_size)}", f"{rank} or {input.dim()} sizes"
            raise ArgumentError(message(f"{type(self).__name__}: output_size", received=received, expected=expected))
        padding: Any = self.padding
        rows = zip(input.shape[-rank:], self.stride, padding, self.dilation, self.kernel_size, strict=True)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in rows]
        extra = tuple([wanted - size for wanted, size in zip(sizes, least, strict=True)])
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            received, expected = f"output_size {sizes}", f"sizes from {tuple(least)} on, closer than the stride {self.stride}"
            raise ArgumentError(message(f"{type(self).__name__}: output_size", received=received, expected=expected))
        return extra

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        extra = self._output_padding(input, output_size)
        return type(self).function(  # type: ignore[no-any-return]
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )


class ConvTranspose1d(_ConvTransposeNd):
    """Transposed convolution over the last axis of ``(N, C, L)``.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, output_padding (added to one side of the result), groups, bias, dilation.
        ``forward(input, output_size=None)`` chooses the output padding that leads to `output_size`.
    """

    rank = 1
    function = F.conv_transpose1d


class ConvTranspose2d(_ConvTransposeNd):
    """Transposed convolution over the last two axes of ``(N, C, H, W)``; arguments as for `ConvTranspose1d`.

    >>> import trine
    >>> trine.nn.ConvTranspose2d(4, 2, 3, stride=2)(trine.ones(1, 4, 5, 5), output_size=(12, 12)).shape
    trine.Size([1, 2, 12, 12])
    """

    rank = 2
    function = F.conv_transpose2d


class ConvTranspose3d(_ConvTransposeNd):
    """Transposed convolution over the last three axes of ``(N, C, D, H, W)``; arguments as for `ConvTranspose1d`."""

    rank = 3
    function = F.conv_transpose3d
