"""Helpers of the reference's tests: random arrays of any dtype, running one builder, the same numbers as torch tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trine import dtypes
from trine.core import build
from trine.core.graph import Node
from trine.core.interpreter import evaluate
from trine.core.reference_base import decode, encode
from trine.dtypes import DType


def sample(shape: tuple[int, ...], dtype: DType, seed: int = 0, low: float = -3.0, high: float = 3.0) -> np.ndarray[Any, Any]:
    """Return random numbers, held as `dtype` is held; integers are small."""
    generator = np.random.default_rng(seed)
    if dtype is dtypes.bool_:
        return generator.random(shape) < 0.5
    if dtype.is_integer:
        return generator.integers(0 if not dtype.is_signed else -9, 10, shape).astype(dtype.numpy)
    values = generator.uniform(low, high, shape)
    if dtype.is_complex:
        values = values + 1j * generator.uniform(low, high, shape)
    return encode(values, dtype)


def run(builder: Callable[..., Node], *operands: tuple[np.ndarray[Any, Any], DType], **attrs: Any) -> np.ndarray[Any, Any]:
    """Return the value of builder(*inputs, **attrs) for (array, dtype) operands."""
    nodes = [build.input(k, array.shape, dtype) for k, (array, dtype) in enumerate(operands)]
    node = builder(*nodes, **attrs)
    (value,) = evaluate([node], [array for array, _ in operands])
    if value.shape != node.shape or value.dtype != node.dtype.numpy:
        raise AssertionError(f"{node}: value has shape {value.shape} and dtype {value.dtype}")
    return value


def as_float(array: np.ndarray[Any, Any], dtype: DType) -> np.ndarray[Any, Any]:
    """Return a held array as numbers."""
    return decode(array, dtype)


def to_torch(torch: Any, array: np.ndarray[Any, Any], dtype: DType) -> Any:
    """Return a held array as a torch tensor."""
    tensor = torch.from_numpy(np.array(array, order="C"))
    return tensor.view(torch.bfloat16) if dtype is dtypes.bfloat16 else tensor


def from_torch(torch: Any, tensor: Any) -> np.ndarray[Any, Any]:
    """Return a torch tensor as numbers."""
    tensor = tensor.resolve_conj()
    return tensor.float().numpy() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor.numpy()


TOLERANCE = {
    dtypes.float16: {"rtol": 2e-3, "atol": 1e-3},
    dtypes.bfloat16: {"rtol": 1.6e-2, "atol": 1e-2},
    dtypes.float32: {"rtol": 1e-5, "atol": 1e-5},
    dtypes.complex64: {"rtol": 1e-5, "atol": 1e-5},
    dtypes.float64: {"rtol": 1e-12, "atol": 1e-12},
    dtypes.complex128: {"rtol": 1e-12, "atol": 1e-12},
}


def close(actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], dtype: DType, what: str = "") -> None:
    """Assert equality: exact for integers, within the dtype's tolerance otherwise; NaN equals NaN."""
    np.testing.assert_allclose(actual, expected, **TOLERANCE.get(dtype, {"rtol": 0, "atol": 0}), err_msg=what, strict=False)
