"""Writing LLVM IR as text: a function under construction, with loops that carry values.

The text goes straight to code generation, without mid-level optimisation, so emitters write tight SSA: values that change in a loop
are loop-carried, invariant ones are computed before it, nothing lives in an `alloca`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

ATTRIBUTES = 'attributes #0 = { nounwind "no-trapping-math"="true" "frame-pointer"="none" WIDTH }'


class Loop:
    """A loop being emitted: `index`, the `carried` values at the start of an iteration, `next` to be set by the body, `out` after it."""

    __slots__ = ("index", "carried", "next", "out")

    def __init__(self, index: str, carried: list[str]) -> None:
        self.index = index
        self.carried = carried
        self.next = list(carried)
        self.out = list(carried)


class Module:
    """An LLVM module as text: functions, the declarations that they need, constants."""

    def __init__(self, vector_bits: int) -> None:
        self.vector_bits = vector_bits
        self.declarations: dict[str, str] = {}
        self.parts: list[str] = []
        self.helpers: set[str] = set()  # names of internal functions that several emitters share

    def function(
        self, name: str, args: Sequence[tuple[str, str]], ret: str = "void", *, internal: bool = False, cold: bool = False
    ) -> Function:
        """Begin a function; `args` are (type, name without %) pairs, where the type may carry attributes ("ptr noalias").

        A `cold` function tells the register allocator that the paths on which it is called are unlikely.
        """
        return Function(self, name, args, ret, internal=internal, cold=cold)

    def constant(self, name: str, type_: str, value: str) -> str:
        """Add a private constant and return its name."""
        self.parts.append(f"@{name} = private unnamed_addr constant {type_} {value}, align 64")
        return f"@{name}"

    def text(self) -> str:
        """Return the module's IR."""
        width = f'"prefer-vector-width"="{self.vector_bits}" "min-legal-vector-width"="{self.vector_bits}"'
        return "\n".join([*self.declarations.values(), *self.parts, ATTRIBUTES.replace("WIDTH", width), ""])


