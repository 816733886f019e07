"""Fused loop kernels: the loops around the instructions of a nest.

A kernel runs over its units (outer positions and blocks of the vector axis). *Along* rows it runs, for each outer position, one pass
per rank of reductions over the inner axes and the vector axis. *Across* rows (and elementwise) each vector of rows runs its passes over
the inner axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trine.compiler.ir import KERNEL_ARGUMENTS, Function, Module
from trine.compiler.target import Target
from trine.compiler.templates import loop_memory as memory
from trine.compiler.templates import loop_reduce as reduce
from trine.compiler.templates.loop_convert import round_to_half
from trine.compiler.templates.loop_random import BLOCK
from trine.compiler.templates.loop_scope import Evaluator, Scope
from trine.compiler.templates.loop_structure import LoopStructure, Pass, Schedule, cost, schedule
from trine.compiler.templates.loop_types import Context
from trine.dtypes import DType, int64

MAX_ACCUMULATORS = 8


def vector_lanes(s: LoopStructure, plan: Schedule, target: Target) -> int:
    """Return how many positions a vector holds: as many as fit of the widest common element.

    Where 8-byte values are the minority they take two registers, so that the others fill one.
    """
    sizes: list[int] = []
    for i in sorted({n for p in plan.passes for n in p.needed} | set(plan.rows)):
        if plan.is_vector[i] and s.instructions[i].op not in ("reduce", "iota"):
            dtype = s.dtype(i)
            sizes.append(4 if dtype.is_half else dtype.itemsize if dtype.code != "b" else 0)
    stores = [s.dtype(i) for i, _ in s.stores]
    sizes = [size for size in sizes if size] or [4 if d.is_half else d.itemsize for d in stores] or [4]
    wide = sum(size == 8 for size in sizes)
    size = 8 if 2 * wide > len(sizes) else max([z for z in sizes if z < 8], default=4)
    return min(target.vector_bits // (8 * size), 64)


def vector_copies(s: LoopStructure, plan: Schedule, lanes: int) -> int:
    """Return how many vectors an iteration handles: more for small bodies, whose latency they hide."""
    if s.aligned and not s.along and BLOCK // lanes <= 8:
        return BLOCK // lanes
    weight = max([plan.weight, sum(cost(s, i) for i in plan.rows if plan.is_vector[i])])
    return unroll(weight, max((len(p.reduces) for p in plan.passes), default=0))


def unroll(weight: int, accumulators: int) -> int:
    """Return the number of copies for a body's weight: more where accumulators wait for each other, few enough for the registers."""
    copies = 4 if weight <= 12 and accumulators else 2 if weight <= 80 else 1
    while copies > 1 and copies * accumulators > MAX_ACCUMULATORS:
        copies //= 2
    return copies


