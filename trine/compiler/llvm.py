"""LLVM: IR text to relocatable objects. The only module that imports llvmlite; imported only when a kernel is missing from the cache.

llvmlite serialises every call into LLVM by one lock, so two threads would compile one after the other. Parsing and code generation touch
nothing but their own context, module and target machine, which LLVM allows to run in parallel; these two calls (nearly all of the time) go
through a second handle on the same library, without the lock. ctypes releases the GIL meanwhile.
"""

from __future__ import annotations

import ctypes
import re
import threading
from typing import Any

import llvmlite  # type: ignore[import-untyped]
import llvmlite.binding as binding  # type: ignore[import-untyped]
from llvmlite.binding import ffi

from trine.compiler.target import Target
from trine.errors import CompileError

VERSION = f"llvmlite {llvmlite.__version__}, LLVM {'.'.join(map(str, binding.llvm_version_info))}"

_PARALLEL_CALLS = ("LLVMPY_ParseAssembly", "LLVMPY_VerifyModule", "LLVMPY_TargetMachineEmitToMemory", "LLVMPY_DisposeModule")
_LINE = re.compile(r"<string>:(\d+):(\d+): (?:error: )?(.*)")


def _unlocked_functions() -> dict[str, Any]:
    """Return the library's functions of `_PARALLEL_CALLS`, with llvmlite's own prototypes but without its lock."""
    handle = ctypes.CDLL(ffi.lib._name)
    functions = {}
    for name in _PARALLEL_CALLS:
        locked, function = getattr(ffi.lib, name), getattr(handle, name)
        function.argtypes, function.restype = locked.argtypes, locked.restype
        functions[name] = function
    return functions


class _ThreadState(threading.local):
    """Target machines of one thread: code generation mutates them."""

    def __init__(self) -> None:
        self.machines: dict[Target, Any] = {}


_lock = threading.Lock()
_functions: dict[str, Any] = {}
_state = _ThreadState()


def _initialize() -> None:
    with _lock:
        if not _functions:
            binding.initialize_all_targets()
            binding.initialize_all_asmprinters()
            # a third of the time of code generation, and no gain: emitters step their own pointers
            binding.set_option("trine", "-disable-lsr")
            _functions.update(_unlocked_functions())


def _machine(target: Target) -> Any:
    machine = _state.machines.get(target)
    if machine is None:
        _initialize()
        try:
            lookup = binding.Target.from_triple(target.triple)
            machine = lookup.create_target_machine(cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="small")
            machine.set_asm_verbosity(True)  # `count_spills` reads the comments
        except RuntimeError as error:
            raise CompileError(f"LLVM has no code generator for {target.triple} ({target.cpu}): {error}") from error
        _state.machines[target] = machine
    return machine


def host_features() -> dict[str, bool]:
    """Return the host's processor features by LLVM's names."""
    return dict(binding.get_host_cpu_features())


def compile_object(ir: str, target: Target, *, optimize: bool = False) -> bytes:
    """Compile IR text to a relocatable, position-independent ELF object.

    Args:
        ir: a module without triple and data layout (they are set here).
        target: what to compile for.
        optimize: run LLVM's mid-level pipeline first. Emitters write tight IR, for which it costs more time than it saves.

    Raises:
        CompileError: the IR does not parse or verify; the message shows the line.
    """
    machine = _machine(target)
    with _Module(ir, machine, target) as module:
        if optimize:
            module.optimize(machine)
        return module.generate(machine, as_object=True)


def assembly(ir: str, target: Target) -> str:
    """Return the assembly text that `compile_object` would encode. Raises CompileError as it does."""
    machine = _machine(target)
    with _Module(ir, machine, target) as module:
        return module.generate(machine, as_object=False).decode("utf-8", "replace")


class _Module:
    """A parsed and verified module in a context of its own."""

    def __init__(self, ir: str, machine: Any, target: Target) -> None:
        text = f'target datalayout = "{machine.target_data}"\ntarget triple = "{target.triple}"\n{ir}'
        self.context = binding.create_context()
        with ffi.OutputString() as message:
            pointer = _functions["LLVMPY_ParseAssembly"](self.context, ctypes.c_char_p(text.encode()), message)
            failure = str(message) if message else ""
        self.module = binding.ModuleRef(pointer, self.context) if pointer else None
        if failure or self.module is None:
            self.close()
            raise CompileError(_describe(failure, text))
        with ffi.OutputString() as message:
            if _functions["LLVMPY_VerifyModule"](self.module, message):
                failure = str(message)
        if failure:
            self.close()
            raise CompileError(f"LLVM rejects the generated IR: {failure.strip()}")

    def optimize(self, machine: Any) -> None:
        """Run the mid-level pipeline (O2, without unrolling or vectorising: emitters do both)."""
        options = binding.create_pipeline_tuning_options(speed_level=2)
        options.loop_unrolling = options.loop_vectorization = options.slp_vectorization = False
        builder = binding.create_pass_builder(machine, options)
        builder.getModulePassManager().run(self.module, builder)

    def generate(self, machine: Any, *, as_object: bool) -> bytes:
        """Return the machine code as an object or as assembly text."""
        with ffi.OutputString() as message:
            buffer = _functions["LLVMPY_TargetMachineEmitToMemory"](machine, self.module, int(as_object), message)
            if not buffer:
                raise CompileError(f"LLVM cannot generate code: {message}")
        try:
            return ctypes.string_at(ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer))
        finally:
            ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)

    def close(self) -> None:
        """Free the module, then its context."""
        if self.module is not None:
            self.module.close()
            self.module = None
        self.context.close()

    def __enter__(self) -> _Module:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _describe(failure: str, text: str) -> str:
    """Return LLVM's parse error with the line of IR that it is about."""
    match = _LINE.search(failure)
    if match is None:
        return f"LLVM cannot parse the generated IR: {failure.strip()}"
    number, column, reason = int(match[1]), int(match[2]), match[3]
    lines = text.splitlines()
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    return f"LLVM cannot parse the generated IR: {reason} at line {number}, column {column}: {line.strip()}"


# The comments of LLVM's assembly: which loop a block belongs to, and which instructions move registers to and from the stack.
_BLOCK = re.compile(r"(?:\.L(\w+):|(?:#|//) %bb\.\d+:)")
_HEADER = re.compile(r"This (Inner )?Loop Header: Depth=")
_MEMBER = re.compile(r"in Loop: Header=(\w+) Depth=")
_VECTOR_SPILL = re.compile(r"(?=.*(?:%[xyz]mm|\b[qv])\d)(?=.*\d-byte (?:Folded )?(?:Spill|Reload))")


def count_spills(asm: str) -> int:
    """Return how many instructions of innermost loops move a vector register to or from the stack; `asm` comes from `assembly`."""
    innermost: set[str] = set()
    loop = label = ""
    counts: dict[str, int] = {}
    for line in asm.splitlines():
        if block := _BLOCK.match(line):
            loop, label = "", block[1] or ""
        if header := _HEADER.search(line):
            loop = label
            if header[1]:
                innermost.add(label)
        elif member := _MEMBER.search(line):
            loop = member[1]
        if loop and _VECTOR_SPILL.match(line):
            counts[loop] = counts.get(loop, 0) + 1
    return sum(count for header_label, count in counts.items() if header_label in innermost)
