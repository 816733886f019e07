"""LLVM: objects, assembly, errors, threads."""

from __future__ import annotations

import threading

import pytest

from trine.compiler import llvm
from trine.compiler.target import host_target, make_target
from trine.errors import CompileError

HOST = host_target()
SIMPLE = "define i64 @kernel(i64 %x) {\n  %y = add i64 %x, 1\n  ret i64 %y\n}"


def test_objects_are_reproducible_elf_files() -> None:
    data = llvm.compile_object(SIMPLE, HOST)
    assert data[:4] == b"\x7fELF"
    assert data == llvm.compile_object(SIMPLE, HOST)


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_assembly(arch: str) -> None:
    assert "kernel" in llvm.assembly(SIMPLE, make_target("generic", arch))


def test_optimize_folds_what_emitters_would_not_write() -> None:
    ir = "define i64 @kernel(i64 %x) {\n  %p = alloca i64\n  store i64 %x, ptr %p\n  %y = load i64, ptr %p\n  ret i64 %y\n}"
    assert len(llvm.compile_object(ir, HOST, optimize=True)) <= len(llvm.compile_object(ir, HOST))


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("  %y = frobnicate i64 %x, 1\n  ret i64 %y", "frobnicate i64"),
        ("  %y = add i64 %z, 1\n  ret i64 %y", "%y = add i64 %z, 1"),
        ("  ret float 0.1", "ret float 0.1"),
    ],
)
def test_errors_show_the_line(body: str, line: str) -> None:
    with pytest.raises(CompileError) as error:
        llvm.compile_object(f"define i64 @kernel(i64 %x) {{\n{body}\n}}", HOST)
    assert line in str(error.value)


def test_invalid_modules_are_rejected() -> None:
    ir = "define i64 @kernel(i64 %x, i1 %c) {\n  br i1 %c, label %a, label %b\na:\n  %y = add i64 %x, 1\n  br label %b\nb:\n  ret i64 %y\n}"
    with pytest.raises(CompileError, match="dominate"):
        llvm.compile_object(ir, HOST)


def test_threads_compile_the_same_code() -> None:
    modules = [SIMPLE.replace("1\n", f"{i}\n") for i in range(20)]
    expected = [llvm.compile_object(ir, HOST) for ir in modules]
    results: list[list[bytes]] = [[], [], []]

    def work(number: int) -> None:
        results[number] = [llvm.compile_object(ir, HOST) for ir in modules]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 3


def test_spills_are_counted_in_loops_only() -> None:
    asm = """kernel:
	vmovups	%zmm0, 64(%rsp)
	vmovups	%zmm1, (%rdi)
.LBB0_1:
	vmovups	%zmm3, 128(%rsp)
	vfmadd231ps	192(%rsp), %zmm1, %zmm2
	movq	%rax, 8(%rsp)
	vmovups	(%rsi), %zmm4
	addq	$1, %rax
	jl	.LBB0_1
	vmovups	64(%rsp), %zmm0
	retq
"""
    assert llvm.count_spills(asm) == 2
    assert llvm.count_spills(asm.replace("jl\t.LBB0_1", "jl\t.LBB0_2")) == 0


def test_spills_on_aarch64() -> None:
    asm = "kernel:\n.LBB0_1:\n\tstr\tq8, [sp, #16]\n\tldr\tx8, [sp]\n\tfmla\tv0.4s, v1.4s, v2.4s\n\tb.lt\t.LBB0_1\n\tret\n"
    assert llvm.count_spills(asm) == 1
