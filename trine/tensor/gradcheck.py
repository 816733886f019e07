"""Checking the gradients of a function of tensors against central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trine import dtypes
from trine.errors import ArgumentError, GradientError, message
from trine.tensor.autograd import grad
from trine.tensor.convert import tensor
from trine.tensor.grad_mode import no_grad
from trine.tensor.tensor import Tensor

Array = npt.NDArray[Any]


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Return True if the gradients of `func` at `inputs` are those that central differences give.

    Args:
        func: returns a tensor or a tuple of tensors.
        inputs: its arguments; those that require grad are checked, and should be float64.
        eps: step of the differences. atol, rtol: tolerances. raise_exception: raise instead of returning False.

    Raises:
        ArgumentError: no input requires grad.
        GradientError: a gradient is wrong (with `raise_exception`).

    >>> import trine
    >>> x = trine.tensor([0.5, -1.0], dtype=trine.float64, requires_grad=True)
    >>> trine.autograd.gradcheck(trine.tanh, (x,))
    True
    """
    arguments = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [i for i, a in enumerate(arguments) if isinstance(a, Tensor) and a.requires_grad]
    if not checked:
        what, received = "gradcheck: no input requires grad", f"{len(arguments)} inputs"
        raise ArgumentError(message(what, received=received, expected="at least one with requires_grad=True"))
    for number, result in enumerate(_differentiable(func(*arguments))):
        analytic = _analytic(result, [arguments[i] for i in checked])
        for position, found in zip(checked, analytic, strict=True):
            expected = _numeric(func, arguments, position, number, eps)
            if not np.allclose(found, expected, rtol=rtol, atol=atol):
                if not raise_exception:
                    return False
                raise GradientError(
                    message(
                        f"gradcheck: the gradient of result {number} with respect to input {position} is wrong",
                        received=f"{found.tolist()} from backward",
                        expected=f"{expected.tolist()} from central differences",
                    )
                )
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Sequence[Tensor] | None = None,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """The same for the gradients of the gradients; `grad_outputs` are those of the results (default: random ones).

    >>> import trine
    >>> x = trine.tensor([0.5, -1.0], dtype=trine.float64, requires_grad=True)
    >>> trine.autograd.gradgradcheck(trine.tanh, (x,))
    True
    """
    arguments = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [i for i, a in enumerate(arguments) if isinstance(a, Tensor) and a.requires_grad]
    if grad_outputs is None:
        generator = np.random.default_rng(0)
        made = [tensor(np.asarray(generator.standard_normal(tuple(r.shape))), dtype=r.dtype) for r in _differentiable(func(*arguments))]
        seeds = [m.requires_grad_() for m in made]
    else:
        seeds = list(grad_outputs)
    count = len(arguments)

    def first(*operands: Any) -> tuple[Tensor, ...]:
        results = _differentiable(func(*operands[:count]))
        found = grad(results, [operands[i] for i in checked], list(operands[count:]), create_graph=True, allow_unused=True)
        return tuple([g for g in found if g is not None and g.requires_grad])

    return gradcheck(first, [*arguments, *seeds], eps, atol, rtol, raise_exception)


def _differentiable(results: Any) -> list[Tensor]:
    several = results if isinstance(results, tuple | list) else [results]
    return [r for r in several if isinstance(r, Tensor) and r.requires_grad]


def _analytic(result: Tensor, inputs: list[Tensor]) -> list[Array]:
    """Return for each input the matrix of derivatives: a row for each of its elements, a column for each element of the result."""
    matrices = [np.zeros((i.numel(), result.numel())) for i in inputs]
    for column in range(result.numel()):
        seed = np.zeros(result.numel())
        seed[column] = 1
        cotangent = tensor(seed.reshape(tuple(result.shape)), dtype=result.dtype)
        gradients = grad(result, inputs, cotangent, retain_graph=True, allow_unused=True)
        for matrix, gradient in zip(matrices, gradients, strict=True):
            if gradient is not None:
                matrix[:, column] = gradient.detach().to(dtypes.float64).numpy().reshape(-1)
    return matrices


def _numeric(func: Callable[..., Any], arguments: list[Any], position: int, number: int, eps: float) -> Array:
    point = arguments[position].detach().numpy().copy()
    rows = []
    for index in np.ndindex(point.shape):
        values = []
        for step in (eps, -eps):
            moved = point.copy()
            moved[index] += step
            changed = tensor(moved, dtype=arguments[position].dtype, requires_grad=True)
            results = _differentiable(func(*arguments[:position], changed, *arguments[position + 1 :]))
            with no_grad():
                values.append(results[number].detach().to(dtypes.float64).numpy().reshape(-1).copy())
        rows.append((values[0] - values[1]) / (2 * eps))
    return np.array(rows)
