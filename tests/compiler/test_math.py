"""Vector math against float64 (for float32) and extended precision (for float64), on every target that the host can run."""

from __future__ import annotations

import math

import numpy as np
import pytest
from harness import TARGETS, run_kernel

from trine import dtypes
from trine.compiler import llvm
from trine.compiler import math as vector_math
from trine.compiler.ir import KERNEL_ARGUMENTS, Module
from trine.compiler.target import Target, make_target
from trine.core.primitives import PRIMITIVES
from trine.dtypes import DType
from trine.runtime.objects import ObjectFile

FLOATS = (dtypes.float32, dtypes.float64)


def elementwise(op: str, dtype: DType, target: Target, num_inputs: int, lanes: int) -> str:
    """Return a kernel that applies `op` to vectors: operands are the inputs, then the output."""
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    element = target.llvm_type(dtype)
    vector = element if lanes == 1 else f"<{lanes} x {element}>"
    pointers = [f.operand(i) for i in range(num_inputs + 1)]
    with f.loop("%begin", "%end") as loop:
        at = f.mul(loop.index, lanes)
        x = [f.load(vector, f.gep(p, at, element), dtype.itemsize) for p in pointers[:-1]]
        if num_inputs == 1:
            y = vector_math.emit_unary(f, op, x[0], dtype, lanes)
        else:
            y = vector_math.emit_binary(f, op, x[0], x[1], dtype, lanes)
        f.store(vector, y, f.gep(pointers[-1], at, element), dtype.itemsize)
    f.ret()
    return module.text()


def apply(op: str, target: Target, *inputs: np.ndarray, lanes: int | None = None) -> np.ndarray:
    dtype = dtypes.by_name(inputs[0].dtype.name)
    lanes = lanes or target.lanes(dtype)
    out = np.empty_like(inputs[0])
    if len(out) % lanes:
        raise ValueError(len(out))
    run_kernel(elementwise(op, dtype, target, len(inputs), lanes), [*inputs, out], [], len(out) // lanes, target=target)
    return out


def special_values(dtype: DType) -> np.ndarray:
    info = np.finfo(dtype.numpy)
    positive = [0, 0.25, 0.5, 1, 1.5, 2, 3, 100, 1e10, 1e30, np.inf, info.tiny, info.smallest_subnormal, info.max, info.eps, 1e-10]
    return np.array([*positive, *(-p for p in positive), np.nan], dtype.numpy)


def samples(dtype: DType, count: int, seed: int = 0) -> np.ndarray:
    """Return specials, random bit patterns, ranges around 0, neighbours of 1 and small numbers; a multiple of 16 in length."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2 ** (8 * dtype.itemsize) - 1, count, dtype=f"uint{8 * dtype.itemsize}", endpoint=True)
    ranges = [rng.uniform(-size, size, count // 4) for size in (1, 3, 10, 100, 1000)]
    near_one = 1 + rng.uniform(-1, 1, count // 4) * 10.0 ** -rng.uniform(0, 8, count // 4)
    small = rng.choice([-1, 1], count // 4) * 10.0 ** -rng.uniform(0, 30, count // 4)
    parts = [special_values(dtype), bits.view(dtype.numpy), *(a.astype(dtype.numpy) for a in (*ranges, near_one, small))]
    x = np.concatenate(parts)
    return x[: len(x) // 16 * 16].copy()


def pointwise(function):
    return lambda x: np.array([function(float(v)) for v in x], x.dtype)


REFERENCE = {
    "neg": np.negative, "abs": np.abs, "sign": np.sign, "round": np.rint, "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "erf": pointwise(math.erf), "erfc": pointwise(math.erfc),
    "atan2": np.arctan2, "pow": np.power,
    "floor_div": np.floor_divide, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
}  # fmt: skip
# Python's math functions have no extended precision: their own error comes on top.
REFERENCE_ULP = {"erf": 1.0, "erfc": 1.0}


def reference(op: str, *inputs: np.ndarray) -> np.ndarray:
    dtype = inputs[0].dtype
    # Quotients are whole numbers of the type itself, neighbours too; NumPy's extended fmod is inexact for huge quotients.
    exact = op in ("nextafter", "floor_div", "fmod", "remainder")
    wide = dtype if exact else np.float64 if dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        return (REFERENCE.get(op) or getattr(np, op))(*(x.astype(wide) for x in inputs))


def ulp_errors(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return errors in ulp of the expected value; infinite for a wrong NaN, infinity or sign of zero."""
    info = np.finfo(got.dtype)
    with np.errstate(all="ignore"):
        rounded = expected.astype(got.dtype)
        spacing = np.spacing(np.minimum(np.abs(rounded), info.max)).astype(expected.dtype)
        errors = np.abs(got.astype(expected.dtype) - expected) / spacing
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    errors = np.where(same, np.minimum(np.nan_to_num(errors, nan=0.0, posinf=0.0), 0.5), errors)
    # The largest number for infinity, or the reverse, is one step.
    extreme = (np.abs(got) >= info.max) & (np.abs(rounded) >= info.max) & (np.sign(got) == np.sign(rounded))
    errors = np.where(extreme & ~same, 1.0, errors)
    errors = np.where(~same & ~extreme & (~np.isfinite(got) | ~np.isfinite(rounded)), np.inf, errors)
    return np.where((got == 0) & (rounded == 0) & (np.signbit(got) != np.signbit(rounded)), np.inf, errors)


def check(op: str, target: Target, *inputs: np.ndarray) -> None:
    expected = reference(op, *inputs)
    got = apply(op, target, *inputs)
    errors = ulp_errors(got, expected)
    bound = vector_math.ULP[op][inputs[0].dtype == np.float64] + REFERENCE_ULP.get(op, 0.0)
    worst = int(np.argmax(errors))
    at = tuple(x[worst] for x in inputs)
    assert errors[worst] <= max(bound, 0.5), f"{op}{at} on {target.name}: got {got[worst]!r}, expected {expected[worst]!r}"
    if bound == 0:
        np.testing.assert_array_equal(got, expected.astype(got.dtype))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.name)
