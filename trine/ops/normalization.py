"""Normalization: layer, batch, group, instance and RMS norms, and `normalize`. Each is one record.

Half types are computed in float32 and rounded once at the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.ops.promotion import as_dtype, as_float, number, size
from trine.ops.reduction import axes_of, mean_keeping_axes, norm_keeping_axes
from trine.tensor import Tensor, record


def _wide(x: Node, op: str) -> Node:
    """Return the node in the dtype to compute in."""
    if not x.dtype.is_floating_point:
        raise DTypeError(
            message(f"{op}: the input is not floating point", received=x.dtype.name, expected="a floating point dtype", fix="x.float()")
        )
    return as_dtype(x, dtypes.float32) if x.dtype.is_half else x


def _standardized(x: Node, axes: tuple[int, ...], eps: float) -> tuple[Node, Node, Node]:
    """Return ``(x - mean) / sqrt(var + eps)``, the mean and the (biased) variance over `axes`."""
    mean = mean_keeping_axes(x, axes)
    centred = b.sub(x, mean)
    variance = mean_keeping_axes(b.mul(centred, centred), axes)
    return b.mul(centred, b.rsqrt(b.add(variance, number(eps, x)))), mean, variance


def _distances(x: Node, axes: tuple[int, ...]) -> tuple[Node, Node, Node, Node]:
    """Return, for long columns along `axes`: a point near the mean, the distances to it, their mean, the (biased) variance.

    What is normalized does not depend on that point, so no gradient goes through it: then a backward pass takes two sums in one pass over
    the columns, and writes the gradient in another.
    """
    near = b.stop_gradient(mean_keeping_axes(x, axes))
    distance = b.sub(x, near)
    rest = mean_keeping_axes(distance, axes)
    return near, distance, rest, b.sub(mean_keeping_axes(b.mul(distance, distance), axes), b.mul(rest, rest))


def _affine(x: Node, weight: Node | None, bias: Node | None) -> Node:
    if weight is not None:
        x = b.mul(x, as_dtype(weight, x.dtype))
    return x if bias is None else b.add(x, as_dtype(bias, x.dtype))


def _optional(values: Sequence[Node], *present: bool) -> list[Node | None]:
    """Return the values at the places that are present, None at the others."""
    remaining = iter(values)
    return [next(remaining) if is_present else None for is_present in present]


def _operands(*tensors: Tensor | None) -> tuple[Tensor, ...]:
    return tuple([t for t in tensors if t is not None])


def _check_normalized_shape(op: str, x: Node, shape: tuple[int, ...], *parameters: Node | None) -> tuple[int, ...]:
    """Return the normalized axes."""
    rank = len(shape)
    if not rank or x.shape[len(x.shape) - rank :] != shape or rank > len(x.shape):
        raise ShapeError(
            message(
                f"{op}: the input does not fit normalized_shape", received=f"input {x.shape}", expected=f"an input that ends in {shape}"
            )
        )
    for parameter in parameters:
        if parameter is not None and parameter.shape != shape:
            raise ShapeError(message(f"{op}: a parameter does not fit", received=f"shape {parameter.shape}", expected=f"shape {shape}"))
    return tuple(range(len(x.shape) - rank, len(x.shape)))


def _layer_norm(*arguments: Any) -> Node:
    x, *parameters, shape, eps, has_weight, has_bias = arguments
    weight, bias = _optional(parameters, has_weight, has_bias)
    axes = _check_normalized_shape("layer_norm", x, shape, weight, bias)
    normalized, _, _ = _standardized(_wide(x, "layer_norm"), axes, eps)
    return as_dtype(_affine(normalized, weight, bias), x.dtype)


def layer_norm(
    input: Tensor, normalized_shape: int | Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Normalize over the last axes to mean 0 and variance 1, then scale and shift.

    Args:
        input: (*, *normalized_shape).
        weight, bias: of shape normalized_shape, or None.

    Example:
        >>> import trine
        >>> trine.nn.functional.layer_norm(trine.tensor([[1., 3.]]), (2,))
        tensor([[-1.0000,  1.0000]])
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    result: Tensor = record(_layer_norm, _operands(input, weight, bias), shape, float(eps), weight is not None, bias is not None)
    return result


_EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


def _rms_norm(*arguments: Any) -> Node:
    x, *parameters, shape, eps, has_weight = arguments
    (weight,) = _optional(parameters, has_weight)
    axes = _check_normalized_shape("rms_norm", x, shape, weight)
    wide = _wide(x, "rms_norm")
    mean_square = mean_keeping_axes(b.mul(wide, wide), axes)
    scale = b.rsqrt(b.add(mean_square, number(_EPSILON[x.dtype.name] if eps is None else eps, wide)))
    return as_dtype(_affine(b.mul(wide, scale), weight, None), x.dtype)


def rms_norm(input: Tensor, normalized_shape: int | Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """Divide by the root of the mean square over the last axes, then scale; `eps` is the dtype's epsilon unless given.

    Example:
        >>> import trine
        >>> trine.nn.functional.rms_norm(trine.tensor([[3., 4.]]), (2,))
        tensor([[0.8485, 1.1314]])
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    result: Tensor = record(_rms_norm, _operands(input, weight), shape, None if eps is None else float(eps), weight is not None)
    return result


