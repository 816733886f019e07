"""What distributions share: broadcasting parameters, probabilities and logits, lazy properties."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from trine.errors import ArgumentError, ShapeError, message
from trine.ops import arange, broadcast_tensors, log1p, sigmoid, softmax
from trine.ops import log as _log
from trine.ops.dtype_info import finfo
from trine.tensor import Tensor
from trine.tensor.convert import tensor
from trine.tensor.grad_mode import enable_grad

__all__ = [
    "broadcast_all",
    "clamp_probs",
    "euler_constant",
    "lazy_property",
    "logits_to_probs",
    "probs_to_logits",
    "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]

euler_constant = 0.57721566490153286060


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Return numbers and tensors as tensors of one shape; numbers take the dtype of the first tensor, or the default dtype.

    Raises:
        ArgumentError: something else.

    >>> import trine
    >>> a, b = trine.distributions.utils.broadcast_all(trine.zeros(2), 1.0)
    >>> b
    tensor([1., 1.])
    """
    if not all(isinstance(v, Tensor | int | float) for v in values):
        received = [type(v).__name__ for v in values]
        raise ArgumentError(message("Input arguments must all be numbers or tensors", received=received))
    like = next((v for v in values if isinstance(v, Tensor)), None)
    dtype = None if like is None else like.dtype
    made = [v if isinstance(v, Tensor) else tensor(v if dtype is not None else float(v), dtype=dtype) for v in values]
    if len({tuple(v.shape) for v in made}) == 1:
        return tuple(made)
    return tuple(broadcast_tensors(*made))


def sum_rightmost(value: Tensor, count: int) -> Tensor:
    """Return the sum over the last `count` axes."""
    return value if count == 0 else value.reshape(tuple(value.shape[:-count]) + (-1,)).sum(-1)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Return probabilities for logits: of single events (binary), or of the categories along the last axis."""
    return sigmoid(logits) if is_binary else softmax(logits, -1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Return probabilities away from 0 and 1, by the precision of the dtype."""
    eps = finfo(probs.dtype).eps
    clamped: Tensor = probs.clamp(min=eps, max=1 - eps)
    return clamped


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Return logits for probabilities (the inverse of `logits_to_probs`)."""
    clamped = clamp_probs(probs)
    return _log(clamped) - log1p(-clamped) if is_binary else _log(clamped)


class lazy_property:
    """A property that is computed once, with gradients, when it is first read."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        instance.__dict__[self.wrapped.__name__] = value
        return value


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """Return the lower triangles of matrices as vectors, row by row, up to the diagonal `diag`."""
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ArgumentError(message(f"diag ({diag}) provided is outside [{-n}, {n - 1}]", received=diag))
    picked = [i * n + j for i in range(n) for j in range(min(i + diag + 1, n))]
    flat = mat.reshape(tuple(mat.shape[:-2]) + (n * n,))
    vector: Tensor = flat.index_select(-1, tensor(picked)) if picked else flat[..., :0]
    return vector


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """Return matrices whose lower triangles, up to the diagonal `diag`, are the vectors (the inverse of `tril_matrix_to_vec`)."""
    count = vec.shape[-1]
    n = next((n for n in range(1, count + abs(diag) + 2) if sum(max(min(i + diag + 1, n), 0) for i in range(n)) == count), None)
    if n is None:
        what = f"The size of last dimension is {count} which cannot be expressed as the lower triangular part of a square matrix"
        raise ShapeError(message(what, received=f"shape {tuple(vec.shape)}"))
    picked = [i * n + j for i in range(n) for j in range(min(i + diag + 1, n))]
    flat = vec.new_zeros(tuple(vec.shape[:-1]) + (n * n,))
    matrix: Tensor = flat.index_copy(-1, tensor(picked), vec).reshape(tuple(vec.shape[:-1]) + (n, n))
    return matrix


def counting(count: int, like: Tensor) -> Tensor:
    """Return 0, 1, … in the dtype of a tensor."""
    numbers: Tensor = arange(count, dtype=like.dtype)
    return numbers
