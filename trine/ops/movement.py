"""Views: functions that give the same elements another shape or order. The result shares memory with the input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trine import shapes
from trine.core import build as b
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, AxisError, ShapeError, message
from trine.ops.arguments import Dim, hashable_dim, varargs
from trine.ops.reduction import axes_of
from trine.shapes import canonical_axis
from trine.tensor import Tensor, record, record_view
from trine.tensor.view_layout import VIEW_LAYOUTS, ViewLayout, viewed


def reshape_nodes(x: Node, shape: tuple[int, ...]) -> Node:
    """Return `x` in another shape; one size may be -1."""
    return b.reshape(x, shape)


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """Return the elements in another shape, in row-major order; one size may be -1.

    Raises:
        ShapeError: the number of elements differs.

    Example:
        >>> import trine
        >>> trine.reshape(trine.arange(6), (2, -1))
        tensor([[0, 1, 2],
                [3, 4, 5]])
    """
    return _reshaped(input, varargs(shape))


def _reshaped(input: Tensor, shape: tuple[int, ...], builder: Any = None, *attrs: Any) -> Tensor:
    """Return a view in another shape, or a copy where strides do not express it, as in PyTorch."""
    call = (reshape_nodes, shape) if builder is None else (builder, *attrs)
    if not input._path or viewed(input, *call) is not None:
        return record_view(call[0], input, *call[1:])
    copy: Tensor = record(call[0], (input,), *call[1:])
    return copy


def view(input: Tensor, *shape: Any) -> Tensor:
    """Return the elements in another shape, or read as another dtype (the last axis grows or shrinks with the size of the elements).

    The result always shares memory with the input.

    Raises:
        ShapeError: the number of elements differs, or the axes of a view do not lie in memory as the shape needs (use `reshape`).

    Example:
        >>> import trine
        >>> trine.arange(4).view(2, 2)
        tensor([[0, 1],
                [2, 3]])
    """
    if len(shape) == 1 and isinstance(shape[0], DType):
        from trine.ops.viewing import view_dtype  # which is made of the functions here

        return record_view(view_dtype, input, shape[0])
    return _viewed(input, varargs(shape))


def _viewed(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    if input._path and viewed(input, reshape_nodes, shape) is None:
        received = f"shape {tuple(input.shape)} with strides {input.stride()}, new shape {shape}"
        expected = "axes that lie one after the other where they are merged"
        raise ShapeError(message("view: the strides do not express the shape", received=received, expected=expected, fix="use reshape"))
    return record_view(reshape_nodes, input, shape)


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """Return `input` in the shape of `other`.

    Example:
        >>> import trine
        >>> trine.arange(4).view_as(trine.zeros(2, 2)).shape
        trine.Size([2, 2])
    """
    return _viewed(input, tuple(other.shape))


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """Return `input` in the shape of `other`, as a view where strides express it.

    Example:
        >>> import trine
        >>> trine.arange(4).reshape_as(trine.zeros(2, 2)).shape
        trine.Size([2, 2])
    """
    return _reshaped(input, tuple(other.shape))


def permute_nodes(x: Node, dims: tuple[int, ...]) -> Node:
    """Return `x` with its axes in another order."""
    return b.permute(x, dims)


def permute(input: Tensor, *dims: Any) -> Tensor:
    """Return the tensor with its axes in another order: axis k of the result is axis ``dims[k]``.

    Example:
        >>> import trine
        >>> trine.permute(trine.zeros(2, 3, 4), (2, 0, 1)).shape
        trine.Size([4, 2, 3])
    """
    return record_view(permute_nodes, input, varargs(dims))


def transpose_nodes(x: Node, dim0: int, dim1: int) -> Node:
    """Return `x` with two axes exchanged; a 0-d node as it is."""
    if not x.shape:
        canonical_axis(dim0, 1, "transpose"), canonical_axis(dim1, 1, "transpose")
        return x
    return b.transpose(x, dim0, dim1)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Return the tensor with two axes exchanged.

    Example:
        >>> import trine
        >>> trine.transpose(trine.tensor([[1, 2], [3, 4]]), 0, 1)
        tensor([[1, 3],
                [2, 4]])
    """
    return record_view(transpose_nodes, input, dim0, dim1)


