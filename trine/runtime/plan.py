"""Plans: a program prepared for running again and again.

A plan takes plain data only: addresses of compiled kernels, integers and Python callables. It is made once, and run with

    outputs = plan.run(inputs, scalars)

where `inputs` and `outputs` are lists of `Buffer` and `scalars` are Python numbers. Several threads may run one plan at once: the run-time
table lives in a *frame* taken from a list of free ones, the working memory comes from the buffer pool.

The run-time table has the layout of docs/architecture.md: slot 0 scratch, 1 scratch bytes per thread, 2 status block, 3 scalars, 4 arena,
`FIRST_SLOT` + i the inputs, `FIRST_SLOT` + number of inputs + j the outputs, and after these what is kept from run to run.
"""

from __future__ import annotations

import ctypes
import struct
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from trine.errors import ArgumentError, message
from trine.runtime import executor
from trine.runtime.memory import ALIGNMENT, Buffer, allocate
from trine.runtime.pool import pool
from trine.runtime.status import STATUS_WORDS, raise_status

SCRATCH_SLOT, SCRATCH_BYTES_SLOT, STATUS_SLOT, SCALARS_SLOT, ARENA_SLOT, FIRST_SLOT = range(6)
_MAX_FREE_FRAMES = 16


class Launch(NamedTuple):
    """One launch of a kernel.

    Attributes:
        address: the kernel's function.
        params: its parameters, ready for the kernel: (slot, byte offset) of each operand, then its integers.
        units: size of the parallel loop; 1 runs on the calling thread.
        cost: estimated bytes moved plus flops.
        name: what a profiler calls it.
    """

    address: int
    params: Sequence[int]
    units: int
    cost: int
    name: str = ""


class Placement(NamedTuple):
    """Where a host call finds a row-major array: in table slot `slot`, `offset` bytes on. Scalar i: slot 3, offset 8 i, shape ()."""

    slot: int
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class HostCall(NamedTuple):
    """A Python function between native commands: `function(*arrays)` returns what is copied to `output` (same dtype and shape)."""

    function: Callable[..., np.ndarray]
    inputs: Sequence[Placement]
    output: Placement
    name: str = ""


class Output(NamedTuple):
    """An output of `nbytes` bytes; it takes over the memory of input `donated` unless that is -1."""

    nbytes: int
    donated: int = -1


class Preparation(NamedTuple):
    """The first `commands` commands read the inputs at positions `inputs` alone and write to `nbytes` bytes that the plan keeps.

    They run again only when one of these inputs is another buffer, or was written, or can be seen from outside.
    """

    commands: int = 0
    nbytes: int = 0
    inputs: tuple[int, ...] = ()


class _Kept(NamedTuple):
    """Prepared memory, and what it was made of: (buffer, its number of writes)."""

    memory: Buffer
    sources: tuple[tuple[weakref.ref[Buffer], int], ...]

    def serves(self, inputs: Sequence[Buffer], positions: Sequence[int]) -> bool:
        """Return whether it was made of these inputs, as they are."""
        for position, (source, writes) in zip(positions, self.sources, strict=True):
            buffer = inputs[position]
            if source() is not buffer or buffer.writes != writes or buffer.external:
                return False
        return True


class Timing(NamedTuple):
    """What `Plan.profile` measured: a command's name and the seconds that it took."""

    name: str
    seconds: float


