"""Evaluating the instructions of a loop kernel: what is known inside each loop, and at which level each value is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from trine.compiler.ir import Function
from trine.compiler.target import Target
from trine.compiler.templates import loop_memory as memory
from trine.compiler.templates import loop_random as random
from trine.compiler.templates.loop_body import emit_elementwise
from trine.compiler.templates.loop_convert import memory_type
from trine.compiler.templates.loop_structure import InstructionInfo, LoopStructure, Schedule, parameters
from trine.compiler.templates.loop_types import Context, register_type, vector_type
from trine.dtypes import BY_NAME, DType, bool_, int64, uint8


@dataclass(slots=True)
class Scope:
    """What is known inside a loop. Registers of an enclosing loop stay valid in the loops within it.

    Attributes:
        axes: axes with a position, as a bit mask.
        positions: axis -> i64 register.
        pointers: per access, its address at the positions (the vector axis excepted).
        conditions: per access, whether the positions are within its bounds (None: certainly).
        kept: per kept value, the address of its buffer at the positions.
        scalars, splats: instruction -> register, for instructions that do not depend on the vector axis.
        copies: per unrolled copy, instruction -> vector register.
        mask: the lanes in use in a tail, or None.
    """

    axes: int = 0
    positions: dict[int, str] = field(default_factory=dict)
    pointers: list[str] = field(default_factory=list)
    conditions: list[str | None] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    scalars: dict[int, str] = field(default_factory=dict)
    splats: dict[int, str] = field(default_factory=dict)
    keys: dict[int, random.Keys] = field(default_factory=dict)
    copies: list[dict[int, str]] = field(default_factory=list)
    mask: str | None = None

    def child(self) -> Scope:
        """Return a copy for a loop within."""
        return Scope(
            self.axes,
            dict(self.positions),
            list(self.pointers),
            list(self.conditions),
            list(self.kept),
            dict(self.scalars),
            dict(self.splats),
            dict(self.keys),
            [dict(c) for c in self.copies],
            self.mask,
        )


class Evaluator:
    """Emits loads, instructions and stores of one kernel."""

    def __init__(
        self, f: Function, s: LoopStructure, plan: Schedule, target: Target, lanes: int, copies: int, *, tile: bool = False, first: int = 0
    ) -> None:
        self.f = f
        self.s = s
        self.plan = plan
        self.target = target
        self.lanes = lanes
        self.unroll = copies
        self.scalar = Context(f, target, 1)
        self.vector = Context(f, target, lanes)
        number = 2 * len(s.accesses)
        self.param_index = {name: number + k for k, name in enumerate(parameters(s, len(plan.kept), tile=tile))}
        self.params = {name: f.param(k) for name, k in self.param_index.items() if name[0] not in ("const", "kept")}
        # Vector stride -> byte distance to the other unrolled copies, and lane offsets.
        self._offsets: dict[int, str] = {}
        self._steps: dict[tuple[int, int], str] = {}
        for a, access in enumerate(s.accesses):
            if access.classes[-1] in "sS":
                stride = self.params["stride", a, s.vector]
                self._offsets[a] = memory.lane_offsets(self.vector, stride, access.classes[-1] == "S")
                for u in range(1, copies):
                    self._steps[a, u] = f.mul(stride, u * lanes)

    # --- scopes -----------------------------------------------------------------------------------------------------------------

    def entry(self) -> Scope:
        """Return the scope before all loops."""
        scope = Scope()
        scope.pointers = [self.f.operand(a) for a in range(len(self.s.accesses))]
        scope.conditions = [None] * len(scope.pointers)
        if self.plan.kept:
            base = self.f.scratch()
            scope.kept = [self.f.gep(base, self.f.param(self.param_index["kept", n])) for n in range(len(self.plan.kept))]
        return scope

    def enter(self, scope: Scope, axis: int, position: str) -> Scope:
        """Return the scope in a loop over an axis other than the vector axis."""
        f, inside = self.f, scope.child()
        inside.axes |= 1 << axis
        inside.positions[axis] = position
        for a, access in enumerate(self.s.accesses):
            if access.classes[axis] != "0":
                inside.pointers[a] = f.gep(inside.pointers[a], f.mul(position, self.params["stride", a, axis]))
            for n, bounded in enumerate(access.bounds):
                if bounded == axis:
                    within = self._within(a, n, position)
                    known = inside.conditions[a]
                    inside.conditions[a] = f.value(f"and i1 {known}, {within}") if known else within
        if axis >= self.s.outer:
            for n, i in enumerate(self.plan.kept):
                size = f.mul(self.params["pitch", axis], self._kept_size(i))
                inside.kept[n] = f.gep(inside.kept[n], f.mul(position, size))
        return inside

    def _within(self, access: int, number: int, position: str) -> str:
        low, high = self.params["low", access, number], self.params["high", access, number]
        above = self.f.icmp("sge", position, low)
        return self.f.value(f"and i1 {above}, {self.f.icmp('slt', position, high)}")

    def enter_vector(self, scope: Scope, position: str, copies: int, mask: str | None) -> Scope:
        """Return the scope of vectors from a position of the vector axis: `copies` of them, or one with a mask."""
        inside = scope.child()
        inside.axes |= 1 << self.s.vector
        inside.positions[self.s.vector] = position
        inside.copies = [{} for _ in range(copies)]
        inside.mask = mask
        for a, access in enumerate(self.s.accesses):
            kind = access.classes[-1]
            if kind == "1":
                inside.pointers[a] = self.f.gep(inside.pointers[a], position, memory_type(self._access_dtype(a)))
            elif kind != "0":
                inside.pointers[a] = self.f.gep(inside.pointers[a], self.f.mul(position, self.params["stride", a, self.s.vector]))
        if self.s.along:
            for n, i in enumerate(self.plan.kept):
                inside.kept[n] = self.f.gep(inside.kept[n], position, self._kept_type(i))
        return inside

    # --- instructions -----------------------------------------------------------------------------------------------------------

    def hoist(self, scope: Scope, numbers: Iterable[int]) -> None:
        """Compute what the positions known in `scope` allow and an enclosing scope has not computed yet."""
        for i in numbers:
            instruction = self.s.instructions[i]
            if instruction.op == "reduce" or self.plan.depends[i] & ~scope.axes:
                continue
            if self.plan.is_vector[i]:
                if scope.copies and i not in scope.copies[0] and self._ready(scope, instruction):
                    self._evaluate_copies(scope, i, instruction)
            elif i not in scope.scalars and self._ready(scope, instruction):
                scope.scalars[i] = self._evaluate(scope, i, instruction, None)
                if i in self.plan.splat:
                    self.splat(scope, i)
            if instruction.op == "random_bits" and not self.plan.is_vector[instruction.args[0]]:
                self._random_keys(scope, instruction)

    def _ready(self, scope: Scope, instruction: InstructionInfo) -> bool:
        if instruction.op == "random_bits":
            self._random_keys(scope, instruction)
        return all((scope.copies and a in scope.copies[0]) if self.plan.is_vector[a] else a in scope.scalars for a in instruction.args)

    def _evaluate_copies(self, scope: Scope, i: int, instruction: InstructionInfo) -> None:
        copies = len(scope.copies)
        if instruction.op == "random_bits" and self.s.aligned and copies * self.lanes == random.BLOCK and scope.mask is None:
            seed, offset, index = instruction.args
            base = self._argument(scope, offset, 0)
            block = random.whole_block(self.vector, scope.keys[seed], base, self._argument(scope, index, 0))
            for u in range(copies):
                scope.copies[u][i] = block[u]
            return
        for u in range(copies):
            scope.copies[u][i] = self._evaluate(scope, i, instruction, u)

    def splat(self, scope: Scope, i: int) -> str:
        """Return the vector form of a scalar instruction, made in the scope where it is first asked for."""
        if i not in scope.splats:
            instruction = self.s.instructions[i]
            dtype = BY_NAME[instruction.dtype]
            if instruction.op == "const" and instruction.attrs[0] != "param":
                scope.splats[i] = self.vector.literal(memory.parse_number(instruction.attrs[1], dtype), dtype)
            else:
                scope.splats[i] = self.f.splat(scope.scalars[i], self.lanes, register_type(dtype))
        return scope.splats[i]

    def _argument(self, scope: Scope, i: int, copy: int | None) -> str:
        if copy is None:
            return scope.scalars[i]
        return scope.copies[copy][i] if self.plan.is_vector[i] else self.splat(scope, i)

    def _evaluate(self, scope: Scope, i: int, instruction: InstructionInfo, copy: int | None) -> str:
        special: dict[str, Callable[[Scope, int, InstructionInfo, int | None], str]] = {
            **{"load": self._load, "const": self._constant, "scalar": self._run_time_scalar, "iota": self._iota},
            **{"random_bits": self._random_bits, "check_index": self._check_index},
        }
        if instruction.op in special:
            return special[instruction.op](scope, i, instruction, copy)
        c = self.scalar if copy is None else self.vector
        args = [self._argument(scope, a, copy) for a in instruction.args]
        source = BY_NAME[self.s.instructions[instruction.args[0]].dtype]
        return emit_elementwise(c, instruction.op, args, source, BY_NAME[instruction.dtype])

    def _constant(self, scope: Scope, i: int, instruction: InstructionInfo, copy: int | None) -> str:
        dtype = BY_NAME[instruction.dtype]
        if instruction.attrs[0] != "param":
            return self.scalar.literal(memory.parse_number(instruction.attrs[1], dtype), dtype)
        return self.f.load(register_type(dtype), self.f.gep("%params", self.param_index["const", i], "i64"), 8)

    def _run_time_scalar(self, scope: Scope, i: int, instruction: InstructionInfo, copy: int | None) -> str:
        base = self.f.load("ptr", self.f.gep("%table", 3, "ptr"), 8)
        return self.f.load(register_type(BY_NAME[instruction.dtype]), self.f.gep(base, 8 * instruction.attrs[0]), 8)

    def _iota(self, scope: Scope, i: int, instruction: InstructionInfo, copy: int | None) -> str:
        """Sum in 64 bits (positions times coefficients), then convert."""
        f, classes = self.f, instruction.attrs[0]
        total = self.params["offset", i]
        for k, kind in enumerate(classes):
            if kind != "0":
                position = scope.positions[k]
                if k == self.s.vector and copy:
                    position = f.add(position, copy * self.lanes)
                total = f.add(total, f.mul(position, self.params["coefficient", i, k]) if kind == "s" else position)
        dtype = BY_NAME[instruction.dtype]
        if copy is None:
            return emit_elementwise(self.scalar, "cast", [total], int64, dtype)
        lanes = memory.lane_numbers(self.lanes, "i64")
        if classes[-1] == "s":
            lanes = self.vector.binary("mul", f.splat(self.params["coefficient", i, self.s.vector], self.lanes, "i64"), lanes, int64)
        if dtype.is_integer and dtype.itemsize == 4:
            # Narrow before the vector addition: the low 32 bits of a sum are the sum of the low 32 bits.
            start = f.splat(f.value(f"trunc i64 {total} to i32"), self.lanes, "i32")
            narrow = memory.lane_numbers(self.lanes, "i32")
            if classes[-1] == "s":
                narrow = f.value(f"trunc {self.vector.type(int64)} {lanes} to {self.vector.type(dtype)}")
            return self.vector.binary("add", start, narrow, dtype)
        wide = self.vector.binary("add", f.splat(total, self.lanes, "i64"), lanes, int64)
        return emit_elementwise(self.vector, "cast", [wide], int64, dtype)

    # --- random bits and index checks -------------------------------------------------------------------------------------------

    def _random_keys(self, scope: Scope, instruction: InstructionInfo) -> None:
        """Compute the round keys where the seed is first known."""
        seed = instruction.args[0]
        if not self.plan.is_vector[seed] and seed in scope.scalars and seed not in scope.keys:
            scope.keys[seed] = random.key_schedule(self.vector, self.splat(scope, seed))

    def _random_bits(self, scope: Scope, i: int, instruction: InstructionInfo, copy: int | None) -> str:
        seed, offset, index = instruction.args
        c = self.scalar if copy is None else self.vector
        if copy is None or self.plan.is_vector[seed]:
            keys = random.key_schedule(c, self._argument(scope, seed, copy))
        else:
            keys = scope.keys[seed]
        flat = self._argument(scope, index, copy)
        source = self.s.dtype(index)
        flat = emit_elementwise(c, "cast", [flat], source, int64)
        return random.any_order(c, keys, self._argument(scope, offset, copy), flat)

    def _check_index(self, scope: Scope, i: int, instruction: InstructionInfo, copy: int | None) -> str:
        """Wrap negative indices (where they count from the end); report one out of range and go on with the nearest valid one."""
        f, dtype = self.f, BY_NAME[instruction.dtype]
        c = self.scalar if copy is None else self.vector
        x = self._argument(scope, instruction.args[0], copy)
        size = self.params["size", i]
        narrow = size if dtype.itemsize == 8 else f.value(f"trunc i64 {size} to {register_type(dtype)}")
        limit = narrow if copy is None else f.splat(narrow, self.lanes, register_type(dtype))
        zero = c.literal(0, dtype)
        wrapped = x
        if dtype.is_signed and not instruction.attrs:
            wrapped = c.select(c.compare("slt", x, zero, dtype), c.binary("add", x, limit, dtype), x, dtype)
        bad = c.compare("uge", wrapped, limit, dtype)
        if copy is not None and scope.mask is not None:
            bad = c.binary("and", bad, scope.mask, bool_)
        self._report(c, bad, x, dtype, size, self.params["node", i])
        last = c.binary("sub", limit, c.literal(1, dtype), dtype)
        if dtype.is_signed:
            return c.intrinsic("smax", dtype, c.intrinsic("smin", dtype, wrapped, last), zero)
        return c.intrinsic("umin", dtype, wrapped, last)

    def _report(self, c: Context, bad: str, x: str, dtype: DType, size: str, node: str) -> None:
        """Write the status block if a lane is bad and nothing was reported yet."""
        f, value = self.f, x
        any_bad = bad
        if c.lanes > 1:
            bits = f.value(f"bitcast <{c.lanes} x i1> {bad} to i{c.lanes}")
            any_bad = f.icmp("ne", bits, 0, f"i{c.lanes}")
        with f.when(any_bad):
            if c.lanes > 1:
                first = f.call(f"i{c.lanes}", f"llvm.cttz.i{c.lanes}", (f"i{c.lanes}", bits), ("i1", "true"))
                lane = f.value(f"zext i{c.lanes} {first} to i64") if c.lanes < 64 else first
                value = f.value(f"extractelement {c.type(dtype)} {x}, i64 {lane}")
            wide = emit_elementwise(self.scalar, "cast", [value], dtype, int64)
            status = f.load("ptr", f.gep("%table", 2, "ptr"), 8)
            with f.when(f.icmp("eq", f.load("i64", status, 8), 0)):
                for k, word in enumerate(("1", node, wide, size)):
                    f.store("i64", word, f.gep(status, k, "i64"), 8)

    # --- memory -----------------------------------------------------------------------------------------------------------------

    def _access_dtype(self, a: int) -> DType:
        return BY_NAME[self.s.accesses[a].dtype]

    def _copy_pointer(self, scope: Scope, a: int, copy: int) -> str:
        pointer = scope.pointers[a]
        if copy == 0:
            return pointer
        if self.s.accesses[a].classes[-1] == "1":
            return self.f.gep(pointer, copy * self.lanes, memory_type(self._access_dtype(a)))
        return self.f.gep(pointer, self._steps[a, copy])

    def _bounds_mask(self, scope: Scope, a: int, copy: int) -> str | None:
        """Return the lanes of a copy that are within the access's bounds, or None if all are."""
        f, access = self.f, self.s.accesses[a]
        condition = scope.conditions[a]
        mask = f.splat(condition, self.lanes, "i1") if condition else None
        for n, axis in enumerate(access.bounds):
            if axis == self.s.vector:
                start = f.add(scope.positions[axis], copy * self.lanes)
                low, high = f.sub(self.params["low", a, n], start), f.sub(self.params["high", a, n], start)
                lanes = memory.lanes_between(self.vector, low, high)
                mask = self.vector.binary("and", mask, lanes, bool_) if mask else lanes
        return mask

    def _load(self, scope: Scope, i: int, instruction: InstructionInfo, copy: int | None) -> str:
        a = instruction.attrs[0]
        access, dtype = self.s.accesses[a], self._access_dtype(a)
        fill = memory.parse_number(access.fill, dtype)
        if copy is None:
            return memory.load_scalar(self.scalar, scope.pointers[a], dtype, scope.conditions[a], self.scalar.literal(fill, dtype))
        bounds = self._bounds_mask(scope, a, copy)
        mask = bounds
        if scope.mask is not None:
            mask = self.vector.binary("and", bounds, scope.mask, bool_) if bounds else scope.mask
        kind = access.classes[-1]
        if kind == "1":
            value = memory.load_vector(self.vector, self._copy_pointer(scope, a, copy), dtype, mask)
        else:
            pointer = self._copy_pointer(scope, a, copy)
            value = memory.gather(self.vector, memory.gather_pointers(self.vector, pointer, self._offsets[a], kind == "S"), dtype, mask)
        if bounds and fill:
            value = self.vector.select(bounds, value, self.vector.literal(fill, dtype), dtype)
        return value

    def store(self, scope: Scope, number: int, a: int) -> None:
        """Store an instruction's value: one element, or a vector per copy."""
        dtype, kind = self._access_dtype(a), self.s.accesses[a].classes[-1]
        if not scope.copies or (kind == "0" and not self.plan.is_vector[number]):
            self.store_scalar(scope, number, a)
            return
        for u in range(len(scope.copies)):
            value, pointer = self._argument(scope, number, u), self._copy_pointer(scope, a, u)
            if kind == "1":
                memory.store_vector(self.vector, pointer, value, dtype, scope.mask)
            else:
                pointers = memory.gather_pointers(self.vector, pointer, self._offsets[a], kind == "S")
                memory.scatter(self.vector, pointers, value, dtype, scope.mask)

    def store_scalar(self, scope: Scope, number: int, a: int) -> None:
        """Store one element."""
        from trine.compiler.templates.loop_convert import to_memory

        dtype = self._access_dtype(a)
        value = to_memory(self.scalar, scope.scalars[number], dtype)
        self.f.store(memory_type(dtype), value, scope.pointers[a], dtype.itemsize)

    def prefetch_next_row(self, scope: Scope, numbers: Iterable[int]) -> None:
        """Ask the second-level cache for what the next row's first pass will load, while this row's last pass computes."""
        last = self.s.outer - 1
        for i in numbers:
            instruction = self.s.instructions[i]
            if instruction.op != "load" or last < 0:
                continue
            a = instruction.attrs[0]
            classes = self.s.accesses[a].classes
            if classes[-1] == "1" and classes[last] == "s":
                for u in range(len(scope.copies)):
                    pointer = self.f.gep(self._copy_pointer(scope, a, u), self.params["stride", a, last])
                    self.f.call("void", "llvm.prefetch.p0", ("ptr", pointer), ("i32", "0"), ("i32", "2"), ("i32", "1"))

    # --- values kept between passes ---------------------------------------------------------------------------------------------

    def _kept_dtype(self, i: int) -> DType:
        return uint8 if self.s.dtype(i) is bool_ else self.s.dtype(i)

    def _kept_type(self, i: int) -> str:
        return register_type(self._kept_dtype(i))

    def _kept_size(self, i: int) -> int:
        return {"float": 4, "double": 8}.get(self._kept_type(i)) or self._kept_dtype(i).itemsize

    def keep(self, scope: Scope, i: int) -> None:
        """Write a value to its scratch buffer (all lanes: the buffer is padded)."""
        n, type_ = self.plan.kept.index(i), vector_type(self._kept_type(i), self.lanes)
        for u, registers in enumerate(scope.copies):
            value = registers[i]
            if self.s.dtype(i) is bool_:
                value = self.f.value(f"zext {self.vector.type(bool_)} {value} to {type_}")
            self.f.store(type_, value, self.f.gep(scope.kept[n], u * self.lanes, self._kept_type(i)), self._kept_size(i))

    def fetch(self, scope: Scope, i: int) -> None:
        """Read a kept value."""
        n, type_ = self.plan.kept.index(i), vector_type(self._kept_type(i), self.lanes)
        for u, registers in enumerate(scope.copies):
            pointer = self.f.gep(scope.kept[n], u * self.lanes, self._kept_type(i))
            value = self.f.load(type_, pointer, self._kept_size(i))
            if self.s.dtype(i) is bool_:
                value = self.f.value(f"trunc {type_} {value} to {self.vector.type(bool_)}")
            registers[i] = value
