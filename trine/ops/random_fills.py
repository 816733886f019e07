"""Less usual distributions: the values of `cauchy_`, `geometric_` and `log_normal_`, and `poisson` and `binomial`."""

from __future__ import annotations

import math

from trine import dtypes
from trine.core import build as b
from trine.core.graph import Node
from trine.dtypes import DType
from trine.errors import ArgumentError, DTypeError, message
from trine.ops.promotion import as_dtype, number
from trine.ops.random import _float_dtype, normal_like, num_words, stream, uniform_nodes
from trine.runtime.random import Generator
from trine.shapes import broadcast, size_of
from trine.tensor import Tensor, record


def _wide(dtype: DType) -> DType:
    return dtypes.float64 if dtype is dtypes.float64 or not dtype.is_floating_point else dtypes.float32


def _cauchy(seed: Node, offset: Node, median: Node, sigma: Node, shape: tuple[int, ...], dtype: DType) -> Node:
    wide = _wide(dtype)
    unit = uniform_nodes(seed, offset, shape, wide)
    angle = b.mul(b.sub(unit, number(0.5, unit)), number(math.pi, unit))
    return as_dtype(b.add(as_dtype(median, wide), b.mul(as_dtype(sigma, wide), b.tan(angle))), dtype)


def cauchy_like(input: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Return numbers of the Cauchy distribution with the shape and dtype of a tensor: the value of ``cauchy_``.

    Raises:
        ArgumentError: sigma is not positive. DTypeError: the dtype is not floating point.

    Example:
        >>> import trine
        >>> trine.zeros(5).cauchy_().shape
        trine.Size([5])
    """
    if not sigma > 0:
        raise ArgumentError(message("cauchy_: sigma is not positive", received=sigma, expected="a number above 0"))
    shape, dtype = tuple(input.shape), _float_dtype("cauchy_", input.dtype)
    seed, offset = stream(num_words(shape, _wide(dtype)), generator)
    result: Tensor = record(_cauchy, (seed, offset, float(median), float(sigma)), shape, dtype)
    return result


def _geometric(seed: Node, offset: Node, p: Node, shape: tuple[int, ...], dtype: DType) -> Node:
    """Invert the distribution function: the first k with ``1 - (1 - p) ** k`` above a uniform number."""
    unit = uniform_nodes(seed, offset, shape, dtypes.float64)
    p = as_dtype(p, dtypes.float64)
    trials = b.ceil(b.div(b.log1p(b.neg(unit)), b.log1p(b.neg(p))))
    return as_dtype(b.maximum(trials, number(1, trials)), dtype)


def geometric_like(input: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Return numbers of trials until the first success (1, 2, ...) with the shape and dtype of a tensor: the value of ``geometric_``.

    Raises:
        ArgumentError: p is not between 0 and 1.

    Example:
        >>> import trine
        >>> bool((trine.zeros(5).geometric_(0.5) >= 1).all())
        True
    """
    if not 0 < p < 1:
        raise ArgumentError(message("geometric_: impossible probability", received=p, expected="a number between 0 and 1"))
    if input.dtype is dtypes.bool_ or input.dtype.is_complex:
        raise DTypeError(message("geometric_: wrong dtype", received=input.dtype.name, expected="a floating point or integer dtype"))
    shape = tuple(input.shape)
    seed, offset = stream(num_words(shape, dtypes.float64), generator)
    result: Tensor = record(_geometric, (seed, offset, float(p)), shape, input.dtype)
    return result


def log_normal_like(input: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Return numbers whose logarithm is normal, with the shape and dtype of a tensor: the value of ``log_normal_``.

    Example:
        >>> import trine
        >>> bool((trine.zeros(5).log_normal_() > 0).all())
        True
    """
    if not std > 0:
        raise ArgumentError(message("log_normal_: std is not positive", received=std, expected="a number above 0"))
    result: Tensor = normal_like(input.detach(), mean, std, generator=generator).exp()
    return result


def _poisson(seed: Node, offset: Node, rate: Node) -> Node:
    unit = uniform_nodes(seed, offset, rate.shape, dtypes.float64)
    return as_dtype(b.library("poisson", unit, as_dtype(rate, dtypes.float64)), rate.dtype)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Return random numbers of the Poisson distributions with the given rates.

    Raises:
        DTypeError: the input is not floating point.

    Example:
        >>> import trine
        >>> trine.poisson(trine.zeros(3))
        tensor([0., 0., 0.])
    """
    shape = tuple(input.shape)
    _float_dtype("poisson", input.dtype)
    seed, offset = stream(num_words(shape, dtypes.float64), generator)
    result: Tensor = record(_poisson, (seed, offset, input.detach()))
    return result


def _binomial(seed: Node, offset: Node, count: Node, p: Node, shape: tuple[int, ...]) -> Node:
    unit = uniform_nodes(seed, offset, shape, dtypes.float64)
    drawn = b.library("binomial", unit, as_dtype(count, dtypes.float64), as_dtype(p, dtypes.float64))
    return as_dtype(drawn, count.dtype)


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """Return random numbers of successes in `count` trials of probability `prob`; the two broadcast.

    Raises:
        DTypeError: an operand is not floating point.

    Example:
        >>> import trine
        >>> trine.binomial(trine.tensor([3., 5.]), trine.tensor([0., 1.]))
        tensor([0., 5.])
    """
    for operand in (count, prob):
        _float_dtype("binomial", operand.dtype)
    shape = broadcast("binomial", tuple(count.shape), tuple(prob.shape))
    seed, offset = stream(2 * size_of(shape), generator)
    result: Tensor = record(_binomial, (seed, offset, count.detach(), prob.detach()), shape)
    return result