class Plan:
    """A prepared program.

    Args:
        commands: `Launch` and `HostCall` entries in order.
        num_inputs: number of input buffers.
        outputs: one entry per output. A donated input must not be used by the caller after the run: the output is the same `Buffer`
            (a copy of it if it is read-only). Kernels that were placed in both slots write in place.
        arena_bytes: memory of temporaries.
        scratch_bytes: scratch memory of each thread.
        scalar_kinds: one character per scalar: "d" for float64, "q" for int64.
        status_sources: for each node id that a kernel may report, (operation, user's source line or None).
        keep: what must live as long as the plan (the loaded kernels).
        preparation: what the first commands are for (`Preparation`).

    Attributes:
        cost: the sum of the launches' costs.
        commands, num_inputs, outputs, scalar_kinds, status_sources, keep: the arguments.
    """

    __slots__ = (
        "commands",
        "num_inputs",
        "outputs",
        "scalar_kinds",
        "status_sources",
        "keep",
        "cost",
        "_segments",
        "_parallel",
        "_arena_bytes",
        "_scratch_bytes",
        "_has_donations",
        "_scalars",
        "_frames",
        "preparation",
        "_preparing",
        "_kept",
    )

    def __init__(
        self,
        commands: Sequence[Launch | HostCall],
        num_inputs: int,
        outputs: Sequence[Output | tuple[int, int]],
        arena_bytes: int = 0,
        scratch_bytes: int = 0,
        scalar_kinds: str = "",
        status_sources: Sequence[tuple[str, str | None]] = (),
        keep: Any = None,
        preparation: tuple[int, int, tuple[int, ...]] = (0, 0, ()),
    ) -> None:
        self.commands = tuple(commands)
        self.num_inputs = num_inputs
        self.outputs = tuple(Output(*o) for o in outputs)
        self.scalar_kinds = scalar_kinds
        self.status_sources = tuple(status_sources)
        self.keep = keep
        self.cost = sum(c.cost for c in commands if isinstance(c, Launch))
        self._has_donations = any(o.donated >= 0 for o in self.outputs)
        self.preparation = Preparation(*preparation)
        self._preparing = _split(commands[: self.preparation.commands])
        self._segments = _split(commands[self.preparation.commands :])
        self._parallel = any(isinstance(s, executor.Segment) and s.is_parallel for s in (*self._preparing, *self._segments))
        self._kept: _Kept | None = None
        self._arena_bytes = _round_up(arena_bytes)
        self._scratch_bytes = _round_up(scratch_bytes)
        self._scalars = struct.Struct("=" + scalar_kinds)
        self._frames: deque[_Frame] = deque(maxlen=_MAX_FREE_FRAMES)

    def run(self, inputs: Sequence[Buffer], scalars: Sequence[float | int] = (), finished: list[Buffer] | None = None) -> list[Buffer]:
        """Run the plan and return its outputs.

        A run that has begun is finished before a KeyboardInterrupt is passed on, since donated inputs cannot be restored.

        Args:
            inputs, scalars: as many as the plan takes.
            finished: gets the outputs too, once everything has run: a caller that sees an exception can tell by it.

        Raises:
            IndexOutOfRangeError: a kernel met an index out of range; the message names the line that recorded the operation.
            AllocationError: no memory is left.
        """
        if len(inputs) != self.num_inputs:
            raise self._argument_error(inputs, scalars)
        num_threads = 1
        if self._parallel:
            num_threads = pool.num_threads
            if not pool.is_running:
                pool.start()
        try:
            frame = self._frames.pop()
            if frame.num_threads != num_threads:
                frame = _Frame(self, num_threads)
        except IndexError:
            frame = _Frame(self, num_threads)
        if self._has_donations:
            inputs = self._writable_inputs(inputs)
        # Stores through a memoryview are the fastest way from Python to the table.
        table = frame.table
        slot = FIRST_SLOT
        for buffer in inputs:
            table[slot] = buffer.address
            slot += 1
        results = []
        for nbytes, donated in self.outputs:
            if donated < 0:
                buffer = allocate(nbytes)
            else:
                buffer = inputs[donated]
                buffer.writes += 1
            results.append(buffer)
            table[slot] = buffer.address
            slot += 1
        kept: _Kept | None = None
        run_steps = frame.steps
        if self.preparation.commands:
            kept, is_ready = self._prepared(inputs)
            table[slot] = kept.memory.address
            if not is_ready:
                run_steps = [*frame.preparing, *run_steps]
        if frame.working_bytes:
            working = allocate(frame.working_bytes)
            table[ARENA_SLOT] = working.address
            table[SCRATCH_SLOT] = working.address + self._arena_bytes
        if scalars or self.scalar_kinds:
            try:
                self._scalars.pack_into(frame.memory, frame.scalars_offset, *scalars)
            except struct.error as error:
                raise self._argument_error(inputs, scalars) from error
        steps = iter(run_steps)
        step = None
        try:
            for step in steps:
                if step():
                    raise_status(frame.status_words(), self.status_sources)
        except Exception:
            raise
        except BaseException:
            self._finish(frame, step, steps)
            if finished is not None:
                finished += results
            raise
        if finished is not None:
            finished += results
        if kept is not None and kept.sources:
            self._kept = kept
        self._frames.append(frame)
        return results

    def _prepared(self, inputs: Sequence[Buffer]) -> tuple[_Kept, bool]:
        """Return the memory of what is prepared, and whether that is there already."""
        kept, positions = self._kept, self.preparation.inputs
        if kept is not None and kept.serves(inputs, positions):
            return kept, True
        kept = self._kept = None  # its memory serves again
        sources = [inputs[position] for position in positions]
        lasts = all([buffer.is_private for buffer in sources])
        made = tuple([(weakref.ref(buffer), buffer.writes) for buffer in sources]) if lasts else ()
        return _Kept(allocate(self.preparation.nbytes), made), False

    def _finish(self, frame: _Frame, step: Callable[[], Any] | None, rest: Iterator[Callable[[], Any]]) -> None:
        """Run what an interrupt has left over.

        An interrupt arrives between bytecodes, so that a native step that has begun is done by then.
        """
        if isinstance(step, _HostStep):
            step.resume()
        elif frame.status_words()[0]:
            raise_status(frame.status_words(), self.status_sources)
        for step in rest:
            if step():
                raise_status(frame.status_words(), self.status_sources)

    @property
    def working_bytes(self) -> int:
        """Memory that a run takes beside its inputs and outputs, on the current number of threads."""
        return self._arena_bytes + self._scratch_bytes * (pool.num_threads if self._parallel else 1)

    def profile(self, inputs: Sequence[Buffer], scalars: Sequence[float | int] = ()) -> tuple[list[Buffer], list[Timing]]:
        """Run the plan command by command and return its outputs and what each command took (about 1 us of it for the measurement)."""
        arguments = (self._arena_bytes, self._scratch_bytes, self.scalar_kinds, self.status_sources, self.keep)
        single = Plan(self.commands, self.num_inputs, self.outputs, *arguments, self.preparation)
        count = self.preparation.commands
        single._preparing = [segment for command in self.commands[:count] for segment in _split([command])]
        single._segments = [segment for command in self.commands[count:] for segment in _split([command])]
        single._kept = self._kept
        frame = _Frame(single, pool.num_threads if single._parallel else 1)
        timings: list[Timing] = []
        frame.preparing = [partial(_timed, step, c.name, timings) for step, c in zip(frame.preparing, self.commands, strict=False)]
        frame.steps = [partial(_timed, step, c.name, timings) for step, c in zip(frame.steps, self.commands[count:], strict=True)]
        single._frames.append(frame)
        outputs = single.run(inputs, scalars)
        self._kept = single._kept
        return outputs, timings

    def _writable_inputs(self, inputs: Sequence[Buffer]) -> list[Buffer]:
        """Return the inputs with donated read-only ones replaced by copies."""
        inputs = list(inputs)
        for _, donated in self.outputs:
            if donated >= 0 and inputs[donated].readonly:
                inputs[donated] = inputs[donated].copy()
        return inputs

    def _argument_error(self, inputs: Sequence[Buffer], scalars: Sequence[float | int]) -> Exception:
        expected = f"{self.num_inputs} inputs and scalars of kinds {self.scalar_kinds!r} (d: float, q: 64-bit integer)"
        return ArgumentError(
            message("plan: wrong arguments", received=f"{len(inputs)} inputs and scalars {tuple(scalars)}", expected=expected)
        )


