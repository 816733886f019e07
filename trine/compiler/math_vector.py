"""The small language in which vector functions are written: arithmetic on float32 or float64 vectors of any number of lanes."""

from __future__ import annotations

import math
import platform
import struct
from collections.abc import Sequence

from trine.compiler.ir import Function, float_literal, intrinsic_suffix

_ARM = platform.machine().lower() in ("arm64", "aarch64")


class Vector:
    """Emits operations on values of one type: `lanes` floats ("float") or doubles ("double"); one lane is a scalar.

    Masks are vectors of ``i1``; integers have the width of the float. `fma` is one instruction where the target has it and a product and a
    sum elsewhere, so a function's error bound must hold for both.
    """

    __slots__ = ("bits", "element", "f", "integer", "lanes", "mantissa", "mask", "type", "bias", "has_fma")

    def __init__(self, f: Function, element: str, lanes: int) -> None:
        self.f = f
        self.element = element
        self.lanes = lanes
        self.bits = 32 if element == "float" else 64
        self.mantissa = 23 if element == "float" else 52
        self.bias = 127 if element == "float" else 1023
        self.type = vector_type(element, lanes)
        self.integer = vector_type(f"i{self.bits}", lanes)
        self.mask = vector_type("i1", lanes)
        self.has_fma = f.module.vector_bits > 128 or _ARM

    # --- constants ---

    def c(self, value: float) -> str:
        """Return a splat literal."""
        return splat(float_literal(value, self.element), self.lanes, self.element)

    def i(self, value: int) -> str:
        """Return an integer splat literal."""
        return splat(str(value), self.lanes, f"i{self.bits}")

    # --- arithmetic ---

    def _binary(self, name: str, a: str, b: str) -> str:
        return self.f.value(f"{name} {self.type} {a}, {b}")

    def add(self, a: str, b: str) -> str:
        return self._binary("fadd", a, b)

    def sub(self, a: str, b: str) -> str:
        return self._binary("fsub", a, b)

    def mul(self, a: str, b: str) -> str:
        return self._binary("fmul", a, b)

    def div(self, a: str, b: str) -> str:
        return self._binary("fdiv", a, b)

    def neg(self, a: str) -> str:
        return self.f.value(f"fneg {self.type} {a}")

    def fma(self, a: str, b: str, c: str) -> str:
        """Return a b + c."""
        return self.intrinsic("fma", a, b, c) if self.has_fma else self.add(self.mul(a, b), c)

    def abs(self, a: str) -> str:
        return self.intrinsic("fabs", a)

    def sqrt(self, a: str) -> str:
        return self.intrinsic("sqrt", a)

    def copysign(self, a: str, b: str) -> str:
        return self.intrinsic("copysign", a, b)

    def intrinsic(self, name: str, *args: str) -> str:
        """Call ``llvm.<name>``."""
        return self.f.call(self.type, f"llvm.{name}.{intrinsic_suffix(self.type)}", *[(self.type, a) for a in args])

    def poly(self, x: str, coefficients: Sequence[float]) -> str:
        """Return sum(coefficients[k] x**k) by Horner's rule."""
        value = self.c(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            value = self.fma(value, x, self.c(coefficient))
        return value

    # --- choices ---

    def compare(self, predicate: str, a: str, b: str) -> str:
        """Return a mask; predicates that begin with "o" are false for NaN."""
        return self.f.value(f"fcmp {predicate} {self.type} {a}, {b}")

    def select(self, mask: str, a: str, b: str) -> str:
        return self.f.value(f"select {self.mask} {mask}, {self.type} {a}, {self.type} {b}")

    def where(self, predicate: str, x: str, y: str, a: str, b: str) -> str:
        """Return `a` where ``x predicate y``, else `b`."""
        return self.select(self.compare(predicate, x, y), a, b)

    def clamp(self, x: str, low: float | None, high: float | None) -> str:
        """Bound x by constants; NaN stays NaN. Each bound is one instruction."""
        if high is not None:
            x = self.where("ogt", x, self.c(high), self.c(high), x)
        if low is not None:
            x = self.where("olt", x, self.c(low), self.c(low), x)
        return x

    def both(self, a: str, b: str) -> str:
        return self.f.value(f"and {self.mask} {a}, {b}")

    def either(self, a: str, b: str) -> str:
        return self.f.value(f"or {self.mask} {a}, {b}")

    # --- bits ---

    def to_int(self, a: str) -> str:
        """Reinterpret as integers."""
        return self.f.value(f"bitcast {self.type} {a} to {self.integer}")

    def from_int(self, a: str) -> str:
        """Reinterpret integers as floats."""
        return self.f.value(f"bitcast {self.integer} {a} to {self.type}")

    def int_op(self, name: str, a: str, b: str | int) -> str:
        """Emit an integer instruction (add, sub, and, or, xor, shl, lshr, ashr)."""
        return self.f.value(f"{name} {self.integer} {a}, {self.i(b) if isinstance(b, int) else b}")

    def int_compare(self, predicate: str, a: str, b: str | int) -> str:
        return self.f.value(f"icmp {predicate} {self.integer} {a}, {self.i(b) if isinstance(b, int) else b}")

    def int_select(self, mask: str, a: str, b: str) -> str:
        return self.f.value(f"select {self.mask} {mask}, {self.integer} {a}, {self.integer} {b}")

    @property
    def magic(self) -> float:
        """1.5 times 2**mantissa: adding it rounds to an integer, which then stands in the low bits."""
        return 1.5 * 2.0**self.mantissa

    def round(self, scaled_plus_magic: str) -> tuple[str, str]:
        """Return (as a float, as an integer) the whole number of which ``x + magic`` is given, of magnitude below 2**(mantissa - 1)."""
        whole = self.sub(scaled_plus_magic, self.c(self.magic))
        offset = struct.unpack("<q", struct.pack("<d", self.magic))[0] if self.bits == 64 else 0x4B400000
        return whole, self.int_op("sub", self.to_int(scaled_plus_magic), offset)

    def power_of_two(self, exponent: str) -> str:
        """Return 2**exponent of integers in the normal range."""
        return self.from_int(self.int_op("shl", self.int_op("add", exponent, self.bias), self.mantissa))

    def scale(self, x: str, exponent: str) -> str:
        """Return x 2**exponent for |exponent| up to twice the normal range, rounding once into the subnormals (x in [1/2, 2])."""
        half = self.int_op("ashr", exponent, 1)
        return self.mul(self.mul(x, self.power_of_two(self.int_op("sub", exponent, half))), self.power_of_two(half))

    # --- other types ---

    def widened(self) -> Vector:
        """Return the language of doubles with as many lanes."""
        return Vector(self.f, "double", self.lanes)

    def extend(self, x: str) -> str:
        """Convert floats to doubles."""
        return self.f.value(f"fpext {self.type} {x} to {vector_type('double', self.lanes)}")

    def truncate(self, x: str) -> str:
        """Convert doubles to this type, rounding."""
        return self.f.value(f"fptrunc {vector_type('double', self.lanes)} {x} to {self.type}")

    def any(self, mask: str) -> str:
        """Return (i1) whether a lane of a mask is set."""
        if self.lanes == 1:
            return mask
        return self.f.call("i1", f"llvm.vector.reduce.or.v{self.lanes}i1", (self.mask, mask))

    def each_lane(self, function: str, *args: str) -> str:
        """Call a function of the C mathematics library for every lane; `function` is the name for doubles."""
        name = function if self.bits == 64 else function + "f"
        if self.lanes == 1:
            return self.f.call(self.type, name, *[(self.element, a) for a in args])
        result = "poison"
        for lane in range(self.lanes):
            scalars = [(self.element, self.f.value(f"extractelement {self.type} {a}, i64 {lane}")) for a in args]
            value = self.f.call(self.element, name, *scalars)
            result = self.f.value(f"insertelement {self.type} {result}, {self.element} {value}, i64 {lane}")
        return result

    def rare(self, mask: str, function: str, args: tuple[str, ...], usual: str) -> str:
        """Return `usual`, save in the lanes of `mask`: there the C library's `function`, computed out of line if there is such a lane.

        A lane's result never depends on its neighbours.
        """
        f = self.f
        name = f"{function}.{intrinsic_suffix(self.type)}.lanes"
        if name not in f.module.helpers:
            f.module.helpers.add(name)
            helper = f.module.function(name, [(self.type, f"a{i}") for i in range(len(args))], self.type, internal=True, cold=True)
            inner = Vector(helper, self.element, self.lanes)
            helper.ret(f"{self.type} {inner.each_lane(function, *[f'%a{i}' for i in range(len(args))])}")
        before, then, done = f.block, f.label("t"), f.label("e")
        f.cond_br(self.any(mask), then, done)
        f.at(then)
        value = self.select(mask, f.call_pointer(self.type, f"@{name}", *[(self.type, a) for a in args]), usual)
        f.br(done)
        f.at(done)
        return f.value(f"phi {self.type} [ {usual}, %{before} ], [ {value}, %{then} ]")


def vector_type(element: str, lanes: int) -> str:
    """Return ``<lanes x element>``, or the element's type for one lane."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def splat(literal: str, lanes: int, element: str) -> str:
    """Return a literal in every lane."""
    return literal if lanes == 1 else "<" + ", ".join([f"{element} {literal}"] * lanes) + ">"


INFINITY = math.inf
NAN = math.nan
