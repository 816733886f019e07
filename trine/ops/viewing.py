"""Views by strides and by dtype, copies of views, and tensors with a region replaced (`select_scatter` and its relatives)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import AxisError, DTypeError, InPlaceError, ShapeError, message
from trine.ops import movement
from trine.ops.arguments import varargs, write_out
from trine.ops.promotion import with_zero_gradient
from trine.shapes import canonical_axis
from trine.tensor import Tensor, record, record_view
from trine.tensor.alias import VIEW_INVERSES, take_value, whole_of, write_through
from trine.tensor.recorder import held_back, local
from trine.tensor.view_layout import VIEW_LAYOUTS, ViewLayout, layout_of

__all__ = [
    "as_strided",
    "as_strided_copy",
    "as_strided_scatter",
    "diagonal_copy",
    "diagonal_scatter",
    "dsplit",
    "expand_copy",
    "hsplit",
    "narrow_copy",
    "permute_copy",
    "resize_as_",
    "select_copy",
    "select_scatter",
    "slice_scatter",
    "split_with_sizes_copy",
    "squeeze_copy",
    "t_copy",
    "transpose_copy",
    "unbind_copy",
    "unfold_copy",
    "unsafe_chunk",
    "unsafe_split",
    "unsafe_split_with_sizes",
    "unsqueeze_copy",
    "view_copy",
    "vsplit",
]

# --- strided views -----------------------------------------------------------------------------------------------------------------------


def _positions(size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Node:
    """Return the flat position of each element of a strided view."""
    total = b.const(offset, dtypes.int64)
    for axis, step in enumerate(stride):
        if size[axis] > 1 and step:
            one_axis = tuple([extent if k == axis else 1 for k, extent in enumerate(size)])
            total = b.add(total, b.mul(b.iota(one_axis, axis), b.const(step, dtypes.int64)))
    return b.expand(total, size)


def _strided(x: Node, size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Node:
    flat = b.reshape(x, (-1,)) if x.shape != () else b.reshape(x, (1,))
    return b.take(flat, _positions(size, stride, offset), 0)


def _write_strided(x: Node, value: Node, size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Node:
    flat = b.reshape(x, (-1,)) if x.shape != () else b.reshape(x, (1,))
    return b.reshape(b.put(flat, _positions(size, stride, offset), value, 0), x.shape)


VIEW_INVERSES[_strided] = _write_strided
VIEW_LAYOUTS[_strided] = lambda layout, result, size, stride, offset: ViewLayout(size, stride, offset, True)


def _strided_attributes(
    input: Tensor, size: Sequence[int], stride: Sequence[int], offset: int | None
) -> tuple[Tensor, tuple[int, ...], tuple[int, ...], int]:
    """Return the tensor whose memory is viewed (the base of views), and the checked attributes."""
    sizes, strides = varargs((tuple(size),)), varargs((tuple(stride),))
    base = whole_of(input)
    begin = layout_of(input).offset if offset is None else int(offset)
    if len(sizes) != len(strides) or min((*sizes, *strides), default=0) < 0 or begin < 0:
        received = f"size {sizes}, stride {strides}, offset {begin}"
        raise ShapeError(message("as_strided: sizes and strides do not fit", received=received, expected="a stride of 0 or more per size"))
    last = begin + sum((extent - 1) * step for extent, step in zip(sizes, strides, strict=True))
    if 0 not in sizes and last >= base.numel():
        received = f"size {sizes}, stride {strides}, offset {begin}: up to element {last}"
        raise ShapeError(message("as_strided: out of bounds of the memory", received=received, expected=f"{base.numel()} elements"))
    return base, sizes, strides, begin


def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """Return a view of the tensor's memory (of the memory that it is a view of) with given sizes, strides and first element.

    Raises:
        ShapeError: an element would lie outside the memory.

    Example:
        >>> import trine
        >>> trine.as_strided(trine.arange(5), (3, 2), (1, 1))
        tensor([[0, 1],
                [1, 2],
                [2, 3]])
    """
    base, *attributes = _strided_attributes(input, size, stride, storage_offset)
    return record_view(_strided, base, *attributes)


def as_strided_copy(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None, *, out: Tensor | None = None
) -> Tensor:
    """Return a copy of what `as_strided` shows.

    Example:
        >>> import trine
        >>> trine.as_strided_copy(trine.arange(4), (2,), (2,))
        tensor([0, 2])
    """
    base, *attributes = _strided_attributes(input, size, stride, storage_offset)
    return write_out(record(_strided, (base,), *attributes), out)


def as_strided_scatter(input: Tensor, src: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """Return a copy of `input` with `src` written where ``as_strided(input, size, stride, storage_offset)`` looks.

    Example:
        >>> import trine
        >>> trine.as_strided_scatter(trine.zeros(4), trine.ones(2), (2,), (2,))
        tensor([1., 0., 1., 0.])
    """
    _, *attributes = _strided_attributes(input, size, stride, storage_offset)
    return _replaced("as_strided_scatter", input, src, _strided, *attributes)


# --- a region replaced -------------------------------------------------------------------------------------------------------------------


def _replace(x: Node, value: Node, builder: Callable[..., Node], attrs: tuple[Any, ...]) -> Node:
    wanted = builder(x, *attrs).shape
    if value.shape != wanted:
        raise ShapeError(message("scatter: the source does not fit", received=f"shape {value.shape}", expected=f"shape {wanted}"))
    result = write_through(x, b.cast(value, x.dtype) if value.dtype is not x.dtype else value, ((builder, attrs),))
    return with_zero_gradient(result, x) if math.prod(wanted) == math.prod(x.shape) else result


def _replaced(op: str, input: Tensor, src: Tensor, builder: Callable[..., Node], *attrs: Any) -> Tensor:
    result: Tensor = record(_replace, (input, src), builder, attrs)
    return result


def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """Return a copy of `input` with `src` in place of one position of an axis.

    Example:
        >>> import trine
        >>> trine.select_scatter(trine.zeros(2, 2), trine.ones(2), 0, 1)
        tensor([[0., 0.],
                [1., 1.]])
    """
    return _replaced("select_scatter", input, src, movement.select_nodes, dim, int(index))


def _slice(x: Node, dim: int, start: int | None, stop: int | None, step: int) -> Node:
    axis = canonical_axis(dim, len(x.shape), "slice_scatter")
    low, high, _ = slice(start, stop, step).indices(x.shape[axis])
    return movement.slice_axis(x, axis, low, max(low, high), step)


def slice_scatter(input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """Return a copy of `input` with `src` in place of a slice of an axis.

    Example:
        >>> import trine
        >>> trine.slice_scatter(trine.zeros(4), trine.ones(2), start=1, end=3)
        tensor([0., 1., 1., 0.])
    """
    if step < 1:
        raise AxisError(message("slice_scatter: the step", received=step, expected="1 or more"))
    return _replaced("slice_scatter", input, src, _slice, dim, start, end, step)


def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return a copy of `input` with `src` in place of a diagonal.

    Example:
        >>> import trine
        >>> trine.diagonal_scatter(trine.zeros(2, 2), trine.ones(2))
        tensor([[1., 0.],
                [0., 1.]])
    """
    return _replaced("diagonal_scatter", input, src, movement.diagonal_nodes, offset, dim1, dim2)


