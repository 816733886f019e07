"""Long reductions in two steps: partial results over chunks of a reduced axis, then their combination.

Chunks depend on the shapes alone, so that results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from trine.compiler.lower.loop_canonical import Canonical, Walk
from trine.compiler.nest import Access, Axis, Instruction, LoopNest
from trine.compiler.program import Value
from trine.dtypes import DType, float32

CHUNK_POINTS = 32768  # points of a chunk, at least
COLUMN_CHUNK = 64  # rows of a chunk of a column reduction, at least
MAX_CHUNKS = 64
ENOUGH_ROWS = 16  # with as many rows of their own, long rows are not cut


@dataclass(slots=True)
class Chunks:
    """How a reduced axis is cut: `axes` = (0, its number among the reduced axes), positions per chunk, number of chunks."""

    axes: tuple[int, int]
    axis: int
    size: int
    count: int


def chunking(c: Canonical, short_row: int) -> Chunks | None:
    """Return how to cut a reduction, or None where it is too short, its rows are enough, or it takes more than one pass."""
    reduced = [k for k, r in enumerate(c.reduced) if r]
    points = prod(c.extents)
    if not reduced or points < 2 * CHUNK_POINTS or _has_enough_rows(c, short_row) or not is_single_pass(c):
        return None
    axis = max(reduced, key=lambda k: c.extents[k])
    extent, rest = c.extents[axis], c.row_size() // max(c.extents[axis], 1)
    if c.reduced[-1]:
        size = max(CHUNK_POINTS // rest, 1)
        size = -(-size // 256) * 256 if axis == reduced[-1] else size
    else:
        last = c.extents[-1]
        size = max(COLUMN_CHUNK // rest, CHUNK_POINTS // (last * rest), 1)
    size = max(size, -(-extent // MAX_CHUNKS))
    count = -(-extent // size)
    return Chunks((0, reduced.index(axis)), axis, size, count) if count > 1 else None


def _has_enough_rows(c: Canonical, short_row: int) -> bool:
    """Return True if there are as many parallel units without cutting rows."""
    if c.reduced[-1]:
        return c.rows() >= ENOUGH_ROWS or c.row_size() <= short_row
    return c.rows() // c.extents[-1] >= ENOUGH_ROWS


def _full_instructions(c: Canonical) -> list[bool]:
    """Return, per instruction, whether it varies along a reduced axis."""
    full: list[bool] = []
    for i, instruction in enumerate(c.instructions):
        if instruction.op == "reduce":
            full.append(False)
        elif instruction.op == "load":
            walk = c.walks[instruction.attrs[0]]
            full.append(any(s and r for s, r in zip(walk.strides, c.reduced, strict=True)) or any(c.reduced[b[0]] for b in walk.bounds))
        elif instruction.op == "iota":
            full.append(any(q and r for q, r in zip(c.coefficients[i], c.reduced, strict=True)))
        else:
            full.append(any(full[a] for a in instruction.args))
    return full


def _after_reduction(c: Canonical) -> list[bool]:
    """Return, per instruction, whether it depends on the result of a reduction."""
    after: list[bool] = []
    for instruction in c.instructions:
        after.append(instruction.op == "reduce" or any(after[a] for a in instruction.args))
    return after


def is_single_pass(c: Canonical) -> bool:
    """Return True if no full instruction and no reduction depends on a reduction, and none is an argmax or argmin."""
    full, after = _full_instructions(c), _after_reduction(c)
    for i, instruction in enumerate(c.instructions):
        if instruction.op == "reduce" and (instruction.attrs[0].startswith("arg") or any(after[a] for a in instruction.args)):
            return False
        if full[i] and after[i]:
            return False
    return all(not after[i] or not _is_full_store(c, a) for i, a in c.stores)


def _is_full_store(c: Canonical, a: int) -> bool:
    return any(s and r for s, r in zip(c.walks[a].strides, c.reduced, strict=True))


def split(
    nest: LoopNest, c: Canonical, chunks: Chunks, temporaries: Callable[[tuple[int, ...], DType], Value]
) -> tuple[Canonical, LoopNest]:
    """Return the nest of the partial results (its first axis counts the chunks) and the nest that combines them."""
    parallel = [k for k, r in enumerate(c.reduced) if not r]
    full = _full_instructions(c)
    shape = (chunks.count, *(c.extents[k] for k in parallel))
    inner_strides = [prod(shape[n + 2 :]) for n in range(len(parallel))]

    instructions = list(c.instructions)
    walks = [Walk(w.access, [0, *w.strides], [(k + 1, low, high) for k, low, high in w.bounds]) for w in c.walks]
    stores = [st for st in c.stores if full[st[0]] or _is_full_store(c, st[1])]
    partials: dict[int, Access] = {}
    for i, instruction in enumerate(c.instructions):
        if instruction.op != "reduce":
            continue
        dtype = float32 if instruction.dtype.is_half else instruction.dtype
        value = temporaries(shape, dtype)
        number, argument = i, instruction.args[0]
        if dtype is not instruction.dtype:
            instructions.append(Instruction("cast", (argument,), dtype))
            instructions.append(Instruction("reduce", (len(instructions) - 1,), dtype, instruction.attrs, True))
            number = len(instructions) - 1
        strides = [prod(shape[1:])] + [0] * len(c.extents)
        for n, k in enumerate(parallel):
            strides[k + 1] = inner_strides[n]
        partials[i] = Access(value, 0, tuple(strides))
        stores.append((number, len(walks)))
        walks.append(Walk(partials[i], strides, []))
    coefficients = {i: [0, *row] for i, row in c.coefficients.items()}
    live, numbers, used = prune(instructions, stores)
    partial = Canonical(
        *([chunks.count, *c.extents], [False, *c.reduced], [walks[a] for a in used], live),
        {numbers[i]: row for i, row in coefficients.items() if i in numbers},
        [(numbers[i], used.index(a)) for i, a in stores],
    )
    return partial, _combination(nest, c, parallel, chunks, partials, full)


def _combination(
    nest: LoopNest, c: Canonical, parallel: list[int], chunks: Chunks, partials: dict[int, Access], full: list[bool]
) -> LoopNest:
    """Return the nest over (chunks reduced, parallel axes) with the instructions that follow the reductions."""
    result = LoopNest([Axis(chunks.count, True), *(Axis(c.extents[k]) for k in parallel)], nodes=nest.nodes)
    number: dict[int, int] = {}
    position = {k: n + 1 for n, k in enumerate(parallel)}

    def add(instruction: Instruction) -> int:
        result.instructions.append(instruction)
        return len(result.instructions) - 1

    def access(a: int) -> int:
        walk = c.walks[a]
        bounds = tuple((position[k], low, high) for k, low, high in walk.bounds)
        strides = (0, *(walk.strides[k] for k in parallel))
        result.accesses.append(Access(walk.access.value, walk.access.offset, strides, bounds, walk.access.fill))
        return len(result.accesses) - 1

    for i, instruction in enumerate(c.instructions):
        if full[i]:
            continue
        op, dtype, attrs = instruction.op, instruction.dtype, instruction.attrs
        if op == "reduce":
            source = partials[i]
            strides = tuple(s for k, s in enumerate(source.strides) if k == 0 or not c.reduced[k - 1])
            result.accesses.append(Access(source.value, 0, strides))
            loaded = add(Instruction("load", (), source.value.dtype, (len(result.accesses) - 1,)))
            number[i] = add(Instruction("reduce", (loaded,), source.value.dtype, attrs, True))
            if dtype is not source.value.dtype:
                number[i] = add(Instruction("cast", (number[i],), dtype, (dtype,), True))
            continue
        if op == "load":
            attrs = (access(attrs[0]),)
        elif op == "iota":
            attrs = ((0, *(c.coefficients[i][k] for k in parallel)), attrs[1])
        number[i] = add(Instruction(op, tuple(number[a] for a in instruction.args), dtype, attrs, True, instruction.node))
    stored = [(number[i], a) for i, a in c.stores if not full[i] and not _is_full_store(c, a)]
    stores = [(i, access(a)) for i, a in stored]
    result.instructions, number, used = prune(result.instructions, stores)
    result.accesses = [result.accesses[a] for a in used]
    result.stores = [(number[i], used.index(a)) for i, a in stores]
    return result


def prune(instructions: list[Instruction], stores: list[tuple[int, int]]) -> tuple[list[Instruction], dict[int, int], list[int]]:
    """Return the instructions that the stores depend on, renumbered, their numbers by the old ones, and the accesses that are used."""
    live: set[int] = set()
    stack = [i for i, _ in stores]
    while stack:
        i = stack.pop()
        if i not in live:
            live.add(i)
            stack.extend(instructions[i].args)
    order = sorted(live)
    number = {i: n for n, i in enumerate(order)}
    used = sorted({instructions[i].attrs[0] for i in order if instructions[i].op == "load"} | {a for _, a in stores})
    result = []
    for i in order:
        old = instructions[i]
        attrs = (used.index(old.attrs[0]),) if old.op == "load" else old.attrs
        result.append(Instruction(old.op, tuple(number[a] for a in old.args), old.dtype, attrs, old.row, old.node))
    return result, number, used
