"""Random tensors: counter-based (Philox), the same numbers on every engine and for any number of threads.

The seed and the position in the stream are run-time operands, so a program that draws numbers is not compiled again for each draw.
"""

from __future__ import annotations

import math
from typing import Any

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, DTypeError, ShapeError, message
from trine.ops.arguments import check_options, varargs, write_out
from trine.ops.promotion import as_dtype, number
from trine.runtime.random import Generator, default_generator
from trine.shapes import broadcast, size_of
from trine.tensor import Tensor, record
from trine.tensor.convert import defaults
from trine.tensor.recorder import local


def stream(count: int, generator: Generator | None = None) -> tuple[int, int]:
    """Return seed and offset for `count` random words, and move the generator past them."""
    source = default_generator if generator is None else generator
    for level in local.levels:
        count = level.random_words(count)
    drawn = source.seed_operand, source.reserve(count)
    if local.capture is not None:
        local.capture.draws.append((source, count, *drawn))
    return drawn


# --- nodes ------------------------------------------------------------------------------------------------------------------------------


def uniform_nodes(seed: Node, offset: Node, shape: tuple[int, ...], dtype: DType) -> Node:
    """Return numbers in [0, 1): 24 random bits for float32 and less, 53 bits (two words) for float64."""
    if dtype is not dtypes.float64:
        bits = b.random_bits(seed, offset, shape)
        digits = 24 if not dtype.is_half else 11 if dtype is dtypes.float16 else 8
        high = b.shift_right(bits, b.const(32 - digits, dtypes.uint32))
        # Through int32: the conversion from signed integers is one instruction.
        unit = b.mul(b.cast(b.cast(high, dtypes.int32), dtypes.float32), b.const(2.0**-digits, dtypes.float32))
        return as_dtype(unit, dtype)
    words = b.random_bits(seed, offset, (2, *shape))
    rank = len(shape)
    upper = b.reshape(b.slice(words, (0,) * (rank + 1), (1, *shape)), shape)
    lower = b.reshape(b.slice(words, (1, *(0,) * rank), (2, *shape)), shape)
    high = b.cast(b.shift_right(upper, b.const(5, dtypes.uint32)), dtypes.float64)
    low = b.cast(b.shift_right(lower, b.const(6, dtypes.uint32)), dtypes.float64)
    return b.mul(b.add(b.mul(high, number(2.0**26, high)), low), number(2.0**-53, high))


def normal_nodes(seed: Node, offset: Node, shape: tuple[int, ...], dtype: DType) -> Node:
    """Return numbers of the standard normal distribution, by Box and Muller's transform of two uniform ones."""
    wide = dtypes.float64 if dtype is dtypes.float64 else dtypes.float32
    pairs = uniform_nodes(seed, offset, (2, *shape), wide)
    rank = len(shape)
    first = b.reshape(b.slice(pairs, (0,) * (rank + 1), (1, *shape)), shape)
    second = b.reshape(b.slice(pairs, (1, *(0,) * rank), (2, *shape)), shape)
    # 1 - u lies in (0, 1], so the logarithm is finite.
    radius = b.sqrt(b.mul(number(-2, first), b.log(b.sub(number(1, first), first))))
    return as_dtype(b.mul(radius, b.cos(b.mul(second, number(2 * math.pi, second)))), dtype)


def num_words(shape: tuple[int, ...], dtype: DType, pairs: bool = False) -> int:
    """Return how many random words `uniform_nodes` (`pairs`: `normal_nodes`) uses."""
    return size_of(shape) * (2 if dtype is dtypes.float64 else 1) * (2 if pairs else 1)


def _scaled_uniform(seed: Node, offset: Node, low: Node, high: Node, shape: tuple[int, ...], dtype: DType) -> Node:
    unit = uniform_nodes(seed, offset, shape, dtype)
    low, high = as_dtype(low, dtype), as_dtype(high, dtype)
    return b.add(low, b.mul(unit, b.sub(high, low)))


def _scaled_normal(seed: Node, offset: Node, mean: Node, std: Node, shape: tuple[int, ...], dtype: DType) -> Node:
    unit = normal_nodes(seed, offset, shape, dtype)
    return b.add(as_dtype(mean, dtype), b.mul(unit, as_dtype(std, dtype)))