@pytest.mark.parametrize("op", sorted(vector_math._UNARY))
def test_unary_error_bound(op: str, dtype: DType, target: Target) -> None:
    check(op, target, samples(dtype, 20000))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.name)
@pytest.mark.parametrize("op", sorted(set(vector_math._BINARY) - {"maximum", "minimum"}))
def test_binary_error_bound(op: str, dtype: DType, target: Target) -> None:
    special = special_values(dtype)
    a, b = (side.ravel() for side in np.meshgrid(special, special))
    x, y = samples(dtype, 5000, 1), samples(dtype, 5000, 2)
    np.random.default_rng(3).shuffle(y)
    count = (len(a) + len(x)) // 16 * 16
    check(op, target, np.concatenate([a, x])[:count].copy(), np.concatenate([b, y])[:count].copy())


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.name)
@pytest.mark.parametrize("op", ["maximum", "minimum"])
def test_extremum_propagates_nan(op: str, dtype: DType, target: Target) -> None:
    a, b = (side.ravel()[:1088].copy() for side in np.meshgrid(special_values(dtype), special_values(dtype)))
    got = apply(op, target, a, b)
    np.testing.assert_array_equal(got, getattr(np, op)(a, b))


@pytest.mark.parametrize("op", ["exp", "log", "sin", "tanh", "pow", "fmod"])
@pytest.mark.parametrize("lanes", [1, 2, 4, 32])
def test_lanes_do_not_change_results(op: str, lanes: int) -> None:
    target = TARGETS[-1]
    x = samples(dtypes.float32, 500)
    x = x[: len(x) // 32 * 32].copy()
    inputs = (x, x[::-1].copy()) if op in ("pow", "fmod") else (x,)
    np.testing.assert_array_equal(apply(op, target, *inputs, lanes=lanes), apply(op, target, *inputs))


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("op", ["sin", "cos", "tan"])
def test_trigonometry_near_multiples_of_half_pi(op: str, target: Target) -> None:
    multiples = np.arange(1, 16 * 2000 + 1) * (math.pi / 2)
    check(op, target, multiples.astype(np.float32))
    check(op, target, multiples)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_gelu_of_infinity_is_infinite(target: Target) -> None:
    x = np.array([np.inf, -np.inf, 10.0, -10.0] * 4, np.float32)
    np.testing.assert_array_equal(apply("erf", target, x), np.sign(x))


ALLOWED_CALLS = {
    **{op: {op, op + "f"} for op in ("sin", "cos", "tan", "fmod")},
    **{"remainder": {"fmod", "fmodf"}, "floor_div": {"fmod", "fmodf"}, "pow": {"pow"}},
}


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.name)
@pytest.mark.parametrize("target", [*TARGETS, make_target("generic", "aarch64")], ids=lambda t: f"{t.name}-{t.arch}")
def test_no_calls_into_the_library_on_the_usual_path(target: Target, dtype: DType) -> None:
    arity = {**dict.fromkeys(vector_math._UNARY, 1), **dict.fromkeys(vector_math._BINARY, 2)}
    for op, num_inputs in arity.items():
        file = ObjectFile(llvm.compile_object(elementwise(op, dtype, target, num_inputs, target.lanes(dtype)), target))
        undefined = {file.symbol_name(s) for s in file.symbols if s[3] == 0} - {""}
        assert undefined <= ALLOWED_CALLS.get(op, set()), op


def test_every_float_primitive_is_listed() -> None:
    handled = {*vector_math._UNARY, *vector_math._BINARY}
    assert set(vector_math.ULP) == handled
    assert not handled & vector_math.UNSUPPORTED
    assert handled | vector_math.UNSUPPORTED <= set(PRIMITIVES)
    assert vector_math.is_supported("tanh", dtypes.bfloat16)
    assert not vector_math.is_supported("lgamma", dtypes.float32)
    assert not vector_math.is_supported("tanh", dtypes.int32)