# --- reading the bytes as another dtype --------------------------------------------------------------------------------------------------

_UNSIGNED = {1: dtypes.uint8, 2: dtypes.uint16, 4: dtypes.uint32, 8: dtypes.uint64}


def _bits(x: Node) -> Node:
    """Return the bit patterns of real elements as unsigned integers."""
    if x.dtype is dtypes.bool_:
        return b.cast(x, dtypes.uint8)
    return b.bitcast(x, _UNSIGNED[x.dtype.itemsize])


def _from_bits(x: Node, dtype: DType) -> Node:
    return b.ne(x, b.const(0, x.dtype)) if dtype is dtypes.bool_ else b.bitcast(x, dtype)


def _split_bits(x: Node, size: int) -> Node:
    """Return unsigned integers as pieces of `size` bytes, the lowest first, in a longer last axis."""
    count, kind, rank = x.dtype.itemsize // size, _UNSIGNED[size], len(x.shape)
    pieces = [b.cast(b.shift_right(x, b.const(8 * size * k, x.dtype)), kind) for k in range(count)]
    joined = b.concat([b.unsqueeze(piece, rank) for piece in pieces], rank)
    return b.reshape(joined, (*x.shape[:-1], x.shape[-1] * count))


def _join_bits(x: Node, size: int) -> Node:
    """Return runs of unsigned integers as unsigned integers of `size` bytes, in a shorter last axis."""
    count, kind = size // x.dtype.itemsize, _UNSIGNED[size]
    if x.shape[-1] % count:
        raise DTypeError(message("view: the last axis does not divide", received=f"size {x.shape[-1]}", expected=f"a multiple of {count}"))
    rank = len(x.shape)
    rows = b.reshape(x, (*x.shape[:-1], x.shape[-1] // count, count))
    total: Node | None = None
    for k in range(count):
        piece = b.reshape(movement.slice_axis(rows, rank, k, k + 1), rows.shape[:-1])
        shifted = b.shift_left(b.cast(piece, kind), b.const(8 * x.dtype.itemsize * k, kind))
        total = shifted if total is None else b.bitwise_or(total, shifted)
    return x if total is None else total


def view_dtype(x: Node, dtype: DType) -> Node:
    """Return the bytes of `x` read as another dtype: the last axis grows or shrinks with the size of the elements."""
    if x.dtype is dtype:
        return x
    if not x.shape and x.dtype.itemsize != dtype.itemsize:
        raise DTypeError(message("view: a 0-d tensor", received=f"{x.dtype.name} as {dtype.name}", expected="elements of the same size"))
    if not x.shape:
        return b.reshape(view_dtype(b.reshape(x, (1,)), dtype), ())
    if x.dtype.is_complex:
        rank, kind = len(x.shape), dtypes.REAL_OF[x.dtype]
        if dtype.is_complex:
            return view_dtype(view_dtype(x, kind), dtype)
        pairs = b.concat([b.unsqueeze(b.real(x), rank), b.unsqueeze(b.imag(x), rank)], rank)
        return view_dtype(b.reshape(pairs, (*x.shape[:-1], 2 * x.shape[-1])), dtype)
    if dtype.is_complex:
        parts = view_dtype(x, dtypes.REAL_OF[dtype])
        if parts.shape[-1] % 2:
            raise DTypeError(message("view: the last axis does not divide", received=f"size {parts.shape[-1]}", expected="an even size"))
        rank = len(parts.shape)
        pairs = b.reshape(parts, (*parts.shape[:-1], parts.shape[-1] // 2, 2))
        real, imag = (b.cast(b.reshape(movement.slice_axis(pairs, rank, k, k + 1), pairs.shape[:-1]), dtype) for k in (0, 1))
        return b.add(real, b.mul(imag, b.const(1j, dtype)))
    bits = _bits(x)
    if dtype.itemsize < x.dtype.itemsize:
        bits = _split_bits(bits, dtype.itemsize)
    elif dtype.itemsize > x.dtype.itemsize:
        bits = _join_bits(bits, dtype.itemsize)
    return _from_bits(bits, dtype)


def _write_dtype(x: Node, value: Node, dtype: DType) -> Node:
    return view_dtype(value, x.dtype)


VIEW_INVERSES[view_dtype] = _write_dtype


def _dtype_layout(layout: ViewLayout, result: Node, dtype: DType) -> ViewLayout:
    whole = ViewLayout.row_major(result.shape)
    return ViewLayout(whole.shape, whole.strides, 0, False)  # its place is counted in elements of another size


VIEW_LAYOUTS[view_dtype] = _dtype_layout


# --- copies of views ---------------------------------------------------------------------------------------------------------------------


def _copy_of(name: str, view: Callable[..., Any], example: str, result: str) -> Callable[..., Any]:
    """Return the function that copies what a view shows."""

    def function(input: Tensor, *args: Any, out: Any = None, **options: Any) -> Any:
        found = view(input, *args, **options)
        if isinstance(found, tuple):
            copies = tuple([piece.clone() for piece in found])
            if out is not None:
                for copy, place in zip(copies, out, strict=True):
                    write_out(copy, place)
            return copies
        return write_out(found.clone(), out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""Return a copy of what `{name.removesuffix("_copy").removeprefix("unsafe_")}` shows; the arguments are the same.

    Example:
        >>> import trine
        >>> trine.{name}({example})
        {result}
    """
    return function


_MATRIX = "trine.tensor([[1, 2], [3, 4]])"
expand_copy = _copy_of("expand_copy", movement.expand, "trine.tensor([1]), (2,)", "tensor([1, 1])")
permute_copy = _copy_of("permute_copy", movement.permute, "trine.tensor([[1, 2]]), (1, 0)", "tensor([[1],\n                [2]])")
narrow_copy = _copy_of("narrow_copy", movement.narrow, "trine.arange(4), 0, 1, 2", "tensor([1, 2])")
select_copy = _copy_of("select_copy", movement.select, f"{_MATRIX}, 0, 1", "tensor([3, 4])")
squeeze_copy = _copy_of("squeeze_copy", movement.squeeze, "trine.tensor([[1]])", "tensor(1)")
unsqueeze_copy = _copy_of("unsqueeze_copy", movement.unsqueeze, "trine.tensor([1]), 0", "tensor([[1]])")
t_copy = _copy_of("t_copy", movement.t, "trine.tensor([[1, 2]])", "tensor([[1],\n                [2]])")
transpose_copy = _copy_of("transpose_copy", movement.transpose, "trine.tensor([[1, 2]]), 0, 1", "tensor([[1],\n                [2]])")
view_copy = _copy_of("view_copy", movement.view, "trine.arange(2), (2, 1)", "tensor([[0],\n                [1]])")
diagonal_copy = _copy_of("diagonal_copy", movement.diagonal, _MATRIX, "tensor([1, 4])")
unbind_copy = _copy_of("unbind_copy", movement.unbind, _MATRIX, "(tensor([1, 2]), tensor([3, 4]))")
split_with_sizes_copy = _copy_of(
    "split_with_sizes_copy", movement.split_with_sizes, "trine.arange(3), [1, 2]", "(tensor([0]), tensor([1, 2]))"
)
unsafe_split = _copy_of("unsafe_split", movement.split, "trine.arange(3), 2", "(tensor([0, 1]), tensor([2]))")
unsafe_split_with_sizes = _copy_of(
    "unsafe_split_with_sizes", movement.split_with_sizes, "trine.arange(3), [1, 2]", "(tensor([0]), tensor([1, 2]))"
)
unsafe_chunk = _copy_of("unsafe_chunk", movement.chunk, "trine.arange(3), 2", "(tensor([0, 1]), tensor([2]))")


def unfold_copy(input: Tensor, dimension: int, size: int, step: int, *, out: Tensor | None = None) -> Tensor:
    """Return all windows of an axis: the last axis of the result runs within the window.

    Example:
        >>> import trine
        >>> trine.unfold_copy(trine.tensor([1, 2, 3]), 0, 2, 1)
        tensor([[1, 2],
                [2, 3]])
    """
    return write_out(input.unfold(dimension, size, step), out)


# --- other sizes in place ---------------------------------------------------------------------------------------------------------------


def _resized(x: Node, shape: tuple[int, ...]) -> Node:
    flat, count = b.reshape(x, (math.prod(x.shape),)), math.prod(shape)
    if count > flat.shape[0]:
        flat = b.pad(flat, (0,), (count - flat.shape[0],), 0)
    return b.reshape(b.slice(flat, (0,), (count,)), shape)


def resize_(input: Tensor, *sizes: Any, memory_format: object = None) -> Tensor:
    """Give the tensor another shape in place: its first elements stay in row-major order, new ones are 0.

    Raises:
        InPlaceError: the tensor requires grad, or is a view.

    Example:
        >>> import trine
        >>> trine.tensor([1, 2]).resize_(3)
        tensor([1, 2, 0])
    """
    if input.requires_grad or input._path:
        kind = "a view" if input._path else "a tensor that requires grad"
        raise InPlaceError(message("resize_: cannot be resized", received=kind, fix="use reshape, or clone it first"))
    with held_back():
        value: Tensor = record(_resized, (input,), varargs(sizes))
        input._trace = input._buffer = input._alias = None
        local.trace.donors.pop(id(input), None)  # a result of another size is not written over the old memory
        take_value(input, value)
    return input


def resize_as_(input: Tensor, the_template: Tensor, *, memory_format: object = None) -> Tensor:
    """Give the tensor the shape of another one in place; see `resize_`.

    Example:
        >>> import trine
        >>> trine.tensor([1, 2]).resize_as_(trine.zeros(1))
        tensor([1])
    """
    return resize_(input, tuple(the_template.shape))


# --- splitting along a fixed axis --------------------------------------------------------------------------------------------------------


def _split_axis(op: str, input: Tensor, parts: tuple[Any, ...], axis: int, least: int) -> tuple[Tensor, ...]:
    if input.dim() < least:
        received = f"shape {tuple(input.shape)}"
        raise ShapeError(message(f"{op}: too few axes", received=received, expected=f"at least {least}"))
    sections = parts[0] if len(parts) == 1 else parts
    if isinstance(sections, int) and (sections <= 0 or input.shape[axis] % sections):
        received = f"{sections} sections of {input.shape[axis]} elements"
        raise ShapeError(message(f"{op}: the sections are not equal", received=received, expected="a number that divides the size"))
    return movement.tensor_split(input, sections, axis)


def hsplit(input: Tensor, *indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Split along the second axis (the first of vectors) into equal sections, or at positions.

    Example:
        >>> import trine
        >>> trine.hsplit(trine.arange(4), 2)
        (tensor([0, 1]), tensor([2, 3]))
    """
    return _split_axis("hsplit", input, indices_or_sections, 1 if input.dim() > 1 else 0, 1)


def vsplit(input: Tensor, *indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Split along the first axis of at least two into equal sections, or at positions.

    Example:
        >>> import trine
        >>> trine.vsplit(trine.tensor([[1], [2]]), 2)
        (tensor([[1]]), tensor([[2]]))
    """
    return _split_axis("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input: Tensor, *indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Split along the third axis into equal sections, or at positions.

    Example:
        >>> import trine
        >>> trine.dsplit(trine.tensor([[[1, 2]]]), 2)
        (tensor([[[1]]]), tensor([[[2]]]))
    """
    return _split_axis("dsplit", input, indices_or_sections, 2, 3)