swapaxes = swapdims = transpose


def _t(x: Node) -> Node:
    if len(x.shape) > 2:
        raise ShapeError(message("t: too many axes", received=f"shape {x.shape}", expected="at most 2 axes", fix="use transpose or mT"))
    return b.transpose(x) if len(x.shape) == 2 else x


def t(input: Tensor) -> Tensor:
    """Return the transposed matrix; tensors of fewer axes as they are.

    Example:
        >>> import trine
        >>> trine.t(trine.tensor([[1, 2], [3, 4]]))
        tensor([[1, 3],
                [2, 4]])
    """
    return record_view(_t, input)


def _reversed_axes(x: Node) -> Node:
    return b.permute(x, tuple(range(len(x.shape)))[::-1])


def numpy_T(input: Tensor) -> Tensor:
    """Return the tensor with its axes in reverse order: the attribute ``x.T``.

    Example:
        >>> import trine
        >>> trine.zeros(2, 3).T.shape
        trine.Size([3, 2])
    """
    return record_view(_reversed_axes, input)


def _matrix_transpose(x: Node) -> Node:
    if len(x.shape) < 2:
        raise ShapeError(message("mT: too few axes", received=f"shape {x.shape}", expected="at least 2 axes"))
    return b.transpose(x)


def matrix_transpose(input: Tensor) -> Tensor:
    """Return the tensor with its last two axes exchanged: the attribute ``x.mT``.

    Example:
        >>> import trine
        >>> trine.zeros(5, 2, 3).mT.shape
        trine.Size([5, 3, 2])
    """
    return record_view(_matrix_transpose, input)


def _adjoint(x: Node) -> Node:
    turned = _matrix_transpose(x)
    return b.conj(turned) if x.dtype.is_complex else turned


def adjoint(input: Tensor) -> Tensor:
    """Return the tensor with its last two axes exchanged and its elements conjugated: the attribute ``x.mH`` (a view of real tensors).

    Example:
        >>> import trine
        >>> trine.adjoint(trine.zeros(5, 2, 3)).shape
        trine.Size([5, 3, 2])
    """
    if input.dtype.is_complex:
        result: Tensor = record(_adjoint, (input,))
        return result
    return record_view(_adjoint, input)


def hermitian_transpose(input: Tensor) -> Tensor:
    """Return the conjugate transpose of a matrix, or a 0-d tensor as it is: the attribute ``x.H``.

    Raises:
        ShapeError: the tensor has 1 axis, or more than 2.

    Example:
        >>> import trine
        >>> trine.zeros(2, 3).H.shape
        trine.Size([3, 2])
    """
    if input.dim() not in (0, 2):
        received = f"shape {tuple(input.shape)}"
        raise ShapeError(message("H: not a matrix", received=received, expected="a matrix or a 0-d tensor", fix="use mH"))
    return adjoint(input) if input.dim() else input


def _movedim(x: Node, source: tuple[int, ...], destination: tuple[int, ...]) -> Node:
    rank = len(x.shape)
    if len(source) != len(destination):
        raise ArgumentError(
            message("movedim: numbers of axes differ", received=f"{source} and {destination}", expected="as many destinations")
        )
    pairs = {canonical_axis(d, rank, "movedim"): canonical_axis(s, rank, "movedim") for s, d in zip(source, destination, strict=True)}
    if len(pairs) != len(source) or len(set(pairs.values())) != len(source):
        raise AxisError(message("movedim: an axis stands twice", received=f"{source} and {destination}", expected="each axis once"))
    rest = iter([k for k in range(rank) if k not in pairs.values()])
    return b.permute(x, [pairs[k] if k in pairs else next(rest) for k in range(rank)])