class LoopEmitter:
    """Emits the loops of one kernel."""

    def __init__(self, f: Function, s: LoopStructure, target: Target, *, tile: bool = False) -> None:
        self.f = f
        self.s = s
        self.plan = schedule(s)
        self.lanes = vector_lanes(s, self.plan, target)
        self.copies = vector_copies(s, self.plan, self.lanes)
        self.e = Evaluator(f, s, self.plan, target, self.lanes, self.copies, tile=tile)
        self.everything = sorted({i for p in self.plan.passes for i in p.needed} | set(self.plan.rows))

    # --- the parallel loop ------------------------------------------------------------------------------------------------------

    def kernel(self) -> None:
        """Emit the body of the kernel function."""
        f, e, s = self.f, self.e, self.s
        scope = e.entry()
        e.hoist(scope, self.everything)
        if s.units == (-1,) and not s.streamed:
            # One dimension of blocks: a range of units is a range of positions.
            block, extent = e.params["block",], e.params["extent", s.vector]
            self.columns(scope, f.mul("%begin", block), f.min(f.mul("%end", block), extent))
            return
        group, total = e.params["group",], e.params["total",]
        first, last = f.mul("%begin", group), f.min(f.mul("%end", group), total)
        extents = [e.params["blocks",] if d < 0 else e.params["extent", d] for d in s.units]
        with f.loop(first, last, 1, [("i64", p) for p in self._decode(first, extents)]) as loop:
            positions = loop.carried if len(extents) > 1 else [loop.index][: len(extents)]
            self._unit(scope, positions)
            loop.next = self._advance(positions, extents) if len(extents) > 1 else []

    def _decode(self, number: str, extents: Sequence[str]) -> list[str]:
        """Split a number into positions (slowest first); none for fewer than two dimensions, whose loop index is the position."""
        if len(extents) < 2:
            return []
        positions = []
        for extent in reversed(extents[1:]):
            positions.append(self.f.urem(number, extent))
            number = self.f.udiv(number, extent)
        return [number, *reversed(positions)]

    def _advance(self, positions: Sequence[str], extents: Sequence[str]) -> list[str]:
        """Return the positions after these."""
        f = self.f
        result: list[str] = []
        carry = "1"
        for position, extent in zip(reversed(positions), reversed(extents), strict=True):
            following = f.add(position, carry)
            wraps = f.icmp("eq", following, extent)
            result.append(f.select(wraps, 0, following))
            carry = f.value(f"zext i1 {wraps} to i64")
        return result[::-1]

    def _unit(self, scope: Scope, positions: Sequence[str]) -> None:
        f, e, s = self.f, self.e, self.s
        low, high = "0", e.params["extent", s.vector]
        for dimension, position in zip(s.units, positions, strict=True):
            if dimension >= 0:
                scope = e.enter(scope, dimension, position)
            else:
                low = f.mul(position, e.params["block",])
                high = f.min(f.add(low, e.params["block",]), high)
        e.hoist(scope, self.everything)
        if s.along:
            self.row(scope)
        elif s.streamed:
            StreamedColumns(self, scope, low, high).emit()
        else:
            self.columns(scope, low, high)

    def _range(self, scope: Scope, axis: int) -> tuple[str, str]:
        """Return the positions of a reduced axis that this unit covers."""
        extent = self.e.params["extent", axis]
        if not self.s.split or self.s.split[1] != axis:
            return "0", extent
        size = self.e.params["chunk",]
        low = self.f.mul(scope.positions[self.s.split[0]], size)
        return low, self.f.min(self.f.add(low, size), extent)

    # --- along a row ------------------------------------------------------------------------------------------------------------

    def row(self, scope: Scope) -> None:
        """Run the passes over one row; the results of reductions are scalars."""
        for p in self.plan.passes:
            copies = unroll(p.weight, len(p.reduces)) if p.reduces else min(self.copies, unroll(p.weight, 0))
            copies = min(copies, self.copies) if self._has_strided_steps() else copies
            starts = [r for i in p.reduces for _ in range(copies) for r in self.initial(i)]
            out = self.reduced_loops(scope, self.inner_axes(), p, starts, copies, self._row_vectors)
            for i, registers in zip(p.reduces, self._split_registers(p, out, copies), strict=True):
                scope.scalars[i] = self._finish_scalar(i, registers)
                if i in self.plan.splat:
                    self.e.splat(scope, i)
            self.e.hoist(scope, self.everything)
        for number, access in self.plan.row_stores:
            self.e.store_scalar(scope, number, access)

    def _has_strided_steps(self) -> bool:
        return any(a.classes[-1] in "sS" for a in self.s.accesses)

    def _row_vectors(self, scope: Scope, p: Pass, carried: list[str], copies: int) -> list[str]:
        """Loop over the vector axis: whole groups of vectors, then single ones, the last with a mask."""
        f, e = self.f, self.e
        low, high = self._range(scope, self.s.vector)
        step = copies * self.lanes
        middle = f.add(low, f.band(f.sub(high, low), -step))
        types = self.register_types(p, copies)
        with f.loop(low, middle, step, list(zip(types, carried, strict=True))) as loop:
            inside = e.enter_vector(scope, loop.index, copies, None)
            if p is self.plan.passes[-1] and len(self.plan.passes) > 1:
                e.prefetch_next_row(inside, self.plan.passes[0].needed)
            loop.next = self.body(inside, p, loop.carried, copies, copies)
        with f.loop(middle, high, self.lanes, list(zip(types, loop.out, strict=True))) as tail:
            mask = memory.lanes_below(e.vector, f.sub(high, tail.index))
            inside = e.enter_vector(scope, tail.index, 1, mask)
            tail.next = self.body(inside, p, tail.carried, 1, copies)
        return tail.out

    # --- across rows ------------------------------------------------------------------------------------------------------------

    def columns(self, scope: Scope, low: str, high: str) -> None:
        """Run vectors of rows: whole groups, then single ones, the last with a mask."""
        f, e = self.f, self.e
        step = self.copies * self.lanes
        middle = f.add(low, f.band(f.sub(high, low), -step))
        with f.loop(low, middle, step) as loop:
            self.vectors(e.enter_vector(scope, loop.index, self.copies, None))
        with f.loop(middle, high, self.lanes) as tail:
            mask = memory.lanes_below(e.vector, f.sub(high, tail.index))
            self.vectors(e.enter_vector(scope, tail.index, 1, mask))

    def vectors(self, scope: Scope) -> None:
        """Compute and store everything for some vectors of rows."""
        copies = len(scope.copies)
        self.e.hoist(scope, self.everything)
        for p in self.plan.passes:
            starts = [r for i in p.reduces for _ in range(copies) for r in self.initial(i)]
            out = self.reduced_loops(scope, self.inner_axes(), p, starts, copies, self._across_body)
            for i, registers in zip(p.reduces, self._split_registers(p, out, copies), strict=True):
                for u in range(copies):
                    scope.copies[u][i] = self.finish(i, registers[u], self.e.vector)
            self.e.hoist(scope, self.everything)
        for number, access in self.plan.row_stores:
            self.e.store(scope, number, access)

    def _across_body(self, scope: Scope, p: Pass, carried: list[str], copies: int) -> list[str]:
        return self.body(scope, p, carried, copies, copies)

    # --- passes -----------------------------------------------------------------------------------------------------------------

    def inner_axes(self) -> list[int]:
        return list(range(self.s.outer, self.s.vector))

    def reduced_loops(
        self,
        scope: Scope,
        axes: list[int],
        p: Pass,
        carried: list[str],
        copies: int,
        innermost: Callable[[Scope, Pass, list[str], int], list[str]],
    ) -> list[str]:
        """Emit the loops over the inner axes around `innermost`; return the final accumulators."""
        if not axes:
            return innermost(scope, p, carried, copies)
        low, high = self._range(scope, axes[0])
        with self.f.loop(low, high, 1, list(zip(self.register_types(p, copies), carried, strict=True))) as loop:
            inside = self.e.enter(scope, axes[0], loop.index)
            if len(axes) > 1 or self.s.along or self.s.streamed:
                self.e.hoist(inside, p.needed)
            loop.next = self.reduced_loops(inside, axes[1:], p, loop.carried, copies, innermost)
        return loop.out

    def body(self, scope: Scope, p: Pass, carried: list[str], copies: int, held: int) -> list[str]:
        """Compute one point of a pass for `copies` vectors, of which `held` accumulators exist; return the new accumulators."""
        e = self.e
        for i in p.fetched:
            e.fetch(scope, i)
        e.hoist(scope, p.needed)
        for i in p.keeps:
            e.keep(scope, i)
        for number, access in p.stores:
            e.store(scope, number, access)
        groups = self._split_registers(p, carried, held)
        position = self._positions(scope, p, copies)
        for i, registers in zip(p.reduces, groups, strict=True):
            for u in range(copies):
                registers[u] = self._update(scope, i, registers[u], u, position)
        return [r for registers in groups for acc in registers for r in acc]

    def _update(self, scope: Scope, i: int, acc: list[str], copy: int, positions: list[str]) -> list[str]:
        e = self.e
        kind, dtype = self._kind(i), self._accumulated(i)
        argument = self.s.instructions[i].args[0]
        x = scope.copies[copy][argument] if self.plan.is_vector[argument] else e.splat(scope, argument)
        if kind.startswith("arg") and self.s.dtype(argument).code == "b":
            x = e.f.value(f"zext <{self.lanes} x i1> {x} to <{self.lanes} x i8>")
        if self.s.along and scope.mask is not None:
            x = e.vector.select(scope.mask, x, e.vector.literal(reduce.identity(kind, dtype), dtype), dtype)
        return reduce.update(e.vector, kind, acc, x, positions[copy] if positions else "", dtype)

    def _positions(self, scope: Scope, p: Pass, copies: int) -> list[str]:
        """Return, per copy, the row-major position along the reduced axes of every lane, if a reduction asks for it."""
        if not any(self._kind(i).startswith("arg") for i in p.reduces):
            return []
        f = self.f
        total = "0"
        for k in self.inner_axes():
            total = f.add(total, f.mul(scope.positions[k], self.e.params["linear", k]))
        if not self.s.along:
            return [f.splat(total, self.lanes, "i64")] * copies
        total = f.add(total, scope.positions[self.s.vector])
        lanes = memory.lane_numbers(self.lanes, "i64")
        return [self.e.vector.binary("add", f.splat(f.add(total, u * self.lanes), self.lanes, "i64"), lanes, int64) for u in range(copies)]

    # --- accumulators -----------------------------------------------------------------------------------------------------------

    def _kind(self, i: int) -> str:
        return str(self.s.instructions[i].attrs[0])

    def _accumulated(self, i: int) -> DType:
        return reduce.accumulator_dtype(self._kind(i), self.s.dtype(self.s.instructions[i].args[0]))

    def initial(self, i: int) -> list[str]:
        return reduce.initial(self.e.vector, self._kind(i), self._accumulated(i))

    def register_types(self, p: Pass, copies: int) -> list[str]:
        return [t for i in p.reduces for _ in range(copies) for t in reduce.types(self.e.vector, self._kind(i), self._accumulated(i))]

    def _split_registers(self, p: Pass, flat: list[str], copies: int) -> list[list[list[str]]]:
        """Return, per reduction and copy, the accumulator's registers."""
        result, at = [], 0
        for i in p.reduces:
            width = 2 if self._kind(i).startswith("arg") else 1
            result.append([flat[at + u * width : at + (u + 1) * width] for u in range(copies)])
            at += copies * width
        return result

    def _finish_scalar(self, i: int, registers: list[list[str]]) -> str:
        kind, dtype = self._kind(i), self._accumulated(i)
        acc = reduce.across_lanes(self.e.vector, kind, reduce.tree(self.e.vector, kind, registers, dtype), dtype)
        return self.finish(i, acc, self.e.scalar)

    def finish(self, i: int, acc: list[str], c: Context) -> str:
        """Return the reduction's value: its position, or the accumulated value rounded to the result's dtype."""
        if self._kind(i).startswith("arg"):
            return reduce.position_or_zero(c, acc[1])
        dtype = self.s.dtype(i)
        return round_to_half(c, acc[0], dtype) if dtype.is_half else acc[0]

    # --- a tile -----------------------------------------------------------------------------------------------------------------

    def tile(self) -> None:
        """Emit the body of a tile function: rows m0 to m1 of columns n0 to n1 (the vector axis) of one matrix of a batch."""
        f, e, s = self.f, self.e, self.s
        scope = e.entry()
        e.hoist(scope, self.everything)
        extents = [e.params["extent", k] for k in range(s.outer - 1)]
        for k, position in enumerate(self._decode("%batch", extents) or ["%batch"][: len(extents)]):
            scope = e.enter(scope, k, position)
        e.hoist(scope, self.everything)
        with f.loop("%m0", "%m1") as row:
            inside = e.enter(scope, s.outer - 1, row.index)
            e.hoist(inside, self.everything)
            self.columns(inside, "%n0", "%n1")


