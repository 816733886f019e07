"""Normalisation layers."""

from __future__ import annotations

from typing import Any

from trine import dtypes
from trine.errors import ShapeError, message
from trine.nn import functional as F
from trine.nn.module import Module
from trine.nn.parameter import Parameter
from trine.ops.creation import ones, zeros
from trine.tensor import Tensor


class _BatchNorm(Module):
    """What batch normalisation of every rank shares."""

    ranks: tuple[int, ...]
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.register_parameter("weight", Parameter(ones(num_features, dtype=dtype, device=device)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_features, dtype=dtype, device=device)) if affine and bias else None)
        self.register_buffer("running_mean", zeros(num_features, dtype=dtype, device=device) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features, dtype=dtype, device=device) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", zeros((), dtype=dtypes.int64, device=device) if track_running_stats else None)

    def reset_running_stats(self) -> None:
        """Forget the running statistics."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Set the initial values again."""
        from trine.nn import init

        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self.ranks:
            received = f"a tensor of shape {tuple(input.shape)}"
            raise ShapeError(message(f"{type(self).__name__}: input", received=received, expected=f"{self.ranks} axes"))
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        use_batch = self.training or self.running_mean is None
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, use_batch, momentum, self.eps)

    def extra_repr(self) -> str:
        options = f"momentum={self.momentum}, affine={self.affine}, bias={self.bias is not None}"
        return f"{self.num_features}, eps={self.eps}, {options}, track_running_stats={self.track_running_stats}"


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of ``(N, C)`` or ``(N, C, L)`` over all axes but C (Ioffe and Szegedy, 2015)."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of ``(N, C, H, W)`` over all axes but C.

    >>> import trine
    >>> trine.nn.BatchNorm2d(3)(trine.ones(2, 3, 4, 4)).shape
    trine.Size([2, 3, 4, 4])
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of ``(N, C, D, H, W)`` over all axes but C."""

    ranks = (5,)


class LayerNorm(Module):
    """Normalisation over the trailing axes ``normalized_shape`` (Ba et al., 2016).

    >>> import trine
    >>> trine.nn.LayerNorm(4)(trine.ones(2, 4)).shape
    trine.Size([2, 4])
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.register_parameter(
            "weight", Parameter(ones(self.normalized_shape, dtype=dtype, device=device)) if elementwise_affine else None
        )
        self.register_parameter(
            "bias", Parameter(zeros(self.normalized_shape, dtype=dtype, device=device)) if elementwise_affine and bias else None
        )

    def reset_parameters(self) -> None:
        """Set the initial values again."""
        from trine.nn import init

        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