def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Move axes to other positions; the others keep their order.

    Example:
        >>> import trine
        >>> trine.movedim(trine.zeros(2, 3, 4), 0, -1).shape
        trine.Size([3, 4, 2])
    """
    sources = (source,) if isinstance(source, int) else tuple(source)
    destinations = (destination,) if isinstance(destination, int) else tuple(destination)
    return record_view(_movedim, input, sources, destinations)


moveaxis = movedim


def expand_nodes(x: Node, sizes: tuple[int, ...]) -> Node:
    """Return `x` repeated along axes of size 1 and new leading axes; -1 keeps a size."""
    lead = len(sizes) - len(x.shape)
    if lead < 0 or -1 in sizes[:lead]:
        raise ShapeError(
            message(
                "expand: sizes do not fit",
                received=f"{sizes} for shape {x.shape}",
                expected=f"at least {len(x.shape)} sizes, -1 only for old axes",
            )
        )
    return b.expand(x, tuple([x.shape[k - lead] if s == -1 and k >= lead else s for k, s in enumerate(sizes)]))


def expand(input: Tensor, *sizes: Any) -> Tensor:
    """Return the tensor repeated along axes of size 1 and along new leading axes, without a copy; -1 keeps a size.

    Example:
        >>> import trine
        >>> trine.tensor([[1], [2]]).expand(-1, 3)
        tensor([[1, 1, 1],
                [2, 2, 2]])
    """
    return record_view(expand_nodes, input, varargs(sizes))


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Return `input` expanded to the shape of `other`.

    Example:
        >>> import trine
        >>> trine.tensor([1, 2]).expand_as(trine.zeros(3, 2)).shape
        trine.Size([3, 2])
    """
    return record_view(expand_nodes, input, tuple(other.shape))


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """Return the tensor broadcast to a shape.

    Example:
        >>> import trine
        >>> trine.broadcast_to(trine.tensor([1, 2]), (2, 2))
        tensor([[1, 2],
                [1, 2]])
    """
    return record_view(expand_nodes, input, tuple(size))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors broadcast against one another.

    Example:
        >>> import trine
        >>> [x.shape for x in trine.broadcast_tensors(trine.zeros(3, 1), trine.zeros(2))]
        [trine.Size([3, 2]), trine.Size([3, 2])]
    """
    shape = shapes.broadcast("broadcast_tensors", *[tuple(x.shape) for x in tensors])
    return tuple([record_view(expand_nodes, x, shape) for x in tensors])


def squeeze_nodes(x: Node, dim: int | tuple[int, ...] | None) -> Node:
    """Remove axes of size 1 (those of `dim` that have it)."""
    axes = tuple(range(len(x.shape))) if dim is None else axes_of(x, dim, "squeeze") if dim != () else ()
    return b.reshape(x, tuple([s for k, s in enumerate(x.shape) if s != 1 or k not in axes]))


def squeeze(input: Tensor, dim: Dim = None) -> Tensor:
    """Return the tensor without its axes of size 1, or without those in `dim` that have size 1.

    Example:
        >>> import trine
        >>> trine.squeeze(trine.zeros(2, 1, 3, 1)).shape
        trine.Size([2, 3])
    """
    return record_view(squeeze_nodes, input, hashable_dim(dim))


def unsqueeze_nodes(x: Node, dim: int) -> Node:
    """Insert an axis of size 1."""
    return b.unsqueeze(x, dim)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Return the tensor with a new axis of size 1 at position `dim`.

    Example:
        >>> import trine
        >>> trine.unsqueeze(trine.tensor([1, 2]), 0)
        tensor([[1, 2]])
    """
    return record_view(unsqueeze_nodes, input, dim)


