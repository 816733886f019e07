"""Running compiled kernels on NumPy arrays, for tests: the kernel ABI of docs/architecture.md through ctypes, on one thread."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np

from trine.compiler import llvm
from trine.compiler.ir import KERNEL_ARGUMENTS, Module
from trine.compiler.program import Command, Kernel, Value
from trine.compiler.target import Target, host_target, host_targets
from trine.runtime.objects import LoadedObject, load

TARGETS = host_targets()
_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_loaded: dict[tuple[Hashable, Target], LoadedObject] = {}
_FIRST_OPERAND_SLOT = 5
_GUARD = 64  # bytes around each output that a kernel must leave alone


def compile_ir(ir: str, target: Target | None = None) -> LoadedObject:
    """Compile IR text and load it; equal text is compiled once."""
    target = target or host_target()
    loaded = _loaded.get((ir, target))
    if loaded is None:
        loaded = _loaded[ir, target] = load(llvm.compile_object(ir, target))
    return loaded


def kernel_address(kernel: Kernel, target: Target) -> int:
    """Return the address of a kernel's function. Kernels with equal keys must have equal code: this is checked."""
    ir = kernel.emit(target)
    known = _texts.setdefault((kernel.key, target), ir)
    if known != ir:
        raise AssertionError(f"two kernels with the key {kernel.key!r} differ for {target.name}")
    return compile_ir(ir, target).address("kernel")


_texts: dict[tuple[Hashable, Target], str] = {}


def aligned_empty(nbytes: int, alignment: int = 64) -> np.ndarray:
    """Return uninitialised bytes at an aligned address."""
    raw = np.empty(nbytes + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + nbytes]


class Table:
    """The run-time table of one launch: slots 0 to 4 as in the ABI, then one slot per array."""

    def __init__(self, arrays: Sequence[np.ndarray], scalars: Sequence[float | int], scratch_bytes: int, num_threads: int) -> None:
        self.arrays = list(arrays)
        scratch_bytes = -(-scratch_bytes // 64) * 64
        self.scratch = aligned_empty(scratch_bytes * num_threads + 64)
        self.scratch[:] = 0xA5  # kernels must not rely on zeroed scratch memory
        self.status = np.zeros(4, np.int64)
        self.scalars = np.zeros(max(len(scalars), 1), np.int64)
        for i, scalar in enumerate(scalars):
            self.scalars[i : i + 1] = np.array([scalar], np.float64).view(np.int64) if isinstance(scalar, float) else int(scalar)
        base = [self.scratch.ctypes.data, scratch_bytes, self.status.ctypes.data, self.scalars.ctypes.data, 0]
        self.entries = np.array([*base, *(a.ctypes.data for a in self.arrays)], np.uint64)


class KernelStatusError(Exception):
    """A kernel reported an error in its status block: (code, node id, value, limit)."""


def _launch(function: Callable[..., None], table: Table, params: np.ndarray, units: int, splits: int) -> None:
    bounds = [units * i // splits for i in range(splits + 1)]
    for thread, (begin, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
        if begin < end:
            function(table.entries.ctypes.data, params.ctypes.data, begin, end, thread)
    if table.status[0]:
        raise KernelStatusError(tuple(int(v) for v in table.status))


def run_kernel(
    kernel_ir: str,
    operands: Sequence[np.ndarray],
    params: Sequence[int],
    units: int,
    scratch_bytes: int = 0,
    scalars: Sequence[float | int] = (),
    target: Target | None = None,
    splits: int = 1,
) -> None:
    """Compile IR that defines `kernel` and run it on arrays, in place.

    Args:
        kernel_ir: the module's text.
        operands: arrays in the kernel's order; operand i gets (slot, offset) as params 2 i and 2 i + 1.
        params: the integers after the operands.
        units: size of the parallel loop; called in `splits` ranges, each as another thread number.
        scratch_bytes: per thread.
        scalars: run-time scalars (a float is passed as float64, an int as int64).
        target: default: the host's.
    """
    function = _KERNEL(compile_ir(kernel_ir, target).address("kernel"))
    table = Table(operands, scalars, scratch_bytes, splits)
    slots = [v for i in range(len(operands)) for v in (_FIRST_OPERAND_SLOT + i, 0)]
    _launch(function, table, np.array([*slots, *params], np.int64), units, splits)


def run_commands(
    commands: Iterable[Command],
    arrays: dict[Value, np.ndarray],
    target: Target | None = None,
    scalars: Sequence[float | int] = (),
    splits: int = 1,
) -> None:
    """Run commands in order on one thread, each unit range cut in `splits` pieces (results must not depend on it).

    Args:
        commands: launches; Kernel params become addresses.
        arrays: the memory of each value, changed in place; the array's first element is the value's first (`value_array` makes one
            with a value's strides).
        target: default: the host's.
        scalars: run-time scalars.
    """
    target = target or host_target()
    for command in commands:
        table = Table([arrays[o.value] for o in command.operands], scalars, command.scratch, splits)
        params: list[int] = []
        for i, operand in enumerate(command.operands):
            params += (_FIRST_OPERAND_SLOT + i, operand.offset)
        params += (kernel_address(p, target) if isinstance(p, Kernel) else p for p in command.params)
        _launch(_KERNEL(kernel_address(command.kernel, target)), table, np.array(params, np.int64), command.units, splits)


def value_array(value: Value, contents: np.ndarray | None = None) -> np.ndarray:
    """Return an array with a value's shape, dtype and strides, filled with `contents` (or 0xA5 bytes), between guard bytes.

    `check_guards` raises if a kernel wrote outside it.
    """
    raw = aligned_empty(value.nbytes + 2 * _GUARD)
    raw[:] = 0xA5
    inner = raw[_GUARD : _GUARD + value.nbytes].view(value.dtype.numpy) if value.nbytes else np.empty(0, value.dtype.numpy)
    strides = tuple(s * value.dtype.itemsize for s in value.strides)
    array = np.lib.stride_tricks.as_strided(inner, value.shape, strides, writeable=True)
    if contents is not None:
        array[...] = contents
    _guarded[array.ctypes.data] = raw
    return array


_guarded: dict[int, np.ndarray] = {}  # address of the array -> its memory, kept so that the address stays taken


def check_guards(arrays: Iterable[np.ndarray]) -> None:
    """Raise AssertionError if the bytes around an array of `value_array` changed."""
    for array in arrays:
        raw = _guarded.get(array.ctypes.data)
        if raw is not None and not ((raw[:_GUARD] == 0xA5).all() and (raw[-_GUARD:] == 0xA5).all()):
            raise AssertionError("a kernel wrote outside its array")


def sums(count: int, target: Target) -> str:
    """Return a kernel with `count` vector accumulators alive through a loop."""
    module = Module(target.vector_bits)
    f = module.function("kernel", KERNEL_ARGUMENTS)
    lanes = target.vector_bits // 32
    vector = f"<{lanes} x float>"
    with f.loop("%begin", "%end", 1, [(vector, "zeroinitializer")] * count) as loop:
        x = [f.load(vector, f.gep("%table", f.mul(loop.index, 64 * (i + 1)), "float"), 4) for i in range(count)]
        loop.next = [f.value(f"fadd {vector} {a}, {b}") for a, b in zip(loop.carried, x, strict=True)]
    for i, total in enumerate(loop.out):
        f.store(vector, total, f.gep("%table", i * lanes, "float"), 4)
    f.ret()
    return module.text()
