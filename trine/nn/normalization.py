"""Normalisation layers: batch, layer, group, RMS and local response normalisation."""

from __future__ import annotations

from typing import Any

from trine import dtypes
from trine.errors import ArgumentError, ShapeError, message
from trine.nn import functional as F
from trine.nn import init
from trine.nn.module import Module
from trine.nn.parameter import Parameter
from trine.ops.creation import ones, zeros
from trine.ops.normalization import cross_map_lrn
from trine.tensor import Tensor


class _NormBase(Module):
    """What batch and instance normalisation share: scale and shift per channel, and running statistics."""

    _version = 2
    ranks: tuple[int, ...] = ()
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
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input: Tensor) -> None:
        if not self.ranks:
            raise NotImplementedError(f"{type(self).__name__} does not say how many axes its input has")
        if input.dim() not in self.ranks:
            received = f"a tensor of shape {tuple(input.shape)}"
            raise ShapeError(message(f"{type(self).__name__}: input", received=received, expected=f"{self.ranks} axes"))

    def extra_repr(self) -> str:
        options = f"momentum={self.momentum}, affine={self.affine}, bias={self.bias is not None}"
        return f"{self.num_features}, eps={self.eps}, {options}, track_running_stats={self.track_running_stats}"


class _BatchNorm(_NormBase):
    """What batch normalisation of every rank shares."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any) -> None:
        version, name = local_metadata.get("version"), prefix + "num_batches_tracked"
        if (version is None or version < 2) and self.num_batches_tracked is not None and name not in state_dict:
            state_dict[name] = self.num_batches_tracked  # states saved by the first version do not count batches
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        training = self.training
        momentum = 0.0 if self.momentum is None else self.momentum
        updates = training and self.track_running_stats
        if updates and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # the average of all batches
                momentum = 1.0 / float(self.num_batches_tracked)
        use_batch = training or (self.running_mean is None and self.running_var is None)
        # Running statistics are handed over where they are used: to be updated, or to normalise.
        mean, variance = (self.running_mean, self.running_var) if updates or not training else (None, None)
        return F.batch_norm(input, mean, variance, self.weight, self.bias, use_batch, momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of ``(N, C)`` or ``(N, C, L)`` over all axes but C (Ioffe and Szegedy, 2015).

    Args:
        num_features: C. eps. momentum: weight of a batch in the running statistics; None averages all batches. affine: learn a scale and
            (with bias) a shift. track_running_stats: keep running statistics for evaluation.
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of ``(N, C, H, W)`` over all axes but C; arguments as for `BatchNorm1d`.

    >>> import trine
    >>> trine.nn.BatchNorm2d(3)(trine.ones(2, 3, 4, 4)).shape
    trine.Size([2, 3, 4, 4])
    """

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of ``(N, C, D, H, W)`` over all axes but C; arguments as for `BatchNorm1d`."""

    ranks = (5,)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation of ``(N, C, …)`` over the batches of all processes; with one process, that is this batch.

    Args:
        num_features, eps, momentum, affine, track_running_stats: as for `BatchNorm1d`. process_group: kept, for programs that read it.

    >>> import trine
    >>> trine.nn.SyncBatchNorm.convert_sync_batchnorm(trine.nn.Sequential(trine.nn.BatchNorm1d(2)))[0].num_features
    2
    """

    ranks = tuple(range(2, 9))

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self.process_group = process_group

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """Return the module with every batch normalisation in it replaced by this class, parameters and statistics kept."""
        if isinstance(module, _BatchNorm):
            options = (module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats, process_group)
            converted: Any = SyncBatchNorm(*options, bias=module.bias is not None)
            converted.weight, converted.bias, converted.running_mean = module.weight, module.bias, module.running_mean
            converted.running_var, converted.num_batches_tracked = module.running_var, module.num_batches_tracked
            converted.training = module.training
            module = converted
        for name, child in list(module.named_children()):
            setattr(module, name, cls.convert_sync_batchnorm(child, process_group))
        return module