class Function:
    """A function under construction. Values are strings: SSA names (`%v7`), argument names or literals."""

    def __init__(self, module: Module, name: str, args: Sequence[tuple[str, str]], ret: str, *, internal: bool, cold: bool = False) -> None:
        self.module = module
        self.block = "entry"
        self._count = 0
        head = ", ".join(f"{t} %{n}" for t, n in args)
        linkage = "internal " if internal else ""
        inline = ("noinline " if internal else "") + ("cold " if cold else "")
        self.lines = [f"define {linkage}{ret} @{name}({head}) {inline}#0 {{", "entry:"]

    # --- instructions -----------------------------------------------------------------------------------------------------------

    def value(self, text: str) -> str:
        """Emit `%new = text` and return the new name."""
        self._count += 1
        name = f"%v{self._count}"
        self.lines.append(f"  {name} = {text}")
        return name

    def emit(self, text: str) -> None:
        """Emit an instruction without a result."""
        self.lines.append("  " + text)

    def call(self, ret: str, name: str, *args: tuple[str, str], pure_flags: str = "") -> str:
        """Call an external function or intrinsic, declaring it; args are (type, value). Returns "" for void."""
        types = ", ".join(t for t, _ in args)
        self.module.declarations.setdefault(name, f"declare {ret} @{name}({types})")
        text = f"call {pure_flags}{ret} @{name}({', '.join(f'{t} {v}' for t, v in args)})"
        if ret == "void":
            self.emit(text)
            return ""
        return self.value(text)

    def call_pointer(self, ret: str, pointer: str, *args: tuple[str, str]) -> str:
        """Call through a function pointer (or an internal function's @name)."""
        text = f"call {ret} {pointer}({', '.join(f'{t} {v}' for t, v in args)})"
        if ret == "void":
            self.emit(text)
            return ""
        return self.value(text)

    # --- 64-bit integer arithmetic ----------------------------------------------------------------------------------------------

    def add(self, a: str | int, b: str | int) -> str:
        return self.value(f"add i64 {a}, {b}")

    def sub(self, a: str | int, b: str | int) -> str:
        return self.value(f"sub i64 {a}, {b}")

    def mul(self, a: str | int, b: str | int) -> str:
        return self.value(f"mul i64 {a}, {b}")

    def udiv(self, a: str | int, b: str | int) -> str:
        return self.value(f"udiv i64 {a}, {b}")

    def urem(self, a: str | int, b: str | int) -> str:
        return self.value(f"urem i64 {a}, {b}")

    def band(self, a: str | int, b: str | int) -> str:
        return self.value(f"and i64 {a}, {b}")

    def min(self, a: str | int, b: str | int) -> str:
        return self.call("i64", "llvm.smin.i64", ("i64", str(a)), ("i64", str(b)))

    def max(self, a: str | int, b: str | int) -> str:
        return self.call("i64", "llvm.smax.i64", ("i64", str(a)), ("i64", str(b)))

    def icmp(self, predicate: str, a: str | int, b: str | int, type_: str = "i64") -> str:
        return self.value(f"icmp {predicate} {type_} {a}, {b}")

    def select(self, condition: str, a: str | int, b: str | int, type_: str = "i64") -> str:
        return self.value(f"select i1 {condition}, {type_} {a}, {type_} {b}")

    # --- memory -----------------------------------------------------------------------------------------------------------------

    def gep(self, pointer: str, index: str | int, type_: str = "i8") -> str:
        """Return pointer + index elements of `type_` (bytes by default)."""
        return self.value(f"getelementptr {type_}, ptr {pointer}, i64 {index}")

    def load(self, type_: str, pointer: str, align: int) -> str:
        return self.value(f"load {type_}, ptr {pointer}, align {align}")

    def store(self, type_: str, value: str, pointer: str, align: int) -> None:
        self.emit(f"store {type_} {value}, ptr {pointer}, align {align}")

    def param(self, index: int, type_: str = "i64", array: str = "%params") -> str:
        """Load the kernel's parameter number `index` (of an i64 array)."""
        return self.load(type_, self.gep(array, index, "i64"), 8)

    def operand(self, number: int) -> str:
        """Return the address of the command's operand: table[slot] + offset (see the kernel ABI)."""
        slot, offset = self.param(2 * number), self.param(2 * number + 1)
        return self.gep(self.load("ptr", self.gep("%table", slot, "ptr"), 8), offset)

    def scratch(self) -> str:
        """Return the address of this thread's scratch memory (64-byte aligned)."""
        base = self.load("ptr", "%table", 8)
        size = self.load("i64", self.gep("%table", 1, "i64"), 8)
        return self.gep(base, self.mul(size, "%thread"))

    # --- vectors ----------------------------------------------------------------------------------------------------------------

    def splat(self, scalar: str, lanes: int, type_: str) -> str:
        """Broadcast a scalar to `<lanes x type>`."""
        one = self.value(f"insertelement <{lanes} x {type_}> poison, {type_} {scalar}, i64 0")
        return self.value(f"shufflevector <{lanes} x {type_}> {one}, <{lanes} x {type_}> poison, <{lanes} x i32> zeroinitializer")

    def lane_mask(self, remaining: str, lanes: int, first: int = 0) -> str:
        """Return `<lanes x i1>`: lane + first < remaining (i64)."""
        iota = "<" + ", ".join(f"i64 {i + first}" for i in range(lanes)) + ">"
        return self.value(f"icmp slt <{lanes} x i64> {iota}, {self.splat(remaining, lanes, 'i64')}")

    def masked_load(self, vector: str, pointer: str, mask: str, lanes: int, align: int, passthru: str = "zeroinitializer") -> str:
        suffix = intrinsic_suffix(vector)
        return self.call(
            vector,
            f"llvm.masked.load.{suffix}.p0",
            ("ptr", pointer),
            ("i32", str(align)),
            (f"<{lanes} x i1>", mask),
            (vector, passthru),
        )

    def masked_store(self, vector: str, value: str, pointer: str, mask: str, lanes: int, align: int) -> None:
        suffix = intrinsic_suffix(vector)
        self.call(
            "void", f"llvm.masked.store.{suffix}.p0", (vector, value), ("ptr", pointer), ("i32", str(align)), (f"<{lanes} x i1>", mask)
        )

    # --- control flow -----------------------------------------------------------------------------------------------------------

    def label(self, prefix: str = "b") -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def at(self, label: str) -> None:
        """Begin the block `label`."""
        self.lines.append(label + ":")
        self.block = label

    def br(self, label: str) -> None:
        self.emit(f"br label %{label}")

    def cond_br(self, condition: str, then: str, otherwise: str) -> None:
        self.emit(f"br i1 {condition}, label %{then}, label %{otherwise}")

    @contextmanager
    def loop(self, low: str | int, high: str | int, step: str | int = 1, carried: Sequence[tuple[str, str]] = ()) -> Iterator[Loop]:
        """``for index in range(low, high, step)`` over i64 with `carried` (type, initial value) pairs.

        The body sets `loop.next`; after the `with` block `loop.out` holds the final values.
        """
        header, body, done = self.label("h"), self.label("l"), self.label("x")
        before = self.block
        self.br(header)
        self.at(header)
        index = self.value("phi")
        index_line = len(self.lines) - 1
        phis = []
        for type_, initial in carried:
            phis.append((self.value("phi"), len(self.lines) - 1, type_, initial))
        self.cond_br(self.icmp("slt", index, high), body, done)
        self.at(body)
        loop = Loop(index, [p[0] for p in phis])
        yield loop
        step_value = self.add(index, step)
        self.br(header)
        self.lines[index_line] = f"  {index} = phi i64 [ {low}, %{before} ], [ {step_value}, %{self.block} ]"
        for (name, line, type_, initial), following in zip(phis, loop.next, strict=True):
            self.lines[line] = f"  {name} = phi {type_} [ {initial}, %{before} ], [ {following}, %{self.block} ]"
        self.at(done)
        loop.out = loop.carried

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """``if condition:`` without values that leave the block."""
        then, done = self.label("t"), self.label("e")
        self.cond_br(condition, then, done)
        self.at(then)
        yield
        self.br(done)
        self.at(done)

    def ret(self, value: str = "void") -> None:
        """Return, end the function and add it to the module."""
        self.emit(f"ret {value}")
        self.lines.append("}")
        self.module.parts.append("\n".join(self.lines))


def intrinsic_suffix(type_: str) -> str:
    """Return the mangling of a type in an intrinsic's name: ``<16 x float>`` gives ``v16f32``, ``i64`` gives ``i64``."""
    if type_.startswith("<"):
        lanes, element = type_[1:-1].split(" x ")
        return f"v{lanes}{intrinsic_suffix(element)}"
    return {"float": "f32", "double": "f64", "half": "f16", "bfloat": "bf16", "ptr": "p0"}.get(type_, type_)


def float_literal(value: float, type_: str) -> str:
    """Return an exact literal of a `float` or `double` value (rounded to float32 for `float`)."""
    if type_ == "float":
        value = struct.unpack("f", struct.pack("f", value))[0]
    return f"0x{struct.unpack('Q', struct.pack('d', value))[0]:016X}"


def vector_literal(literal: str, lanes: int, type_: str) -> str:
    """Return a splat literal ``<float 0x…, float 0x…>``."""
    return "<" + ", ".join([f"{type_} {literal}"] * lanes) + ">"


KERNEL_ARGUMENTS = (("ptr noalias", "table"), ("ptr noalias", "params"), ("i64", "begin"), ("i64", "end"), ("i64", "thread"))
