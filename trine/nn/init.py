"""Initial values of parameters, written in place."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from trine.errors import ArgumentError, ShapeError, message
from trine.ops.creation import eye as _identity
from trine.ops.creation import zeros as _new_zeros
from trine.ops.joining import diag as _diagonal_of
from trine.ops.random import normal_like, uniform_like
from trine.tensor import Tensor
from trine.tensor.grad_mode import no_grad

__all__ = [
    "calculate_gain",
    "constant",
    "constant_",
    "dirac",
    "dirac_",
    "eye",
    "eye_",
    "kaiming_normal",
    "kaiming_normal_",
    "kaiming_uniform",
    "kaiming_uniform_",
    "normal",
    "normal_",
    "ones_",
    "orthogonal",
    "orthogonal_",
    "sparse",
    "sparse_",
    "trunc_normal_",
    "uniform",
    "uniform_",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros_",
]

_LINEAR = ("linear", *(f"conv{kind}{rank}d" for kind in ("", "_transpose") for rank in (1, 2, 3)))
_GAINS = {**dict.fromkeys(_LINEAR, 1.0), "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the recommended gain of a nonlinearity; `param` is the slope of "leaky_relu".

    >>> import trine
    >>> trine.nn.init.calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, (int, float))):
            raise ArgumentError(message("calculate_gain: the slope is not a number", received=repr(param), expected="a number"))
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in _GAINS:
        expected = ", ".join([*_GAINS, "leaky_relu"])
        raise ArgumentError(message("calculate_gain", received=repr(nonlinearity), expected=expected))
    return _GAINS[nonlinearity]


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Return (fan in, fan out) of a weight ``(out, in, *kernel)``."""
    shape = tensor.shape
    if len(shape) < 2:
        raise ShapeError(message("fan in and fan out need at least two axes", received=f"shape {tuple(shape)}"))
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: object = None) -> Tensor:
    """Fill with uniform numbers of [a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)  # type: ignore[no-any-return]


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: object = None) -> Tensor:
    """Fill with normal numbers."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)  # type: ignore[no-any-return]


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value."""
    with no_grad():
        return tensor.fill_(val)  # type: ignore[no-any-return]


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: object = None) -> Tensor:
    """Fill with uniform numbers, variance 2 / (fan in + fan out) times gain squared (Glorot and Bengio, 2010)."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    bound = gain * math.sqrt(6 / (fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: object = None) -> Tensor:
    """Fill with normal numbers, variance 2 / (fan in + fan out) times gain squared."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2 / (fan_in + fan_out)), generator)


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    """Return the fan that a mode names."""
    if str(mode).lower() not in ("fan_in", "fan_out"):
        raise ArgumentError(message("kaiming: mode", received=repr(mode), expected="'fan_in' or 'fan_out'"))
    return _calculate_fan_in_and_fan_out(tensor)[0 if mode.lower() == "fan_in" else 1]


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fan = _calculate_correct_fan(tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: object = None
) -> Tensor:
    """Fill with uniform numbers that keep the variance through rectifiers (He et al., 2015)."""
    if 0 in tensor.shape:
        return tensor
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: object = None
) -> Tensor:
    """Fill with normal numbers that keep the variance through rectifiers (He et al., 2015)."""
    if 0 in tensor.shape:
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None) -> Tensor:
    """Fill with normal numbers that are cut off at `a` and `b`, by inverting the distribution function.

    >>> import trine
    >>> bool((trine.nn.init.trunc_normal_(trine.empty(100), std=2.0, a=-1.0, b=1.0).abs() <= 1).all())
    True
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn("trunc_normal_: the mean is more than 2 std from [a, b]; the distribution of values may be incorrect", stacklevel=2)
    low, high = (math.erf((limit - mean) / std / math.sqrt(2)) for limit in (a, b))
    with no_grad():
        values = uniform_like(tensor, low, high, generator)
        return tensor.copy_((values.erfinv() * (std * math.sqrt(2)) + mean).clamp(a, b))  # type: ignore[no-any-return]


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with ones on the diagonal, zeros elsewhere.

    >>> import trine
    >>> trine.nn.init.eye_(trine.empty(2, 2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    _require_axes("eye_", tensor, (2,))
    with no_grad():
        return tensor.copy_(_identity(*tensor.shape, dtype=tensor.dtype))  # type: ignore[no-any-return]


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill the weight of a convolution so that it returns its input, as far as there are channels: a one at the centre of each.

    >>> import trine
    >>> trine.nn.init.dirac_(trine.empty(1, 1, 3)).tolist()
    [[[0.0, 1.0, 0.0]]]
    """
    _require_axes("dirac_", tensor, (3, 4, 5))
    outputs, inputs, *kernel = tensor.shape
    if groups < 1 or outputs % groups:
        raise ArgumentError(message("dirac_: groups do not divide the channels", received=f"{groups} groups, {outputs} channels"))
    per_group = outputs // groups
    centre = tuple(size // 2 for size in kernel)
    with no_grad():
        weight = _new_zeros(*tensor.shape, dtype=tensor.dtype)
        block = _identity(per_group, inputs, dtype=tensor.dtype)
        for group in range(groups):
            weight[(slice(group * per_group, (group + 1) * per_group), slice(None), *centre)] = block
        return tensor.copy_(weight)  # type: ignore[no-any-return]


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """Fill with an orthogonal matrix (of the rows, the other axes taken together), times the gain (Saxe et al., 2014).

    >>> import trine
    >>> w = trine.nn.init.orthogonal_(trine.empty(3, 5))
    >>> bool(trine.allclose(w @ w.T, trine.eye(3), atol=1e-5))
    True
    """
    from trine.ops.decomposition import qr

    if tensor.dim() < 2:
        raise ShapeError(message("orthogonal_: too few axes", received=f"shape {tuple(tensor.shape)}", expected="two axes or more"))
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    columns = tensor.numel() // rows
    with no_grad():
        flat = normal_like(tensor.new_empty((rows, columns)), generator=generator)
        q, r = qr(flat.T if rows < columns else flat)
        # The signs make the distribution uniform over all orthogonal matrices (Mezzadri, 2007).
        q = q * _diagonal_of(r).sign()
        return tensor.copy_((q.T if rows < columns else q).reshape(tensor.shape) * gain)  # type: ignore[no-any-return]


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Fill a matrix with normal numbers, and set the share `sparsity` of each column to zero (Martens, 2010).

    >>> import trine
    >>> (trine.nn.init.sparse_(trine.empty(10, 4), 0.3) == 0).sum(0)
    tensor([3, 3, 3, 3])
    """
    _require_axes("sparse_", tensor, (2,))
    count = math.ceil(sparsity * tensor.shape[0])
    with no_grad():
        order = uniform_like(tensor.new_empty(tuple(tensor.shape)), generator=generator).argsort(0).argsort(0)
        values = normal_like(tensor, 0.0, std, generator=generator)
        return tensor.copy_(values.masked_fill(order < count, 0.0))  # type: ignore[no-any-return]


def _require_axes(name: str, tensor: Tensor, ranks: tuple[int, ...]) -> None:
    if tensor.dim() not in ranks:
        expected = f"{' or '.join(map(str, ranks))} axes"
        raise ShapeError(message(f"{name}: wrong number of axes", received=f"shape {tuple(tensor.shape)}", expected=expected))


def _older(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the function under its name without underscore, which warns."""
    new = function.__name__
    old = new[:-1]

    def older_name(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(f"`nn.init.{old}` is now deprecated in favor of `nn.init.{new}`.", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    older_name.__name__ = older_name.__qualname__ = old
    older_name.__module__ = __name__
    older_name.__doc__ = f"Return `{new}` of the arguments: the older name, which warns."
    return older_name


uniform, normal, constant = _older(uniform_), _older(normal_), _older(constant_)
eye, dirac = _older(eye_), _older(dirac_)
xavier_uniform, xavier_normal = _older(xavier_uniform_), _older(xavier_normal_)
kaiming_uniform, kaiming_normal = _older(kaiming_uniform_), _older(kaiming_normal_)
orthogonal, sparse = _older(orthogonal_), _older(sparse_)
