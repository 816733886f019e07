"""Micro-kernels of matrix multiplication: a register-blocked tile of the result, for any number of steps along K.

The method is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), and of BLIS: panels of the
operands are packed so that a micro-kernel streams through them, and it keeps a tile of the result in registers.

Every micro-kernel has the signature

    void kernel(ptr a, i64 sa, ptr b, i64 sb, i64 k, ptr c, i64 ldc, i64 accumulate, i64 n)

It computes ``rows`` rows and the first n of its columns of c (row stride ldc, column stride 1): c = a b, or c += a b if `accumulate`
is not 0. All strides count elements. How it walks its operands is its *walk*:

- ``row``: ``a[k * sa + r]``, ``b[k * sb + j]``: a packed panel, or a matrix whose rows are adjacent in memory;
- ``column``: ``a[r * sa + k]``, ``b[k * sb + j]``: a matrix as it lies in memory;
- ``inner``: ``a[r * sa + k]``, ``b[j * sb + k]``: scalar products of adjacent elements, for few rows of a against a transposed b;
- ``vector``: ``a[k * sa]``, ``b[k * sb + j]``: one row, many columns, edges masked: a vector times a row-major matrix.

`row` and `column` read whole vectors of b even where n is smaller.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trine.compiler.compile import best_of
from trine.compiler.ir import Function, Module, intrinsic_suffix
from trine.compiler.program import Kernel
from trine.compiler.target import Target, llvm_type
from trine.dtypes import DType

MICRO_ARGUMENTS = (
    ("ptr noalias", "a"),
    ("i64", "sa"),
    ("ptr noalias", "b"),
    ("i64", "sb"),
    ("i64", "k"),
    ("ptr noalias", "c"),
    ("i64", "ldc"),
    ("i64", "accumulate"),
    ("i64", "n"),
)

# (architecture, vector bits) -> rows and vectors of a full tile: as many accumulators as the register file holds.
_TILES = {
    ("x86_64", 512): (14, 2),
    ("x86_64", 256): (6, 2),
    ("x86_64", 128): (4, 2),
    ("aarch64", 128): (8, 3),
}

# Vector bits -> (most rows of an `inner` tile, columns of a single row, columns of several): as many sums as fit with their operands.
_INNER_TILES = {512: (4, 8, 4), 256: (2, 8, 4), 128: (2, 4, 4)}
# Most adjacent vectors of columns that a `vector` kernel sums at once: enough to hide the latency of memory.
_VECTOR_WIDTH = 8
_UNROLL = 4
# Vector bits -> (rows, unrolling to try first): walked by column, more rows need so many addresses that unrolling spills sums to the stack.
_COLUMN_UNROLL = {512: ((7, 4), (10, 2)), 256: ((5, 4),), 128: ((4, 4),)}
# How many steps of b ahead of the arithmetic the prefetch runs.
_PREFETCH_STEPS = 8


@dataclass(frozen=True, slots=True)
class Tile:
    """Geometry of the micro-kernels of a target and dtype.

    Attributes:
        rows: most rows of a micro-kernel.
        vectors: vectors in a row of a `row` or `column` tile.
        lanes: elements of a vector.
    """

    rows: int
    vectors: int
    lanes: int

    @property
    def columns(self) -> int:
        """Columns of a tile, which is also the width of a packed panel of b."""
        return self.vectors * self.lanes

    @property
    def panel(self) -> int:
        """Width of a packed panel of a: the rows, rounded up to whole vectors."""
        return -(-self.rows // self.lanes) * self.lanes


@functools.cache
def tile(target: Target, dtype: DType) -> Tile:
    """Return the geometry for float32 or float64."""
    rows, vectors = _TILES[target.arch, target.vector_bits]
    return Tile(rows, vectors, target.lanes(dtype))


@functools.cache
def micro_kernel(dtype: DType, walk: str, rows: int, vectors: int = 0) -> Kernel:
    """Return the micro-kernel of a walk (see the module) and a number of rows.

    `vectors` are those in a row of `row` and `column` tiles, the columns of `inner` ones; 0 for `vector`.
    """
    emit = {"row": _emit_tile, "column": _emit_tile, "inner": _emit_inner, "vector": _emit_vector}[walk]
    return Kernel(("dot.micro", dtype.name, walk, rows, vectors), lambda target: emit(target, dtype, walk, rows, vectors))


class Arithmetic:
    """Vector arithmetic of one element type in a function under construction."""

    def __init__(self, f: Function, target: Target, dtype: DType) -> None:
        self.f = f
        self.element = llvm_type(dtype)
        self.size = dtype.itemsize
        self.lanes = target.lanes(dtype)
        self.vector = f"<{self.lanes} x {self.element}>"
        self.has_fma = target.has_fma
        # Masked accesses are instructions here; elsewhere they would become a branch for each element.
        self.has_mask = target.vector_bits >= 256

    def fma(self, a: str, b: str, c: str, type_: str = "") -> str:
        """Return a * b + c, in one rounding where the target has the instruction."""
        type_ = type_ or self.vector
        if self.has_fma:
            return self.f.call(type_, f"llvm.fma.{intrinsic_suffix(type_)}", (type_, a), (type_, b), (type_, c))
        return self.f.value(f"fadd {type_} {self.f.value(f'fmul {type_} {a}, {b}')}, {c}")

    def add(self, a: str, b: str, type_: str = "") -> str:
        return self.f.value(f"fadd {type_ or self.vector} {a}, {b}")

    def at(self, pointer: str, index: str | int) -> str:
        """Return pointer + index elements."""
        return self.f.gep(pointer, index, self.element) if index != 0 else pointer

    def load(self, pointer: str) -> str:
        return self.f.load(self.vector, pointer, self.size)

    def store(self, value: str, pointer: str) -> None:
        self.f.store(self.vector, value, pointer, self.size)

    def load_masked(self, pointer: str, mask: str) -> str:
        return self.f.masked_load(self.vector, pointer, mask, self.lanes, self.size)

    def broadcast(self, pointer: str) -> str:
        """Load a scalar into all lanes."""
        return self.f.splat(self.f.load(self.element, pointer, self.size), self.lanes, self.element)

    def shuffle(self, a: str, b: str, order: Sequence[int], lanes: int = 0) -> str:
        """Return the elements `order` of the concatenation of two vectors."""
        type_ = f"<{lanes} x {self.element}>" if lanes else self.vector
        indices = ", ".join(f"i32 {i}" for i in order)
        return self.f.value(f"shufflevector {type_} {a}, {type_} {b}, <{len(order)} x i32> <{indices}>")


def prefetch(f: Function, pointer: str, *, write: bool = False) -> None:
    """Ask for a cache line."""
    f.call("void", "llvm.prefetch.p0", ("ptr", pointer), ("i32", str(int(write))), ("i32", "3"), ("i32", "1"))


# --- row and column ---------------------------------------------------------------------------------------------------------------------


def _emit_tile(target: Target, dtype: DType, walk: str, rows: int, vectors: int) -> str:
    return _emit_unrolled(target, dtype, walk, rows, vectors, _unroll(target, dtype, walk, rows, vectors))


@functools.cache
def _unroll(target: Target, dtype: DType, walk: str, rows: int, vectors: int) -> int:
    """Return how many steps of k the loop takes at once: the most that keeps the sums in registers."""
    first = _UNROLL
    if walk == "column":
        first = next((unroll for most, unroll in _COLUMN_UNROLL[target.vector_bits] if rows <= most), 1)
    if first == 1:
        return 1
    emitted: dict[str, int] = {}

    def emitter(unroll: int) -> Callable[[Target], str]:
        def emit(target: Target) -> str:
            text = _emit_unrolled(target, dtype, walk, rows, vectors, unroll)
            emitted[text] = unroll
            return text

        return emit

    return emitted[best_of([emitter(unroll) for unroll in (4, 2, 1) if unroll <= first], target)]


def _emit_unrolled(target: Target, dtype: DType, walk: str, rows: int, vectors: int, unroll: int) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", MICRO_ARGUMENTS)
    x = Arithmetic(f, target, dtype)
    wide = vectors * x.lanes
    buffer = "" if target.vector_bits == 512 else f.value(f"alloca [{rows * wide} x {x.element}], align 64")
    c_rows = [x.at("%c", f.mul("%ldc", r) if r else 0) for r in range(rows)]
    for row in c_rows:
        prefetch(f, row, write=True)
        prefetch(f, x.at(row, wide - 1), write=True)
    sums = _accumulate(x, walk, rows, vectors, unroll)
    if target.vector_bits == 512:
        _store_masked(x, sums, c_rows, vectors)
    else:
        _store_or_copy(x, sums, c_rows, vectors, buffer)
    f.ret()
    return module.text()


def _accumulate(x: Arithmetic, walk: str, rows: int, vectors: int, unroll: int) -> list[str]:
    """Emit the loops over k; return the sums, row by row."""
    f = x.f
    # By column, a pointer serves three rows: base, base + sa and base + 2 sa are addresses of one instruction.
    starts = range(0, rows, 3) if walk == "column" else (0,)
    pointers = [x.at("%a", f.mul("%sa", r) if r else 0) for r in starts]
    twice = f.mul("%sa", 2) if walk == "column" and rows > 2 else ""

    def element(bases: list[str], r: int, step: int) -> str:
        if walk == "row":
            return x.at(bases[0], r)
        base = x.at(bases[r // 3], ("0", "%sa", twice)[r % 3]) if r % 3 else bases[r // 3]
        return x.at(base, step)

    def loop(low: str, high: str, steps: int, bases: list[str], b: str, sums: list[str]) -> tuple[list[str], str, list[str]]:
        carried = [*(("ptr", p) for p in bases), ("ptr", b), *((x.vector, s) for s in sums)]
        count = len(bases)
        with f.loop(low, high, steps, carried) as body:
            at, b, sums = list(body.carried[:count]), body.carried[count], list(body.carried[count + 1 :])
            for step in range(steps):
                columns = [x.load(x.at(b, v * x.lanes)) for v in range(vectors)]
                ahead = x.at(b, f.mul("%sb", _PREFETCH_STEPS))
                for line in range(0, vectors * x.lanes * x.size, 64):
                    prefetch(f, f.gep(ahead, line) if line else ahead)
                for r in range(rows):
                    scalar = x.broadcast(element(at, r, step))
                    for v in range(vectors):
                        sums[r * vectors + v] = x.fma(scalar, columns[v], sums[r * vectors + v])
                b = x.at(b, "%sb")
                if walk == "row":
                    at[0] = x.at(at[0], "%sa")
            body.next = [*(at if walk == "row" else [x.at(p, steps) for p in at]), b, *sums]
        return body.out[:count], body.out[count], body.out[count + 1 :]

    zeros = ["zeroinitializer"] * (rows * vectors)
    if unroll == 1:
        return loop("0", "%k", 1, pointers, "%b", zeros)[2]
    whole = f.band("%k", -unroll)
    pointers, b, sums = loop("0", whole, unroll, pointers, "%b", zeros)
    return loop(whole, "%k", 1, pointers, b, sums)[2]


def _both_ways(f: Function, emit: Callable[[bool], None]) -> None:
    """Emit ``if (accumulate) emit(True) else emit(False)``."""
    accumulate = f.icmp("ne", "%accumulate", 0)
    with f.when(accumulate):
        emit(True)
    with f.when(f.value(f"xor i1 {accumulate}, true")):
        emit(False)


def _store_masked(x: Arithmetic, sums: list[str], c_rows: list[str], vectors: int) -> None:
    """Store the first n columns with masks, which cost nothing here."""
    masks = [x.f.lane_mask("%n", x.lanes, v * x.lanes) for v in range(vectors)]

    def emit(accumulate: bool) -> None:
        for i, value in enumerate(sums):
            pointer, mask = x.at(c_rows[i // vectors], i % vectors * x.lanes), masks[i % vectors]
            if accumulate:
                value = x.add(value, x.load_masked(pointer, mask))
            x.f.masked_store(x.vector, value, pointer, mask, x.lanes, x.size)

    _both_ways(x.f, emit)


def _store_or_copy(x: Arithmetic, sums: list[str], c_rows: list[str], vectors: int, buffer: str) -> None:
    """Store a full tile by vectors; at the edge copy the columns one by one through `buffer`."""
    f = x.f
    full = f.icmp("sge", "%n", vectors * x.lanes)

    def emit(accumulate: bool) -> None:
        for i, value in enumerate(sums):
            pointer = x.at(c_rows[i // vectors], i % vectors * x.lanes)
            x.store(x.add(value, x.load(pointer)) if accumulate else value, pointer)

    with f.when(full):
        _both_ways(f, emit)
    with f.when(f.value(f"xor i1 {full}, true")):
        for i, value in enumerate(sums):
            x.store(value, x.at(buffer, i * x.lanes))
        accumulate = f.icmp("ne", "%accumulate", 0)
        with f.loop(0, len(sums) // vectors) as row:
            source, target = x.at(buffer, f.mul(row.index, vectors * x.lanes)), x.at("%c", f.mul("%ldc", row.index))
            with f.loop(0, "%n") as column:
                pointer = x.at(target, column.index)
                value = f.load(x.element, x.at(source, column.index), x.size)
                total = x.add(value, f.load(x.element, pointer, x.size), x.element)
                f.store(x.element, f.select(accumulate, total, value, x.element), pointer, x.size)


# --- inner ------------------------------------------------------------------------------------------------------------------------------


def inner_tile(target: Target, rows: int) -> tuple[int, int]:
    """Return the rows and columns of `inner` tiles for a number of rows."""
    most, single, several = _INNER_TILES[target.vector_bits]
    tiles = -(-rows // most)
    height = -(-rows // tiles)
    return height, single if height == 1 else several


def _emit_inner(target: Target, dtype: DType, walk: str, rows: int, vectors: int) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", MICRO_ARGUMENTS)
    x = Arithmetic(f, target, dtype)
    # The last tile may have a single row, but is as wide as the others: its columns come as `vectors`.
    columns = vectors
    # Columns beyond n repeat the last one; their sums are not stored.
    last = f.sub("%n", 1)
    a = [x.at("%a", f.mul("%sa", r) if r else 0) for r in range(rows)]
    b = [x.at("%b", f.mul("%sb", f.min(last, j)) if j else 0) for j in range(columns)]
    pairs = [(r, j) for r in range(rows) for j in range(columns)]

    def step(index: str, sums: list[str], mask: str = "") -> list[str]:
        load = (lambda p: x.load_masked(p, mask)) if mask else x.load
        left, right = [load(x.at(p, index)) for p in a], [load(x.at(p, index)) for p in b]
        return [x.fma(left[r], right[j], s) for (r, j), s in zip(pairs, sums, strict=True)]

    whole = f.band("%k", -x.lanes)
    with f.loop(0, whole, x.lanes, [(x.vector, "zeroinitializer")] * len(pairs)) as body:
        body.next = step(body.index, body.carried)
    sums = body.out
    tail: list[str] = []
    if x.has_mask:
        rest = f.sub("%k", whole)
        with f.loop(whole, "%k", x.lanes, [(x.vector, s) for s in sums]) as body:
            body.next = step(body.index, body.carried, f.lane_mask(rest, x.lanes))
        sums = body.out
    else:
        with f.loop(whole, "%k", 1, [(x.element, "0.0")] * len(pairs)) as body:
            left = [f.load(x.element, x.at(p, body.index), x.size) for p in a]
            right = [f.load(x.element, x.at(p, body.index), x.size) for p in b]
            body.next = [x.fma(left[r], right[j], s, x.element) for (r, j), s in zip(pairs, body.carried, strict=True)]
        tail = body.out
    for r in range(rows):
        row = slice(r * columns, (r + 1) * columns)
        _store_inner(x, _column_sums(x, sums[row]), tail[row], x.at("%c", f.mul("%ldc", r) if r else 0))
    f.ret()
    return module.text()


def _column_sums(x: Arithmetic, vectors: list[str]) -> list[str]:
    """Return the sum of the lanes of each vector, as scalars, by a fixed tree that adds several vectors at once."""
    count, group = len(vectors), x.lanes
    # Two vectors become one: the halves of each group of the first are added into its place, those of the second beside them.
    while len(vectors) > 1 and group > 1:
        half = group // 2
        starts = range(0, x.lanes, group)
        low = [s + i for s in starts for i in range(half)] + [x.lanes + s + i for s in starts for i in range(half)]
        vectors = [
            x.add(x.shuffle(p, q, low), x.shuffle(p, q, [i + half for i in low])) for p, q in zip(vectors[::2], vectors[1::2], strict=True)
        ]
        group = half
    while group > 1:
        half = group // 2
        vectors = [x.add(v, x.shuffle(v, v, [(i + half) % x.lanes for i in range(x.lanes)])) for v in vectors]
        group = half
    spread = x.lanes // (count // len(vectors))
    order = _merge_order(count // len(vectors))
    scalars = []
    for number in range(count):
        vector, position = divmod(number, count // len(vectors))
        scalars.append(x.f.value(f"extractelement {x.vector} {vectors[vector]}, i64 {order[position] * spread}"))
    return scalars


def _merge_order(count: int) -> list[int]:
    """Return where the sums of `count` vectors lie after pairwise merging, in units of a group."""
    positions = [[0] for _ in range(count)]
    size = 1
    while len(positions) > 1:
        positions = [p + [i + size for i in q] for p, q in zip(positions[::2], positions[1::2], strict=True)]
        size *= 2
    return positions[0]


def _store_inner(x: Arithmetic, sums: list[str], tail: list[str], pointer: str) -> None:
    """Store or accumulate the first n of a row of scalar sums."""
    f = x.f
    accumulate = f.icmp("ne", "%accumulate", 0)
    for j, value in enumerate(sums):
        if tail:
            value = x.add(value, tail[j], x.element)
        at = x.at(pointer, j)
        with f.when(f.icmp("sgt", "%n", j)):
            total = x.add(value, f.load(x.element, at, x.size), x.element)
            f.store(x.element, f.select(accumulate, total, value, x.element), at, x.size)


# --- vector -----------------------------------------------------------------------------------------------------------------------------


def _emit_vector(target: Target, dtype: DType, walk: str, rows: int, vectors: int) -> str:
    module = Module(target.vector_bits)
    f = module.function("kernel", MICRO_ARGUMENTS)
    x = Arithmetic(f, target, dtype)
    accumulate = f.icmp("ne", "%accumulate", 0)
    start: str = "0"
    width = _VECTOR_WIDTH
    # Whole groups of 8, 4, 2 and 1 vectors, then what is left.
    while width:
        end = f.band("%n", -(width * x.lanes))
        with f.loop(start, end, width * x.lanes) as block:
            sums = _vector_sums(x, x.at("%b", block.index), width)
            for v, value in enumerate(sums):
                pointer = x.at("%c", f.add(block.index, v * x.lanes))
                with f.when(accumulate):
                    x.store(x.add(value, x.load(pointer)), pointer)
                with f.when(f.value(f"xor i1 {accumulate}, true")):
                    x.store(value, pointer)
        start, width = end, width // 2
    type_, step = (x.vector, x.lanes) if x.has_mask else (x.element, 1)
    with f.loop(start, "%n", step) as block:
        mask = f.lane_mask(f.sub("%n", block.index), x.lanes) if x.has_mask else ""
        (value,) = _vector_sums(x, x.at("%b", block.index), 1, mask, type_)
        pointer = x.at("%c", block.index)
        old = x.load_masked(pointer, mask) if mask else f.load(type_, pointer, x.size)
        value = f.select(accumulate, x.add(value, old, type_), value, type_)
        if mask:
            f.masked_store(x.vector, value, pointer, mask, x.lanes, x.size)
        else:
            f.store(type_, value, pointer, x.size)
    f.ret()
    return module.text()


def _vector_sums(x: Arithmetic, b: str, width: int, mask: str = "", type_: str = "") -> list[str]:
    """Emit the loop over k for `width` adjacent vectors of columns (or for one scalar column)."""
    f = x.f
    type_ = type_ or x.vector
    zero = "zeroinitializer" if type_ == x.vector else "0.0"
    with f.loop(0, "%k", 1, [("ptr", "%a"), ("ptr", b), *[(type_, zero)] * width]) as body:
        a, b, *sums = body.carried
        scalar = x.broadcast(a) if type_ == x.vector else f.load(x.element, a, x.size)
        for v in range(width):
            at = x.at(b, v * x.lanes)
            column = x.load_masked(at, mask) if mask else f.load(type_, at, x.size)
            sums[v] = x.fma(scalar, column, sums[v], type_)
        body.next = [x.at(a, "%sa"), x.at(b, "%sb"), *sums]
    return body.out[2:]
