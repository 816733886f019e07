"""New tensors from shapes, ranges and other tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, message
from trine.ops.arguments import check_options, varargs, write_out
from trine.ops.promotion import as_dtype, number, size
from trine.shapes import canonical_shape
from trine.tensor import Tensor, record
from trine.tensor.convert import defaults


def _full_nodes(value: Node, shape: tuple[int, ...], dtype: DType) -> Node:
    return b.expand(as_dtype(value, dtype), shape)


def _constant_nodes(value: Any, shape: tuple[int, ...], dtype: DType) -> Node:
    return b.full(value, shape, dtype)


def _finish(result: Tensor, requires_grad: bool, out: Tensor | None = None) -> Tensor:
    if out is not None:
        return write_out(result, out)
    return result.requires_grad_() if requires_grad else result


def _constant(value: int, shape: tuple[int, ...], dtype: DType | None) -> Tensor:
    result: Tensor = record(_constant_nodes, (), value, canonical_shape(shape), dtype or defaults.dtype)
    return result


def _creation(name: str, value: int, text: str, shown: str) -> Callable[..., Tensor]:
    """Return `zeros`, `ones` or `empty`."""

    def function(
        *size: Any,
        out: Tensor | None = None,
        dtype: DType | None = None,
        layout: object = None,
        device: object = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: object = None,
        names: object = None,
    ) -> Tensor:
        check_options(dtype, device)
        sizes = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
        return _finish(_constant(value, varargs(tuple(sizes)), dtype), requires_grad, out)

    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__doc__ = f"""{text}

    Args:
        size: integers, or one sequence of them.
        dtype: the default dtype unless given. layout, pin_memory: accepted; every tensor is dense.
        device: None or the CPU.

    Example:
        >>> import trine
        >>> trine.{name}(2)
        tensor({shown})
    """
    return function


zeros = _creation("zeros", 0, "Return a tensor of zeros.", "[0., 0.]")
ones = _creation("ones", 1, "Return a tensor of ones.", "[1., 1.]")
empty = _creation("empty", 0, "Return a tensor whose elements have no defined value (they are zeros).", "[0., 0.]")


def _creation_like(name: str, value: int, text: str, shown: str) -> Callable[..., Tensor]:
    def function(
        input: Tensor,
        *,
        dtype: DType | None = None,
        layout: object = None,
        device: object = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: object = None,
    ) -> Tensor:
        check_options(dtype, device)
        return _finish(_constant(value, tuple(input.shape), dtype or input.dtype), requires_grad)

    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__doc__ = f"""{text}

    Example:
        >>> import trine
        >>> trine.{name}(trine.tensor([5, 6]))
        tensor({shown})
    """
    return function


zeros_like = _creation_like("zeros_like", 0, "Return zeros with the shape and dtype of a tensor.", "[0, 0]")
ones_like = _creation_like("ones_like", 1, "Return ones with the shape and dtype of a tensor.", "[1, 1]")
empty_like = _creation_like("empty_like", 0, "Return a tensor without defined values, with the shape and dtype of a tensor.", "[0, 0]")


def _filled(value: Any, shape: tuple[int, ...], dtype: DType) -> Tensor:
    # A run-time scalar is a float64 or an int64: what these do not hold is part of the program.
    is_constant = isinstance(value, complex_number) or (isinstance(value, int) and value >= 2**63)
    result: Tensor = record(_constant_nodes, (), value, shape, dtype) if is_constant else record(_full_nodes, (value,), shape, dtype)
    return result


complex_number = complex
"""Python's complex (`complex` is the tensor function here)."""