def integer_nodes(seed: Node, offset: Node, low: Node, high: Node, shape: tuple[int, ...], dtype: DType) -> Node:
    """Return integers in [low, high): 64 random bits modulo the size of the range."""
    words = b.random_bits(seed, offset, (2, *shape))
    rank = len(shape)
    upper = b.reshape(b.slice(words, (0,) * (rank + 1), (1, *shape)), shape)
    lower = b.reshape(b.slice(words, (1, *(0,) * rank), (2, *shape)), shape)
    # 63 bits, so that the value is not negative.
    high_bits = b.shift_left(b.cast(b.shift_right(upper, b.const(1, dtypes.uint32)), dtypes.int64), b.const(32, dtypes.int64))
    bits = b.bitwise_or(high_bits, b.cast(lower, dtypes.int64))
    low, high = as_dtype(low, dtypes.int64), as_dtype(high, dtypes.int64)
    return as_dtype(b.add(low, b.remainder(bits, b.sub(high, low))), dtype)


# --- functions --------------------------------------------------------------------------------------------------------------------------


def _float_dtype(op: str, dtype: DType | None, with_complex: bool = False) -> DType:
    dtype = defaults.dtype if dtype is None else dtype
    if not dtype.is_floating_point and not (with_complex and dtype.is_complex):
        raise DTypeError(
            message(f"{op}: not a floating point dtype", received=dtype.name, expected="float16, bfloat16, float32 or float64")
        )
    return dtype


def _finish(result: Tensor, requires_grad: bool, out: Tensor | None = None) -> Tensor:
    if out is not None:
        return write_out(result, out)
    return result.requires_grad_() if requires_grad else result


def _from_parts(parts: Node) -> Node:
    """Return complex numbers from a first axis of real and imaginary parts."""
    dtype = dtypes.COMPLEX_OF[parts.dtype]
    rest = (0,) * (len(parts.shape) - 1)
    real, imaginary = (b.reshape(b.slice(parts, (k, *rest), (k + 1, *parts.shape[1:])), parts.shape[1:]) for k in (0, 1))
    return b.add(b.cast(real, dtype), b.mul(b.cast(imaginary, dtype), b.const(1j, dtype)))


def _complex_normal(parts: Node, mean: Node, scale: Node) -> Node:
    # Each part has half of the variance.
    values = _from_parts(b.mul(parts, as_dtype(scale, parts.dtype)))
    return b.add(values, as_dtype(mean, values.dtype))


def _uniform(shape: tuple[int, ...], dtype: DType, low: float, high: float, generator: Generator | None) -> Tensor:
    if dtype.is_complex:
        joined: Tensor = record(_from_parts, (_uniform((2, *shape), dtypes.REAL_OF[dtype], low, high, generator),))
        return joined
    seed, offset = stream(num_words(shape, dtype), generator)
    result: Tensor = record(_scaled_uniform, (seed, offset, float(low), float(high)), shape, dtype)
    return result


def _normal(shape: tuple[int, ...], dtype: DType, mean: Any, std: Any, generator: Generator | None) -> Tensor:
    if dtype.is_complex:
        parts = _normal((2, *shape), dtypes.REAL_OF[dtype], 0.0, 1.0, generator)
        joined: Tensor = record(_complex_normal, (parts, mean, std * math.sqrt(0.5)))
        return joined
    seed, offset = stream(num_words(shape, dtype, pairs=True), generator)
    result: Tensor = record(_scaled_normal, (seed, offset, mean, std), shape, dtype)
    return result


