"""Padding, and rearranging the channels of images."""

from __future__ import annotations

from collections.abc import Sequence

from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.arguments import check_choice
from trine.ops.movement import slice_axis
from trine.tensor import Tensor, record

MODES = ("constant", "reflect", "replicate", "circular")


def _amounts(pad: Sequence[int], rank: int) -> list[tuple[int, int]]:
    """Return (low, high) per axis from PyTorch's order, last axis first."""
    if len(pad) % 2 or len(pad) > 2 * rank:
        raise ArgumentError(message("pad: wrong number of amounts", received=tuple(pad), expected=f"pairs, for at most {rank} axes"))
    pairs = [(pad[k], pad[k + 1]) for k in range(0, len(pad), 2)]
    return [(0, 0)] * (rank - len(pairs)) + pairs[::-1]


def _pad_constant(x: Node, pad: tuple[int, ...], value: float) -> Node:
    amounts = _amounts(pad, len(x.shape))
    # A negative amount crops.
    start = tuple([max(-low, 0) for low, _ in amounts])
    stop = tuple([n - max(-high, 0) for n, (_, high) in zip(x.shape, amounts, strict=True)])
    if any(a > z for a, z in zip(start, stop, strict=True)):
        raise ShapeError(message("pad: crops more than there is", received=f"{pad} for shape {x.shape}", expected="sizes of 0 or more"))
    x = b.slice(x, start, stop)
    return b.pad(x, tuple([max(low, 0) for low, _ in amounts]), tuple([max(high, 0) for _, high in amounts]), value)


def _mirrored(x: Node, axis: int, low: int, high: int) -> Node:
    n = x.shape[axis]
    if max(low, high) >= n:
        raise ShapeError(
            message("pad: reflects more than there is", received=f"({low}, {high}) for {n} elements", expected="less than the size")
        )
    before = b.flip(slice_axis(x, axis, 1, low + 1), (axis,))
    after = b.flip(slice_axis(x, axis, n - 1 - high, n - 1), (axis,))
    return b.concat([before, x, after], axis)


def _replicated(x: Node, axis: int, low: int, high: int) -> Node:
    n = x.shape[axis]

    def repeated(position: int, count: int) -> Node:
        edge = slice_axis(x, axis, position, position + 1)
        return b.expand(edge, (*x.shape[:axis], count, *x.shape[axis + 1 :]))

    return b.concat([repeated(0, low), x, repeated(n - 1, high)], axis)


def _wrapped(x: Node, axis: int, low: int, high: int) -> Node:
    n = x.shape[axis]
    if max(low, high) > n:
        raise ShapeError(message("pad: wraps more than once", received=f"({low}, {high}) for {n} elements", expected="at most the size"))
    return b.concat([slice_axis(x, axis, n - low, n), x, slice_axis(x, axis, 0, high)], axis)


_EXTENSIONS = {"reflect": _mirrored, "replicate": _replicated, "circular": _wrapped}


def _cropped(x: Node, axis: int, low: int, high: int, pad: tuple[int, ...]) -> Node:
    """Return the axis without the elements that negative amounts take away."""
    start, stop = max(-low, 0), x.shape[axis] - max(-high, 0)
    if start > stop:
        raise ShapeError(message("pad: crops more than there is", received=f"{pad} for shape {x.shape}", expected="sizes of 0 or more"))
    return slice_axis(x, axis, start, stop)


def _pad_extend(x: Node, pad: tuple[int, ...], mode: str) -> Node:
    for axis, (low, high) in enumerate(_amounts(pad, len(x.shape))):
        # What wraps around is what is left; mirror images and edges are those of the whole.
        if mode == "circular":
            x = _cropped(x, axis, low, high, pad)
        if low > 0 or high > 0:
            x = _EXTENSIONS[mode](x, axis, max(low, 0), max(high, 0))
        if mode != "circular":
            x = _cropped(x, axis, low, high, pad)
    return x


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Add elements around a tensor: pairs of amounts, for the last axis first; negative amounts crop.

    Args:
        mode: "constant" (with `value`), "reflect", "replicate" or "circular".

    Example:
        >>> import trine
        >>> trine.nn.functional.pad(trine.tensor([1, 2]), (1, 2))
        tensor([0, 1, 2, 0, 0])
    """
    check_choice("pad", "mode", mode, MODES)
    amounts = tuple([int(p) for p in pad])
    if mode == "constant":
        result: Tensor = record(_pad_constant, (input,), amounts, 0 if value is None else value)
    else:
        result = record(_pad_extend, (input,), amounts, mode)
    return result


def constant_pad_nd(input: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    """Add elements of one value around a tensor: `pad` in mode "constant".

    Example:
        >>> import trine
        >>> trine.constant_pad_nd(trine.tensor([1, 2]), (1, 0), 7)
        tensor([7, 1, 2])
    """
    result: Tensor = record(_pad_constant, (input,), tuple([int(p) for p in pad]), value)
    return result


# --- rearranging channels -----------------------------------------------------------------------------------------------------------------


def _pixel_shuffle(x: Node, factor: int) -> Node:
    *batch, channels, height, width = x.shape
    if channels % factor**2:
        raise ShapeError(message("pixel_shuffle: channels do not divide", received=channels, expected=f"a multiple of {factor**2}"))
    rank = len(batch)
    parts = b.reshape(x, (*batch, channels // factor**2, factor, factor, height, width))
    order = (*range(rank), rank, rank + 3, rank + 1, rank + 4, rank + 2)
    return b.reshape(b.permute(parts, order), (*batch, channels // factor**2, height * factor, width * factor))


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Rearrange (*, C * r**2, H, W) to (*, C, H * r, W * r).

    Example:
        >>> import trine
        >>> trine.nn.functional.pixel_shuffle(trine.zeros(1, 4, 2, 2), 2).shape
        trine.Size([1, 1, 4, 4])
    """
    result: Tensor = record(_pixel_shuffle, (input,), upscale_factor)
    return result


def _pixel_unshuffle(x: Node, factor: int) -> Node:
    *batch, channels, height, width = x.shape
    if height % factor or width % factor:
        raise ShapeError(message("pixel_unshuffle: sizes do not divide", received=(height, width), expected=f"multiples of {factor}"))
    rank = len(batch)
    parts = b.reshape(x, (*batch, channels, height // factor, factor, width // factor, factor))
    order = (*range(rank), rank, rank + 2, rank + 4, rank + 1, rank + 3)
    return b.reshape(b.permute(parts, order), (*batch, channels * factor**2, height // factor, width // factor))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Rearrange (*, C, H * r, W * r) to (*, C * r**2, H, W).

    Example:
        >>> import trine
        >>> trine.nn.functional.pixel_unshuffle(trine.zeros(1, 1, 4, 4), 2).shape
        trine.Size([1, 4, 2, 2])
    """
    result: Tensor = record(_pixel_unshuffle, (input,), downscale_factor)
    return result


def _channel_shuffle(x: Node, groups: int) -> Node:
    batch, channels, *rest = x.shape
    if channels % groups:
        raise ShapeError(
            message("channel_shuffle: groups do not divide", received=f"{groups} groups, {channels} channels", expected="a divisor")
        )
    parts = b.reshape(x, (batch, groups, channels // groups, *rest))
    return b.reshape(b.transpose(parts, 1, 2), x.shape)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Interleave the channels of groups.

    Example:
        >>> import trine
        >>> trine.nn.functional.channel_shuffle(trine.arange(4).reshape(1, 4, 1), 2).flatten()
        tensor([0, 2, 1, 3])
    """
    result: Tensor = record(_channel_shuffle, (input,), groups)
    return result
