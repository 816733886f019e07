"""Building tensors from others by arrangement: block diagonals, combinations, covariances; and turning flat positions into coordinates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.ops.joining import concat_nodes, diag_embed
from trine.ops.movement import flatten
from trine.ops.promotion import as_dtype, as_float, number, result_dtype
from trine.shapes import broadcast
from trine.tensor import Tensor, record
from trine.tensor.convert import tensor
from trine.tensor.size import Size

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_shapes",
    "combinations",
    "corrcoef",
    "cov",
    "diagflat",
    "row_stack",
    "unravel_index",
]


def broadcast_shapes(*shapes: Any) -> Size:
    """Return the shape to which shapes (or single sizes) broadcast.

    Raises:
        ShapeError: they do not broadcast.

    Example:
        >>> import trine
        >>> trine.broadcast_shapes((2, 1), (3,))
        trine.Size([2, 3])
    """
    sizes = [(shape,) if isinstance(shape, int) else tuple(shape) for shape in shapes]
    if any(size < 0 for shape in sizes for size in shape):
        raise ShapeError(message("broadcast_shapes: a size is negative", received=sizes, expected="sizes of 0 or more"))
    return Size(broadcast("broadcast_shapes", *sizes) if sizes else ())


def _rank_1(x: Node) -> Node:
    return x if x.shape else b.reshape(x, (1,))


def _rank_2(x: Node) -> Node:
    return x if len(x.shape) >= 2 else b.reshape(x, (1, *_rank_1(x).shape))


def _rank_3(x: Node) -> Node:
    return x if len(x.shape) >= 3 else b.reshape(x, (*_rank_2(x).shape, 1))


def _each(builder: Any, tensors: tuple[Any, ...]) -> Any:
    from trine.tensor import record_view

    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return record_view(builder, tensors[0])
    values = tensors[0] if len(tensors) == 1 else tensors
    return tuple([record_view(builder, value) for value in values])


def atleast_1d(*tensors: Any) -> Any:
    """Return tensors as views with at least 1 axis; several tensors (or a sequence) give a tuple.

    Example:
        >>> import trine
        >>> trine.atleast_1d(trine.tensor(3))
        tensor([3])
    """
    return _each(_rank_1, tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Return tensors as views with at least 2 axes; new axes come in front.

    Example:
        >>> import trine
        >>> trine.atleast_2d(trine.tensor([1, 2]))
        tensor([[1, 2]])
    """
    return _each(_rank_2, tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Return tensors as views with at least 3 axes; a matrix gets one behind, a vector one on each side.

    Example:
        >>> import trine
        >>> trine.atleast_3d(trine.tensor([1, 2])).shape
        trine.Size([1, 2, 1])
    """
    return _each(_rank_3, tensors)


def _row_stack(*nodes: Node) -> Node:
    return concat_nodes([_rank_2(node) for node in nodes], 0)


def row_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Join tensors along the first axis; one-axis tensors are rows. The other name of `vstack`.

    Example:
        >>> import trine
        >>> trine.row_stack([trine.tensor([1, 2]), trine.tensor([3, 4])])
        tensor([[1, 2],
                [3, 4]])
    """
    result: Tensor = record(_row_stack, tuple(tensors))
    return result


def _block_diag(*nodes: Node) -> Node:
    dtype = result_dtype(*nodes)
    blocks = [as_dtype(_rank_2(node), dtype) for node in nodes]
    width, left, rows = sum(block.shape[1] for block in blocks), 0, []
    for block in blocks:
        rows.append(b.pad(block, (0, left), (0, width - left - block.shape[1]), 0))
        left += block.shape[1]
    return b.concat(rows, 0)


def block_diag(*tensors: Any) -> Tensor:
    """Return a matrix with matrices (vectors are rows, numbers 1 x 1) along its diagonal and zeros elsewhere.

    Example:
        >>> import trine
        >>> trine.block_diag(trine.tensor([[1, 2]]), trine.tensor(3))
        tensor([[1, 2, 0],
                [0, 0, 3]])
    """
    values = tensors[0] if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    if any(value.dim() > 2 for value in values):
        received = " and ".join(str(tuple(v.shape)) for v in values)
        raise ShapeError(message("block_diag: too many axes", received=received, expected="at most 2 axes each"))
    if not values:
        nothing: Tensor = tensor([]).reshape(1, 0)
        return nothing
    result: Tensor = record(_block_diag, tuple(values))
    return result


def _take(x: Node, index: Node) -> Node:
    return b.take(x, index, 0)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """Return all combinations of `r` elements of a vector, as rows, as `itertools.combinations` orders them.

    Example:
        >>> import trine
        >>> trine.combinations(trine.tensor([1, 2, 3]))
        tensor([[1, 2],
                [1, 3],
                [2, 3]])
    """
    if input.dim() != 1 or r < 0:
        received = f"shape {tuple(input.shape)}, r {r}"
        raise ShapeError(message("combinations: not a vector, or a negative r", received=received, expected="1 axis and r of 0 or more"))
    if r == 0:
        nothing: Tensor = input.new_empty((0,))
        return nothing
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(input.shape[0]), r)), np.int64).reshape(-1, r)
    result: Tensor = record(_take, (input, tensor(rows)))
    return result


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """Return a matrix with all elements of the input on a diagonal.

    Example:
        >>> import trine
        >>> trine.diagflat(trine.tensor([[1], [2]]))
        tensor([[1, 0],
                [0, 2]])
    """
    return diag_embed(flatten(input), offset)


