"""What the code of a loop kernel depends on, and the order in which its values are computed.

A `LoopStructure` is a canonical nest without extents, strides and offsets: it is the kernel's key. Its axes are numbered: first the
*outer* ones (parallel, one position at a time), then the *inner* ones (reduced, one position at a time), last the *vector* axis, along
which registers hold consecutive positions. In a kernel *along* rows the vector axis is reduced; else it is parallel, and each lane has
its own row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from trine.dtypes import BY_NAME, DType


class AccessInfo(NamedTuple):
    """An array access: dtype name, stride class per axis, axes with bounds, the repr of the fill value.

    Classes: "0" broadcast, "1" consecutive elements (vector axis only), "s" any stride, "S" one whose lane offsets need 64 bits.
    """

    dtype: str
    classes: str
    bounds: tuple[int, ...]
    fill: str


class InstructionInfo(NamedTuple):
    """An instruction: as `trine.compiler.nest.Instruction`, with extents and large constants taken out of the attributes."""

    op: str
    args: tuple[int, ...]
    dtype: str
    attrs: tuple[Any, ...]


class LoopStructure(NamedTuple):
    """The key of a loop kernel.

    Attributes:
        outer, inner: numbers of outer and inner axes.
        along: the vector axis is reduced.
        accesses, instructions, stores: as in the nest.
        units: the dimensions of the parallel loop, slowest first: outer axes and -1 for blocks of the vector axis.
        split: (outer axis that counts chunks, reduced axis that they divide) or ().
        keep: whether expensive values of one pass may be kept in scratch memory for the next.
        aligned: random bits start at multiples of 64, so that the whole of a Philox block is used.
        streamed: the accumulators of a block of columns lie in scratch memory, so that the array is read row by row.
    """

    outer: int
    inner: int
    along: bool
    accesses: tuple[AccessInfo, ...]
    instructions: tuple[InstructionInfo, ...]
    stores: tuple[tuple[int, int], ...]
    units: tuple[int, ...]
    split: tuple[int, ...]
    keep: bool
    aligned: bool
    streamed: bool

    @property
    def vector(self) -> int:
        """Number of the vector axis."""
        return self.outer + self.inner

    @property
    def reduced(self) -> int:
        """The reduced axes, as a bit mask."""
        inner = ((1 << self.inner) - 1) << self.outer
        return inner | (1 << self.vector) if self.along else inner

    def dtype(self, number: int) -> DType:
        """Return the dtype of an instruction."""
        return BY_NAME[self.instructions[number].dtype]


def parameters(s: LoopStructure, kept: int, *, tile: bool = False) -> list[tuple[Any, ...]]:
    """Return the names of the kernel's integer parameters, in their order after the operands."""
    names: list[tuple[Any, ...]] = [("extent", k) for k in range(s.vector + 1)]
    if not tile:
        names += [("group",), ("total",), ("block",), ("blocks",)]
    if s.split:
        names.append(("chunk",))
    for a, access in enumerate(s.accesses):
        names += [("stride", a, k) for k, kind in enumerate(access.classes) if kind in "sS"]
        names += [(side, a, n) for n in range(len(access.bounds)) for side in ("low", "high")]
    for i, instruction in enumerate(s.instructions):
        if instruction.op == "iota":
            names += [("offset", i), *(("coefficient", i, k) for k, kind in enumerate(instruction.attrs[0]) if kind == "s")]
        elif instruction.op == "const" and instruction.attrs[0] == "param":
            names.append(("const", i))
        elif instruction.op == "check_index":
            names += [("size", i), ("node", i)]
    if any(i.op == "reduce" and i.attrs[0].startswith("arg") for i in s.instructions):
        names += [("linear", k) for k in range(s.outer, s.vector)]
    if s.streamed:
        names += [("stream", i) for i, instruction in enumerate(s.instructions) if instruction.op == "reduce"]
    if kept:
        names += [("pitch", k) for k in range(s.outer, s.vector)] + [("kept", n) for n in range(kept)]
    return names