class StreamedColumns:
    """The columns of one unit with their accumulators in scratch memory: rows in the outer loops, vectors of columns in the inner one."""

    def __init__(self, emitter: LoopEmitter, scope: Scope, low: str, high: str) -> None:
        self.m = emitter
        self.scope = scope
        self.low, self.high = low, high
        f, e = emitter.f, emitter.e
        self.p = emitter.plan.passes[0]
        base = f.scratch()
        self.buffers = [f.gep(base, e.params["stream", i]) for i in self.p.reduces]
        self.types = [emitter.register_types(Pass([i], [], [], [], [], 0), 1)[0] for i in self.p.reduces]

    def emit(self) -> None:
        """Set the accumulators, add all rows, compute and store what follows the reductions."""
        f, e, m = self.m.f, self.m.e, self.m
        with f.loop(self.low, self.high, m.lanes) as loop:
            for n, i in enumerate(self.p.reduces):
                f.store(self.types[n], m.initial(i)[0], self._pointer(n, loop.index), 1)
        m.reduced_loops(self.scope, m.inner_axes(), Pass([], [], self.p.needed, [], [], 0), [], 1, self._row)
        with f.loop(self.low, self.high, m.lanes) as loop:
            mask = memory.lanes_below(e.vector, f.sub(self.high, loop.index))
            inside = e.enter_vector(self.scope, loop.index, 1, mask)
            for n, i in enumerate(self.p.reduces):
                value = f.load(self.types[n], self._pointer(n, loop.index), 1)
                inside.copies[0][i] = m.finish(i, [value], e.vector)
            e.hoist(inside, m.everything)
            for number, access in m.plan.row_stores:
                e.store(inside, number, access)

    def _pointer(self, number: int, position: str, copy: int = 0) -> str:
        """Return where the accumulator of the vector at a position lies."""
        index = self.m.f.sub(position, self.low)
        element = self.types[number][1:-1].split(" x ")[1]
        return self.m.f.gep(self.m.f.gep(self.buffers[number], index, element), copy * self.m.lanes, element)

    def _row(self, scope: Scope, p: Pass, carried: list[str], copies: int) -> list[str]:
        """Add one row."""
        f, e, m = self.m.f, self.m.e, self.m
        e.hoist(scope, self.p.needed)
        step = m.copies * m.lanes
        middle = f.add(self.low, f.band(f.sub(self.high, self.low), -step))
        with f.loop(self.low, middle, step) as loop:
            self._vectors(e.enter_vector(scope, loop.index, m.copies, None), loop.index)
        with f.loop(middle, self.high, m.lanes) as tail:
            mask = memory.lanes_below(e.vector, f.sub(self.high, tail.index))
            self._vectors(e.enter_vector(scope, tail.index, 1, mask), tail.index)
        return []

    def _vectors(self, scope: Scope, position: str) -> None:
        copies = len(scope.copies)
        pointers = [self._pointer(n, position, u) for n in range(len(self.p.reduces)) for u in range(copies)]
        types = [t for t in self.types for _ in range(copies)]
        accumulators = [self.m.f.load(t, pointer, 1) for t, pointer in zip(types, pointers, strict=True)]
        results = self.m.body(scope, self.p, accumulators, copies, copies)
        for type_, result, pointer in zip(types, results, pointers, strict=True):
            self.m.f.store(type_, result, pointer, 1)


TILE_ARGUMENTS = (("ptr noalias", "table"), ("ptr noalias", "params"), *(("i64", name) for name in ("m0", "m1", "n0", "n1", "batch")))


def emit_tile_function(module: Module, s: LoopStructure, target: Target, name: str = "kernel") -> None:
    """Add ``void name(ptr table, ptr params, i64 m0, i64 m1, i64 n0, i64 n1, i64 batch)`` to a module.

    It computes an elementwise nest over axes (..., m, n) on a rectangle of the matrix whose number in the batch is `batch`. Its parameter
    block holds a (slot, offset) pair for each access, then the integers of `parameters(s, 0, tile=True)`.
    """
    f = module.function(name, TILE_ARGUMENTS)
    LoopEmitter(f, s, target, tile=True).tile()
    f.ret()


def emit_tile(s: LoopStructure, target: Target) -> str:
    """Return the IR of a module with one tile function."""
    module = Module(target.vector_bits)
    emit_tile_function(module, s, target)
    return module.text()


def emit_loop(s: LoopStructure, target: Target) -> str:
    """Return the IR of a loop kernel."""
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    LoopEmitter(f, s, target).kernel()
    f.ret()
    return module.text()
