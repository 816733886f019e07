"""Every elementwise primitive on every dtype that has it, against the NumPy reference."""

from __future__ import annotations

import numpy as np
import pytest
from harness import TARGETS, KernelStatusError, value_array
from nest_reference import Arrays, check, row_major, run_native

from trine import dtypes
from trine.compiler.lower.loop import unsupported
from trine.compiler.nest import Access, Axis, Instruction, LoopNest
from trine.compiler.program import Value
from trine.compiler.target import Target
from trine.core.primitives import PRIMITIVES
from trine.core.reference_base import encode
from trine.dtypes import DType, bool_, float32, float64, int32, int64
from trine.errors import UnsupportedError

NATIVE = [d for d in dtypes.ALL if not d.is_complex]
COMPARISONS = frozenset("eq ne lt le gt ge isnan isinf isfinite logical_not".split())
DOMAIN = {"asin": 0.9, "acos": 0.9, "atanh": 0.9, "sinh": 5.0, "cosh": 5.0, "tan": 1.4}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, np.inf, -np.inf, np.nan]


def sample(dtype: DType, count: int, seed: int) -> np.ndarray:
    """Return values as held: random ones, extremes and special cases."""
    rng = np.random.default_rng(seed)
    if dtype is bool_:
        return rng.integers(0, 2, count).astype(np.bool_)
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        values = rng.integers(max(info.min, -20), 20, count).astype(dtype.numpy)
        values[: count // 3] = rng.integers(info.min, info.max, count // 3, dtype.numpy, endpoint=True)
        values[:4] = [info.min, info.max, 0, 1]
        rng.shuffle(values)
        return values
    values = rng.standard_normal(count) * 3
    values[: len(SPECIAL)] = SPECIAL
    rng.shuffle(values)
    return encode(values.astype(np.float32), dtype) if dtype.is_half else values.astype(dtype.numpy)


def supported(family: str, dtype: DType) -> list[str]:
    """Return the primitives of a family that the table allows and the native engine has for a dtype."""
    names = [p.name for p in PRIMITIVES.values() if p.family == family]
    if dtype is bool_:
        return [
            n for n in names if n in ("logical_not", "eq", "ne", "lt", "le", "gt", "ge", "maximum", "minimum") or n.startswith("bitwise")
        ]
    if dtype.is_integer:
        floats = "div atan2 copysign nextafter isnan isinf isfinite logical_not".split()
        integers = "neg abs sign floor ceil trunc bitwise_not".split()
        return [n for n in names if n not in floats and (family == "binary" or n in integers)]
    skip = ("bitwise", "shift", "logical", "real", "imag", "conj")
    return [n for n in names if not n.startswith(skip) and not unsupported(n, dtype)]


def nest_of(calls: list[tuple[str, int, DType]], dtype: DType, inputs: list[Value]) -> LoopNest:
    """Return a nest that applies each (primitive, number of operands, dtype of the result) to the inputs and stores the result."""
    n = inputs[0].shape[0]
    nest = LoopNest([Axis(n)], [Access(v, 0, (1,)) for v in inputs])
    nest.instructions = [Instruction("load", (), v.dtype, (k,)) for k, v in enumerate(inputs)]
    for op, arity, result in calls:
        attrs = (result,) if op in ("cast", "bitcast") else ()
        nest.instructions.append(Instruction(op, tuple(range(arity)), result, attrs))
        nest.stores.append((len(nest.instructions) - 1, len(nest.accesses)))
        nest.accesses.append(Access(row_major((n,), result, "output"), 0, (1,)))
    return nest


@pytest.mark.parametrize("dtype", NATIVE, ids=lambda d: d.name)
def test_unary(dtype: DType) -> None:
    names = supported("unary", dtype)
    x = row_major((77,), dtype)
    whole = [n for n in names if n not in DOMAIN]
    check(nest_of([(n, 1, bool_ if n in COMPARISONS else dtype) for n in whole], dtype, [x]), {x: sample(dtype, 77, 1)}, scale=4)
    limited = [n for n in names if n in DOMAIN]
    if limited:
        values = np.random.default_rng(0).uniform(-0.9, 0.9, 77).astype(np.float32)
        check(nest_of([(n, 1, dtype) for n in limited], dtype, [x]), {x: encode(values, dtype)}, scale=4)


@pytest.mark.parametrize("dtype", NATIVE, ids=lambda d: d.name)
def test_binary(dtype: DType) -> None:
    a, b = row_major((150,), dtype), row_major((150,), dtype)
    names = supported("binary", dtype)
    contents = {a: sample(dtype, 150, 1), b: sample(dtype, 150, 2)}
    check(nest_of([(n, 2, bool_ if n in COMPARISONS else dtype) for n in names if n != "pow"], dtype, [a, b]), contents)
    if "pow" in names:
        check(nest_of([("pow", 2, dtype)], dtype, [a, b]), contents, scale=4)


@pytest.mark.parametrize("source", NATIVE, ids=lambda d: d.name)
def test_cast_to_every_dtype(source: DType) -> None:
    x = row_major((100,), source)
    values = sample(source, 100, 3)
    if source.is_floating_point:
        # Out of range and NaN have no portable result as integers; negative numbers have none as unsigned ones.
        held = np.random.default_rng(1).uniform(0, 120, 100)
        values = encode(held.astype(np.float32), source) if source.is_half else held.astype(source.numpy)
    check(nest_of([("cast", 1, d) for d in NATIVE], source, [x]), {x: values})
    if source.is_floating_point:
        check(nest_of([("cast", 1, d) for d in NATIVE if d.is_floating_point], source, [x]), {x: sample(source, 100, 4)})
        signed = sample(float64, 100, 5)
        signed = np.where(np.isfinite(signed), signed, 3.5)
        check(nest_of([("cast", 1, d) for d in NATIVE if d.code == "i"], source, [x]), {x: encode(signed, source)})


@pytest.mark.parametrize("source", NATIVE, ids=lambda d: d.name)
def test_bitcast(source: DType) -> None:
    x = row_major((70,), source)
    results = [d for d in NATIVE if d.itemsize == source.itemsize and bool_ not in (d, source)]
    values = sample(source, 70, 6)
    if source.is_integer:
        values = np.abs(values) % 100  # patterns of signalling NaN need not survive
    if results:
        check(nest_of([("bitcast", 1, d) for d in results], source, [x]), {x: values})


@pytest.mark.parametrize("dtype", NATIVE, ids=lambda d: d.name)
def test_where(dtype: DType) -> None:
    condition, a, b = row_major((90,), bool_), row_major((90,), dtype), row_major((90,), dtype)
    contents = {condition: sample(bool_, 90, 0), a: sample(dtype, 90, 1), b: sample(dtype, 90, 2)}
    check(nest_of([("where", 3, dtype)], dtype, [condition, a, b]), contents)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_half_conversions_of_every_pattern(name: str) -> None:
    half = dtypes.by_name(name)
    bits = np.arange(1 << 16, dtype=np.uint16)
    x, wide = row_major((1 << 16,), half), row_major((1 << 16,), float32)
    check(nest_of([("cast", 1, float32)], half, [x]), {x: bits.view(half.numpy)})
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 1 << 32, 1 << 16, np.uint32)
    # Every exponent, ties among them.
    patterns[: 1 << 15] &= np.uint32(0xFFFFF000)
    check(nest_of([("cast", 1, half)], float32, [wide]), {wide: patterns.view(np.float32)}, scale=0)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