def flatten_range(x: Node, start_dim: int, end_dim: int) -> Node:
    """Merge a range of axes into one; a 0-d node gets one axis."""
    if not x.shape:
        canonical_axis(start_dim, 1, "flatten"), canonical_axis(end_dim, 1, "flatten")
        return b.reshape(x, (1,))
    start, end = canonical_axis(start_dim, len(x.shape), "flatten"), canonical_axis(end_dim, len(x.shape), "flatten")
    if start > end:
        raise AxisError(
            message("flatten: start_dim comes after end_dim", received=f"{start_dim}, {end_dim}", expected="start_dim <= end_dim")
        )
    return b.reshape(x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the axes from `start_dim` to `end_dim` into one.

    Example:
        >>> import trine
        >>> trine.flatten(trine.zeros(2, 3, 4), start_dim=1).shape
        trine.Size([2, 12])
    """
    return _reshaped(input, (), flatten_range, start_dim, end_dim)


def ravel(input: Tensor) -> Tensor:
    """Return all elements in one axis.

    Example:
        >>> import trine
        >>> trine.ravel(trine.tensor([[1, 2], [3, 4]]))
        tensor([1, 2, 3, 4])
    """
    return _reshaped(input, (), flatten_range, 0, -1)


def _unflatten(x: Node, dim: int, sizes: tuple[int, ...]) -> Node:
    axis = canonical_axis(dim, len(x.shape), "unflatten")
    inner = shapes.reshape((x.shape[axis],), sizes, "unflatten")
    return b.reshape(x, (*x.shape[:axis], *inner, *x.shape[axis + 1 :]))


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split one axis into several.

    Example:
        >>> import trine
        >>> trine.unflatten(trine.zeros(2, 12), 1, (3, -1)).shape
        trine.Size([2, 3, 4])
    """
    return record_view(_unflatten, input, dim, tuple(sizes))


def _narrow(x: Node, dim: int, start: int, length: int) -> Node:
    axis = canonical_axis(dim, len(x.shape), "narrow")
    extent = x.shape[axis]
    begin = start + extent if start < 0 else start
    if length < 0 or not 0 <= begin <= extent or begin + length > extent:
        raise ShapeError(
            message(
                "narrow: the range lies outside the axis", received=f"start {start}, length {length}", expected=f"within {extent} elements"
            )
        )
    return slice_axis(x, axis, begin, begin + length)


def slice_axis(x: Node, axis: int, start: int, stop: int, step: int = 1) -> Node:
    """Return the elements [start, stop) along one axis."""
    rank = len(x.shape)
    starts, stops, steps = [0] * rank, list(x.shape), [1] * rank
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return b.slice(x, tuple(starts), tuple(stops), tuple(steps))


def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Return `length` elements along an axis from `start` on.

    Example:
        >>> import trine
        >>> trine.narrow(trine.arange(5), 0, 1, 3)
        tensor([1, 2, 3])
    """
    return record_view(_narrow, input, dim, int(start), length)


def select_nodes(x: Node, dim: int, index: int) -> Node:
    """Return the elements at one position of an axis, which disappears."""
    axis = canonical_axis(dim, len(x.shape), "select")
    extent = x.shape[axis]
    if not -extent <= index < extent:
        raise AxisError(
            message("select: index out of range", received=index, expected=f"an index from {-extent} to {extent - 1} of axis {axis}")
        )
    index %= extent
    return b.squeeze(slice_axis(x, axis, index, index + 1), axis)


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Return the tensor at one position of an axis, which disappears.

    Example:
        >>> import trine
        >>> trine.select(trine.tensor([[1, 2], [3, 4]]), 0, 1)
        tensor([3, 4])
    """
    return record_view(select_nodes, input, dim, int(index))


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the tensors at every position of an axis.

    Example:
        >>> import trine
        >>> trine.unbind(trine.tensor([[1, 2], [3, 4]]))
        (tensor([1, 2]), tensor([3, 4]))
    """
    axis = canonical_axis(dim, input.dim(), "unbind")
    return tuple([record_view(select_nodes, input, axis, k) for k in range(input.shape[axis])])


def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Split along an axis into pieces of one size (the last may be smaller) or of given sizes.

    Example:
        >>> import trine
        >>> trine.split(trine.arange(5), 2)
        (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    axis = canonical_axis(dim, tensor.dim(), "split")
    extent = tensor.shape[axis]
    if isinstance(split_size_or_sections, int):
        each = split_size_or_sections
        if each < 0 or (each == 0 and extent):
            raise ArgumentError(message("split: no such size", received=each, expected="a size of at least 1"))
        sizes = [min(each, extent - begin) for begin in range(0, extent, each or 1)] or [0]
    else:
        sizes = list(split_size_or_sections)
        if sum(sizes) != extent or min(sizes, default=0) < 0:
            raise ArgumentError(message("split: sizes do not add up", received=sizes, expected=f"sizes whose sum is {extent}"))
    pieces, begin = [], 0
    for length in sizes:
        pieces.append(record_view(_narrow, tensor, axis, begin, length))
        begin += length
    return tuple(pieces)


split_with_sizes = split


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Split along an axis into at most `chunks` pieces of equal size (the last may be smaller).

    Example:
        >>> import trine
        >>> trine.chunk(trine.arange(5), 2)
        (tensor([0, 1, 2]), tensor([3, 4]))
    """
    if chunks < 1:
        raise ArgumentError(message("chunk: no such number", received=chunks, expected="at least 1"))
    extent = input.shape[canonical_axis(dim, input.dim(), "chunk")]
    each = -(-extent // chunks)
    return split(input, each, dim) if each else split(input, [0] * chunks, dim)


def tensor_split(input: Tensor, indices_or_sections: int | Sequence[int] | Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Split along an axis into pieces of nearly equal size, or at given positions.

    Example:
        >>> import trine
        >>> trine.tensor_split(trine.arange(5), 2)
        (tensor([0, 1, 2]), tensor([3, 4]))
    """
    extent = input.shape[canonical_axis(dim, input.dim(), "tensor_split")]
    if isinstance(indices_or_sections, Tensor):
        found = indices_or_sections.tolist()  # observes the positions, or the number of sections
        indices_or_sections = int(found) if isinstance(found, int) else tuple(found)
    if isinstance(indices_or_sections, int) and indices_or_sections < 1:
        raise ArgumentError(message("tensor_split: the number of sections", received=indices_or_sections, expected="1 or more"))
    if isinstance(indices_or_sections, int):
        each, more = divmod(extent, indices_or_sections)
        return split(input, [each + 1] * more + [each] * (indices_or_sections - more), dim)
    bounds = [0, *[min(max(i + extent if i < 0 else i, 0), extent) for i in indices_or_sections], extent]
    axis = canonical_axis(dim, input.dim(), "tensor_split")
    return tuple([record_view(slice_axis, input, axis, low, max(low, high)) for low, high in zip(bounds, bounds[1:], strict=False)])


def diagonal_nodes(x: Node, offset: int, dim1: int, dim2: int) -> Node:
    """Return the diagonal of two axes as the last axis."""
    rank = len(x.shape)
    first, second = canonical_axis(dim1, rank, "diagonal"), canonical_axis(dim2, rank, "diagonal")
    if first == second:
        raise AxisError(message("diagonal: the axes are the same", received=(dim1, dim2), expected="two different axes"))
    x = b.permute(x, [k for k in range(rank) if k not in (first, second)] + [first, second])
    *batch, rows, columns = x.shape
    top, left = max(-offset, 0), max(offset, 0)
    length = max(min(rows - top, columns - left), 0)
    if length == 0:
        return b.reshape(slice_axis(x, rank - 1, 0, 0), (*batch, rows * 0)) if rows else b.reshape(x, (*batch, 0))
    # The diagonal has stride columns + 1 in the flat matrix.
    flat = b.reshape(x, (*batch, rows * columns))
    start = top * columns + left
    return slice_axis(flat, rank - 2, start, start + (length - 1) * (columns + 1) + 1, columns + 1)


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return the diagonal of two axes as the last axis; a positive offset lies above the main diagonal.

    Example:
        >>> import trine
        >>> trine.diagonal(trine.tensor([[1, 2], [3, 4]]))
        tensor([1, 4])
    """
    return record_view(diagonal_nodes, input, offset, dim1, dim2)


def _diagonal_layout(layout: ViewLayout, result: Node, offset: int, dim1: int, dim2: int) -> ViewLayout:
    rank = len(layout.shape)
    first, second = canonical_axis(dim1, rank, "diagonal"), canonical_axis(dim2, rank, "diagonal")
    rows, columns = layout.strides[first], layout.strides[second]
    others = [stride for k, stride in enumerate(layout.strides) if k not in (first, second)]
    begin = layout.offset + (max(-offset, 0) * rows + max(offset, 0) * columns if result.shape[-1] else 0)
    return ViewLayout(result.shape, (*others, rows + columns), begin, layout.is_view)


VIEW_LAYOUTS[diagonal_nodes] = _diagonal_layout
