"""Reading the arguments of tensor functions: axes, shapes, dtype and device, and `out`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trine.dtypes import DType
from trine.errors import ArgumentError, DTypeError, GradientError, ShapeError, message
from trine.tensor import Tensor
from trine.tensor.device import Device
from trine.tensor.grad_mode import is_grad_enabled

Dim = int | Sequence[int] | None


def hashable_dim(dim: Dim) -> int | tuple[int, ...] | None:
    """Return `dim` as an int, a tuple or None, so that it can be an attribute of a record."""
    return dim if dim is None or isinstance(dim, int) else tuple(dim)


def varargs(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the sizes of a call such as ``f(2, 3)``, ``f((2, 3))`` or ``f([2, 3])``.

    Raises:
        ArgumentError: something among them is not an integer.
    """
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    try:
        return tuple([s if type(s) is int else s.__index__() for s in sizes])
    except (AttributeError, TypeError):
        raise ArgumentError(
            message("shape: a size is not an integer", received=repr(sizes), expected="integers, or one sequence of them")
        ) from None


def write_out(result: Tensor, out: Tensor | None) -> Tensor:
    """Return `result`, or write it into `out` and return that.

    Raises:
        ShapeError: `out` has another shape.
        GradientError: gradients are recorded for an operand or for `out`.
    """
    if out is None:
        return result
    if out.shape != result.shape:
        raise ShapeError(
            message(
                "out: the shape differs from the result's",
                received=f"out of shape {tuple(out.shape)}",
                expected=f"shape {tuple(result.shape)}",
                fix="pass an out tensor of the result's shape, or none",
            )
        )
    if result.requires_grad or (out.requires_grad and is_grad_enabled()):
        raise GradientError(
            message(
                "out: functions with out= are not differentiable",
                received="operands or out with requires_grad=True",
                fix="leave out= away, or call it inside `with trine.no_grad():`",
            )
        )
    out.copy_(result)
    return out


def check_options(dtype: object, device: object) -> None:
    """Check the options that all functions that create tensors have.

    Raises:
        DTypeError: `dtype` is neither None nor a dtype. ArgumentError: `device` is neither None nor a device that exists.
    """
    if dtype is not None and not isinstance(dtype, DType):
        raise DTypeError(message("dtype: not a dtype", received=repr(dtype), expected="a dtype such as trine.float32"))
    if device is not None and not isinstance(device, Device):
        Device(device)  # type: ignore[arg-type]  # any object may come from the user; its text decides


def check_choice(op: str, argument: str, value: object, choices: Sequence[object]) -> None:
    """Raise ArgumentError unless `value` is one of `choices`."""
    if value not in choices:
        expected = ", ".join(repr(c) for c in choices)
        raise ArgumentError(message(f"{op}: no such {argument}", received=repr(value), expected=expected))


def spatial(op: str, argument: str, value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """Return a window argument (kernel size, stride …) as one int per spatial axis.

    Raises:
        ArgumentError: it has another length or is not made of integers.
    """
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) == 1:
        values = values * rank
    if len(values) != rank or not all(isinstance(v, int) for v in values):
        raise ArgumentError(message(f"{op}: {argument} does not fit", received=repr(value), expected=f"an int or {rank} ints"))
    return values
