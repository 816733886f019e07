"""Random loop nests of every form against the reference, on every target, with units split in two ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nest_reference import check, row_major

from trine import dtypes
from trine.compiler.lower import loop
from trine.compiler.nest import Access, Axis, Instruction, LoopNest
from trine.compiler.program import Value
from trine.core.reference_base import encode
from trine.dtypes import DType, bool_, float32, float64, int32, int64, uint8, uint32

EXTENTS = [1, 2, 3, 5, 8, 15, 16, 17, 33, 64, 67]
LAYOUTS = ["p", "pp", "ppp", "pr", "ppr", "prr", "rp", "prp", "rpp", "r", "rr", "rpr", "rprp"]
DTYPES = [float32, float32, float64, int32, dtypes.float16, dtypes.bfloat16, uint8, int64]


class Draw:
    """A nest under construction."""

    def __init__(self, seed: int, layout: str, dtype: DType, largest: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype
        extents = [int(self.rng.choice(EXTENTS)) for _ in layout]
        while np.prod(extents) > largest:
            extents[int(np.argmax(extents))] = 3
        self.extents = extents
        self.reduced = [kind == "r" for kind in layout]
        self.nest = LoopNest([Axis(e, r) for e, r in zip(extents, self.reduced, strict=True)])
        self.contents: dict[Value, np.ndarray] = {}

    def values(self, count: int) -> np.ndarray:
        """Return small values, exact in every dtype."""
        held = self.rng.integers(0, 4, count)
        return encode(held.astype(np.float32), self.dtype) if self.dtype.is_half else held.astype(self.dtype.numpy)

    def emit(self, op: str, *args: int, dtype: DType | None = None, attrs: tuple[Any, ...] = (), row: bool = False) -> int:
        """Append an instruction and return its number."""
        self.nest.instructions.append(Instruction(op, args, dtype or self.dtype, attrs, row))
        return len(self.nest.instructions) - 1

    def access(self, value: Value, offset: int, strides: list[int], bounds: tuple[tuple[int, int, int], ...] = ()) -> int:
        """Append an access and return its number."""
        self.nest.accesses.append(Access(value, offset, tuple(strides), bounds, 1))
        return len(self.nest.accesses) - 1

    def load(self, axes: list[int]) -> int:
        """Load an array that varies along `axes`: in a random order of axes, flipped, sliced or padded."""
        order = [int(k) for k in self.rng.permutation(axes)] if self.rng.random() < 0.3 else axes
        strides, bounds, offset, size = [0] * len(self.extents), [], 0, 1
        for k in reversed(order):
            extent, style = self.extents[k], self.rng.random()
            if style < 0.15 and extent > 2:  # padded by one before and after
                bounds.append((k, 1, extent - 1))
                strides[k], offset, size = size, offset - size, size * (extent - 2)
            elif style < 0.25:  # flipped
                strides[k], offset, size = -size, offset + size * (extent - 1), size * extent
            elif style < 0.35:  # every second element
                strides[k], size = 2 * size, size * 2 * extent
            else:
                strides[k], size = size, size * extent
        value = row_major((size,), self.dtype)
        self.contents[value] = self.values(size)
        row = not any(self.reduced[k] for k in axes)
        return self.emit("load", attrs=(self.access(value, offset, strides, tuple(bounds)),), row=row)

    def store(self, number: int, row: bool) -> None:
        """Store to a new array: over the parallel axes, or over all."""
        axes = [k for k in range(len(self.extents)) if not (row and self.reduced[k])]
        strides, size = [0] * len(self.extents), 1
        for k in reversed(axes):
            strides[k], size = size, size * self.extents[k]
        value = row_major((size,), self.nest.instructions[number].dtype, "output")
        self.nest.stores.append((number, self.access(value, 0, strides)))

    def some_axes(self) -> list[int]:
        return [k for k in range(len(self.extents)) if self.rng.random() < 0.7]

    def arithmetic(self, a: int, b: int) -> int:
        return self.emit(str(self.rng.choice(["add", "maximum", "minimum", "sub" if self.dtype.code != "u" else "add"])), a, b)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 30), layout=st.sampled_from(LAYOUTS), dtype=st.sampled_from(DTYPES))
def test_random_nest(seed: int, layout: str, dtype: DType) -> None:
    d = Draw(seed, layout, dtype, 30000)
    every = list(range(len(layout)))
    values = [d.load(every), d.load(d.some_axes())]
    values.append(d.arithmetic(*values))
    values.append(d.emit("maximum", values[-1], d.load(d.some_axes())))
    full = values[-1]
    if "r" in layout:
        kinds = ["max", "min", "argmax", "argmin", "sum"]
        for kind in d.rng.permutation(kinds)[:2]:
            result = d.emit("reduce", full, dtype=int64 if kind.startswith("arg") else dtype, attrs=(str(kind),), row=True)
            d.store(result, row=True)
        if d.rng.random() < 0.6:  # a second pass, and what is stored at every point
            top = d.emit("reduce", full, attrs=("max",), row=True)
            shifted = d.emit("minimum", full, top)
            d.store(d.emit("reduce", shifted, attrs=("sum",), row=True), row=True)
            d.store(d.emit("maximum", shifted, values[1]), row=False)
        parallel = d.load([k for k in every if not d.reduced[k]])
        d.store(d.emit("add", parallel, parallel, row=True), row=True)
    d.store(full, row=False)
    check(d.nest, d.contents)


def softmax(rows: int, columns: int, dtype: DType = float32, leading: bool = False) -> tuple[LoopNest, Value]:
    """Return softmax over the trailing (or the leading) axis."""
    shape = (columns, rows) if leading else (rows, columns)
    x, y = row_major(shape, dtype), row_major(shape, dtype, "output")
    nest = LoopNest([Axis(n, (k == 0) is leading) for k, n in enumerate(shape)], [Access(x, 0, x.strides), Access(y, 0, y.strides)])
    nest.instructions = [
        Instruction("load", (), dtype, (0,)),
        Instruction("reduce", (0,), dtype, ("max",), True),
        Instruction("sub", (0, 1), dtype),
        Instruction("exp", (2,), dtype),
        Instruction("reduce", (3,), dtype, ("sum",), True),
        Instruction("div", (3, 4), dtype),
    ]
    nest.stores = [(5, 1)]
    return nest, x


@pytest.mark.parametrize("shape", [(3, 1), (40, 10), (7, 100), (2, 1000), (130, 3), (5, 64)])
@pytest.mark.parametrize("leading", [False, True], ids=["trailing", "leading"])
def test_softmax(shape: tuple[int, int], leading: bool) -> None:
    nest, x = softmax(*shape, leading=leading)
    check(nest, {x: np.random.default_rng(0).standard_normal(x.shape)})


def test_softmax_in_place_keeps_what_later_passes_read() -> None:
    nest, x = softmax(9, 200)
    nest.accesses[1] = Access(x, 0, x.strides)
    check(nest, {x: np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)})


def test_values_too_large_to_keep_are_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    nest, x = softmax(3, 150)
    contents = {x: np.random.default_rng(0).standard_normal(x.shape)}
    kept = check(nest, contents)[0]
    monkeypatch.setattr(loop, "KEPT_BYTES", 0)
    again = check(nest, contents)[0]
    assert kept.scratch > 0
    assert again.scratch == 0
    assert again.kernel.key != kept.kernel.key


@pytest.mark.parametrize("dtype", [float32, dtypes.bfloat16], ids=lambda d: d.name)
def test_layer_norm_with_its_statistics(dtype: DType) -> None:
    rows, columns = 20, 150
    x, w, b = row_major((rows, columns), dtype), row_major((columns,), dtype), row_major((columns,), dtype)
    y, mean, scale = (
        row_major((rows, columns), dtype, "output"),
        row_major((rows,), float32, "output"),
        row_major((rows,), float32, "output"),
    )
    nest = LoopNest([Axis(rows), Axis(columns, True)])
    strides = [(columns, 1), (0, 1), (0, 1), (columns, 1), (1, 0), (1, 0)]
    nest.accesses = [Access(v, 0, s) for v, s in zip((x, w, b, y, mean, scale), strides, strict=True)]
    wide = (float32,)
    nest.instructions = [
        *(Instruction("load", (), dtype, (k,)) for k in range(3)),
        *(Instruction("cast", (k,), float32, wide) for k in range(3)),
        Instruction("reduce", (3,), float32, ("sum",), True),
        Instruction("const", (), float32, (1 / columns,), True),
        Instruction("mul", (6, 7), float32, (), True),
        Instruction("sub", (3, 8), float32),
        Instruction("mul", (9, 9), float32),
        Instruction("reduce", (10,), float32, ("sum",), True),
        Instruction("mul", (11, 7), float32, (), True),
        Instruction("rsqrt", (12,), float32, (), True),
        Instruction("mul", (9, 13), float32),
        Instruction("mul", (14, 4), float32),
        Instruction("add", (15, 5), float32),
        Instruction("cast", (16,), dtype, (dtype,)),
    ]
    nest.stores = [(17, 3), (8, 4), (13, 5)]
    rng = np.random.default_rng(0)
    held = {v: rng.standard_normal(v.shape) for v in (x, w, b)}
    check(
        nest,
        {v: encode(a.astype(np.float32), dtype) if dtype.is_half else a for v, a in held.items()},
        scale=2e6 if dtype is float64 else 10,
    )


def reduction(shape: tuple[int, ...], reduced: str, kind: str, dtype: DType) -> tuple[LoopNest, Value]:
    """Return a reduction of one array, followed by row arithmetic."""
    result = int64 if kind.startswith("arg") else dtype
    x = row_major(shape, dtype)
    y = row_major([n for n, r in zip(shape, reduced, strict=True) if r == "p"], result, "output")
    strides = iter(y.strides)
    nest = LoopNest([Axis(n, r == "r") for n, r in zip(shape, reduced, strict=True)])
    nest.accesses = [Access(x, 0, x.strides), Access(y, 0, tuple(next(strides) if r == "p" else 0 for r in reduced))]
    nest.instructions = [
        Instruction("load", (), dtype, (0,)),
        Instruction("reduce", (0,), result, (kind,), True),
        Instruction("const", (), result, (1,), True),
        Instruction("add", (1, 2), result, (), True),
    ]
    nest.stores = [(3, 1)]
    return nest, x


@pytest.mark.parametrize("kind", ["sum", "prod", "max", "argmax"])
@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((200001,), "r"),
        ((1000, 130), "rp"),
        ((8, 3, 3001), "rpr"),
        ((3, 400, 70), "prp"),
        ((2, 50000), "pr"),
        ((4, 0), "pr"),
        ((1, 1), "rr"),
    ],
)
def test_long_reduction(shape: tuple[int, ...], layout: str, kind: str) -> None:
    if 0 in shape and kind in ("max", "argmax"):
        return
    for dtype in (float32, dtypes.bfloat16, int32):
        nest, x = reduction(shape, layout, kind, dtype)
        rng = np.random.default_rng(1)
        held = rng.standard_normal(shape) if kind != "prod" else 1 + 1e-4 * rng.standard_normal(shape)
        if dtype.is_integer:
            held = rng.integers(-9, 9, shape)
        elif dtype.is_half:
            held = held.astype(np.float32) if kind != "prod" else rng.choice([0.5, 1.0, 2.0], shape).astype(np.float32)
            if kind == "prod":
                held = np.where(rng.random(shape) < 0.999, 1.0, held)
        contents = encode(held, dtype) if dtype.is_half else held.astype(dtype.numpy)
        check(nest, {x: contents}, scale=30)


@pytest.mark.parametrize(("shape", "layout"), [((100, 3000), "rp"), ((3, 40, 700), "prp"), ((9, 7, 601), "rrp"), ((8, 2048), "rp")])
@pytest.mark.parametrize("dtype", [float32, dtypes.float16, float64, int32], ids=lambda d: d.name)
def test_column_reductions_in_one_pass(shape: tuple[int, ...], layout: str, dtype: DType) -> None:
    """The gradients of a scale and a shift: sums of g and of g * x with one statistic per row; and g * x at every point."""
    reduced = [kind == "r" for kind in layout]
    x, g = row_major(shape, dtype), row_major(shape, dtype)
    statistic = row_major([*shape[:-1], 1], dtype)
    columns = row_major([1 if r else n for n, r in zip(shape, reduced, strict=True)], dtype)
    strides = tuple(0 if r else s for s, r in zip(columns.strides, reduced, strict=True))
    outputs = [row_major(columns.shape, dtype, "output") for _ in range(3)]
    product = row_major(shape, dtype, "output")
    nest = LoopNest([Axis(n, r) for n, r in zip(shape, reduced, strict=True)])
    nest.accesses = [Access(v, 0, v.strides) for v in (x, g)]
    nest.accesses += [Access(statistic, 0, (*statistic.strides[:-1], 0)), Access(product, 0, product.strides)]
    nest.accesses += [Access(v, 0, strides) for v in outputs]
    nest.instructions = [
        *(Instruction("load", (), dtype, (k,)) for k in range(3)),
        Instruction("sub", (0, 2), dtype),
        Instruction("mul", (3, 1), dtype),
        Instruction("reduce", (4,), dtype, ("sum",), True),
        Instruction("reduce", (1,), dtype, ("sum",), True),
        Instruction("reduce", (1,), dtype, ("max",), True),
        Instruction("add", (5, 6), dtype, (), True),
    ]
    nest.stores = [(4, 3), (8, 4), (6, 5), (7, 6)]
    rng = np.random.default_rng(0)
    contents = {v: encode(rng.integers(-3, 4, v.shape).astype(np.float32), dtype) for v in (x, g, statistic)}
    check(nest, contents, scale=10)


@pytest.mark.parametrize(
    ("shape", "order"), [((70, 130), (1, 0)), ((3, 40, 50), (0, 2, 1)), ((6, 5, 33), (2, 1, 0)), ((20, 3, 40), (1, 2, 0))]
)
@pytest.mark.parametrize("dtype", [float32, uint8, bool_], ids=lambda d: d.name)
def test_permuted_copy(shape: tuple[int, ...], order: tuple[int, ...], dtype: DType) -> None:
    x = row_major(shape, dtype)
    extents = [shape[k] for k in order]
    y = row_major(extents, dtype, "output")
    nest = LoopNest([Axis(n) for n in extents], [Access(x, 0, tuple(x.strides[k] for k in order)), Access(y, 0, y.strides)])
    nest.instructions = [Instruction("load", (), dtype, (0,))]
    nest.stores = [(0, 1)]
    check(nest, {x: np.random.default_rng(0).integers(0, 2, shape).astype(dtype.numpy)})


@pytest.mark.parametrize("kind", ["max", "min", "argmax", "argmin"])
def test_nan_wins(kind: str) -> None:
    values = np.random.default_rng(0).standard_normal((6, 50)).astype(np.float32)
    values[0, 33] = values[0, 12] = values[1, 49] = values[2, 0] = np.nan
    values[3] = -np.inf
    values[4] = np.inf
    for layout, contents in (("pr", values), ("rp", np.ascontiguousarray(values.T))):
        nest, x = reduction(contents.shape, layout, kind, float32)
        check(nest, {x: contents})


@pytest.mark.parametrize("kind", ["max", "min", "argmax", "argmin"])
def test_bool_reduction(kind: str) -> None:
    values = np.zeros((5, 70), bool)
    values[1, 69] = values[2, 3] = True
    values[3] = True
    x, y = row_major((5, 70), bool_), row_major((5,), int64 if kind.startswith("arg") else bool_, "output")
    nest = LoopNest([Axis(5), Axis(70, True)], [Access(x, 0, (70, 1)), Access(y, 0, (1, 0))])
    nest.instructions = [Instruction("load", (), bool_, (0,)), Instruction("reduce", (0,), y.dtype, (kind,), True)]
    nest.stores = [(1, 1)]
    check(nest, {x: values})


@pytest.mark.parametrize("shape", [(64,), (1000,), (3, 128), (5, 37), (4096,)])
def test_random_bits(shape: tuple[int, ...]) -> None:
    y = row_major(shape, uint32, "output")
    nest = LoopNest([Axis(n) for n in shape], [Access(y, 0, y.strides)])
    nest.instructions = [
        Instruction("scalar", (), int64, (0,)),
        Instruction("scalar", (), int64, (1,)),
        Instruction("iota", (), int64, (y.strides, 0)),
        Instruction("random_bits", (0, 1, 2), uint32),
    ]
    nest.stores = [(3, 0)]
    check(nest, {}, scalars=[-(1 << 60) + 12345, (1 << 62) + 7])


def test_scalars_constants_and_iota() -> None:
    y = row_major((6, 50), float32, "output")
    nest = LoopNest([Axis(6), Axis(50)], [Access(y, 0, y.strides)])
    nest.instructions = [
        Instruction("scalar", (), float64, (1,)),
        Instruction("cast", (0,), float32, (float32,)),
        Instruction("iota", (), int64, ((3, -2), 5)),
        Instruction("cast", (2,), float32, (float32,)),
        Instruction("const", (), float32, (0.1,)),
        Instruction("mul", (3, 4), float32),
        Instruction("add", (5, 1), float32),
    ]
    nest.stores = [(6, 0)]
    check(nest, {}, scalars=[3, 0.25])


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1), (0,), (3, 0), (70001,), (3, 9001)])
def test_extents(shape: tuple[int, ...]) -> None:
    x, y = row_major(shape, float32), row_major(shape, float32, "output")
    nest = LoopNest([Axis(n) for n in shape], [Access(x, 0, x.strides), Access(y, 0, y.strides)])
    nest.instructions = [Instruction("load", (), float32, (0,)), Instruction("add", (0, 0), float32)]
    nest.stores = [(1, 1)]
    commands = check(nest, {x: np.random.default_rng(0).standard_normal(shape)})
    assert bool(commands) == (0 not in shape)


def test_elementwise_in_place() -> None:
    x = row_major((5, 77), float32)
    nest = LoopNest([Axis(5), Axis(77)], [Access(x, 0, x.strides), Access(x, 0, x.strides)])
    nest.instructions = [Instruction("load", (), float32, (0,)), Instruction("mul", (0, 0), float32)]
    nest.stores = [(1, 1)]
    check(nest, {x: np.random.default_rng(0).standard_normal((5, 77)).astype(np.float32)})


def test_large_body() -> None:
    x, y = row_major((100,), float32), row_major((100,), float32, "output")
    nest = LoopNest([Axis(100)], [Access(x, 0, (1,)), Access(y, 0, (1,))], [Instruction("load", (), float32, (0,))])
    for k in range(300):
        nest.instructions.append(Instruction(("add", "sub", "maximum")[k % 3], (k, max(0, k - 7)), float32))
    nest.stores = [(300, 1)]
    check(nest, {x: np.full(100, 1.0, np.float32)})


def test_kernels_do_not_depend_on_sizes() -> None:
    keys = set()
    for rows, columns in ((30, 100), (7, 333), (200, 64)):
        nest, x = softmax(rows, columns)
        keys.add(check(nest, {x: np.zeros((rows, columns))})[0].kernel.key)
    assert len(keys) == 1