def _per_channel(parameter: Node, rank: int, channels: int, op: str) -> Node:
    if parameter.shape != (channels,):
        raise ShapeError(
            message(
                f"{op}: a parameter does not fit", received=f"shape {parameter.shape}", expected=f"one element per channel, ({channels},)"
            )
        )
    return b.reshape(parameter, (channels, *(1,) * (rank - 2)))


def _channel_affine(x: Node, weight: Node | None, bias: Node | None, op: str) -> Node:
    rank, channels = len(x.shape), x.shape[1]
    return _affine(
        x,
        None if weight is None else _per_channel(weight, rank, channels, op),
        None if bias is None else _per_channel(bias, rank, channels, op),
    )


def _check_channels(x: Node, op: str) -> None:
    if len(x.shape) < 2:
        raise ShapeError(message(f"{op}: too few axes", received=f"shape {x.shape}", expected="(N, C, ...)"))


def _batch_norm_inference(*arguments: Any) -> Node:
    x, mean, variance, *parameters, eps, has_weight, has_bias = arguments
    weight, bias = _optional(parameters, has_weight, has_bias)
    _check_channels(x, "batch_norm")
    wide = _wide(x, "batch_norm")
    rank, channels = len(x.shape), x.shape[1]
    mean = as_dtype(_per_channel(mean, rank, channels, "batch_norm"), wide.dtype)
    variance = as_dtype(_per_channel(variance, rank, channels, "batch_norm"), wide.dtype)
    # One product and one sum for each element: what belongs to the channel is computed once.
    return as_dtype(_scaled(wide, mean, _channel_scale(wide, variance, weight, eps), bias), x.dtype)


def _scaled(x: Node, mean: Node, scale: Node, bias: Node | None) -> Node:
    """Return ``(x - mean) * scale + bias``."""
    shift = b.mul(mean, scale)
    if bias is None:
        return b.sub(b.mul(x, scale), shift)
    shift = b.sub(as_dtype(_per_channel(bias, len(x.shape), x.shape[1], "batch_norm"), x.dtype), shift)
    return b.add(b.mul(x, scale), shift)


def _channel_scale(x: Node, variance: Node, weight: Node | None, eps: float) -> Node:
    scale = b.rsqrt(b.add(variance, number(eps, x)))
    if weight is None:
        return scale
    return b.mul(scale, as_dtype(_per_channel(weight, len(x.shape), x.shape[1], "batch_norm"), x.dtype))


def _batch_norm_training(*arguments: Any) -> tuple[Node, Node, Node]:
    """Return the normalized input, the batch mean and the biased batch variance, both of shape (C,)."""
    x, *parameters, eps, has_weight, has_bias = arguments
    weight, bias = _optional(parameters, has_weight, has_bias)
    _check_channels(x, "batch_norm")
    wide = _wide(x, "batch_norm")
    axes = (0, *range(2, len(x.shape)))
    count = math.prod([x.shape[k] for k in axes])
    if count == 1:
        raise ArgumentError(
            message(
                "batch_norm: one value per channel in training", received=f"input {x.shape}", expected="more than one value per channel"
            )
        )
    near, distance, rest, variance = _distances(wide, axes)
    y = as_dtype(_scaled(distance, rest, _channel_scale(wide, variance, weight, eps), bias), x.dtype)
    channels = (x.shape[1],)
    return y, b.stop_gradient(b.reshape(b.add(near, rest), channels)), b.stop_gradient(b.reshape(variance, channels))


def _batch_norm_of_nothing(*arguments: Any) -> Node:
    x, *parameters, has_weight, has_bias = arguments
    weight, bias = _optional(parameters, has_weight, has_bias)
    return _channel_affine(x, weight, bias, "batch_norm") if len(x.shape) > 1 else b.reshape(x, x.shape)


