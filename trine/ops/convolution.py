"""Convolutions and transposed convolutions of one to three spatial axes, and folding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.arguments import spatial
from trine.ops.contraction import check_same_dtype
from trine.ops.promotion import size
from trine.tensor import Tensor, record

Size = int | Sequence[int]
Pairs = tuple[tuple[int, int], ...]


def _add_bias(y: Node, bias: Sequence[Node], op: str) -> Node:
    if not bias:
        return y
    if bias[0].shape != (y.shape[1],):
        raise ShapeError(
            message(f"{op}: the bias does not fit", received=bias[0].shape, expected=f"one element per output channel, ({y.shape[1]},)")
        )
    return b.add(y, b.reshape(bias[0], (y.shape[1], *(1,) * (len(y.shape) - 2))))


def _batched(x: Node, rank: int, op: str) -> tuple[Node, bool]:
    """Return the input with a batch axis, and whether it was added."""
    if len(x.shape) == rank + 1:
        return b.unsqueeze(x, 0), True
    if len(x.shape) != rank + 2:
        raise ShapeError(
            message(
                f"{op}: wrong number of axes",
                received=f"input {x.shape}",
                expected=f"(N, C, *spatial) or (C, *spatial), {rank} spatial axes",
            )
        )
    return x, False


def _check_channels(x: Node, w: Node, groups: int, op: str) -> None:
    if groups < 1 or w.shape[0] % groups or x.shape[1] != w.shape[1] * groups:
        raise ShapeError(
            message(
                f"{op}: the weight does not fit the input",
                received=f"input {x.shape}, weight {w.shape}, groups {groups}",
                expected=f"{w.shape[1] * max(groups, 1)} input channels, and groups that divide the {w.shape[0]} output channels",
            )
        )


def _same_padding(kernel: Sequence[int], dilation: Sequence[int]) -> Pairs:
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple([(t // 2, t - t // 2) for t in totals])


def _conv(*arguments: Any) -> Node:
    x, w, *bias, op, rank, stride, padding, dilation, groups = arguments
    check_same_dtype(op, x, w, *bias)
    x, is_single = _batched(x, rank, op)
    if len(w.shape) != rank + 2:
        raise ShapeError(
            message(f"{op}: wrong number of axes", received=f"weight {w.shape}", expected=f"(O, C/groups, *kernel), {rank} kernel axes")
        )
    _check_channels(x, w, groups, op)
    pairs = _same_padding(w.shape[2:], dilation) if padding == "same" else padding
    y = _add_bias(b.conv(x, w, stride, pairs, dilation, groups), bias, op)
    return b.squeeze(y, 0) if is_single else y


def _padding_pairs(op: str, padding: Size | str, stride: tuple[int, ...], rank: int) -> Any:
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * rank
        if padding != "same":
            raise ArgumentError(message(f"{op}: no such padding", received=repr(padding), expected="'same', 'valid' or integers"))
        if any(s != 1 for s in stride):
            raise ArgumentError(message(f"{op}: padding 'same' needs stride 1", received=f"stride {stride}", expected="stride 1"))
        return "same"
    return tuple([(p, p) for p in spatial(op, "padding", padding, rank)])


def _make_conv(rank: int, example: str) -> Callable[..., Tensor]:
    op = f"conv{rank}d"

    def conv(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
    ) -> Tensor:
        strides = spatial(op, "stride", stride, rank)
        pairs = _padding_pairs(op, padding, strides, rank)
        operands = (input, weight) if bias is None else (input, weight, bias)
        result: Tensor = record(_conv, operands, op, rank, strides, pairs, spatial(op, "dilation", dilation, rank), groups)
        return result

    conv.__name__ = conv.__qualname__ = op
    conv.__module__ = __name__
    conv.__doc__ = f"""Return the {rank}-d convolution (cross-correlation) of the input with the weight, plus the bias.

    Args:
        input: (N, C, *spatial) or (C, *spatial), {rank} spatial axes.
        weight: (O, C / groups, *kernel).
        bias: (O,) or None.
        stride, dilation: one int, or one per axis. padding: the same on both sides, or "same" or "valid".
        groups: number of independent groups of channels.

    Raises:
        ShapeError: shapes do not fit. DTypeError: dtypes differ.

    Example:
        >>> import trine
        >>> {example}
    """
    return conv


conv1d = _make_conv(1, "trine.nn.functional.conv1d(trine.ones(1, 1, 4), trine.ones(1, 1, 2))\n        tensor([[[2., 2., 2.]]])")
conv2d = _make_conv(2, "trine.nn.functional.conv2d(trine.ones(1, 1, 2, 2), trine.ones(1, 1, 2, 2))\n        tensor([[[[4.]]]])")
conv3d = _make_conv(3, "trine.nn.functional.conv3d(trine.ones(1, 1, 1, 1, 2), trine.ones(1, 1, 1, 1, 2))\n        tensor([[[[[2.]]]]])")


def _transposed(
    x: Node,
    w: Node,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    output_padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Node:
    """Return the gradient with respect to its input of the convolution that leads from the result's size to that of x."""
    rows = list(zip(x.shape[2:], w.shape[2:], stride, padding, output_padding, dilation, strict=True))
    # Where output_padding reaches the stride, a convolution of the whole result would have more elements than x: the convolution ends
    # earlier, and what it does not reach is zero.
    pairs = [(p, p if o < s else max(p - o, 0)) for _, _, s, p, o, _ in rows]
    beyond = [0 if o < s else max(o - p, 0) for _, _, s, p, o, _ in rows]
    sizes = [(n - 1) * s - 2 * p + d * (k - 1) + o + 1 - more for (n, k, s, p, o, d), more in zip(rows, beyond, strict=True)]
    if min(sizes) < 1:
        received = f"input {x.shape}, weight {w.shape}, padding {padding}"
        raise ShapeError(message("conv_transpose: the result is empty", received=received, expected="less padding"))
    y = b.conv_input_grad(x, w, (x.shape[0], w.shape[1] * groups, *sizes), stride, tuple(pairs), dilation, groups)
    return b.pad(y, (0,) * len(y.shape), (0, 0, *beyond))