class _InstanceNorm(_NormBase):
    """What instance normalisation of every rank shares: `ranks` are those without and with a batch axis."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        is_single = input.dim() == self.ranks[0]
        channels = input.shape[0 if is_single else 1]
        if channels != self.num_features and self.affine:
            received = f"{channels} channels in an input of shape {tuple(input.shape)}"
            raise ShapeError(message(f"{type(self).__name__}: input", received=received, expected=f"{self.num_features} channels"))
        batch = input.unsqueeze(0) if is_single else input
        use_input = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        y = F.instance_norm(batch, self.running_mean, self.running_var, self.weight, self.bias, use_input, momentum, self.eps)
        return y.squeeze(0) if is_single else y


class InstanceNorm1d(_InstanceNorm):
    """Normalisation of each channel of each sample of ``(N, C, L)`` or ``(C, L)`` (Ulyanov et al., 2016).

    Args:
        num_features: C. eps, momentum; affine: learn scale and shift; track_running_stats: use running statistics in evaluation.
    """

    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Normalisation of each channel of each sample of ``(N, C, H, W)`` or ``(C, H, W)``; arguments as for `InstanceNorm1d`.

    >>> import trine
    >>> trine.nn.InstanceNorm2d(3)(trine.randn(2, 3, 4, 4)).shape
    trine.Size([2, 3, 4, 4])
    """

    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Normalisation of each channel of each sample of ``(N, C, D, H, W)`` or ``(C, D, H, W)``; arguments as for `InstanceNorm1d`."""

    ranks = (4, 5)


class _Affine(Module):
    """A scale and a shift that start as 1 and 0."""

    weight: Parameter | None
    bias: Parameter | None

    def _register(self, shape: Any, scale: bool, shift: bool, device: Any, dtype: Any) -> None:
        self.register_parameter("weight", Parameter(ones(shape, dtype=dtype, device=device)) if scale else None)
        self.register_parameter("bias", Parameter(zeros(shape, dtype=dtype, device=device)) if shift else None)

    def reset_parameters(self) -> None:
        """Set the initial values again."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self._parameters.get("bias") is not None:
            init.zeros_(self.bias)  # type: ignore[arg-type]


class LayerNorm(_Affine):
    """Normalisation over the trailing axes ``normalized_shape`` (Ba et al., 2016).

    Args:
        normalized_shape: the sizes of the last axes. eps. elementwise_affine: learn a scale and (with bias) a shift.

    >>> import trine
    >>> trine.nn.LayerNorm(4)(trine.ones(2, 4)).shape
    trine.Size([2, 4])
    """

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
        self._register(self.normalized_shape, elementwise_affine, elementwise_affine and bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"


class RMSNorm(_Affine):
    """Division by the root mean square over the trailing axes ``normalized_shape`` (Zhang and Sennrich, 2019).

    Args:
        normalized_shape: the sizes of the last axes. eps: None for the epsilon of the dtype. elementwise_affine: learn a scale.

    >>> import trine
    >>> trine.nn.RMSNorm(2)(trine.tensor([[3.0, 3.0]])).tolist()
    [[1.0, 1.0]]
    """

    def __init__(
        self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.register_parameter(
            "weight", Parameter(ones(self.normalized_shape, dtype=dtype, device=device)) if elementwise_affine else None
        )

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Affine):
    """Normalisation of groups of channels of each sample of ``(N, C, …)`` (Wu and He, 2018).

    Args:
        num_groups: divides num_channels. affine: learn a scale and (with bias) a shift per channel.

    >>> import trine
    >>> trine.nn.GroupNorm(2, 4)(trine.randn(2, 4, 3)).shape
    trine.Size([2, 4, 3])
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            received = f"{num_groups} groups, {num_channels} channels"
            raise ArgumentError(message("GroupNorm: num_channels must be divisible by num_groups", received=received))
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self._register(num_channels, affine, affine and bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"


class LocalResponseNorm(Module):
    """Division by a power of the mean square over `size` neighbouring channels (Krizhevsky et al., 2012).

    >>> import trine
    >>> trine.nn.LocalResponseNorm(2)(trine.ones(1, 3, 4)).shape
    trine.Size([1, 3, 4])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(Module):
    """The `LocalResponseNorm` of Torch 7 for ``(N, C, H, W)``: k stands for 1, and windows of even size are centred otherwise.

    As in PyTorch the first channel stays in every window that has once contained it; the gradient takes that into account.

    >>> import trine
    >>> trine.nn.CrossMapLRN2d(3)(trine.ones(1, 4, 2, 2)).shape
    trine.Size([1, 4, 2, 2])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        return cross_map_lrn(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
