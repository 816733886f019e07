"""The stable argsort kernel: one row a unit, least-significant-digit radix sort on order-preserving keys, insertion sort for short rows.

An element becomes an unsigned key whose order is the wanted one: the sign bit of signed integers is flipped, negative floats are
inverted, -0 equals +0, every NaN is the largest key, and a descending sort inverts the keys, which keeps it stable. Keys of up to 32
bits are packed with the position into one 64-bit entry; 64-bit keys take entries of two words. Radix sort: Knuth, The Art of Computer
Programming, volume 3, section 5.2.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from trine.compiler.ir import Function
from trine.compiler.program import Kernel
from trine.compiler.target import Target
from trine.compiler.templates.index_rows import alignment, begin_kernel, end_kernel, pair_loop, word_type
from trine.dtypes import DType

SHORT_ROW = 48  # rows up to this length are sorted by insertion
_RADIX = 256
_HISTOGRAM_BYTES = 8 * _RADIX
_INFINITY = {"float16": 0x7C00, "bfloat16": 0x7F80, "float32": 0x7F800000, "float64": 0x7FF0000000000000}


def argsort_kernel(dtype: DType, descending: bool) -> Kernel:
    """Operands x, out (int64); params axis_size, inner; units outer * inner; scratch `argsort_scratch`."""
    return Kernel(("argsort", dtype.name, descending, SHORT_ROW), lambda target: _emit_argsort(target, dtype, descending))


def argsort_scratch(dtype: DType, axis_size: int) -> int:
    """Return the bytes of scratch memory of each thread: histograms of all digits and two arrays of entries."""
    return dtype.itemsize * _HISTOGRAM_BYTES + 2 * axis_size * (16 if dtype.itemsize == 8 else 8)


@dataclass(slots=True)
class _Entries:
    """How entries lie in memory: one word (key above, position below) or two words (key, position)."""

    f: Function
    wide: bool

    @property
    def words(self) -> int:
        return 2 if self.wide else 1

    def load(self, base: str, index: str) -> list[str]:
        at = self.f.gep(base, self.f.mul(index, self.words), "i64")
        return [self.f.load("i64", self.f.gep(at, k, "i64"), 8) for k in range(self.words)]

    def store(self, base: str, index: str, entry: list[str]) -> None:
        at = self.f.gep(base, self.f.mul(index, self.words), "i64")
        for k, word in enumerate(entry):
            self.f.store("i64", word, self.f.gep(at, k, "i64"), 8)

    def make(self, key: str, position: str) -> list[str]:
        if self.wide:
            return [key, position]
        return [self.f.value(f"or i64 {self.f.value(f'shl i64 {key}, 32')}, {position}")]

    def position(self, entry: list[str]) -> str:
        return entry[1] if self.wide else self.f.band(entry[0], 0xFFFFFFFF)

    def digit(self, entry: list[str], number: str) -> str:
        """Return digit `number` of the key, the least significant one being 0."""
        shift = self.f.mul(number, 8)
        if not self.wide:
            shift = self.f.add(shift, 32)
        return self.f.band(self.f.value(f"lshr i64 {entry[0]}, {shift}"), _RADIX - 1)


def _emit_argsort(target: Target, dtype: DType, descending: bool) -> str:
    f = begin_kernel(target)
    word, align = word_type(dtype.itemsize), alignment(dtype.itemsize)
    entries = _Entries(f, dtype.itemsize == 8)
    x, out = f.operand(0), f.operand(1)
    size, inner = f.param(4), f.param(5)
    scratch = f.scratch()
    first = f.gep(scratch, dtype.itemsize * _HISTOGRAM_BYTES)
    second = f.gep(first, f.mul(size, entries.words), "i64")
    is_short = f.icmp("sle", size, SHORT_ROW)
    short_size, num_digits = f.select(is_short, size, 0), f.select(is_short, 0, dtype.itemsize)
    with pair_loop(f, inner) as (_, outer, column):
        start = f.add(f.mul(f.mul(outer, size), inner), column)
        with f.loop(0, size) as k:
            at = f.add(start, f.mul(k.index, inner))
            key = _sort_key(f, f.load(word, f.gep(x, at, word), align), dtype, descending)
            entries.store(first, k.index, entries.make(key, k.index))
        _insertion_sort(f, entries, first, short_size)
        _count_digits(f, entries, scratch, first, size, num_digits)
        with f.loop(0, num_digits, carried=[("ptr", first), ("ptr", second)]) as digit:
            source, destination = digit.carried
            moved = _distribute(f, entries, scratch, (source, destination), size, digit.index)
            digit.next = [f.select(moved, destination, source, "ptr"), f.select(moved, source, destination, "ptr")]
        with f.loop(0, size) as k:
            at = f.add(start, f.mul(k.index, inner))
            f.store("i64", entries.position(entries.load(digit.out[0], k.index)), f.gep(out, at, "i64"), 8)
    return end_kernel(f)


def _sort_key(f: Function, bits: str, dtype: DType, descending: bool) -> str:
    """Return the key of an element, zero-extended to i64."""
    word = word_type(dtype.itemsize)
    sign = -(1 << (8 * dtype.itemsize - 1))
    key = bits
    if dtype.is_floating_point:
        magnitude = f.value(f"and {word} {bits}, {~sign}")
        is_zero = f.icmp("eq", magnitude, 0, word)
        is_nan = f.icmp("ugt", magnitude, _INFINITY[dtype.name], word)
        is_negative = f.icmp("slt", bits, 0, word)
        flipped = f.select(is_negative, f.value(f"xor {word} {bits}, -1"), f.value(f"or {word} {bits}, {sign}"), word)
        key = f.select(is_nan, -1, f.select(is_zero, sign, flipped, word), word)
    elif dtype.code == "i":
        key = f.value(f"xor {word} {bits}, {sign}")
    if descending:
        key = f.value(f"xor {word} {key}, -1")
    return key if word == "i64" else f.value(f"zext {word} {key} to i64")


def _insertion_sort(f: Function, entries: _Entries, base: str, size: str) -> None:
    with f.loop(1, size) as k:
        entry = entries.load(base, k.index)
        search, compare, shift, done = (f.label(p) for p in ("search", "compare", "shift", "done"))
        before = f.block
        f.br(search)
        f.at(search)
        hole = f.value("phi")
        phi = len(f.lines) - 1
        f.cond_br(f.icmp("sgt", hole, 0), compare, done)
        f.at(compare)
        previous = f.sub(hole, 1)
        other = entries.load(base, previous)
        # Packed entries differ in their positions, so the comparison of whole entries is stable too.
        f.cond_br(f.icmp("ugt", other[0], entry[0]), shift, done)
        f.at(shift)
        entries.store(base, hole, other)
        f.br(search)
        f.lines[phi] = f"  {hole} = phi i64 [ {k.index}, %{before} ], [ {previous}, %{shift} ]"
        f.at(done)
        entries.store(base, hole, entry)


def _histogram(f: Function, scratch: str, digit: str) -> str:
    return f.gep(scratch, f.mul(digit, _HISTOGRAM_BYTES))


def _count_digits(f: Function, entries: _Entries, scratch: str, base: str, size: str, num_digits: str) -> None:
    """Count how often each value of each digit occurs, and turn the counts into first positions."""
    with f.loop(0, f.mul(num_digits, _RADIX)) as k:
        f.store("i64", "0", f.gep(scratch, k.index, "i64"), 8)
    counted = f.select(f.icmp("sgt", num_digits, 0), size, 0)
    with f.loop(0, counted) as k:
        entry = entries.load(base, k.index)
        with f.loop(0, num_digits) as digit:
            at = f.gep(_histogram(f, scratch, digit.index), entries.digit(entry, digit.index), "i64")
            f.store("i64", f.add(f.load("i64", at, 8), 1), at, 8)
    with f.loop(0, num_digits) as digit:
        counts = _histogram(f, scratch, digit.index)
        with f.loop(0, _RADIX, carried=[("i64", "0")]) as value:
            at = f.gep(counts, value.index, "i64")
            count = f.load("i64", at, 8)
            f.store("i64", value.carried[0], at, 8)
            value.next = [f.add(value.carried[0], count)]


def _distribute(f: Function, entries: _Entries, scratch: str, arrays: tuple[str, str], size: str, digit: str) -> str:
    """Move the entries to their places by one digit; return as i1 whether they were moved (not if all have the same digit)."""
    source, destination = arrays
    positions = _histogram(f, scratch, digit)
    value = entries.digit(entries.load(source, "0"), digit)
    low = f.load("i64", f.gep(positions, value, "i64"), 8)
    is_last = f.icmp("eq", value, _RADIX - 1)
    following = f.load("i64", f.gep(positions, f.select(is_last, value, f.add(value, 1)), "i64"), 8)
    count = f.sub(f.select(is_last, size, following), low)
    differs = f.icmp("ne", count, size)
    with f.loop(0, f.select(differs, size, 0)) as k:
        entry = entries.load(source, k.index)
        at = f.gep(positions, entries.digit(entry, digit), "i64")
        place = f.load("i64", at, 8)
        f.store("i64", f.add(place, 1), at, 8)
        entries.store(destination, place, entry)
    return differs
