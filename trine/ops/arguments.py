"""Reading the arguments of tensor functions: axes, shapes, dtype and device, and `out`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from trine.dtypes import DType
from trine.errors import ArgumentError, DTypeError, GradientError, ShapeError, message
from trine.tensor import Tensor
from trine.tensor.alias import take_value
from trine.tensor.device import Device, check_device
from trine.tensor.grad_mode import is_grad_enabled
from trine.tensor.operators import check_can_cast
from trine.tensor.recorder import held_back

Dim = int | Sequence[int] | None
_F = TypeVar("_F", bound=Callable[..., Any])

# NumPy's names of arguments, which PyTorch accepts too.
NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def numpy_names(function: _F) -> _F:
    """Let a function with `dim` and `keepdim` also take NumPy's `axis` and `keepdims`; the signature shows both."""
    signature = inspect.signature(function)
    others = {theirs: ours for theirs, ours in NUMPY_NAMES.items() if ours in signature.parameters}

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            for theirs, ours in others.items():
                if theirs in kwargs:
                    kwargs[ours] = kwargs.pop(theirs)
        return function(*args, **kwargs)

    extra = [
        signature.parameters[ours].replace(name=theirs, kind=inspect.Parameter.KEYWORD_ONLY, default=None if theirs == "axis" else False)
        for theirs, ours in others.items()
    ]
    wrapper.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *extra])  # type: ignore[attr-defined]
    return wrapper  # type: ignore[return-value]


def hashable_dim(dim: Dim) -> int | tuple[int, ...] | None:
    """Return `dim` as an int, a tuple or None, so that it can be an attribute of a record."""
    if dim is None or isinstance(dim, int):
        return dim
    return dim.__index__() if hasattr(dim, "__index__") else tuple(dim)


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
    """Return `result`, or write it into `out` and return that; an `out` without elements takes the result's shape.

    Raises:
        ShapeError: `out` has another shape.
        DTypeError: `out` has a dtype of a lower kind (an integer one for a floating point result).
        GradientError: gradients are recorded for an operand or for `out`.
    """
    if out is None:
        return result
    if not isinstance(out, Tensor):
        raise ArgumentError(message("out: not a tensor", received=type(out).__name__, expected="a Tensor"))
    if result.requires_grad or (out.requires_grad and is_grad_enabled()):
        raise GradientError(
            message(
                "out: functions with out= are not differentiable",
                received="operands or out with requires_grad=True",
                fix="leave out= away, or call it inside `with trine.no_grad():`",
            )
        )
    if result.dtype is not out.dtype:
        check_can_cast(result, out)
    if out.shape == result.shape:
        out.copy_(result)
        return out
    if out.numel():
        raise ShapeError(
            message(
                "out: the shape differs from the result's",
                received=f"out of shape {tuple(out.shape)}",
                expected=f"shape {tuple(result.shape)}",
                fix="pass an out tensor of the result's shape, or none",
            )
        )
    with held_back():
        take_value(out, result.to(out.dtype))
    return out


def write_outs(results: Sequence[Tensor], out: Sequence[Tensor] | None) -> tuple[Tensor, ...]:
    """Return `results`, or write each into its tensor of `out` and return these.

    Raises:
        ArgumentError: `out` has another number of tensors.
    """
    if out is None:
        return tuple(results)
    if not isinstance(out, (tuple, list)) or len(out) != len(results):
        raise ArgumentError(message("out: the wrong number of tensors", received=repr(type(out)), expected=f"{len(results)} tensors"))
    return tuple([write_out(result, target) for result, target in zip(results, out, strict=True)])


def check_options(dtype: object, device: object) -> None:
    """Check the options that all functions that create tensors have.

    Raises:
        DTypeError: `dtype` is neither None nor a dtype. ArgumentError: `device` is neither None nor a device that exists.
    """
    if dtype is not None and not isinstance(dtype, DType):
        raise DTypeError(message("dtype: not a dtype", received=repr(dtype), expected="a dtype such as trine.float32"))
    if device is not None and not isinstance(device, Device):
        check_device(device)


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
