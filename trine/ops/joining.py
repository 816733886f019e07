"""Joining, repeating, rolling and mirroring tensors: the result is a new tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.errors import ArgumentError, AxisError, ShapeError, message
from trine.ops.arguments import check_choice, varargs
from trine.ops.movement import flatten, slice_axis
from trine.ops.promotion import as_dtype, number, result_dtype, with_zero_gradient
from trine.shapes import canonical_axis
from trine.tensor import Tensor, record

Tensors = Sequence[Tensor]


def _operands(op: str, tensors: Tensors) -> tuple[Tensor, ...]:
    if isinstance(tensors, Tensor) or not tensors:
        raise ArgumentError(
            message(f"{op}: no list of tensors", received=type(tensors).__name__, expected="a non-empty sequence of tensors")
        )
    return tuple(tensors)


def concat_nodes(nodes: Sequence[Node], dim: int) -> Node:
    """Concatenate promoted nodes; an empty one-axis node is neutral, as in PyTorch."""
    dtype = result_dtype(*nodes)
    rank = max(len(node.shape) for node in nodes)
    parts = [as_dtype(node, dtype) for node in nodes if node.shape != (0,) or rank == 1] or [as_dtype(nodes[0], dtype)]
    if not rank:
        raise ShapeError(message("cat: 0-d tensors have no axis", received="shape ()", expected="at least one axis", fix="use stack"))
    axis = canonical_axis(dim, len(parts[0].shape), "cat")
    result = b.concat(parts, axis)
    for node in nodes:  # an empty operand that was left out has a gradient of zero, not none
        result = with_zero_gradient(result, node) if node.shape == (0,) and rank != 1 else result
    return result


def _cat(*arguments: Any) -> Node:
    return concat_nodes(arguments[:-1], arguments[-1])


def cat(tensors: Tensors, dim: int = 0) -> Tensor:
    """Join tensors along an axis; sizes agree on the other axes.

    Example:
        >>> import trine
        >>> trine.cat([trine.tensor([1, 2]), trine.tensor([3])])
        tensor([1, 2, 3])
    """
    result: Tensor = record(_cat, _operands("cat", tensors), dim)
    return result


concat = concatenate = cat


def _stack(*arguments: Any) -> Node:
    nodes, dim = arguments[:-1], arguments[-1]
    axis = canonical_axis(dim, len(nodes[0].shape) + 1, "stack")
    if any(node.shape != nodes[0].shape for node in nodes):
        raise ShapeError(message("stack: shapes differ", received=" and ".join(str(n.shape) for n in nodes[:8]), expected="equal shapes"))
    dtype = result_dtype(*nodes)
    return b.concat([b.unsqueeze(as_dtype(node, dtype), axis) for node in nodes], axis)


def stack(tensors: Tensors, dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis.

    Example:
        >>> import trine
        >>> trine.stack([trine.tensor([1, 2]), trine.tensor([3, 4])], dim=1)
        tensor([[1, 3],
                [2, 4]])
    """
    result: Tensor = record(_stack, _operands("stack", tensors), dim)
    return result


def _at_least(node: Node, rank: int) -> Node:
    """Return the node with at least `rank` axes, as atleast_1d, atleast_2d and atleast_3d place the new ones."""
    missing = rank - len(node.shape)
    if missing <= 0:
        return node
    if rank == 3 and missing < 3:
        return b.reshape(node, (*(1,) * (missing - 1), *node.shape, 1))
    return b.reshape(node, (*(1,) * missing, *node.shape))


def _hstack(*nodes: Node) -> Node:
    parts = [_at_least(node, 1) for node in nodes]
    return concat_nodes(parts, 0 if len(parts[0].shape) == 1 else 1)


def _vstack(*nodes: Node) -> Node:
    return concat_nodes([_at_least(node, 2) for node in nodes], 0)


def _dstack(*nodes: Node) -> Node:
    return concat_nodes([_at_least(node, 3) for node in nodes], 2)


def _column_stack(*nodes: Node) -> Node:
    return concat_nodes([b.reshape(node, (-1, 1)) if len(node.shape) < 2 else node for node in nodes], 1)


def hstack(tensors: Tensors) -> Tensor:
    """Join tensors along the second axis (the first of one-axis tensors).

    Example:
        >>> import trine
        >>> trine.hstack([trine.tensor([1]), trine.tensor([2])])
        tensor([1, 2])
    """
    result: Tensor = record(_hstack, _operands("hstack", tensors))
    return result