def rand(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return uniform random numbers in [0, 1).

    Example:
        >>> import trine
        >>> trine.rand(2, 3).shape
        trine.Size([2, 3])
    """
    check_options(dtype, device)
    return _finish(_uniform(varargs(size), _float_dtype("rand", dtype, True), 0.0, 1.0, generator), requires_grad, out)


def randn(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return random numbers of the standard normal distribution.

    Example:
        >>> import trine
        >>> trine.randn(2, 3).shape
        trine.Size([2, 3])
    """
    check_options(dtype, device)
    return _finish(_normal(varargs(size), _float_dtype("randn", dtype, True), 0.0, 1.0, generator), requires_grad, out)


def randint(
    *bounds_and_size: Any,
    low: int | None = None,
    high: int | None = None,
    size: Any = None,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return random integers in [low, high): ``randint(high, size)`` or ``randint(low, high, size)``.

    Raises:
        ArgumentError: the range is empty.

    Example:
        >>> import trine
        >>> trine.randint(0, 10, (2, 3)).shape
        trine.Size([2, 3])
    """
    check_options(dtype, device)
    bounds = list(bounds_and_size)
    if size is None and bounds and not isinstance(bounds[-1], int):
        size = bounds.pop()
    if high is None and bounds:
        high = bounds.pop()
    if low is None:
        low = bounds.pop() if bounds else 0
    if size is None or high is None:
        raise ArgumentError(message("randint: an argument is missing", received=repr(bounds_and_size), expected="randint(low, high, size)"))
    return _finish(_randint(int(low), int(high), varargs((size,)), dtype or dtypes.int64, generator), requires_grad, out)


def _randint(low: int, high: int, shape: tuple[int, ...], dtype: DType, generator: Generator | None) -> Tensor:
    if low >= high:
        raise ArgumentError(message("randint: the range is empty", received=f"low {low}, high {high}", expected="low < high"))
    seed, offset = stream(2 * size_of(shape), generator)
    result: Tensor = record(integer_nodes, (seed, offset, low, high), shape, dtype)
    return result


def rand_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
    memory_format: object = None,
    generator: Generator | None = None,
) -> Tensor:
    """Return uniform random numbers with the shape and dtype of a tensor.

    Example:
        >>> import trine
        >>> trine.rand_like(trine.zeros(2, 3)).shape
        trine.Size([2, 3])
    """
    check_options(dtype, device)
    return _finish(_uniform(tuple(input.shape), _float_dtype("rand_like", dtype or input.dtype, True), 0.0, 1.0, generator), requires_grad)


def randn_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
    memory_format: object = None,
    generator: Generator | None = None,
) -> Tensor:
    """Return standard normal random numbers with the shape and dtype of a tensor.

    Example:
        >>> import trine
        >>> trine.randn_like(trine.zeros(2, 3)).shape
        trine.Size([2, 3])
    """
    check_options(dtype, device)
    return _finish(_normal(tuple(input.shape), _float_dtype("randn_like", dtype or input.dtype, True), 0.0, 1.0, generator), requires_grad)


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
    memory_format: object = None,
    generator: Generator | None = None,
) -> Tensor:
    """Return random integers in [low, high), or [0, low), with the shape and dtype of a tensor.

    Example:
        >>> import trine
        >>> trine.randint_like(trine.zeros(2, 3), 10).shape
        trine.Size([2, 3])
    """
    check_options(dtype, device)
    low, high = (0, low) if high is None else (low, high)
    return _finish(_randint(int(low), int(high), tuple(input.shape), dtype or input.dtype, generator), requires_grad)


def uniform_like(input: Tensor, low: float = 0.0, high: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Return uniform random numbers in [low, high) with the shape and dtype of a tensor: the value of ``uniform_``.

    Example:
        >>> import trine
        >>> bool((trine.ops.random.uniform_like(trine.zeros(5), 2.0, 3.0) >= 2).all())
        True
    """
    return _uniform(tuple(input.shape), _float_dtype("uniform", input.dtype, True), low, high, generator)


def normal_like(input: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Return normal random numbers with the shape and dtype of a tensor: the value of ``normal_``.

    Example:
        >>> import trine
        >>> trine.ops.random.normal_like(trine.zeros(5)).shape
        trine.Size([5])
    """
    if std < 0:
        raise ArgumentError(message("normal: the standard deviation is negative", received=std, expected="0 or more"))
    return _normal(
        tuple(input.shape),
        _float_dtype("normal", input.dtype, True),
        mean if input.dtype.is_complex else float(mean),
        float(std),
        generator,
    )


def normal(
    mean: Tensor | float = 0.0,
    std: Tensor | float = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return normal random numbers with given means and standard deviations, tensors or numbers with a size.

    Example:
        >>> import trine
        >>> trine.normal(0.0, 1.0, (3,)).shape
        trine.Size([3])
    """
    check_options(dtype, device)
    if not isinstance(std, Tensor) and std < 0:
        raise ArgumentError(message("normal: the standard deviation is negative", received=std, expected="0 or more"))
    shapes = [tuple(v.shape) for v in (mean, std) if isinstance(v, Tensor)]
    shape = varargs((size,)) if size is not None else broadcast("normal", *shapes) if shapes else ()
    found = next((v.dtype for v in (mean, std) if isinstance(v, Tensor)), None)
    operands = [v if isinstance(v, Tensor) else float(v) for v in (mean, std)]
    return _finish(_normal(shape, _float_dtype("normal", dtype or found), operands[0], operands[1], generator), requires_grad, out)


def _exponential(seed: Node, offset: Node, rate: Node, shape: tuple[int, ...], dtype: DType) -> Node:
    unit = uniform_nodes(seed, offset, shape, dtype)
    return b.neg(b.div(b.log1p(b.neg(unit)), as_dtype(rate, dtype)))


def exponential_like(input: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Return exponentially distributed numbers with the shape and dtype of a tensor: the value of ``exponential_``.

    Example:
        >>> import trine
        >>> bool((trine.ops.random.exponential_like(trine.zeros(5)) >= 0).all())
        True
    """
    shape, dtype = tuple(input.shape), _float_dtype("exponential", input.dtype)
    seed, offset = stream(num_words(shape, dtype), generator)
    result: Tensor = record(_exponential, (seed, offset, float(lambd)), shape, dtype)
    return result


def _bernoulli(seed: Node, offset: Node, p: Node, shape: tuple[int, ...], dtype: DType) -> Node:
    p = p if p.dtype.is_floating_point and p.op != "scalar" else b.cast(p, dtypes.float32)
    wide = dtypes.float64 if p.dtype is dtypes.float64 else dtypes.float32
    return as_dtype(b.lt(uniform_nodes(seed, offset, shape, wide), as_dtype(p, wide)), dtype)


def _bernoulli_like(p: Any, shape: tuple[int, ...], dtype: DType, wide: DType, generator: Generator | None) -> Tensor:
    seed, offset = stream(num_words(shape, wide), generator)
    result: Tensor = record(_bernoulli, (seed, offset, p), shape, dtype)
    return result


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Tensor | None = None) -> Tensor:
    """Return 1 with the probabilities that the input (or `p`) gives, else 0.

    Example:
        >>> import trine
        >>> trine.bernoulli(trine.tensor([0., 1.]))
        tensor([0., 1.])
    """
    operand: Any = input if p is None else float(p)
    wide = input.dtype if p is None else dtypes.float32
    return write_out(_bernoulli_like(operand, tuple(input.shape), input.dtype, wide, generator), out)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: object = None,
    device: object = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Return a random permutation of 0 to n - 1.

    Example:
        >>> import trine
        >>> trine.randperm(4).sort().values
        tensor([0, 1, 2, 3])
    """
    check_options(dtype, device)
    if n < 0:
        raise ArgumentError(message("randperm: n is negative", received=n, expected="0 or more"))
    seed, offset = stream(2 * n, generator)
    result: Tensor = record(_permutation, (seed, offset), n, dtype or dtypes.int64)
    return _finish(result, requires_grad, out)


def _permutation(seed: Node, offset: Node, n: int, dtype: DType) -> Node:
    if n == 0:
        return b.full(0, (0,), dtype)
    return as_dtype(b.argsort(uniform_nodes(seed, offset, (n,), dtypes.float64), 0, False), dtype)


def _multinomial_with_replacement(seed: Node, offset: Node, weights: Node, count: int) -> Node:
    """Invert the cumulative distribution: the number of cumulative weights that do not exceed a uniform number."""
    totals = b.cumsum(as_dtype(weights, dtypes.float64), len(weights.shape) - 1, False)
    batch, extent = weights.shape[:-1], weights.shape[-1]
    last = b.slice(totals, (*(0,) * len(batch), extent - 1), totals.shape)
    draws = b.mul(uniform_nodes(seed, offset, (*batch, count), dtypes.float64), last)
    below = b.le(b.unsqueeze(totals, len(batch)), b.unsqueeze(draws, len(batch) + 1))
    index = b.squeeze(b.sum(b.cast(below, dtypes.int64), (len(batch) + 1,)), len(batch) + 1)
    return b.minimum(index, b.const(extent - 1, dtypes.int64))


def _multinomial_without_replacement(seed: Node, offset: Node, weights: Node, count: int) -> Node:
    """Exponential races: the first arrivals of processes with the weights as rates (Efraimidis and Spirakis, 2006)."""
    weights = as_dtype(weights, dtypes.float64)
    arrivals = b.div(b.neg(b.log1p(b.neg(uniform_nodes(seed, offset, weights.shape, dtypes.float64)))), weights)
    axis = len(weights.shape) - 1
    order = b.argsort(b.where(b.eq(weights, number(0, weights)), number(math.inf, weights), arrivals), axis, False)
    return b.slice(order, (0,) * len(order.shape), (*order.shape[:-1], count))


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None, out: Tensor | None = None
) -> Tensor:
    """Return positions drawn with the weights in each row of the input.

    Raises:
        ArgumentError: more samples than elements without replacement.

    Example:
        >>> import trine
        >>> trine.multinomial(trine.tensor([0., 1.]), 3, replacement=True)
        tensor([1, 1, 1])
    """
    if input.dim() not in (1, 2):
        raise ShapeError(message("multinomial: wrong number of axes", received=f"shape {tuple(input.shape)}", expected="1 or 2 axes"))
    if num_samples < 1 or (not replacement and num_samples > input.shape[-1]):
        expected = f"1 to {input.shape[-1]} without replacement"
        raise ArgumentError(message("multinomial: impossible number of samples", received=num_samples, expected=expected))
    draws = input.numel() // input.shape[-1] * num_samples if replacement else input.numel()
    seed, offset = stream(2 * draws, generator)
    builder = _multinomial_with_replacement if replacement else _multinomial_without_replacement
    return write_out(record(builder, (seed, offset, input.detach()), num_samples), out)
