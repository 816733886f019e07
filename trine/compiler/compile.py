"""From kernels to object code: several at once on threads, and choosing among alternatives by the machine code that they give."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from trine import config
from trine.compiler.program import Kernel
from trine.compiler.target import Target

# A vector register stored to the stack: opcode movups, movaps or movdqu, a memory operand based on rsp (SIB byte 0x24). It may also match
# other bytes, never miss a store; the assembly then decides.
_STORE_TO_STACK = re.compile(
    rb"[\x11\x29\x7f][\x04\x0c\x14\x1c\x24\x2c\x34\x3c\x44\x4c\x54\x5c\x64\x6c\x74\x7c\x84\x8c\x94\x9c\xa4\xac\xb4\xbc]\x24"
)

_ready = threading.local()  # what `best_of` compiled last on this thread: (IR, target, object)


def compile_kernel(kernel: Kernel, target: Target) -> bytes:
    """Return the relocatable object of a kernel. Raises CompileError if LLVM rejects its IR."""
    from trine.compiler import llvm  # takes 40 ms: only once a kernel is missing

    _ready.best = ("", None, b"")
    ir = kernel.emit(target)
    _show(kernel, ir, target)
    best_ir, best_target, data = _ready.best
    return bytes(data) if (best_ir, best_target) == (ir, target) else llvm.compile_object(ir, target)


def _show(kernel: Kernel, ir: str, target: Target) -> None:
    debug = config.settings.debug
    if debug >= 3:
        print(f"; kernel {kernel.key!r} for {target.name}\n{ir}", file=sys.stderr)
    if debug >= 4:
        from trine.compiler import llvm

        print(llvm.assembly(ir, target), file=sys.stderr)


def compile_kernels(kernels: Sequence[Kernel], target: Target, num_threads: int | None = None) -> list[bytes]:
    """Compile kernels on up to `num_threads` threads (default: the setting). The result does not depend on the number.

    Raises:
        CompileError: as `compile_kernel`, for the first kernel that fails.
    """
    num_threads = min(num_threads or config.settings.num_threads, len(kernels))
    results: list[bytes | BaseException] = [b""] * len(kernels)
    numbers: Iterator[int] = iter(range(len(kernels)))
    lock = threading.Lock()

    def work() -> None:
        nonlocal numbers
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                results[number] = compile_kernel(kernels[number], target)
            except BaseException as error:  # handed to the caller below; kernels not begun yet are left out
                results[number] = error
                with lock:
                    numbers = iter(range(0))

    threads = [threading.Thread(target=work, name="trine-compile", daemon=True) for _ in range(num_threads - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    objects = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        objects.append(result)
    return objects


def best_of(emitters: Sequence[Callable[[Target], str]], target: Target) -> str:
    """Return the IR of the first emitter whose code keeps the vectors of its loops in registers, else of the one with the fewest spills.

    Args:
        emitters: alternatives for one kernel, the best first; to be called inside `Kernel.emit`.
        target: what to compile for.
    """
    from trine.compiler import llvm

    best, fewest = "", -1
    for emit in emitters:
        ir = emit(target)
        data = llvm.compile_object(ir, target)
        suspicious = target.arch != "x86_64" or _STORE_TO_STACK.search(data) is not None
        spills = llvm.count_spills(llvm.assembly(ir, target)) if suspicious else 0
        if fewest < 0 or spills < fewest:
            best, fewest = ir, spills
            _ready.best = (ir, target, data)
        if not spills:
            break
    return best
