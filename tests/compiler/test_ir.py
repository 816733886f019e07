"""The IR emitter: loops that carry values, conditions, literals, internal functions."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from harness import KernelStatusError, check_guards, run_commands, run_kernel, value_array

from trine import dtypes
from trine.compiler.ir import KERNEL_ARGUMENTS, Module, float_literal, intrinsic_suffix, vector_literal
from trine.compiler.program import Command, Kernel, Operand, Value
from trine.compiler.target import Target


def test_nested_loops_carry_values() -> None:
    module = Module(128)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    out = f.operand(0)
    with f.loop("%begin", "%end", 1, [("i64", "0")]) as outer:
        with f.loop(0, outer.index, 2, [("i64", outer.carried[0])]) as inner:
            inner.next = [f.add(inner.carried[0], inner.index)]
        outer.next = [f.add(inner.out[0], 100)]
    f.store("i64", outer.out[0], out, 8)
    f.ret()
    result = np.zeros(1, np.int64)
    run_kernel(module.text(), [result], [], 7)
    assert result[0] == sum(100 + sum(range(0, i, 2)) for i in range(7))


def test_conditions_and_extrema() -> None:
    module = Module(128)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    out, limit = f.operand(0), f.param(2)
    with f.loop("%begin", "%end") as loop, f.when(f.icmp("slt", loop.index, limit)):
        f.store("i64", f.max(f.min(loop.index, 3), 1), f.gep(out, loop.index, "i64"), 8)
    f.ret()
    result = np.full(6, -1)
    run_kernel(module.text(), [result], [5], 6, splits=2)
    assert result.tolist() == [1, 1, 2, 3, 3, -1]


def test_masked_tail_and_internal_function() -> None:
    module = Module(128)
    helper = module.function("double", [("<4 x float>", "x")], "<4 x float>", internal=True, cold=True)
    helper.ret("<4 x float> " + helper.value(f"fmul <4 x float> %x, {vector_literal(float_literal(2.0, 'float'), 4, 'float')}"))
    f = module.function("kernel", KERNEL_ARGUMENTS)
    x = f.operand(0)
    with f.loop("%begin", "%end", 4) as loop:
        at = f.gep(x, loop.index, "float")
        mask = f.lane_mask(f.sub("%end", loop.index), 4)
        value = f.call_pointer("<4 x float>", "@double", ("<4 x float>", f.masked_load("<4 x float>", at, mask, 4, 4)))
        f.masked_store("<4 x float>", value, at, mask, 4, 4)
    f.ret()
    array = np.arange(10, dtype=np.float32)
    run_kernel(module.text(), [array], [], 7)
    assert array.tolist() == [0, 2, 4, 6, 8, 10, 12, 7, 8, 9]


@pytest.mark.parametrize("value", [0.0, -0.0, 0.1, math.inf, -math.inf, math.nan, 2.0**-149, 1e-300])
@pytest.mark.parametrize("type_", ["float", "double"])
def test_float_literals_are_exact(value: float, type_: str) -> None:
    got = struct.unpack("<d", struct.pack("<Q", int(float_literal(value, type_), 16)))[0]
    expected = float(np.float32(value)) if type_ == "float" else value
    assert struct.pack("<d", got) == struct.pack("<d", expected)


def test_intrinsic_suffixes() -> None:
    assert [intrinsic_suffix(t) for t in ("<16 x float>", "double", "i64", "<8 x i1>")] == ["v16f32", "f64", "i64", "v8i1"]


def scaled_kernel(status: bool) -> Kernel:
    """Return a kernel: out = x * scalar by rows, with a callee that gives the row's factor; it may report an error."""

    def emit(target: Target) -> str:
        module = Module(target.vector_bits)
        f = module.function("kernel", KERNEL_ARGUMENTS)
        x, out, callee = f.operand(0), f.operand(1), f.param(4, "ptr")
        scale = f.load("double", f.load("ptr", f.gep("%table", 3, "ptr"), 8), 8)
        with f.loop("%begin", "%end") as loop:
            value = f.load("double", f.gep(x, loop.index, "double"), 8)
            factor = f.call_pointer("double", callee, ("double", scale))
            f.store("double", f.value(f"fmul double {value}, {factor}"), f.gep(out, loop.index, "double"), 8)
        f.store("i64", "1", f.scratch(), 8)
        if status:
            f.store("i64", "1", f.load("ptr", f.gep("%table", 2, "ptr"), 8), 8)
        f.ret()
        return module.text()

    return Kernel(("scaled", status), emit)


CALLEE = Kernel("plus one", lambda target: "define double @kernel(double %x) {\n  %y = fadd double %x, 1.0\n  ret double %y\n}")


@pytest.mark.parametrize("splits", [1, 3])
def test_commands_with_kernel_parameters(splits: int) -> None:
    x, out = Value((7,), dtypes.float64, (1,)), Value((7,), dtypes.float64, (1,))
    arrays = {x: value_array(x, np.arange(7.0)), out: value_array(out)}
    operands = [Operand(x), Operand(out, access="w")]
    run_commands([Command(scaled_kernel(False), operands, [CALLEE], 7, scratch=8)], arrays, scalars=(2.0,), splits=splits)
    np.testing.assert_array_equal(arrays[out], np.arange(7.0) * 3)
    check_guards(arrays.values())
    with pytest.raises(KernelStatusError):
        run_commands([Command(scaled_kernel(True), operands, [CALLEE], 7, scratch=8)], arrays, scalars=(2.0,))
