"""What the index, scan, sort and copy kernels share: elements as words, loops over rows in vectors, loops over pairs of positions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from trine.compiler.ir import Function, Module
from trine.compiler.target import Target
from trine.compiler.templates.loop_convert import round_to_half, to_memory
from trine.compiler.templates.loop_types import Context, vector_type
from trine.dtypes import DType

# Elements that are only moved are words of their size. Complex128 has the alignment of its halves.
_WORDS = {1: "i8", 2: "i16", 4: "i32", 8: "i64", 16: "i128"}
KERNEL_ARGUMENTS = (("ptr", "table"), ("ptr", "params"), ("i64", "begin"), ("i64", "end"), ("i64", "thread"))


def word_type(itemsize: int) -> str:
    """Return the integer type with which an element of so many bytes is moved."""
    return _WORDS[itemsize]


def alignment(itemsize: int) -> int:
    """Return the alignment of an element."""
    return min(itemsize, 8)


def begin_kernel(target: Target) -> Function:
    """Begin the module of a kernel and its function."""
    return Module(target.vector_bits).function("kernel", KERNEL_ARGUMENTS)


def end_kernel(f: Function) -> str:
    """End the kernel and return the module's text."""
    f.ret()
    return f.module.text()


@dataclass(slots=True)
class Lane:
    """One step of a row loop: `c.lanes` elements from `index` on, of which `mask` (None: all) are inside the row."""

    c: Context
    index: str
    itemsize: int
    mask: str | None = None

    def load(self, element: str, base: str) -> str:
        """Load elements `index`... of the row at `base`; `element` is their type in memory."""
        f, type_ = self.c.function, vector_type(element, self.c.lanes)
        pointer, align = f.gep(base, self.index, element), alignment(self.itemsize)
        if self.mask is not None:
            return f.masked_load(type_, pointer, self.mask, self.c.lanes, align)
        return f.load(type_, pointer, align)

    def store(self, element: str, value: str, base: str) -> None:
        """Store elements `index`... of the row at `base`."""
        f, type_ = self.c.function, vector_type(element, self.c.lanes)
        pointer, align = f.gep(base, self.index, element), alignment(self.itemsize)
        if self.mask is not None:
            f.masked_store(type_, value, pointer, self.mask, self.c.lanes, align)
        else:
            f.store(type_, value, pointer, align)


def row_loop(f: Function, target: Target, itemsize: int, low: str | int, high: str, body: Callable[[Lane], None]) -> None:
    """Emit `body` for the elements [low, high) of a row: whole vectors, then a masked one (AVX-512) or single elements."""
    lanes = target.vector_bits // (8 * itemsize)
    if lanes <= 1:
        with f.loop(low, high) as one:
            body(Lane(Context(f, target, 1), one.index, itemsize))
        return
    vectors = Context(f, target, lanes)
    last = f.add(low, f.band(f.sub(high, low), -lanes))
    with f.loop(low, last, lanes) as whole:
        body(Lane(vectors, whole.index, itemsize))
    if target.name == "avx512":
        rest = f.sub(high, last)
        with f.when(f.icmp("sgt", rest, 0)):
            body(Lane(vectors, last, itemsize, f.lane_mask(rest, lanes)))
    else:
        with f.loop(last, high) as one:
            body(Lane(Context(f, target, 1), one.index, itemsize))


def copy_row(f: Function, target: Target, itemsize: int, source: str, destination: str, count: str) -> None:
    """Copy `count` elements; four vectors at a time while they last."""
    word = word_type(itemsize)
    lanes = target.vector_bits // (8 * itemsize)
    vector, align = vector_type(word, lanes), alignment(itemsize)
    done = f.band(count, -4 * lanes)
    with f.loop(0, done, 4 * lanes) as block:
        positions = [f.add(block.index, k * lanes) for k in range(4)]
        values = [f.load(vector, f.gep(source, p, word), align) for p in positions]
        for position, value in zip(positions, values, strict=True):
            f.store(vector, value, f.gep(destination, position, word), align)
    row_loop(f, target, itemsize, done, count, lambda lane: lane.store(word, lane.load(word, source), destination))


def load_index(f: Function, base: str, position: str, index_type: str, last: str) -> str:
    """Load an index that was checked before; one that is out of range all the same becomes `last`, so that memory stays safe."""
    value = f.load(index_type, f.gep(base, position, index_type), 4 if index_type == "i32" else 8)
    if index_type == "i32":
        value = f.value(f"sext i32 {value} to i64")
    return f.call("i64", "llvm.umin.i64", ("i64", value), ("i64", last))


@contextmanager
def pair_loop(f: Function, inner: str) -> Iterator[tuple[str, str, str]]:
    """Loop over the units [begin, end) and yield (unit, unit // inner, unit % inner), dividing once only."""
    first = (f.udiv("%begin", inner), f.urem("%begin", inner))
    with f.loop("%begin", "%end", carried=[("i64", first[0]), ("i64", first[1])]) as loop:
        high, low = loop.carried
        yield loop.index, high, low
        following = f.add(low, 1)
        wraps = f.icmp("eq", following, inner)
        loop.next = [f.add(high, f.value(f"zext i1 {wraps} to i64")), f.select(wraps, 0, following)]


def rounded_to_memory(c: Context, value: str, dtype: DType) -> str:
    """Convert a computed register to what is stored; half types, floats in registers, are rounded."""
    return to_memory(c, round_to_half(c, value, dtype) if dtype.is_half else value, dtype)


def combine(c: Context, kind: str, dtype: DType, a: str, b: str) -> str:
    """Return `a` (the older) and `b` combined: kind is add, mul, max or min; max and min propagate NaN. bool: or, and, or, and."""
    if dtype.name == "bool":
        return c.binary({"add": "or", "mul": "and", "max": "or", "min": "and"}[kind], a, b, dtype)
    if kind in ("add", "mul"):
        return c.binary("f" * dtype.is_floating_point + kind, a, b, dtype)
    if dtype.is_floating_point:
        flags = vector_type("i1", c.lanes)
        better = c.compare("ogt" if kind == "max" else "olt", b, a, dtype)
        nan = c.compare("uno", b, b, dtype)
        return c.select(c.value(f"or {flags} {better}, {nan}"), b, a, dtype)
    better = c.compare(("s" if dtype.is_signed else "u") + ("gt" if kind == "max" else "lt"), b, a, dtype)
    return c.select(better, b, a, dtype)
