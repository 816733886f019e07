"""Random tensors for tests."""

from __future__ import annotations

from typing import Any

from trine import dtypes
from trine.dtypes import DType
from trine.errors import ArgumentError, message
from trine.ops import complex as _complex
from trine.ops.arguments import varargs
from trine.ops.creation import zeros
from trine.ops.random import randint
from trine.tensor import Tensor


def make_tensor(
    *shape: Any,
    dtype: DType,
    device: Any = None,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Return a tensor of uniform random numbers in [low, high).

    Args:
        low, high: by default -9 and 9 (0 and 9 for unsigned integers, 0 and 2 for bool). noncontiguous: every second element of a larger
            tensor. exclude_zero: replace zeros by the smallest positive number.

    >>> import trine
    >>> trine.testing.make_tensor(2, 3, dtype=trine.float32).shape
    trine.Size([2, 3])
    """
    sizes = varargs(shape)
    is_unsigned = dtype.name.startswith("uint")
    lowest, highest = (0, 2) if dtype.name == "bool" else (0, 10) if is_unsigned else (-9, 10 if not dtype.is_floating_point else 9)
    first, last = lowest if low is None else low, highest if high is None else high
    if first >= last and (low is not None or high is not None):
        raise ArgumentError(message("make_tensor: low and high", received=f"{first} and {last}", expected="low < high"))
    whole = (*sizes[:-1], 2 * sizes[-1]) if noncontiguous and sizes else sizes
    made: Any
    if dtype.is_complex:
        real = zeros(whole, dtype=_PART[dtype.name], device=device)
        made = _complex(real.uniform_(first, last), zeros(whole, dtype=real.dtype).uniform_(first, last))
    elif dtype.is_floating_point:
        made = zeros(whole, dtype=dtype, device=device).uniform_(first, last)
    else:
        made = randint(int(first), int(last), whole, dtype=dtype)
    if exclude_zero:
        smallest = 1 if not (dtype.is_floating_point or dtype.is_complex) else _SMALLEST.get(dtype.name, 2.0**-126)
        made = made.masked_fill(made == 0, smallest)
    if whole != sizes:
        made = made[..., ::2]
    return made.requires_grad_(requires_grad)  # type: ignore[no-any-return]


_PART = {"complex64": dtypes.float32, "complex128": dtypes.float64}
_SMALLEST = {"float16": 2.0**-14, "float64": 2.0**-1022, "complex128": 2.0**-1022}