def _running(old: Node, new: Node, momentum: Node) -> Node:
    weight = as_dtype(momentum, old.dtype)
    return b.add(b.mul(old, b.sub(number(1, old), weight)), b.mul(as_dtype(new, old.dtype), weight))


def _running_variance(old: Node, new: Node, momentum: Node, count: int) -> Node:
    # The running variance is the unbiased one.
    correction = b.div(size(count, new.dtype), size(count - 1, new.dtype))
    return _running(old, b.mul(new, correction), momentum)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel (axis 1) over the other axes, then scale and shift.

    In training the batch's own mean and variance are used, and the running ones are updated in place with weight `momentum`;
    otherwise the running ones are used.

    Example:
        >>> import trine
        >>> trine.nn.functional.batch_norm(trine.tensor([[1.], [3.]]), None, None, training=True)
        tensor([[-1.0000],
                [ 1.0000]])
    """
    flags = (float(eps), weight is not None, bias is not None)
    if 0 in input.shape and (training or input.dim() < 2):  # nothing to measure: the running statistics stay
        result: Tensor = record(_batch_norm_of_nothing, _operands(input, weight, bias), *flags[1:])
        return result
    if not training:
        if running_mean is None or running_var is None:
            expected = "running_mean and running_var, or training=True"
            raise ArgumentError(message("batch_norm: no running statistics in evaluation", received="None", expected=expected))
        result = record(_batch_norm_inference, _operands(input, running_mean, running_var, weight, bias), *flags)
        return result
    y, mean, variance = record(_batch_norm_training, _operands(input, weight, bias), *flags)
    factor = float(momentum)
    if running_mean is not None:
        running_mean.copy_(record(_running, (running_mean, mean, factor)))
    if running_var is not None:
        count = input.numel() // max(input.shape[1], 1)
        running_var.copy_(record(_running_variance, (running_var, variance, factor), count))
    normalized: Tensor = y
    return normalized


def _instance_norm(*arguments: Any) -> Node:
    x, *parameters, eps, has_weight, has_bias = arguments
    weight, bias = _optional(parameters, has_weight, has_bias)
    if len(x.shape) < 3:
        raise ShapeError(message("instance_norm: too few axes", received=f"shape {x.shape}", expected="(N, C, *spatial)"))
    normalized, _, _ = _standardized(_wide(x, "instance_norm"), tuple(range(2, len(x.shape))), eps)
    return as_dtype(_channel_affine(normalized, weight, bias, "instance_norm"), x.dtype)


def _instance_statistics(x: Node) -> tuple[Node, Node]:
    """Return mean and unbiased variance per channel, averaged over the batch."""
    axes = tuple(range(2, len(x.shape)))
    count = math.prod(x.shape[2:])
    _, mean, variance = _standardized(_wide(b.stop_gradient(x), "instance_norm"), axes, 0.0)
    variance = b.mul(variance, b.div(size(count, variance.dtype), size(count - 1, variance.dtype)))
    channels = (x.shape[1],)
    return b.reshape(mean_keeping_axes(mean, (0,)), channels), b.reshape(mean_keeping_axes(variance, (0,)), channels)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize each channel of each sample over its spatial axes.

    Example:
        >>> import trine
        >>> trine.nn.functional.instance_norm(trine.tensor([[[1., 3.]]]))
        tensor([[[-1.0000,  1.0000]]])
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if input.dim() > 2 and math.prod(input.shape[2:]) == 1:
        received = f"input {tuple(input.shape)}"
        raise ArgumentError(message("instance_norm: one element per channel", received=received, expected="more than one element"))
    if running_mean is not None and running_var is not None:
        mean, variance = record(_instance_statistics, (input,))
        running_mean.copy_(record(_running, (running_mean, mean, float(momentum))))
        running_var.copy_(record(_running, (running_var, variance, float(momentum))))
    result: Tensor = record(_instance_norm, _operands(input, weight, bias), float(eps), weight is not None, bias is not None)
    return result


def _group_norm(*arguments: Any) -> Node:
    x, *parameters, groups, eps, has_weight, has_bias = arguments
    weight, bias = _optional(parameters, has_weight, has_bias)
    _check_channels(x, "group_norm")
    if groups < 1 or x.shape[1] % groups:
        raise ArgumentError(message("group_norm: groups do not divide the channels", received=f"{groups} groups, {x.shape[1]} channels"))
    if x.shape[0] * x.shape[1] // groups * math.prod(x.shape[2:]) == 1:
        received = f"input {x.shape}, {groups} groups"
        raise ArgumentError(message("group_norm: one value per group", received=received, expected="more than one value per group"))
    grouped = b.reshape(_wide(x, "group_norm"), (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    normalized, _, _ = _standardized(grouped, tuple(range(2, len(grouped.shape))), eps)
    return as_dtype(_channel_affine(b.reshape(normalized, x.shape), weight, bias, "group_norm"), x.dtype)


def group_norm(input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Normalize groups of channels of each sample, then scale and shift each channel.

    Example:
        >>> import trine
        >>> trine.nn.functional.group_norm(trine.tensor([[1., 3.]]), 1)
        tensor([[-1.0000,  1.0000]])
    """
    flags = (num_groups, float(eps), weight is not None, bias is not None)
    result: Tensor = record(_group_norm, _operands(input, weight, bias), *flags)
    return result


