"""Registers of loop kernels: their types, literals, and the context in which instructions on them are emitted.

bool is ``i1``, integers ``iN``, float16, bfloat16 and float32 are ``float``, float64 is ``double``; a scalar with one lane, else a vector.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

from trine.compiler.ir import Function, float_literal, intrinsic_suffix
from trine.compiler.target import Target
from trine.dtypes import DType, bool_, to_bfloat16_bits


def vector_type(element: str, lanes: int) -> str:
    """Return the LLVM type of `lanes` elements; one lane is a scalar."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


@dataclass(slots=True)
class Context:
    """Where instructions are emitted: a function, for a target, with a number of lanes (1: scalars)."""

    function: Function
    target: Target
    lanes: int

    def type(self, dtype: DType) -> str:
        """Return the type of a register of `dtype`."""
        return vector_type(register_type(dtype), self.lanes)

    def value(self, text: str) -> str:
        """Emit an instruction with a result."""
        return self.function.value(text)

    def literal(self, value: float | int | bool, dtype: DType) -> str:
        """Return a literal of a register, in every lane."""
        element = literal(value, dtype)
        if self.lanes == 1:
            return element
        return "<" + ", ".join([f"{register_type(dtype)} {element}"] * self.lanes) + ">"

    def intrinsic(self, name: str, dtype: DType, *args: str, extra: tuple[tuple[str, str], ...] = ()) -> str:
        """Call ``llvm.<name>`` on registers of `dtype`."""
        type_ = self.type(dtype)
        return self.function.call(type_, f"llvm.{name}.{intrinsic_suffix(type_)}", *[(type_, a) for a in args], *extra)

    def compare(self, predicate: str, a: str, b: str, dtype: DType) -> str:
        """Compare registers of `dtype`: an fcmp or icmp predicate."""
        return self.value(f"{'fcmp' if dtype.is_floating_point else 'icmp'} {predicate} {self.type(dtype)} {a}, {b}")

    def select(self, condition: str, a: str, b: str, dtype: DType) -> str:
        """Choose lane by lane."""
        type_ = self.type(dtype)
        return self.value(f"select {vector_type('i1', self.lanes)} {condition}, {type_} {a}, {type_} {b}")

    def binary(self, instruction: str, a: str, b: str, dtype: DType) -> str:
        """Emit an LLVM instruction of two registers of `dtype`."""
        return self.value(f"{instruction} {self.type(dtype)} {a}, {b}")


def register_type(dtype: DType) -> str:
    """Return the type of one lane of a register."""
    if dtype.is_floating_point:
        return "double" if dtype.itemsize == 8 else "float"
    return "i1" if dtype is bool_ else f"i{8 * dtype.itemsize}"


def literal(value: float | int | bool, dtype: DType) -> str:
    """Return the literal of one lane: the value converted to `dtype`."""
    if dtype is bool_:
        return "true" if value else "false"
    if dtype.is_integer:
        return str(int(value) & ((1 << (8 * dtype.itemsize)) - 1))
    return float_literal(round_constant(float(value), dtype), register_type(dtype))


def round_constant(value: float, dtype: DType) -> float:
    """Return the float64 value of a number rounded to a floating dtype (to infinity where it overflows)."""
    if dtype.itemsize == 8:
        return value
    if dtype.name == "bfloat16":
        bits = int(to_bfloat16_bits(value))
        return float(struct.unpack("<f", struct.pack("<I", bits << 16))[0])
    if dtype.itemsize == 4:
        try:
            return float(struct.unpack("<f", struct.pack("<f", value))[0])
        except OverflowError:
            return math.copysign(math.inf, value)
    with np.errstate(over="ignore"):
        return float(dtype.numpy.type(value))
