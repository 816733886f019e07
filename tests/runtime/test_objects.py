"""The object loader: relocations of both architectures, and damaged bytes."""

from __future__ import annotations

import ctypes
import math
import random
import struct

import pytest

from trine.compiler import llvm
from trine.compiler.target import host_arch, host_target, make_target
from trine.errors import CompileError
from trine.runtime import objects
from trine.runtime.objects import ObjectError, lay_out, load

HOST = host_target()

# Calls a library function, a function of its own, reads a constant and a writable global through the GOT or PC-relative.
EVERYTHING = """
@table = private unnamed_addr constant [4 x double] [double 1.0, double 2.0, double 3.0, double 4.0], align 64
@counter = global i64 5, align 8
@pointers = constant [2 x ptr] [ptr @square, ptr @kernel], align 8
declare double @sin(double)
define double @square(double %x) noinline {
  %y = fmul double %x, %x
  ret double %y
}
define double @kernel(double %x, i64 %i) {
  %p = getelementptr double, ptr @table, i64 %i
  %c = load double, ptr %p
  %s = call double @sin(double %x)
  %q = call double @square(double %s)
  %n = load i64, ptr @counter
  %f = sitofp i64 %n to double
  %a = fadd double %q, %c
  %b = fadd double %a, %f
  ret double %b
}
define ptr @pointer(i64 %i) {
  %p = getelementptr ptr, ptr @pointers, i64 %i
  %f = load ptr, ptr %p
  ret ptr %f
}
"""


def test_calls_constants_and_globals() -> None:
    loaded = load(llvm.compile_object(EVERYTHING, HOST))
    kernel = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_int64)(loaded.address("kernel"))
    assert kernel(0.5, 2) == math.sin(0.5) ** 2 + 3 + 5
    pointer = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int64)(loaded.address("pointer"))
    assert pointer(0) == loaded.address("square")
    assert pointer(1) == loaded.address("kernel")
    assert loaded.nbytes >= len(EVERYTHING) // 4


def test_memory_is_executable_and_not_writable() -> None:
    loaded = load(llvm.compile_object("define i64 @kernel() {\n ret i64 7\n}", HOST))
    address = loaded.address("kernel")
    with open("/proc/self/maps") as maps:
        for line in maps:
            low, high = (int(part, 16) for part in line.split()[0].split("-"))
            if low <= address < high:
                assert line.split()[1] == "r-xp"
                break
        else:
            raise AssertionError("the kernel is not mapped")


