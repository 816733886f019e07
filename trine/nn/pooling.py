"""Pooling layers and Flatten."""

from __future__ import annotations

from typing import Any

from trine.nn import functional as F
from trine.nn.module import Module
from trine.tensor import Tensor


class _MaxPool(Module):
    function: Any

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.return_indices, self.ceil_mode = padding, dilation, return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        function = type(self).function
        return function(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """Largest element of each window of ``(N, C, L)``."""

    function = F.max_pool1d


class MaxPool2d(_MaxPool):
    """Largest element of each window of ``(N, C, H, W)``.

    >>> import trine
    >>> trine.nn.MaxPool2d(2)(trine.ones(1, 1, 4, 4)).shape
    trine.Size([1, 1, 2, 2])
    """

    function = F.max_pool2d


class MaxPool3d(_MaxPool):
    """Largest element of each window of ``(N, C, D, H, W)``."""

    function = F.max_pool3d


def _single(value: Any) -> Any:
    return (value,) if isinstance(value, int) else value


class _AvgPool(Module):
    function: Any

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad, self.divisor_override = ceil_mode, count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        options = {} if self.divisor_override is None else {"divisor_override": self.divisor_override}
        return type(self).function(  # type: ignore[no-any-return]
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, **options
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """Mean of each window of ``(N, C, L)``."""

    function = F.avg_pool1d

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> None:
        super().__init__(_single(kernel_size), _single(stride), _single(padding), ceil_mode, count_include_pad)


class AvgPool2d(_AvgPool):
    """Mean of each window of ``(N, C, H, W)``."""

    function = F.avg_pool2d


class AvgPool3d(_AvgPool):
    """Mean of each window of ``(N, C, D, H, W)``."""

    function = F.avg_pool3d


class _AdaptivePool(Module):
    function: Any

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, self.output_size)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptivePool):
    """Mean over windows chosen so that the output has the given length."""

    function = F.adaptive_avg_pool1d


class AdaptiveAvgPool2d(_AdaptivePool):
    """Mean over windows chosen so that the output has the given height and width."""

    function = F.adaptive_avg_pool2d


class AdaptiveMaxPool2d(_AdaptivePool):
    """Maximum over windows chosen so that the output has the given height and width."""

    function = F.adaptive_max_pool2d


class Flatten(Module):
    """Merges the axes start_dim to end_dim.

    >>> import trine
    >>> trine.nn.Flatten()(trine.ones(2, 3, 4)).shape
    trine.Size([2, 12])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits axis `dim` into `unflattened_size`."""

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        shape = tuple(input.shape)
        dim = self.dim % len(shape)
        return input.reshape(*shape[:dim], *self.unflattened_size, *shape[dim + 1 :])  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
