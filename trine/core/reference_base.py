"""What the reference implementations share: how values are held and in which precision they are computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from trine import dtypes
from trine.core.graph import Node
from trine.dtypes import DType

Array = npt.NDArray[Any]
# A reference takes the node and the arrays of its operands, as they are held (bfloat16 as uint16), and returns the held result.
Implementation = Callable[..., Array]


def decode(array: Array, dtype: DType) -> Array:
    """Return a held array as one that NumPy computes with: half types become float32."""
    if dtype is dtypes.bfloat16:
        return dtypes.from_bfloat16_bits(array)
    return array.astype(np.float32) if dtype is dtypes.float16 else array


def encode(array: Array, dtype: DType) -> Array:
    """Round a computed array to a dtype and return it as it is held; half types through float32."""
    array = np.asarray(array)
    if dtype is dtypes.bfloat16:
        return dtypes.to_bfloat16_bits(array.astype(np.float32, copy=False))
    if dtype is dtypes.float16:
        return array.astype(np.float32, copy=False).astype(np.float16)
    return array.astype(dtype.numpy, copy=False)


WIDER = {np.dtype(np.float32): np.dtype(np.float64), np.dtype(np.complex64): np.dtype(np.complex128)}


def widen(array: Array) -> Array:
    """Return float32 as float64 and complex64 as complex128, so that one rounding at the end makes nearly exact results."""
    return array.astype(WIDER[array.dtype]) if array.dtype in WIDER else array


def quiet(implementation: Implementation) -> Implementation:
    """Silence NumPy's warnings: infinities and NaN are values."""

    def run(node: Node, *operands: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(implementation(node, *operands))

    return run


def exact(function: Callable[..., Any]) -> Implementation:
    """Make a reference of a NumPy function that rounds correctly (or is exact) in the dtype of its operands."""

    def run(node: Node, *operands: Array) -> Array:
        values = [decode(a, i.dtype) for a, i in zip(operands, node.inputs, strict=True)]
        return encode(function(*values), node.dtype)

    return quiet(run)


def rounded(function: Callable[..., Any]) -> Implementation:
    """Make a reference of a NumPy function that is computed in float64 or complex128 and rounded once."""

    def run(node: Node, *operands: Array) -> Array:
        values = [widen(decode(a, i.dtype)) for a, i in zip(operands, node.inputs, strict=True)]
        return encode(function(*values), node.dtype)

    return quiet(run)
