"""LLVM: objects, assembly, errors, threads."""

from __future__ import annotations

import threading

import pytest
from harness import sums

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


def test_spills_are_counted_in_innermost_loops_only() -> None:
    asm = """kernel:                                 # @kernel
# %bb.0:                                # %entry
	vmovups	%zmm0, 64(%rsp)                 # 64-byte Spill
.LBB0_1:                                # %l1
                                        # =>This Loop Header: Depth=1
                                        #     Child Loop BB0_2 Depth 2
	vmovups	%zmm3, 128(%rsp)                # 64-byte Spill
.LBB0_2:                                # %l2
                                        #   Parent Loop BB0_1 Depth=1
                                        # =>  This Inner Loop Header: Depth=2
	vaddps	192(%rsp), %zmm1, %zmm2         # 64-byte Folded Reload
	movq	%rax, 8(%rsp)                   # 8-byte Spill
	vmovups	(%rsi), %zmm4
# %bb.3:                                #   in Loop: Header=BB0_2 Depth=2
	vmovups	%zmm3, 128(%rsp)                # 64-byte Spill
	jl	.LBB0_2
# %bb.4:                                #   in Loop: Header=BB0_1 Depth=1
	vmovups	64(%rsp), %zmm0                 # 64-byte Reload
	jl	.LBB0_1
.LBB0_5:                                # %x
	vmovups	64(%rsp), %zmm0                 # 64-byte Reload
	retq
"""
    assert llvm.count_spills(asm) == 2


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
@pytest.mark.parametrize(("count", "spills"), [(8, False), (60, True)])
def test_spills_of_real_code(arch: str, count: int, spills: bool) -> None:
    target = make_target("generic", arch)
    assert (llvm.count_spills(llvm.assembly(sums(count, target), target)) > 0) is spills
