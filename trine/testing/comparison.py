"""Assertions about tensors that are nearly equal."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trine.errors import ArgumentError, message
from trine.tensor import Tensor
from trine.tensor.convert import as_tensor

_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}
"""dtype -> default (rtol, atol); (0, 0) for all others."""

Text = str | Callable[[str], str] | None


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: Text = None,
) -> None:
    """Raise AssertionError unless ``|actual - expected| <= atol + rtol * |expected|``, with equal shapes and dtypes.

    Args:
        actual, expected: tensors, numbers, or sequences and mappings of them, alike.
        rtol, atol: both or none; by default those of the dtype (of two dtypes, the larger). equal_nan: NaN equals NaN.
        check_dtype, check_device, check_layout, check_stride: what must agree too.
        msg: text of the error, or a function from the text to another.

    >>> import trine
    >>> trine.testing.assert_close(trine.tensor([1.0, 2.0]), trine.tensor([1.0, 2.0 + 1e-7]))
    """
    if (rtol is None) != (atol is None):
        raise ArgumentError(message("assert_close: rtol and atol", received=f"rtol={rtol}, atol={atol}", expected="both or none"))
    options = {"check_dtype": check_dtype, "check_device": check_device, "check_stride": check_stride, "equal_nan": equal_nan}
    if not allow_subclasses and type(actual) is not type(expected):
        raise TypeError(f"assert_close: {type(actual).__name__} and {type(expected).__name__} are different types")
    problem = _compare(actual, expected, rtol, atol, options, "")
    if problem is not None:
        raise AssertionError(msg(problem) if callable(msg) else msg or problem)


def _compare(actual: Any, expected: Any, rtol: float | None, atol: float | None, options: dict[str, Any], where: str) -> str | None:
    """Return what differs, or None."""
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if actual.keys() != expected.keys():
            return f"The keys of the mappings do not match:\n{sorted(map(str, actual))} and {sorted(map(str, expected))}{where}"
        pairs = [(key, actual[key], expected[key]) for key in expected]
    elif _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            return f"The length of the sequences mismatch: {len(actual)} != {len(expected)}{where}"
        pairs = [(i, a, e) for i, (a, e) in enumerate(zip(actual, expected, strict=True))]
    elif actual is None or expected is None:
        return None if actual is expected else f"{actual} is not {expected}{where}"
    else:
        return _compare_tensors(actual, expected, rtol, atol, options, where)
    for key, a, e in pairs:
        problem = _compare(
            a, e, rtol, atol, options, f"{where}\n\nThe failure occurred for item [{key!r}]" if not where else f"{where}[{key!r}]"
        )
        if problem is not None:
            return problem
    return None


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _compare_tensors(actual: Any, expected: Any, rtol: float | None, atol: float | None, options: dict[str, Any], where: str) -> str | None:
    are_scalars = not isinstance(actual, Tensor) and not isinstance(expected, Tensor)
    if isinstance(actual, Tensor) != isinstance(expected, Tensor) and not all(_is_array_like(v) for v in (actual, expected)):
        names = f"{type(actual).__name__} and {type(expected).__name__}"
        raise TypeError(f"No comparison pair was able to handle inputs of type {names}{where}")
    a, e = as_tensor(actual).detach(), as_tensor(expected).detach()
    if a.shape != e.shape:
        return f"The values for attribute 'shape' do not match: {a.shape} != {e.shape}.{where}"
    if options["check_dtype"] and a.dtype is not e.dtype and not are_scalars:
        return f"The values for attribute 'dtype' do not match: {a.dtype} != {e.dtype}.{where}"
    if options["check_stride"] and a.stride() != e.stride():
        return f"The values for attribute 'stride()' do not match: {a.stride()} != {e.stride()}.{where}"
    if rtol is None or atol is None:
        tolerances = [_TOLERANCES.get(t.dtype.name, (0.0, 0.0)) for t in (a, e)]
        rtol, atol = max(t[0] for t in tolerances), max(t[1] for t in tolerances)
    return _compare_values(_wide(a), _wide(e), rtol, atol, options["equal_nan"], are_scalars, where)


def _is_array_like(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray, np.generic, int, float, complex, bool))


def _wide(t: Tensor) -> Any:
    array = np.asarray(t.float().numpy() if t.dtype.name == "bfloat16" else t.numpy())
    return array.astype(np.complex128) if array.dtype.kind == "c" else array.astype(np.float64) if array.dtype.kind == "f" else array


def _compare_values(a: Any, e: Any, rtol: float, atol: float, equal_nan: bool, are_scalars: bool, where: str) -> str | None:
    if a.dtype.kind == "b" or e.dtype.kind == "b":
        a, e = a.astype(np.int64), e.astype(np.int64)
    is_close = a == e
    if rtol or atol:
        is_close = np.asarray(np.isclose(a, e, rtol=rtol, atol=atol, equal_nan=equal_nan))
    elif equal_nan and a.dtype.kind in "fc":
        is_close = is_close | (np.isnan(a) & np.isnan(e))
    if is_close.all():
        return None
    with np.errstate(all="ignore"):
        difference = np.where(is_close, 0, np.abs(a.astype(np.result_type(a, e, np.float64)) - e))
        relative = np.where(is_close, 0, difference / np.abs(e))
    absolute_at, relative_at = (np.unravel_index(int(np.nanargmax(np.nan_to_num(d, nan=np.inf))), d.shape) for d in (difference, relative))
    worst, ratio = float(difference[absolute_at]), float(relative[relative_at])
    kind = "equal" if rtol == atol == 0 else "close"
    if are_scalars:
        return (
            f"Scalars are not {kind}!\n\nExpected {e.item()} but got {a.item()}.\n"
            f"Absolute difference: {worst} (up to {atol} allowed)\nRelative difference: {ratio} (up to {rtol} allowed){where}"
        )
    count = int(is_close.size - is_close.sum())
    return (
        f"Tensor-likes are not {kind}!\n\nMismatched elements: {count} / {is_close.size} ({100 * count / is_close.size:.1f}%)\n"
        f"Greatest absolute difference: {worst} at index {tuple(map(int, absolute_at))} (up to {atol} allowed)\n"
        f"Greatest relative difference: {ratio} at index {tuple(map(int, relative_at))} (up to {rtol} allowed){where}"
    )


def assert_allclose(
    actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, equal_nan: bool = True, msg: str = ""
) -> None:
    """Return `assert_close` of both as tensors, without a check of their dtypes: the older name, which warns."""
    text = "`torch.testing.assert_allclose()` is deprecated since 1.12. Please use `torch.testing.assert_close()` instead."
    warnings.warn(text, FutureWarning, stacklevel=2)
    a, e = as_tensor(actual), as_tensor(expected)
    if rtol is None and atol is None:
        rtol, atol = max(_TOLERANCES.get(t.dtype.name, (0.0, 0.0)) for t in (a, e))
    assert_close(a, e, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False, msg=msg or None)