def vstack(tensors: Tensors) -> Tensor:
    """Join tensors along the first axis; one-axis tensors are rows.

    Example:
        >>> import trine
        >>> trine.vstack([trine.tensor([1, 2]), trine.tensor([3, 4])])
        tensor([[1, 2],
                [3, 4]])
    """
    result: Tensor = record(_vstack, _operands("vstack", tensors))
    return result


def dstack(tensors: Tensors) -> Tensor:
    """Join tensors along the third axis.

    Example:
        >>> import trine
        >>> trine.dstack([trine.tensor([1]), trine.tensor([2])])
        tensor([[[1, 2]]])
    """
    result: Tensor = record(_dstack, _operands("dstack", tensors))
    return result


def column_stack(tensors: Tensors) -> Tensor:
    """Join one-axis tensors as columns.

    Example:
        >>> import trine
        >>> trine.column_stack([trine.tensor([1, 2]), trine.tensor([3, 4])])
        tensor([[1, 3],
                [2, 4]])
    """
    result: Tensor = record(_column_stack, _operands("column_stack", tensors))
    return result


def repeat_nodes(x: Node, repeats: tuple[int, ...]) -> Node:
    """Return whole copies of `x` side by side along each axis."""
    lead = len(repeats) - len(x.shape)
    if lead < 0:
        raise ShapeError(message("repeat: too few numbers", received=repeats, expected=f"at least {len(x.shape)}, one per axis"))
    shape = (*(1,) * lead, *x.shape)
    interleaved = b.reshape(x, tuple([v for s in shape for v in (1, s)]))
    expanded = b.expand(interleaved, tuple([v for r, s in zip(repeats, shape, strict=True) for v in (r, s)]))
    return b.reshape(expanded, tuple([r * s for r, s in zip(repeats, shape, strict=True)]))


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """Return copies of the tensor side by side along each axis; further numbers in front add axes.

    Example:
        >>> import trine
        >>> trine.tensor([1, 2]).repeat(2, 2)
        tensor([[1, 2, 1, 2],
                [1, 2, 1, 2]])
    """
    result: Tensor = record(repeat_nodes, (input,), varargs(repeats))
    return result


def tile(input: Tensor, *dims: Any) -> Tensor:
    """Return copies of the tensor side by side; missing numbers in front count as 1.

    Example:
        >>> import trine
        >>> trine.tile(trine.tensor([1, 2]), (2,))
        tensor([1, 2, 1, 2])
    """
    counts = varargs(dims)
    counts = (1,) * (input.dim() - len(counts)) + counts
    result: Tensor = record(repeat_nodes, (input,), counts)
    return result


def _repeat_interleave(x: Node, repeats: int, dim: int | None) -> Node:
    if dim is None:
        x, dim = b.reshape(x, (-1,)), 0
    axis = canonical_axis(dim, len(x.shape), "repeat_interleave")
    shape = x.shape
    wide = b.expand(b.unsqueeze(x, axis + 1), (*shape[: axis + 1], repeats, *shape[axis + 1 :]))
    return b.reshape(wide, (*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :]))


def _take_rows(x: Node, index: Node, axis: int) -> Node:
    return b.take(x, index, axis)


