"""What the tests of the runtime share: the native executor and a few kernels, compiled for this host."""

from __future__ import annotations

import functools

import numpy as np

from trine.compiler import llvm
from trine.compiler.ir import KERNEL_ARGUMENTS, Module
from trine.compiler.target import Target, host_target
from trine.compiler.templates.executor import emit_executor
from trine.runtime import executor
from trine.runtime.memory import Buffer, from_array
from trine.runtime.objects import LoadedObject, load
from trine.runtime.plan import FIRST_SLOT, Launch, Plan


def install(target: Target | None = None) -> None:
    """Compile, load and install the executor, once."""
    if not executor.is_installed():
        loaded = load(llvm.compile_object(emit_executor(target or host_target(), executor.LAYOUT), target or host_target()))
        executor.install({name: loaded.address(name) for name in executor.FUNCTIONS}, loaded)


def _emit_affine(target: Target) -> str:
    """out[i] = a * x[i] + b for int64, params a and b after the operands (x, out); `rounds` times over, to make it slow."""
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    x, out = f.operand(0), f.operand(1)
    a, b, rounds = f.param(4), f.param(5), f.param(6)
    with f.loop("%begin", "%end") as i:
        start = f.load("i64", f.gep(x, i.index, "i64"), 8)
        with f.loop(0, rounds, carried=[("i64", start)]) as k:
            k.next = [f.add(f.mul(k.carried[0], a), b)]
        f.store("i64", k.out[0], f.gep(out, i.index, "i64"), 8)
    f.ret()
    return module.text()


def _emit_mark(target: Target) -> str:
    """out[i] += 1 + (thread << 32): shows that each unit runs once, and where."""
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    out, rounds = f.operand(0), f.param(2)
    mark = f.add(f.value("shl i64 %thread, 32"), 1)
    with f.loop("%begin", "%end") as i:
        at = f.gep(out, i.index, "i64")
        with f.loop(0, rounds, carried=[("i64", "0")]) as k:
            k.next = [f.add(f.mul(k.carried[0], 3), i.index)]
        zero = f.sub(k.out[0], k.out[0])
        f.store("i64", f.add(f.add(f.load("i64", at, 8), mark), zero), at, 8)
    f.ret()
    return module.text()


def _emit_report(target: Target) -> str:
    """Report the status (1, params 0, 1, 2)."""
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    status = f.load("ptr", f.gep("%table", 2, "ptr"), 8)
    for word in (1, 2, 3):
        f.store("i64", f.param(word - 1), f.gep(status, word, "i64"), 8)
    f.store("i64", "1", status, 8)
    f.ret()
    return module.text()


def _emit_add_scalar(target: Target) -> str:
    """out[i] = x[i] + scalars[0] for float64."""
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    x, out = f.operand(0), f.operand(1)
    scalar = f.load("double", f.load("ptr", f.gep("%table", 3, "ptr"), 8), 8)
    with f.loop("%begin", "%end") as i:
        total = f.value(f"fadd double {f.load('double', f.gep(x, i.index, 'double'), 8)}, {scalar}")
        f.store("double", total, f.gep(out, i.index, "double"), 8)
    f.ret()
    return module.text()


_EMITTERS = {"affine": _emit_affine, "mark": _emit_mark, "report": _emit_report, "add_scalar": _emit_add_scalar}


@functools.cache
def kernel(name: str) -> LoadedObject:
    """Return a loaded kernel: affine, mark, report or add_scalar."""
    return load(llvm.compile_object(_EMITTERS[name](host_target()), host_target()))


def affine(source: int, target: int, units: int, a: int, b: int, rounds: int = 1, cost: int = 0) -> Launch:
    """A launch of the affine kernel from slot `source` to slot `target`."""
    return Launch(kernel("affine").address("kernel"), [source, 0, target, 0, a, b, rounds], units, cost, "affine")


def input_slot(position: int) -> int:
    return FIRST_SLOT + position


def buffer_of(*values: int) -> Buffer:
    return from_array(np.array(values, np.int64))


def check_in_child() -> None:
    """Run parallel plans in a child process; raise if a unit was lost or ran twice."""
    install()
    count = np.zeros(64, np.int64)
    plan = Plan([Launch(kernel("mark").address("kernel"), [FIRST_SLOT, 0, 100], 64, 1 << 24)] * 5, 1, [])
    plan.run([from_array(count)])
    if not (count & 0xFFFFFFFF == 5).all():
        raise ValueError(count)