@pytest.mark.parametrize("dtype", [int32, int64], ids=lambda d: d.name)
@pytest.mark.parametrize("wraps", [True, False])
def test_check_index(target: Target, dtype: DType, wraps: bool) -> None:
    x, y = row_major((41,), dtype), row_major((41,), dtype, "output")
    nest = LoopNest(
        *([Axis(41)], [Access(x, 0, (1,)), Access(y, 0, (1,))]),
        [Instruction("load", (), dtype, (0,)), Instruction("check_index", (0,), dtype, (7, wraps))],
        [(1, 1)],
    )
    values = np.arange(41) % (14 if wraps else 7) - (7 if wraps else 0)
    arrays: Arrays = {x: value_array(x, values), y: value_array(y)}
    run_native(nest, arrays, target)
    np.testing.assert_array_equal(arrays[y], values % 7)
    for bad, nearest in ((9, 6), (-8 if wraps else -1, 0)):
        values[37] = bad
        arrays = {x: value_array(x, values), y: value_array(y)}
        with pytest.raises(KernelStatusError) as error:
            run_native(nest, arrays, target, node_id=lambda node: 5)
        assert error.value.args[0] == (1, 5, bad, 7)
        assert arrays[y][37] == nearest


def test_unsupported_lists_what_has_no_kernel() -> None:
    assert unsupported("add", dtypes.complex64)
    assert unsupported("lgamma", float32)
    assert unsupported("nextafter", dtypes.bfloat16)
    x = row_major((5,), float32)
    with pytest.raises(UnsupportedError, match="lgamma of float32"):
        check(nest_of([("lgamma", 1, float32)], float32, [x]), {x: np.ones(5)})
    assert not any(unsupported(op, d) for op in ("add", "where", "eq") for d in NATIVE if d is not bool_)
