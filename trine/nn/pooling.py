"""Pooling layers."""

from __future__ import annotations

from typing import Any

from trine.errors import ArgumentError, message
from trine.nn import functional as F
from trine.nn.module import Module
from trine.nn.sizes import _ntuple, _single
from trine.tensor import Tensor


class _MaxPoolNd(Module):
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


class MaxPool1d(_MaxPoolNd):
    """Largest element of each window of ``(N, C, L)``.

    Args:
        kernel_size, stride (the kernel size unless given), padding, dilation; return_indices: give the places of the maxima too;
        ceil_mode: keep a last window that reaches beyond the end.
    """

    function = F.max_pool1d


class MaxPool2d(_MaxPoolNd):
    """Largest element of each window of ``(N, C, H, W)``; arguments as for `MaxPool1d`, with a number or a pair for sizes.

    >>> import trine
    >>> trine.nn.MaxPool2d(2)(trine.ones(1, 1, 4, 4)).shape
    trine.Size([1, 1, 2, 2])
    """

    function = F.max_pool2d


class MaxPool3d(_MaxPoolNd):
    """Largest element of each window of ``(N, C, D, H, W)``; arguments as for `MaxPool1d`."""

    function = F.max_pool3d


class _MaxUnpoolNd(Module):
    function: Any
    rank: int

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        sizes = _ntuple(self.rank)
        self.kernel_size, self.padding = sizes(kernel_size), sizes(padding)
        self.stride = sizes(stride if stride is not None else kernel_size)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        function = type(self).function
        return function(input, indices, self.kernel_size, self.stride, self.padding, output_size)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """Puts the maxima of `MaxPool1d` back to their places, zeros elsewhere: ``forward(input, indices, output_size=None)``."""

    function = F.max_unpool1d
    rank = 1


class MaxUnpool2d(_MaxUnpoolNd):
    """Puts the maxima of `MaxPool2d` back to their places, zeros elsewhere: ``forward(input, indices, output_size=None)``.

    >>> import trine
    >>> values, places = trine.nn.MaxPool2d(2, return_indices=True)(trine.ones(1, 1, 4, 4))
    >>> trine.nn.MaxUnpool2d(2)(values, places).sum()
    tensor(4.)
    """

    function = F.max_unpool2d
    rank = 2


class MaxUnpool3d(_MaxUnpoolNd):
    """Puts the maxima of `MaxPool3d` back to their places, zeros elsewhere: ``forward(input, indices, output_size=None)``."""

    function = F.max_unpool3d
    rank = 3


class _AvgPoolNd(Module):
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


class AvgPool1d(_AvgPoolNd):
    """Mean of each window of ``(N, C, L)``.

    Args:
        kernel_size, stride (the kernel size unless given), padding, ceil_mode; count_include_pad: padding counts as zeros.
    """

    function = F.avg_pool1d

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> None:
        super().__init__(
            _single(kernel_size), _single(kernel_size if stride is None else stride), _single(padding), ceil_mode, count_include_pad
        )


class AvgPool2d(_AvgPoolNd):
    """Mean of each window of ``(N, C, H, W)``; arguments as for `AvgPool1d`, and `divisor_override`, by which the sums are divided."""

    function = F.avg_pool2d


class AvgPool3d(_AvgPoolNd):
    """Mean of each window of ``(N, C, D, H, W)``; arguments as for `AvgPool2d`."""

    function = F.avg_pool3d


class _FractionalMaxPoolNd(Module):
    function: Any
    rank: int

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        sizes = _ntuple(self.rank)
        if (output_size is None) == (output_ratio is None):
            received = f"output_size={output_size}, output_ratio={output_ratio}"
            raise ArgumentError(message(f"{type(self).__name__}: output_size or output_ratio", received=received, expected="one of them"))
        self.kernel_size, self.return_indices = sizes(kernel_size), return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else sizes(output_size)
        self.output_ratio = None if output_ratio is None else sizes(output_ratio)
        if self.output_ratio is not None and not all(0 < ratio < 1 for ratio in self.output_ratio):
            received = f"output_ratio={output_ratio}"
            raise ArgumentError(message(f"{type(self).__name__}: output_ratio", received=received, expected="numbers between 0 and 1"))

    def forward(self, input: Tensor) -> Any:
        function = type(self).function
        return function(input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples)


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    """Maxima of overlapping windows of ``(N, C, H, W)`` at random places (Graham, 2014).

    Args:
        kernel_size; output_size: number of windows per axis, or output_ratio: that number as a share of the size; return_indices.

    >>> import trine
    >>> trine.nn.FractionalMaxPool2d(2, output_ratio=0.6)(trine.ones(1, 1, 10, 10)).shape
    trine.Size([1, 1, 6, 6])
    """

    function = F.fractional_max_pool2d
    rank = 2


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """Maxima of overlapping windows of ``(N, C, D, H, W)`` at random places; arguments as for `FractionalMaxPool2d`."""

    function = F.fractional_max_pool3d
    rank = 3


class _LPPoolNd(Module):
    function: Any

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(  # type: ignore[no-any-return]
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, ceil_mode={self.ceil_mode}"


class LPPool1d(_LPPoolNd):
    """The p-norm of each window of ``(N, C, L)``: ``sum(x ** p) ** (1 / p)``, p = `norm_type`.

    >>> import trine
    >>> trine.nn.LPPool1d(2, 2)(trine.tensor([[[3.0, 4.0]]]))
    tensor([[[5.]]])
    """

    function = F.lp_pool1d


class LPPool2d(_LPPoolNd):
    """The p-norm of each window of ``(N, C, H, W)``."""

    function = F.lp_pool2d


class LPPool3d(_LPPoolNd):
    """The p-norm of each window of ``(N, C, D, H, W)``."""

    function = F.lp_pool3d


class _AdaptiveAvgPoolNd(Module):
    function: Any

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, self.output_size)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """Mean over windows chosen so that the output has the given length."""

    function = F.adaptive_avg_pool1d


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    """Mean over windows chosen so that the output has the given height and width (None: as many as the input).

    >>> import trine
    >>> trine.nn.AdaptiveAvgPool2d((2, None))(trine.ones(1, 1, 5, 7)).shape
    trine.Size([1, 1, 2, 7])
    """

    function = F.adaptive_avg_pool2d


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """Mean over windows chosen so that the output has the given depth, height and width."""

    function = F.adaptive_avg_pool3d


class _AdaptiveMaxPoolNd(Module):
    function: Any

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Tensor) -> Any:
        return type(self).function(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """Maximum over windows chosen so that the output has the given length; return_indices: the places of the maxima too."""

    function = F.adaptive_max_pool1d


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    """Maximum over windows chosen so that the output has the given height and width."""

    function = F.adaptive_max_pool2d


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """Maximum over windows chosen so that the output has the given depth, height and width."""

    function = F.adaptive_max_pool3d