class _Frame:
    """The memory of one run in progress: table, status block, scalars, and the steps bound to them."""

    __slots__ = ("memory", "table", "address", "num_threads", "working_bytes", "status", "scalars_offset", "steps", "preparing", "_keep")

    def __init__(self, plan: Plan, num_threads: int) -> None:
        num_slots = FIRST_SLOT + plan.num_inputs + len(plan.outputs) + 1
        status_offset = 8 * num_slots
        self.scalars_offset = status_offset + 8 * STATUS_WORDS
        self.memory = bytearray(self.scalars_offset + max(plan._scalars.size, 8))
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.num_threads = num_threads
        self.working_bytes = plan._arena_bytes + plan._scratch_bytes * num_threads
        self.status = self.address + status_offset
        self.table = memoryview(self.memory)[:status_offset].cast("Q")
        self.table[SCRATCH_BYTES_SLOT] = plan._scratch_bytes
        self.table[STATUS_SLOT] = self.status
        self.table[SCALARS_SLOT] = self.address + self.scalars_offset
        self._keep: list[Any] = []
        self.steps = self._bind(plan._segments)
        self.preparing = self._bind(plan._preparing)

    def _bind(self, segments: Sequence[executor.Segment | HostCall]) -> list[Callable[[], Any]]:
        steps: list[Callable[[], Any]] = []
        for segment in segments:
            if isinstance(segment, HostCall):
                steps.append(_HostStep(segment, self.memory))
            else:
                step, keep = segment.bind(self.address, self.status, self.num_threads)
                steps.append(step)
                self._keep.append(keep)
        return steps

    def status_words(self) -> tuple[int, ...]:
        """Return the status block."""
        return struct.unpack_from(f"={STATUS_WORDS}q", self.memory, self.status - self.address)


