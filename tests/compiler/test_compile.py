"""Compiling several kernels, and choosing among alternatives."""

from __future__ import annotations

import pytest
from harness import sums

from trine.compiler import llvm
from trine.compiler.compile import best_of, compile_kernel, compile_kernels
from trine.compiler.program import Kernel
from trine.compiler.target import host_target
from trine.errors import CompileError

HOST = host_target()


def constant_kernel(value: int) -> Kernel:
    return Kernel(("constant", value), lambda target: f"define i64 @kernel() {{\n  ret i64 {value}\n}}")


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    kernels = [constant_kernel(i) for i in range(10)]
    assert compile_kernels(kernels, HOST, 1) == compile_kernels(kernels, HOST, 4) == [compile_kernel(k, HOST) for k in kernels]
    assert compile_kernels([], HOST) == []


def test_the_first_failure_is_raised() -> None:
    bad = Kernel("bad", lambda target: "define i64 @kernel() {\n  ret i64 nonsense\n}")
    with pytest.raises(CompileError, match="nonsense"):
        compile_kernels([constant_kernel(1), bad, constant_kernel(2)], HOST, 2)


def test_best_of_takes_the_first_without_spills() -> None:
    small, smaller, large = sums(4, HOST), sums(3, HOST), sums(40, HOST)
    assert llvm.count_spills(llvm.assembly(large, HOST)) > 0
    assert best_of([lambda t: small, lambda t: smaller], HOST) == small
    assert best_of([lambda t: large, lambda t: small], HOST) == small


def test_best_of_takes_the_fewest_spills() -> None:
    worse, bad = sums(60, HOST), sums(40, HOST)
    assert best_of([lambda t: worse, lambda t: bad], HOST) == bad


def test_best_of_is_not_compiled_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = llvm.compile_object
    monkeypatch.setattr(llvm, "compile_object", lambda ir, target: calls.append(ir) or real(ir, target))
    kernel = Kernel("best", lambda target: best_of([lambda t: sums(4, t)], target))
    data = compile_kernel(kernel, HOST)
    assert len(calls) == 1
    assert data == real(sums(4, HOST), HOST)