def _unravel(index: Node, shape: tuple[int, ...]) -> tuple[Node, ...]:
    coordinates = []
    rest = index
    for extent in reversed(shape):
        count = b.const(max(extent, 1), rest.dtype)
        coordinates.append(b.remainder(rest, count))
        rest = b.floor_div(rest, count)
    return tuple(reversed(coordinates))


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Return the coordinates in an array of a shape that flat positions stand for, one tensor for each axis.

    Example:
        >>> import trine
        >>> trine.unravel_index(trine.tensor([5]), (2, 3))
        (tensor([1]), tensor([2]))
    """
    if not isinstance(indices, Tensor) or not indices.dtype.is_integer:
        received = indices.dtype.name if isinstance(indices, Tensor) else type(indices).__name__
        raise DTypeError(message("unravel_index: the indices", received=received, expected="a tensor of integers"))
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(not isinstance(size, int) or size < 0 for size in sizes):
        raise ArgumentError(message("unravel_index: the shape", received=shape, expected="sizes of 0 or more"))
    if not sizes:
        return ()
    result: tuple[Tensor, ...] = record(_unravel, (indices,), sizes)
    return result


# --- covariance ---------------------------------------------------------------------------------------------------------------------------


def _conjugated(x: Node) -> Node:
    return b.conj(x) if x.dtype.is_complex else x


def _covariance(x: Node, weights: Node | None, norm: Node) -> Node:
    """Return the covariance of rows: weighted mean taken off, product divided by `norm` (0-d)."""
    columns = x.shape[1]
    if weights is None:
        mean = b.div(b.sum(x, (1,)), number(columns, x)) if columns else b.full(float("nan"), (x.shape[0], 1), x.dtype)
    else:
        weights = as_dtype(weights, x.dtype)
        mean = b.div(b.sum(b.mul(x, weights), (1,)), b.sum(weights, (0,)))
    centered = b.sub(x, mean)
    weighted = centered if weights is None else b.mul(centered, weights)
    return b.div(b.dot(weighted, b.transpose(_conjugated(centered))), norm)


def _as_matrix(x: Node) -> Node:
    if len(x.shape) > 2:
        raise ShapeError(message("cov: too many axes", received=f"shape {x.shape}", expected="at most 2 axes"))
    return as_float(x) if len(x.shape) == 2 else b.reshape(as_float(x), (1, -1))


def _cov(*arguments: Any) -> Node:
    x, *weights, correction, given = arguments
    matrix = _as_matrix(x)
    real = dtypes.REAL_OF.get(matrix.dtype, matrix.dtype)
    frequencies = as_dtype(weights[0], real) if "f" in given else None
    importance = as_dtype(weights[-1], real) if "a" in given else None
    both = frequencies if importance is None else importance if frequencies is None else b.mul(frequencies, importance)
    taken = b.const(correction, real)
    if both is None:
        norm = b.sub(b.const(matrix.shape[1], real), taken)
    else:
        total = b.reshape(b.sum(both, (0,)), ())
        if importance is not None and correction != 0:
            taken = b.mul(taken, b.div(b.reshape(b.sum(b.mul(both, importance), (0,)), ()), total))
        norm = b.sub(total, taken)
    norm = b.maximum(norm, b.const(0, real))
    result = _covariance(matrix, both, as_dtype(norm, matrix.dtype))
    return b.reshape(result, ()) if matrix.shape[0] == 1 else result


def cov(input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
    """Return the covariance matrix of variables (rows) over observations (columns).

    Args:
        correction: difference between the number of observations and the divisor.
        fweights: how often each observation counts; aweights: how much.

    Example:
        >>> import trine
        >>> trine.cov(trine.tensor([[0., 2.], [4., 0.]]))
        tensor([[ 2., -4.],
                [-4.,  8.]])
    """
    weights = [w for w in (fweights, aweights) if w is not None]
    given = ("f" if fweights is not None else "") + ("a" if aweights is not None else "")
    result: Tensor = record(_cov, (input, *weights), correction, given)
    return result


def _corrcoef(x: Node) -> Node:
    if not x.shape or len(x.shape) == 1 or x.shape[0] == 1:
        single = _cov(x, 1, "")
        return b.div(single, single)
    covariance = _cov(x, 1, "")
    n = covariance.shape[0]
    plane = (n, n)
    kept = b.where(b.eq(b.iota(plane, 0), b.iota(plane, 1)), covariance, number(0, covariance))
    deviation = b.sqrt(b.sum(kept, (1,)))
    ratio = b.div(b.div(covariance, deviation), b.transpose(deviation))
    if not ratio.dtype.is_complex:
        return _limited(ratio)
    parts = [as_dtype(_limited(part), ratio.dtype) for part in (b.real(ratio), b.imag(ratio))]
    return b.add(parts[0], b.mul(parts[1], b.const(1j, ratio.dtype)))


def _limited(x: Node) -> Node:
    """Return `x` limited to [-1, 1]; NaN stays."""
    x = b.where(b.gt(x, number(1, x)), number(1, x), x)
    return b.where(b.lt(x, number(-1, x)), number(-1, x), x)


def corrcoef(input: Tensor) -> Tensor:
    """Return the matrix of Pearson's correlation coefficients of variables (rows) over observations (columns).

    Example:
        >>> import trine
        >>> trine.corrcoef(trine.tensor([[0., 1., 2.], [2., 1., 0.]]))
        tensor([[ 1., -1.],
                [-1.,  1.]])
    """
    result: Tensor = record(_corrcoef, (input,))
    return result