def _conv_transpose(*arguments: Any) -> Node:
    x, w, *bias, op, rank, stride, padding, output_padding, dilation, groups = arguments
    check_same_dtype(op, x, w, *bias)
    x, is_single = _batched(x, rank, op)
    if len(w.shape) != rank + 2 or x.shape[1] != w.shape[0] or x.shape[1] % groups:
        expected = f"weight (C, O/groups, *kernel) with {x.shape[1]} input channels"
        raise ShapeError(
            message(f"{op}: the weight does not fit the input", received=f"input {x.shape}, weight {w.shape}", expected=expected)
        )
    if any(o >= max(s, d) for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        raise ShapeError(message(f"{op}: output_padding is too large", received=output_padding, expected="less than stride or dilation"))
    y = _transposed(x, w, stride, padding, output_padding, dilation, groups)
    y = _add_bias(y, bias, op)
    return b.squeeze(y, 0) if is_single else y


def _make_conv_transpose(rank: int, example: str) -> Callable[..., Tensor]:
    op = f"conv_transpose{rank}d"

    def conv_transpose(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        dilation: Size = 1,
    ) -> Tensor:
        operands = (input, weight) if bias is None else (input, weight, bias)
        windows = (("stride", stride), ("padding", padding), ("output_padding", output_padding), ("dilation", dilation))
        values = [spatial(op, name, value, rank) for name, value in windows]
        result: Tensor = record(_conv_transpose, operands, op, rank, *values, groups)
        return result

    conv_transpose.__name__ = conv_transpose.__qualname__ = op
    conv_transpose.__module__ = __name__
    conv_transpose.__doc__ = f"""Return the {rank}-d transposed convolution: the gradient of a convolution with respect to its input.

    Args:
        input: (N, C, *spatial) or (C, *spatial).
        weight: (C, O / groups, *kernel).
        output_padding: added to one side of the result, where several sizes lead to the same input.

    Example:
        >>> import trine
        >>> {example}
    """
    return conv_transpose


conv_transpose1d = _make_conv_transpose(
    1, "trine.nn.functional.conv_transpose1d(trine.ones(1, 1, 2), trine.ones(1, 1, 2))\n        tensor([[[1., 2., 1.]]])"
)
conv_transpose2d = _make_conv_transpose(
    2, "trine.nn.functional.conv_transpose2d(trine.ones(1, 1, 1, 1), trine.ones(1, 1, 1, 2))\n        tensor([[[[1., 1.]]]])"
)
conv_transpose3d = _make_conv_transpose(
    3, "trine.nn.functional.conv_transpose3d(trine.ones(1, 1, 1, 1, 1), trine.ones(1, 1, 1, 1, 2))\n        tensor([[[[[1., 1.]]]]])"
)


# --- unfold and fold --------------------------------------------------------------------------------------------------------------------


def _unfold_positions(shape: tuple[int, ...], window: tuple[int, ...], dilation: tuple[int, ...], stride: tuple[int, ...]) -> Node:
    """Return the flat positions (kernel elements, windows) in a padded plane."""
    height, width = shape
    rows = (height - dilation[0] * (window[0] - 1) - 1) // stride[0] + 1
    columns = (width - dilation[1] * (window[1] - 1) - 1) // stride[1] + 1
    if rows < 1 or columns < 1:
        raise ShapeError(
            message("unfold: the window does not fit", received=f"window {window}, plane {shape}", expected="a window inside the plane")
        )
    grid = (*window, rows, columns)

    def scaled(axis: int, factor: int) -> Node:
        return b.mul(b.iota(grid, axis), size(factor, dtypes.int64))

    row = b.add(scaled(0, dilation[0]), scaled(2, stride[0]))
    column = b.add(scaled(1, dilation[1]), scaled(3, stride[1]))
    flat = b.add(b.mul(row, size(width, dtypes.int64)), column)
    return b.reshape(flat, (math.prod(window), rows * columns))


def _unfold(x: Node, window: tuple[int, ...], dilation: tuple[int, ...], padding: tuple[int, ...], stride: tuple[int, ...]) -> Node:
    x, is_single = _batched(x, 2, "unfold")
    around = (0, 0, *padding)
    padded = b.pad(x, around, around, 0)
    batch, channels, height, width = padded.shape
    positions = _unfold_positions((height, width), window, dilation, stride)
    columns = b.take(b.reshape(padded, (batch, channels, height * width)), positions, 2)
    result = b.reshape(columns, (batch, channels * positions.shape[0], positions.shape[1]))
    return b.squeeze(result, 0) if is_single else result


def unfold(input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> Tensor:
    """Return all windows of images as columns: (N, C * window elements, number of windows).

    Example:
        >>> import trine
        >>> trine.nn.functional.unfold(trine.ones(1, 1, 2, 2), 2).shape
        trine.Size([1, 4, 1])
    """
    windows = (("kernel_size", kernel_size), ("dilation", dilation), ("padding", padding), ("stride", stride))
    result: Tensor = record(_unfold, (input,), *[spatial("unfold", name, value, 2) for name, value in windows])
    return result


def _fold(
    x: Node, output: tuple[int, ...], window: tuple[int, ...], dilation: tuple[int, ...], padding: tuple[int, ...], stride: tuple[int, ...]
) -> Node:
    is_single = len(x.shape) == 2
    x = b.unsqueeze(x, 0) if is_single else x
    height, width = output[0] + 2 * padding[0], output[1] + 2 * padding[1]
    positions = _unfold_positions((height, width), window, dilation, stride)
    elements, count = positions.shape
    if len(x.shape) != 3 or x.shape[1] % elements or x.shape[2] != count:
        raise ShapeError(message("fold: the columns do not fit", received=f"input {x.shape}", expected=f"(N, C * {elements}, {count})"))
    batch, channels = x.shape[0], x.shape[1] // elements
    columns = b.reshape(x, (batch, channels, elements, count))
    plane = b.put(b.full(0, (batch, channels, height * width), x.dtype), positions, columns, 2, "add")
    image = b.reshape(plane, (batch, channels, height, width))
    result = b.slice(image, (0, 0, *padding), (batch, channels, padding[0] + output[0], padding[1] + output[1]))
    return b.squeeze(result, 0) if is_single else result


def fold(input: Tensor, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> Tensor:
    """Add windows given as columns into images: the transpose of `unfold`.

    Example:
        >>> import trine
        >>> trine.nn.functional.fold(trine.ones(1, 4, 1), 2, 2).shape
        trine.Size([1, 1, 2, 2])
    """
    windows = (
        ("output_size", output_size),
        ("kernel_size", kernel_size),
        ("dilation", dilation),
        ("padding", padding),
        ("stride", stride),
    )
    result: Tensor = record(_fold, (input,), *[spatial("fold", name, value, 2) for name, value in windows])
    return result