def repeat_interleave(input: Tensor, repeats: int | Tensor, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    """Repeat each element along an axis (of the flat tensor if `dim` is None); `repeats` may give a number for each position.

    Example:
        >>> import trine
        >>> trine.repeat_interleave(trine.tensor([1, 2]), 2)
        tensor([1, 1, 2, 2])
    """
    if isinstance(repeats, Tensor) and repeats.numel() == 1:
        repeats = int(repeats.item())
    if isinstance(repeats, int):
        if repeats < 0:
            raise ArgumentError(message("repeat_interleave: a number is negative", received=repeats, expected="0 or more"))
        result: Tensor = record(_repeat_interleave, (input,), repeats, dim)
        return result
    import numpy as np

    from trine.tensor.convert import tensor

    if dim is None:
        input, dim = flatten(input), 0
    counts = repeats.numpy()
    axis = canonical_axis(dim, input.dim(), "repeat_interleave")
    if counts.shape != (input.shape[axis],) or (counts < 0).any():
        expected = f"{input.shape[axis]} numbers of 0 or more"
        raise ArgumentError(message("repeat_interleave: repeats do not fit", received=f"shape {counts.shape}", expected=expected))
    result = record(_take_rows, (input, tensor(np.repeat(np.arange(len(counts)), counts))), axis)
    return result


def _roll(x: Node, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Node:
    shape = x.shape
    if not dims:
        x, dims = b.reshape(x, (-1,)), (0,)
    if len(shifts) != len(dims):
        raise ArgumentError(
            message("roll: numbers of shifts and dims differ", received=f"{shifts} and {dims}", expected="as many dims as shifts")
        )
    for shift, dim in zip(shifts, dims, strict=True):
        axis = canonical_axis(dim, len(x.shape), "roll")
        extent = x.shape[axis]
        cut = -shift % extent if extent else 0
        if cut:
            x = b.concat([slice_axis(x, axis, cut, extent), slice_axis(x, axis, 0, cut)], axis)
    return b.reshape(x, shape)


def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """Shift elements along axes; those that leave one end come in at the other.

    Example:
        >>> import trine
        >>> trine.roll(trine.tensor([1, 2, 3]), 1)
        tensor([3, 1, 2])
    """
    shift_tuple = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    dim_tuple = () if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    result: Tensor = record(_roll, (input,), shift_tuple, dim_tuple)
    return result


def _flip(x: Node, dims: tuple[int, ...]) -> Node:
    return b.flip(x, dims)


def flip(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """Return the tensor reversed along axes, given one by one or as a sequence (also by the name `dims`).

    Example:
        >>> import trine
        >>> trine.flip(trine.tensor([1, 2, 3]), (0,))
        tensor([3, 2, 1])
    """
    result: Tensor = record(_flip, (input,), varargs(axes if dims is None else (dims,)))
    return result


def fliplr(input: Tensor) -> Tensor:
    """Return the tensor reversed along the second axis.

    Example:
        >>> import trine
        >>> trine.fliplr(trine.tensor([[1, 2]]))
        tensor([[2, 1]])
    """
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """Return the tensor reversed along the first axis.

    Example:
        >>> import trine
        >>> trine.flipud(trine.tensor([1, 2]))
        tensor([2, 1])
    """
    return flip(input, 0)


def _rot90(x: Node, k: int, first: int, second: int) -> Node:
    rank = len(x.shape)
    a, c = canonical_axis(first, rank, "rot90"), canonical_axis(second, rank, "rot90")
    if k % 4 == 2:
        return b.flip(x, (a, c))
    if k % 4 == 1:
        return b.transpose(b.flip(x, (c,)), a, c)
    return b.flip(b.transpose(x, a, c), (c,)) if k % 4 == 3 else x


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Rotate by 90 degrees `k` times in the plane of two axes, from the first towards the second.

    Example:
        >>> import trine
        >>> trine.rot90(trine.tensor([[1, 2], [3, 4]]))
        tensor([[2, 4],
                [1, 3]])
    """
    result: Tensor = record(_rot90, (input,), k, *dims)
    return result


def _triangle(x: Node, diagonal: int, lower: bool) -> Node:
    if len(x.shape) < 2:
        raise ShapeError(message("tril/triu: too few axes", received=f"shape {x.shape}", expected="at least 2 axes"))
    # Not broadcast to the batch axes: the condition is computed per matrix element.
    plane = x.shape[-2:]
    difference = b.sub(b.iota(plane, 1), b.iota(plane, 0))
    limit = b.const(diagonal, dtypes.int64)
    keeps = b.le(difference, limit) if lower else b.ge(difference, limit)
    return b.where(keeps, x, number(0, x))


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the lower triangle of matrices, with zeros above the diagonal.

    Example:
        >>> import trine
        >>> trine.tril(trine.tensor([[1, 2], [3, 4]]))
        tensor([[1, 0],
                [3, 4]])
    """
    result: Tensor = record(_triangle, (input,), diagonal, True)
    return result


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the upper triangle of matrices, with zeros below the diagonal.

    Example:
        >>> import trine
        >>> trine.triu(trine.tensor([[1, 2], [3, 4]]), diagonal=1)
        tensor([[0, 2],
                [0, 0]])
    """
    result: Tensor = record(_triangle, (input,), diagonal, False)
    return result


def _diag_embed(x: Node, offset: int) -> Node:
    extent = x.shape[-1] + (offset if offset >= 0 else -offset)
    plane = (extent, extent)
    difference = b.sub(b.iota(plane, 1), b.iota(plane, 0))
    on_diagonal = b.eq(difference, b.const(offset, dtypes.int64))
    rank = len(x.shape)
    before, after = [0] * rank, [0] * rank
    after[-1] = extent - x.shape[-1]
    # Row k holds element k (offset >= 0); with a negative offset column k does.
    padded = b.pad(x, before, after, 0)
    spread = b.unsqueeze(padded, rank if offset >= 0 else rank - 1)
    return b.where(on_diagonal, spread, number(0, x))


def _diag_embed_at(x: Node, offset: int, dim1: int, dim2: int) -> Node:
    matrices = _diag_embed(x, offset)
    rank = len(matrices.shape)
    first, second = canonical_axis(dim1, rank, "diag_embed"), canonical_axis(dim2, rank, "diag_embed")
    if first == second:
        raise AxisError(message("diag_embed: the axes are the same", received=(dim1, dim2), expected="two different axes"))
    others = iter(range(rank - 2))
    return b.permute(matrices, [rank - 2 if k == first else rank - 1 if k == second else next(others) for k in range(rank)])


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Return matrices with the last axis of the input on a diagonal; the matrices lie in the axes `dim1` and `dim2`.

    Example:
        >>> import trine
        >>> trine.diag_embed(trine.tensor([1, 2]))
        tensor([[1, 0],
                [0, 2]])
    """
    result: Tensor = record(_diag_embed_at, (input,), offset, dim1, dim2)
    return result


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Return the matrix with a given diagonal, or the diagonal of a matrix.

    Example:
        >>> import trine
        >>> trine.diag(trine.tensor([[1, 2], [3, 4]]))
        tensor([1, 4])
    """
    from trine.ops.movement import diagonal as matrix_diagonal

    if input.dim() == 1:
        return diag_embed(input, diagonal)
    if input.dim() == 2:
        copy: Tensor = matrix_diagonal(input, diagonal).clone()
        return copy
    raise ShapeError(message("diag: wrong number of axes", received=f"shape {tuple(input.shape)}", expected="1 or 2 axes"))


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Return coordinate grids of one-axis tensors; "ij" puts the first tensor on the first axis, "xy" on the second.

    Example:
        >>> import trine
        >>> trine.meshgrid(trine.tensor([1, 2]), trine.tensor([3, 4]), indexing="ij")[1]
        tensor([[3, 4],
                [3, 4]])
    """
    check_choice("meshgrid", "indexing", indexing, ("ij", "xy"))
    values: Tensors = tensors[0] if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    swap = indexing == "xy" and len(values) > 1
    ordered = [values[1], values[0], *values[2:]] if swap else list(values)
    shape = tuple([v.numel() for v in ordered])
    grids = []
    for axis, value in enumerate(ordered):
        own = tuple([shape[axis] if k == axis else 1 for k in range(len(shape))])
        grids.append(value.reshape(own).expand(shape))
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """Return all combinations of elements of one-axis tensors, as rows.

    Example:
        >>> import trine
        >>> trine.cartesian_prod(trine.tensor([1, 2]), trine.tensor([3, 4]))
        tensor([[1, 3],
                [1, 4],
                [2, 3],
                [2, 4]])
    """
    if len(tensors) == 1:
        return tensors[0]
    return stack([grid.reshape(-1) for grid in meshgrid(*tensors)], dim=1)


def _unfold(x: Node, dimension: int, size: int, step: int) -> Node:
    if not x.shape:
        canonical_axis(dimension, 1, "unfold")
        return slice_axis(b.reshape(x, (1,)), 0, 0, size)
    rank = len(x.shape)
    axis = canonical_axis(dimension, rank, "unfold")
    count = (x.shape[axis] - size) // max(step, 1) + 1
    if size < 0 or step < 1 or count < 1:
        expected = f"a window within the {x.shape[axis]} elements of axis {axis}, step 1 or more"
        raise ShapeError(message("unfold: no window fits", received=f"size {size}, step {step}", expected=expected))
    pieces = [slice_axis(x, axis, k, k + (count - 1) * step + 1, step) for k in range(size)]
    return b.concat([b.unsqueeze(piece, rank) for piece in pieces], rank)


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Return all windows of an axis, as a copy: the last axis of the result runs within the window.

    Example:
        >>> import trine
        >>> trine.tensor([1, 2, 3, 4]).unfold(0, 2, 1)
        tensor([[1, 2],
                [2, 3],
                [3, 4]])
    """
    result: Tensor = record(_unfold, (input,), dimension, size, step)
    return result