def full(
    size: Any,
    fill_value: Any,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return a tensor of one value, whose Python type decides the dtype unless it is given.

    Example:
        >>> import trine
        >>> trine.full((2,), 3)
        tensor([3, 3])
    """
    check_options(dtype, device)
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    found = dtype or dtypes.of_python(value, defaults.dtype)
    result = _filled(value, varargs((size,)), found)
    return _finish(result, requires_grad, out)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
    memory_format: object = None,
) -> Tensor:
    """Return a tensor of one value with the shape and dtype of a tensor.

    Example:
        >>> import trine
        >>> trine.full_like(trine.tensor([1., 2.]), 7)
        tensor([7., 7.])
    """
    check_options(dtype, device)
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    result = _filled(value, tuple(input.shape), dtype or input.dtype)
    return _finish(result, requires_grad)


def _new(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the method ``x.new_zeros(size)`` of a creation function: the dtype is the tensor's unless given."""

    def method(input: Tensor, *args: Any, dtype: DType | None = None, **options: Any) -> Tensor:
        return function(*args, dtype=dtype or input.dtype, **options)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Return ``{function.__name__}(...)`` with the dtype of this tensor unless `dtype` is given."
    return method


new_zeros, new_ones, new_empty, new_full = (
    _new("new_zeros", zeros),
    _new("new_ones", ones),
    _new("new_empty", empty),
    _new("new_full", full),
)


def _arange_nodes(start: Node, step: Node, count: int, dtype: DType) -> Node:
    position = b.iota((count,), 0)
    if dtype.is_differentiable:
        wide = dtypes.float64 if dtype is dtypes.float64 else dtypes.float32
        # Positions and the start are combined in float64, so that long ranges do not drift.
        exact = b.add(b.cast(start, dtypes.float64), b.mul(b.cast(position, dtypes.float64), b.cast(step, dtypes.float64)))
        return as_dtype(as_dtype(exact, wide), dtype)
    return as_dtype(b.add(as_dtype(start, dtypes.int64), b.mul(position, as_dtype(step, dtypes.int64))), dtype)


def _check_step(start: float, end: float, step: float) -> None:
    if step == 0 or (end - start) * step < 0:
        raise ArgumentError(
            message("arange: the step does not lead to the end", received=f"{start}, {end}, {step}", expected="a step towards the end")
        )


def arange(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return numbers from `start` up to, without, `end`; int64 if all arguments are integers.

    Raises:
        ArgumentError: the step is 0 or points away from the end.

    Example:
        >>> import trine
        >>> trine.arange(1, 7, 2)
        tensor([1, 3, 5])
    """
    check_options(dtype, device)
    start, end, step = (v.item() if isinstance(v, Tensor) or hasattr(v, "item") else v for v in (start, end, step))
    if end is None:
        start, end = 0, start
    _check_step(start, end, step)
    is_integer = all(isinstance(v, int) for v in (start, end, step))
    found = dtype or (dtypes.int64 if is_integer else defaults.dtype)
    if found is dtypes.int64 and not is_integer:  # as in PyTorch, the bounds are truncated first
        start, end, step, is_integer = int(start), int(end), int(step), True
        _check_step(start, end, step)
    count = -((start - end) // step) if is_integer else math.ceil((end - start) / step)
    if not found.is_differentiable and not is_integer:
        start, step = int(start), int(step)
    result: Tensor = record(_arange_nodes, (start, step), int(count), found)
    return _finish(result, requires_grad, out)


def range(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return numbers from `start` to `end`, which is included; PyTorch's older form of `arange`, in the default dtype.

    Raises:
        ArgumentError: the step is 0 or points away from the end.

    Example:
        >>> import trine
        >>> trine.range(1, 3)
        tensor([1., 2., 3.])
    """
    check_options(dtype, device)
    start, end, step = (v.item() if isinstance(v, Tensor) else v for v in (start, end, step))
    if end is None:
        start, end = 0, start
    _check_step(start, end, step)
    found = dtype or defaults.dtype
    count = math.floor((end - start) / step) + 1
    if not found.is_differentiable:
        start, step = int(start), int(step)
    result: Tensor = record(_arange_nodes, (start, step), count, found)
    return _finish(result, requires_grad, out)


def _linspace_nodes(start: Node, end: Node, steps: int, dtype: DType) -> Node:
    start, end = as_dtype(start, dtypes.float64), as_dtype(end, dtypes.float64)
    position = b.cast(b.iota((steps,), 0), dtypes.float64)
    last = size(max(steps - 1, 1), dtypes.float64)
    step = b.div(b.sub(end, start), last)
    # Both halves are measured from their own end, so that the last element is exact.
    forward = b.add(start, b.mul(position, step))
    backward = b.sub(end, b.mul(b.sub(last, position), step))
    values = b.where(b.lt(position, b.mul(last, number(0.5, last))), forward, backward) if steps > 1 else b.expand(start, (steps,))
    return as_dtype(values, dtype)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `steps` numbers at equal distances from `start` to `end`, both included.

    Example:
        >>> import trine
        >>> trine.linspace(0, 1, 5)
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    check_options(dtype, device)
    if steps < 0:
        raise ArgumentError(message("linspace: steps is negative", received=steps, expected="0 or more"))
    operands = tuple([v if isinstance(v, Tensor) else float(v) for v in (start, end)])
    result: Tensor = record(_linspace_nodes, operands, int(steps), dtype or defaults.dtype)
    return _finish(result, requires_grad, out)


def _logspace_nodes(start: Node, end: Node, base: Node, steps: int, dtype: DType) -> Node:
    exponents = _linspace_nodes(start, end, steps, dtypes.float64)
    return as_dtype(b.pow(as_dtype(base, dtypes.float64), exponents), dtype)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `steps` numbers from ``base ** start`` to ``base ** end`` at equal ratios.

    Example:
        >>> import trine
        >>> trine.logspace(0, 2, 3)
        tensor([  1.,  10., 100.])
    """
    check_options(dtype, device)
    if steps < 0:
        raise ArgumentError(message("logspace: steps is negative", received=steps, expected="0 or more"))
    operands = tuple([v if isinstance(v, Tensor) else float(v) for v in (start, end, base)])
    result: Tensor = record(_logspace_nodes, operands, int(steps), dtype or defaults.dtype)
    return _finish(result, requires_grad, out)


def _eye_nodes(rows: int, columns: int, dtype: DType) -> Node:
    shape = (rows, columns)
    return b.cast(b.eq(b.iota(shape, 0), b.iota(shape, 1)), dtype)


def eye(
    n: int,
    m: int | None = None,
    *,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a matrix with ones on the diagonal and zeros elsewhere.

    Example:
        >>> import trine
        >>> trine.eye(2)
        tensor([[1., 0.],
                [0., 1.]])
    """
    check_options(dtype, device)
    result: Tensor = record(_eye_nodes, (), *canonical_shape((n, n if m is None else m)), dtype or defaults.dtype)
    return _finish(result, requires_grad, out)


def _triangle_indices(rows: int, columns: int, offset: int, lower: bool, dtype: DType | None) -> Tensor:
    import numpy as np

    from trine.tensor.convert import tensor

    found = np.tril_indices(rows, offset, columns) if lower else np.triu_indices(rows, offset, columns)
    return tensor(np.stack(found).astype(np.int64), dtype=dtype)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: DType | None = None, device: object = None) -> Tensor:
    """Return row and column numbers of a lower triangle.

    Example:
        >>> import trine
        >>> trine.tril_indices(2, 2)
        tensor([[0, 1, 1],
                [0, 0, 1]])
    """
    check_options(dtype, device)
    return _triangle_indices(row, col, offset, True, dtype)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: DType | None = None, device: object = None) -> Tensor:
    """Return row and column numbers of an upper triangle.

    Example:
        >>> import trine
        >>> trine.triu_indices(2, 2)
        tensor([[0, 0, 1],
                [0, 1, 1]])
    """
    check_options(dtype, device)
    return _triangle_indices(row, col, offset, False, dtype)


