"""Checking values without disturbing what the program has recorded."""

from __future__ import annotations

from typing import Any

from trine import dtypes
from trine.distributions.constraints import Constraint
from trine.tensor import Tensor
from trine.tensor.recorder import local, new_trace
from trine.tensor.state import Meta
from trine.tensor.tensor import from_buffer


def all_true(constraint: Constraint, value: Tensor) -> bool | None:
    """Return whether all values are allowed; None if something in question is still being recorded.

    Simple constraints are checked with NumPy, others in a recording of their own.
    """
    tensors = [value, *(v for v in vars(constraint).values() if isinstance(v, Tensor))]
    if not all(is_known(t) for t in tensors):
        return None
    if constraint.takes_arrays and value.dtype is not dtypes.bfloat16:
        own = _with_bounds(constraint, lambda t: t._array())
        return bool(own.check(value._array()).all())
    before = local.trace
    new_trace()
    try:
        own = _with_bounds(constraint, _fresh)
        return bool(own.check(_fresh(value)).all().item())
    finally:
        local.trace = before


def is_known(tensor: Tensor) -> bool:
    """Return True if a tensor's value is in memory and up to date."""
    group = tensor._alias
    return tensor._buffer is not None and (group is None or tensor._alias_version == group.version)


def _fresh(tensor: Tensor) -> Tensor:
    buffer = tensor._buffer
    return tensor if buffer is None else from_buffer(buffer, Meta.of(tensor._meta.shape, tensor._meta.dtype))


def _with_bounds(constraint: Constraint, convert: Any) -> Constraint:
    """Return the constraint with the tensors in it converted."""
    if not any(isinstance(v, Tensor) for v in vars(constraint).values()):
        return constraint
    own = object.__new__(type(constraint))
    own.__dict__.update({k: convert(v) if isinstance(v, Tensor) else v for k, v in vars(constraint).items()})
    return own