def _normalize(x: Node, p: float, dim: int | tuple[int, ...], eps: float) -> Node:
    axes = axes_of(x, dim, "normalize")
    norm = norm_keeping_axes(x, axes, p)
    floor = number(eps, norm)
    return b.div(x, b.where(b.lt(norm, floor), floor, norm))


def normalize(input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """Divide by the p-norm along an axis (by at least `eps`).

    Example:
        >>> import trine
        >>> trine.nn.functional.normalize(trine.tensor([[3., 4.]]))
        tensor([[0.6000, 0.8000]])
    """
    from trine.ops.arguments import hashable_dim, write_out

    return write_out(record(_normalize, (input,), float(p), hashable_dim(dim), float(eps)), out)


def _local_response_norm(x: Node, extent: int, alpha: float, beta: float, k: float) -> Node:
    shape = x.shape
    if len(shape) < 3:
        raise ShapeError(message("local_response_norm: too few axes", received=f"shape {shape}", expected="(N, C, *spatial)"))
    squares = b.reshape(b.mul(x, x), (shape[0], 1, shape[1], math.prod(shape[2:])))
    sums = b.window_sum(squares, (extent, 1), (1, 1), ((extent // 2, (extent - 1) // 2), (0, 0)), (1, 1))
    if not x.dtype.is_floating_point:  # the mean of integers is an integer
        sums, x = as_float(b.floor_div(sums, number(extent, sums))), as_float(x)
        alpha *= extent
    mean = b.reshape(b.mul(sums, number(alpha / extent, x)), shape)
    return b.div(x, b.pow(b.add(mean, number(k, x)), number(beta, x)))


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divide by a power of the mean square over neighbouring channels.

    Example:
        >>> import trine
        >>> trine.nn.functional.local_response_norm(trine.ones(1, 1, 1), 1, alpha=3.0, beta=0.5)
        tensor([[[0.5000]]])
    """
    if 0 in input.shape and input.dim() > 2:
        return input
    result: Tensor = record(_local_response_norm, (input,), size, float(alpha), float(beta), float(k))
    return result


def _cross_map_lrn(x: Node, extent: int, alpha: float, beta: float, k: float) -> Node:
    if len(x.shape) != 4:
        raise ShapeError(message("cross_map_lrn: wrong number of axes", received=f"shape {x.shape}", expected="(N, C, H, W)"))
    batch, channels = x.shape[:2]
    reach = (extent - 1) // 2 + 1  # a window has the channels [c - reach + 1, c + reach - 1]
    squares = b.mul(x, x)
    rows = b.reshape(squares, (batch, 1, channels, math.prod(x.shape[2:])))
    sums = b.reshape(b.window_sum(rows, (2 * reach - 1, 1), (1, 1), ((reach - 1, reach - 1), (0, 0)), (1, 1)), x.shape)
    # The running sum of the original drops channel c - reach only from the second channel on.
    first = b.slice(squares, (0, 0, 0, 0), (batch, 1, *x.shape[2:]))
    is_beyond = b.ge(b.iota((1, channels, 1, 1), 1), size(reach, dtypes.int64))
    sums = b.add(sums, b.where(is_beyond, first, number(0, x)))
    scale = b.add(b.mul(sums, number(alpha / extent, x)), number(k, x))
    return b.mul(x, b.pow(scale, number(-beta, x)))


def cross_map_lrn(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divide (N, C, H, W) by a power of the mean square over neighbouring channels, with the windows of Torch 7.

    Example:
        >>> import trine
        >>> trine.ops.normalization.cross_map_lrn(trine.ones(1, 1, 1, 1), 1, alpha=3.0, beta=0.5)
        tensor([[[[0.5000]]]])
    """
    result: Tensor = record(_cross_map_lrn, (input,), int(size), float(alpha), float(beta), float(k))
    return result
