"""Dropout: random elements or channels set to 0 in training.

The masks come from the same random numbers as everything in `trine.ops.random`.
"""

from __future__ import annotations

from collections.abc import Callable

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, ShapeError, message
from trine.ops.promotion import as_dtype, number
from trine.ops.random import stream, uniform_nodes
from trine.shapes import size_of
from trine.tensor import Tensor, record


def _dropout(x: Node, seed: Node, offset: Node, p: Node, mask_shape: tuple[int, ...]) -> Node:
    keep = b.sub(b.const(1.0, dtypes.float32), b.cast(p, dtypes.float32))
    is_kept = b.lt(uniform_nodes(seed, offset, mask_shape, dtypes.float32), keep)
    # p = 1 drops everything; the scale must not be infinite then.
    scale = b.where(b.gt(keep, number(0, keep)), b.reciprocal(keep), number(0, keep))
    return b.where(is_kept, b.mul(x, as_dtype(scale, x.dtype)), number(0, x))


def _drop(op: str, input: Tensor, p: float, training: bool, inplace: bool, mask_shape: tuple[int, ...]) -> Tensor:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(message(f"{op}: impossible probability", received=p, expected="a number from 0 to 1"))
    if not training or p == 0.0:
        return input
    seed, offset = stream(size_of(mask_shape))
    result: Tensor = record(_dropout, (input, seed, offset, float(p)), mask_shape)
    return input.copy_(result) if inplace else result


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, set elements to 0 with probability p and divide the others by 1 - p.

    Example:
        >>> import trine
        >>> trine.nn.functional.dropout(trine.ones(3), p=1.0)
        tensor([0., 0., 0.])
    """
    return _drop("dropout", input, p, training, inplace, tuple(input.shape))


def feature_dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training, set whole channels (axes 0 and 1) to 0 with probability p and divide the others by 1 - p.

    Example:
        >>> import trine
        >>> trine.nn.functional.dropout2d(trine.ones(1, 2, 1, 1), p=1.0).sum()
        tensor(0.)
    """
    return _drop("feature_dropout", input, p, training, inplace, channel_mask(tuple(input.shape), None))


def channel_mask(shape: tuple[int, ...], batched_rank: int | None) -> tuple[int, ...]:
    """Return the shape of a mask for whole channels: (N, C, 1, …), or (C, 1, …) where there is no batch axis.

    Raises:
        ShapeError: there is no axis of channels.
    """
    channels = 1 if batched_rank is not None and len(shape) == batched_rank - 1 else 2
    if len(shape) < channels:
        raise ShapeError(message("dropout of channels: too few axes", received=f"shape {shape}", expected="(N, C, *spatial)"))
    return (*shape[:channels], *(1,) * (len(shape) - channels))


def _make_channel_dropout(rank: int, batched_rank: int | None) -> Callable[..., Tensor]:
    op = f"dropout{rank}d"

    def channel_dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        return _drop(op, input, p, training, inplace, channel_mask(tuple(input.shape), batched_rank))

    channel_dropout.__name__ = channel_dropout.__qualname__ = op
    channel_dropout.__module__ = __name__
    channel_dropout.__doc__ = f"""In training, set whole channels to 0 with probability p and divide the others by 1 - p.

    Args:
        input: (N, C, *spatial){"" if batched_rank is None else " or (C, *spatial)"}, {rank} spatial axes.

    Example:
        >>> import trine
        >>> trine.nn.functional.{op}(trine.ones(1, 2, {", ".join(["1"] * rank)}), p=1.0).sum()
        tensor(0.)
    """
    return channel_dropout


# PyTorch reads three axes as (N, C, L) in dropout2d.
dropout1d, dropout2d, dropout3d = _make_channel_dropout(1, 3), _make_channel_dropout(2, None), _make_channel_dropout(3, 5)


def _alpha_dropout(x: Node, seed: Node, offset: Node, p: Node, mask_shape: tuple[int, ...]) -> Node:
    alpha = -1.7580993408473766
    p = b.cast(p, dtypes.float32)
    keep = b.sub(number(1, p), p)
    scale = b.rsqrt(b.mul(keep, b.add(number(1, p), b.mul(p, number(alpha**2, p)))))
    shift = b.neg(b.mul(scale, b.mul(p, number(alpha, p))))
    is_kept = b.lt(uniform_nodes(seed, offset, mask_shape, dtypes.float32), keep)
    values = b.where(is_kept, x, number(alpha, x))
    return b.add(b.mul(values, as_dtype(scale, x.dtype)), as_dtype(shift, x.dtype))


def _nothing_kept(x: Node) -> Node:
    return b.mul(x, number(0, x))


def _drop_alpha(op: str, input: Tensor, p: float, training: bool, inplace: bool, mask_shape: tuple[int, ...]) -> Tensor:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(message(f"{op}: impossible probability", received=p, expected="a number from 0 to 1"))
    if not training or p == 0.0:
        return input
    if p == 1.0:
        result: Tensor = record(_nothing_kept, (input,))
    else:
        seed, offset = stream(size_of(mask_shape))
        result = record(_alpha_dropout, (input, seed, offset, float(p)), mask_shape)
    return input.copy_(result) if inplace else result


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean and variance of selu activations (Klambauer et al., 2017).

    Example:
        >>> import trine
        >>> trine.nn.functional.alpha_dropout(trine.ones(3), p=0.5)
        tensor([1., 1., 1.])
    """
    return _drop_alpha("alpha_dropout", input, p, training, inplace, tuple(input.shape))


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels (axes 0 and 1).

    Example:
        >>> import trine
        >>> trine.nn.functional.feature_alpha_dropout(trine.ones(1, 2, 3), p=1.0, training=True).sum()
        tensor(0.)
    """
    mask_shape = channel_mask(tuple(input.shape), None) if training else ()
    return _drop_alpha("feature_alpha_dropout", input, p, training, inplace, mask_shape)