def _one_hot_nodes(index: Node, num_classes: int) -> Node:
    rank = len(index.shape)
    index = as_dtype(b.check_index(as_dtype(index, dtypes.int64), num_classes, wraps=False), dtypes.int64)
    shape = (*index.shape, num_classes)
    return b.cast(b.eq(b.unsqueeze(index, rank), b.iota(shape, rank)), dtypes.int64)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Return a last axis of `num_classes` zeros with a one at each class number; -1 takes the largest number plus one (observes it).

    Example:
        >>> import trine
        >>> trine.nn.functional.one_hot(trine.tensor([2, 0]))
        tensor([[0, 0, 1],
                [1, 0, 0]])
    """
    if num_classes == -1:
        num_classes = int(tensor.max().item()) + 1
    result: Tensor = record(_one_hot_nodes, (tensor,), num_classes)
    return result


def _complex_nodes(x: Node, y: Node) -> Node:
    dtype = dtypes.COMPLEX_OF[x.dtype]
    return b.add(b.cast(x, dtype), b.mul(b.cast(y, dtype), b.const(1j, dtype)))


def complex(real: Tensor, imag: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the complex tensor with given real and imaginary parts.

    Example:
        >>> import trine
        >>> trine.complex(trine.tensor([1.]), trine.tensor([2.])).imag
        tensor([2.])
    """
    return write_out(record(_complex_nodes, (real, imag)), out)


def _polar_nodes(magnitude: Node, angle: Node) -> Node:
    return _complex_nodes(b.mul(magnitude, b.cos(angle)), b.mul(magnitude, b.sin(angle)))


def polar(abs: Tensor, angle: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return the complex tensor with given magnitudes and angles.

    Example:
        >>> import trine
        >>> trine.polar(trine.tensor([2.]), trine.tensor([0.])).real
        tensor([2.])
    """
    return write_out(record(_polar_nodes, (abs, angle)), out)
