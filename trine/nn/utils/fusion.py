"""Batch normalisation in evaluation, folded into the weights of the layer before it."""

from __future__ import annotations

import copy
from typing import Any

from trine.errors import ArgumentError, message
from trine.nn.module import Module
from trine.nn.parameter import Parameter
from trine.ops.creation import ones_like, zeros_like
from trine.tensor import Tensor


def _require_evaluation(name: str, *modules: Module) -> None:
    if any(module.training for module in modules):
        raise ArgumentError(message(f"{name}: a module is in training mode", received="training=True", fix="call eval() first"))


def _folded(
    weight: Tensor,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    eps: float,
    scale: Tensor | None,
    shift: Tensor | None,
    shape: tuple[int, ...],
) -> tuple[Parameter, Parameter]:
    start = zeros_like(mean) if bias is None else bias
    gain = (ones_like(mean) if scale is None else scale) * (variance + eps).rsqrt()
    new_weight = weight * gain.reshape(shape).to(weight.dtype)
    new_bias = (start - mean) * gain + (zeros_like(mean) if shift is None else shift)
    return Parameter(new_weight, weight.requires_grad), Parameter(new_bias.to(start.dtype), True if bias is None else bias.requires_grad)


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Return weight and bias of a convolution that does what a convolution and a batch normalisation after it do.

    Args:
        conv_w, conv_b: weight and bias of the convolution. bn_rm, bn_rv, bn_eps: running mean and variance, and epsilon. bn_w, bn_b: scale
            and shift. transpose: the convolution is a transposed one.
    """
    rank = conv_w.dim()
    shape = (1, -1, *(1,) * (rank - 2)) if transpose else (-1, *(1,) * (rank - 1))
    return _folded(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape)


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """Return a convolution that does what `conv` and, after it, the batch normalisation `bn` do; both in evaluation mode.

    >>> import trine
    >>> conv, bn, x = trine.nn.Conv1d(2, 3, 1).eval(), trine.nn.BatchNorm1d(3).eval(), trine.randn(1, 2, 4)
    >>> fused = trine.nn.utils.fuse_conv_bn_eval(conv, bn)
    >>> bool(trine.allclose(fused(x), bn(conv(x)), atol=1e-5))
    True
    """
    _require_evaluation("fuse_conv_bn_eval", conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Tensor, linear_b: Tensor | None, bn_rm: Tensor, bn_rv: Tensor, bn_eps: float, bn_w: Tensor | None, bn_b: Tensor | None
) -> tuple[Parameter, Parameter]:
    """Return weight and bias of a linear layer that does what a linear layer and a batch normalisation after it do."""
    return _folded(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, (-1, 1))


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """Return a linear layer that does what `linear` and, after it, the batch normalisation `bn` do; both in evaluation mode.

    >>> import trine
    >>> linear, bn, x = trine.nn.Linear(2, 3).eval(), trine.nn.BatchNorm1d(3).eval(), trine.randn(4, 2)
    >>> bool(trine.allclose(trine.nn.utils.fuse_linear_bn_eval(linear, bn)(x), bn(linear(x)), atol=1e-5))
    True
    """
    _require_evaluation("fuse_linear_bn_eval", linear, bn)
    if linear.out_features != bn.num_features and bn.num_features != 1:
        received = f"{linear.out_features} features, and {bn.num_features} in the normalisation"
        raise ArgumentError(message("fuse_linear_bn_eval: sizes do not fit", received=received, expected="as many"))
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias)
    return fused