# --- costs --------------------------------------------------------------------------------------------------------------------------

# Instructions per vector, roughly; 1 where not named.
COSTS = {
    **dict.fromkeys("exp exp2 log log2 sigmoid".split(), 16),
    **dict.fromkeys("expm1 log10 log1p tanh sin cos sinh cosh erf asinh acosh atanh atan asin acos floor_div remainder fmod".split(), 25),
    **dict.fromkeys("tan erfc erfinv pow atan2 digamma lgamma".split(), 45),
    **dict.fromkeys("div reciprocal sqrt".split(), 4),
    **{"rsqrt": 8, "random_bits": 120, "check_index": 6, "const": 0, "scalar": 0, "iota": 2, "stop_gradient": 0},
}
# Above this a value is kept for a later pass rather than computed again.
KEEP_COST = 10


def cost(s: LoopStructure, number: int) -> int:
    """Return the estimated instructions per vector of an instruction."""
    instruction = s.instructions[number]
    if instruction.op == "load":
        access = s.accesses[instruction.attrs[0]]
        return 8 if access.classes[-1] in "sS" else 2 if access.dtype.endswith("16") else 1
    extra = 6 if instruction.dtype in ("float16", "bfloat16") and instruction.op != "reduce" else 0
    return COSTS.get(instruction.op, 1) + extra


# --- the schedule -------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Pass:
    """One run over the reduced axes: what it reduces and stores, the instructions that it needs, the values that it keeps or fetches."""

    reduces: list[int]
    stores: list[tuple[int, int]]
    needed: list[int]
    fetched: list[int]
    keeps: list[int]
    weight: int


@dataclass(slots=True)
class Schedule:
    """When each instruction is computed.

    Attributes:
        depends: per instruction, the axes that its value varies along, as a bit mask.
        is_vector: per instruction, whether it depends on the vector axis.
        splat: scalar instructions that vector instructions or vector stores use.
        passes: runs over the reduced axes; none in an elementwise kernel.
        rows: instructions outside the passes (in order).
        row_stores: stores outside the passes, after the last one.
        kept: instructions whose values are kept in scratch memory, in the order of their buffers.
    """

    depends: list[int]
    is_vector: list[bool]
    splat: set[int]
    passes: list[Pass]
    rows: list[int]
    row_stores: list[tuple[int, int]]
    kept: list[int]

    @property
    def weight(self) -> int:
        """Weight of the heaviest pass."""
        return max((p.weight for p in self.passes), default=0)


def axes_of_access(access: AccessInfo) -> int:
    """Return the axes along which what is read varies, as a bit mask."""
    mask = sum(1 << k for k, kind in enumerate(access.classes) if kind != "0")
    for k in access.bounds:
        mask |= 1 << k
    return mask


def dependences(s: LoopStructure) -> list[int]:
    """Return, per instruction, the axes that its value varies along."""
    depends: list[int] = []
    for instruction in s.instructions:
        mask = 0
        for a in instruction.args:
            mask |= depends[a]
        if instruction.op == "load":
            mask = axes_of_access(s.accesses[instruction.attrs[0]])
        elif instruction.op == "iota":
            mask = sum(1 << k for k, kind in enumerate(instruction.attrs[0]) if kind != "0")
        elif instruction.op == "reduce":
            # Across, every lane accumulates its own row.
            mask = mask & ~s.reduced | (0 if s.along else 1 << s.vector)
        depends.append(mask)
    return depends


def _ranks(s: LoopStructure, depends: list[int]) -> tuple[list[int], list[int]]:
    """Return per instruction the first pass that can compute it, and the number of passes that must be complete before its users."""
    first: list[int] = []
    done: list[int] = []
    for i, instruction in enumerate(s.instructions):
        start = max((max(done[a], first[a] if depends[a] & s.reduced else 0) for a in instruction.args), default=0)
        first.append(start)
        done.append(start + 1 if instruction.op == "reduce" else 0 if depends[i] & s.reduced else start)
    return first, done