def _split(commands: Sequence[Launch | HostCall]) -> list[executor.Segment | HostCall]:
    """Group runs of native commands into segments, each of which is one native call."""
    segments: list[executor.Segment | HostCall] = []
    launches: list[Launch] = []
    for command in commands:
        if isinstance(command, HostCall):
            if launches:
                segments.append(executor.Segment(launches))
            segments.append(command)
            launches = []
        else:
            launches.append(command)
    if launches:
        segments.append(executor.Segment(launches))
    return segments


def _timed(step: Callable[[], Any], name: str, timings: list[Timing]) -> Any:
    start = time.perf_counter()
    result = step()
    timings.append(Timing(name, time.perf_counter() - start))
    return result


class _HostStep:
    """Calls a Python function of a plan."""

    __slots__ = ("call", "table", "made", "is_stored")

    def __init__(self, call: HostCall, table: bytearray) -> None:
        self.call = call
        self.table = table
        self.made: np.ndarray | None = None
        self.is_stored = False

    def __call__(self) -> None:
        self.made, self.is_stored = None, False
        self.resume()

    def resume(self) -> None:
        """Do what an interrupt has left over (the output may lie over an input, so nothing is done twice)."""
        if self.is_stored:
            return
        if self.made is None:
            self.made = self.call.function(*[_view(placement, self.table) for placement in self.call.inputs])
        np.copyto(_view(self.call.output, self.table), self.made, casting="no")
        self.is_stored, self.made = True, None


def _view(placement: Placement, table: bytearray) -> np.ndarray:
    slot, offset, dtype, shape = placement
    (base,) = struct.unpack_from("=Q", table, 8 * slot)
    size = dtype.itemsize
    for extent in shape:
        size *= extent
    return np.ndarray(shape, dtype, memoryview((ctypes.c_uint8 * size).from_address(base + offset)))


def _round_up(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