def test_memory_functions_resolve() -> None:
    ir = """
define void @kernel(ptr %to, ptr %from, i64 %n) {
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %n, i1 false)
  ret void
}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""
    loaded = load(llvm.compile_object(ir, HOST))
    to = ctypes.create_string_buffer(8)
    ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int64)(loaded.address("kernel"))(to, b"vectors", 8)
    assert to.value == b"vectors"


def test_unknown_symbols() -> None:
    ir = "declare void @no_such_function_anywhere()\ndefine void @kernel() {\n call void @no_such_function_anywhere()\n ret void\n}"
    with pytest.raises(ObjectError, match="no_such_function_anywhere"):
        load(llvm.compile_object(ir, HOST))
    loaded = load(llvm.compile_object("define void @other() {\n ret void\n}", HOST))
    with pytest.raises(ObjectError, match="no symbol 'kernel'"):
        loaded.address("kernel")


@pytest.mark.skipif(host_arch() != "x86_64", reason="needs a foreign object")
def test_another_architecture_is_refused() -> None:
    data = llvm.compile_object("define void @kernel() {\n ret void\n}", make_target("generic", "aarch64"))
    with pytest.raises(ObjectError, match="aarch64"):
        load(data)


# --- AArch64: laid out anywhere, the patched instructions decoded ---


def word(image: bytearray, at: int) -> int:
    return struct.unpack_from("<I", image, at)[0]


def sign_extend(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def test_aarch64_instructions_reach_their_symbols() -> None:
    data = llvm.compile_object(EVERYTHING, make_target("generic", "aarch64"))
    base, external = 0x10_0000_0000, 0x7FFF_1234_5678
    layout = lay_out(data, lambda size: base, lambda name: {"sin": external}[name])
    file = objects.ObjectFile(data)
    kinds = set()
    for section, offset, kind, number, addend in file.relocations():
        kinds.add(kind)
        at = layout.places[section] + offset
        symbol = file.symbols[number]
        instruction = word(layout.image, at)
        if kind in (282, 283):  # a call: to the symbol, or to a stub that loads its address
            target = at + 4 * sign_extend(instruction & 0x03FFFFFF, 26)
            if symbol[3] == 0:
                assert word(layout.image, target + 4) == 0xD61F0200  # br x16
                entry = target + 4 * sign_extend(word(layout.image, target) >> 5 & 0x7FFFF, 19)
                assert struct.unpack_from("<Q", layout.image, entry)[0] == external
            else:
                assert target == layout.places[symbol[3]] + symbol[4] + addend
        elif kind == 275:  # adrp: the symbol's page
            pages = sign_extend((instruction >> 5 & 0x7FFFF) << 2 | instruction >> 29 & 3, 21)
            target = base + layout.places[symbol[3]] + symbol[4] + addend
            assert ((base + at) >> 12) + pages == target >> 12
        elif kind in (277, 286):  # add, ldr: the offset in the page
            target = base + layout.places[symbol[3]] + symbol[4] + addend
            scale = 8 if kind == 286 else 1
            assert (instruction >> 10 & 0xFFF) * scale == target & 0xFFF
    assert {275, 277, 283} <= kinds or {275, 286} <= kinds
    assert {"kernel", "square", "counter"} <= set(layout.symbols)


def test_aarch64_ranges_are_checked() -> None:
    image = bytearray(8)
    with pytest.raises(ObjectError, match="branch distance"):
        objects._branch26(image, 0, 1 << 30, 0)
    with pytest.raises(ObjectError, match="page distance"):
        objects._adrp(image, 0, 1 << 40, 0)
    with pytest.raises(ObjectError, match="not aligned"):
        objects._low12(3)(image, 0, 4, 0)


@pytest.mark.parametrize("kind", [1, 24])
def test_64_bit_relocations(kind: int) -> None:
    image = bytearray(16)
    assert objects._X86_64[kind](image, 8, 0x1122334455667788, 8) == 8
    expected = 0x1122334455667788 - (8 if kind == 24 else 0)
    assert struct.unpack_from("<Q", image, 8)[0] == expected


def test_32_bit_relocations_are_checked() -> None:
    image = bytearray(8)
    for kind, value, place in ((2, 1 << 40, 0), (10, -1, 0), (10, 1 << 32, 0), (11, 1 << 31, 0)):
        with pytest.raises(ObjectError, match="does not fit 32 bits"):
            objects._X86_64[kind](image, 0, value, place)
    objects._X86_64[11](image, 0, -5, 0)
    assert struct.unpack_from("<i", image)[0] == -5


# --- damaged bytes: nothing but ObjectError, nothing executed ---


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_damaged_objects_raise_typed_errors(arch: str) -> None:
    data = llvm.compile_object(EVERYTHING, make_target("generic", arch))
    rng = random.Random(0)
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 2, 8))):
            damaged[rng.randrange(len(damaged))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        if rng.random() < 0.2:
            del damaged[rng.randrange(len(damaged)) :]
        try:
            lay_out(bytes(damaged), lambda size: 0x10000, lambda name: 0x20000)
        except ObjectError:
            continue


@pytest.mark.parametrize("size", range(0, 200, 7))
def test_truncated_objects(size: int) -> None:
    data = llvm.compile_object(EVERYTHING, HOST)
    with pytest.raises(ObjectError, match="kernel cache"):
        load(data[:size])


def test_object_errors_are_compile_errors() -> None:
    assert issubclass(ObjectError, CompileError)