class _Needs:
    """Finds what each pass computes, fetches and keeps."""

    def __init__(self, s: LoopStructure, depends: list[int]) -> None:
        self.s = s
        self.depends = depends
        self.first_pass: dict[int, int] = {}
        self.kept: dict[int, int] = {}

    def recomputation(self, number: int) -> int:
        """Return the cost of computing a value of the full level again."""
        seen: set[int] = set()
        stack = [number]
        total = 0
        while stack:
            i = stack.pop()
            if i in seen or i in self.kept or not self.depends[i] & self.s.reduced:
                continue
            seen.add(i)
            total += cost(self.s, i)
            stack.extend(self.s.instructions[i].args)
        return total

    def closure(self, roots: list[int], number: int) -> tuple[list[int], list[int]]:
        """Return what pass `number` computes for its roots, and what it fetches from scratch memory."""
        computed: set[int] = set()
        fetched: set[int] = set()
        stack = list(roots)
        while stack:
            i = stack.pop()
            if i in computed or i in fetched:
                continue
            if self.is_fetched(i, number):
                fetched.add(i)
                continue
            computed.add(i)
            if self.s.instructions[i].op != "reduce":
                stack.extend(self.s.instructions[i].args)
        for i in computed:
            self.first_pass.setdefault(i, number)
        return sorted(computed), sorted(fetched)

    def is_fetched(self, i: int, number: int) -> bool:
        """Decide whether a pass fetches a value that an earlier one computed."""
        full_vector = self.depends[i] & self.s.reduced and self.depends[i] >> self.s.vector & 1
        if not self.s.keep or not full_vector or self.first_pass.get(i, number) >= number:
            return False
        if i not in self.kept and self.recomputation(i) > KEEP_COST:
            self.kept[i] = len(self.kept)
        return i in self.kept


def _live(s: LoopStructure) -> list[int]:
    """Return the instructions that a store depends on, in order."""
    live: set[int] = set()
    stack = [i for i, _ in s.stores]
    while stack:
        i = stack.pop()
        if i not in live:
            live.add(i)
            stack.extend(s.instructions[i].args)
    return sorted(live)


def schedule(s: LoopStructure) -> Schedule:
    """Plan a kernel: which pass computes what, and what is kept between passes."""
    depends = dependences(s)
    first, done = _ranks(s, depends)
    full_stores = [st for st in s.stores if (depends[st[0]] | axes_of_access(s.accesses[st[1]])) & s.reduced]
    row_stores = [st for st in s.stores if st not in full_stores]
    needs = _Needs(s, depends)
    everything = _live(s)
    reduces = [i for i in everything if s.instructions[i].op == "reduce"]
    # All full stores are in the last pass: an output may take the place of an input that an earlier pass still reads.
    count = max([first[i] + 1 for i in reduces] + [max(first[i], done[i]) + 1 for i, _ in full_stores], default=0)
    passes = []
    for p in range(count):
        mine = [i for i in reduces if first[i] == p]
        stores = full_stores if p == count - 1 else []
        computed, fetched = needs.closure([a for i in mine for a in s.instructions[i].args] + [i for i, _ in stores], p)
        weight = sum(cost(s, i) for i in computed if depends[i] & s.reduced) + len(mine)
        passes.append(Pass(mine, stores, computed, fetched, [], weight))
    kept = sorted(needs.kept, key=needs.kept.__getitem__)
    for i in kept:
        passes[needs.first_pass[i]].keeps.append(i)
    is_vector = [bool(d >> s.vector & 1) for d in depends]
    splat = {a for i, n in enumerate(s.instructions) if is_vector[i] or n.op == "reduce" for a in n.args if not is_vector[a]}
    splat |= {i for i, a in s.stores if not is_vector[i] and axes_of_access(s.accesses[a]) >> s.vector & 1}
    rows = [i for i in everything if not depends[i] & s.reduced]
    return Schedule(depends, is_vector, splat, passes, rows, row_stores, kept)
