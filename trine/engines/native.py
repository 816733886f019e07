"""The native engine: graphs become programs of compiled kernels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from trine import config
from trine.compiler.cache import KernelCache, default_cache, file_name
from trine.compiler.pipeline import collector_paused, compile_graph
from trine.compiler.program import Command, HostCommand, Kernel, Program, Value
from trine.compiler.target import Target, host_target
from trine.compiler.templates.executor import emit_executor
from trine.compiler.templates.python_objects import TABLE
from trine.compiler.templates.recorder import emit_recorder
from trine.core.graph import Graph, Node, topological_order
from trine.core.reference import apply
from trine.runtime import executor
from trine.runtime.memory import Buffer
from trine.runtime.objects import LoadedObject, load
from trine.runtime.plan import HostCall, Launch, Output, Placement, Plan, Timing
from trine.runtime.status import NOT_NEGATIVE

_MAX_ADDRESSES = 1 << 14


class NativeExecutable:
    """A compiled graph.

    Attributes:
        plan: what runs. nodes: for each command what it computes.
    """

    __slots__ = ("plan", "nodes", "_num_scalars")

    def __init__(self, plan: Plan, nodes: Sequence[tuple[Node, ...]] = ()) -> None:
        self.plan = plan
        self.nodes = nodes
        self._num_scalars = len(plan.scalar_kinds)

    def run(self, inputs: Sequence[Buffer], scalars: Sequence[float | int] = (), finished: list[Buffer] | None = None) -> list[Buffer]:
        """Run it; see `trine.engines.base.Executable`. Scalars beyond those that the graph names are ignored."""
        if len(scalars) != self._num_scalars:
            scalars = scalars[: self._num_scalars]
        return self.plan.run(inputs, scalars, finished)

    @property
    def working_bytes(self) -> int:
        """Memory of temporaries while it runs."""
        return self.plan.working_bytes

    def profile(
        self, inputs: Sequence[Buffer], scalars: Sequence[float | int] = ()
    ) -> tuple[list[Buffer], list[tuple[Timing, tuple[Node, ...]]]]:
        """Run it command by command; return the outputs, and for each command what it took and what it computes."""
        outputs, timings = self.plan.profile(inputs, scalars[: self._num_scalars])
        # What was prepared by an earlier run has not run.
        return outputs, list(zip(timings, self.nodes[len(self.nodes) - len(timings) :], strict=True))


class NativeEngine:
    """The engine called "native".

    Args:
        target: what to compile for; default: what the settings say.
        kernels: where compiled kernels are found; default: the cache of the process.
    """

    name = "native"

    def __init__(self, target: Target | None = None, kernels: KernelCache | None = None) -> None:
        self.target = target or host_target()
        self.kernels = kernels or default_cache(load)
        self._addresses: dict[Kernel, int] = {}

    def prepare(self) -> None:
        """Load what every plan needs."""
        install_executor(self.target, self.kernels)

    def compile(self, graph: Graph) -> NativeExecutable:
        """Return the compiled graph.

        Raises:
            CompileError: a kernel cannot be compiled.
        """
        self.prepare()
        with collector_paused():
            program = compile_graph(graph, self.target, config.settings.num_threads)
            nodes = [c.nodes if isinstance(c, Command) else (c.node,) for c in program.commands]
            return NativeExecutable(self._plan(program, graph), nodes)

    def _plan(self, program: Program, graph: Graph) -> Plan:
        addresses = self._resolve(program)
        commands = [_launch(c, addresses) if isinstance(c, Command) else _host_call(c) for c in program.commands]
        donated = dict(graph.donations)
        outputs = [Output(value.nbytes, donated.get(j, -1)) for j, value in enumerate(program.outputs)]
        sources = [(_name(node), node.source) for node in program.status_nodes]
        kept = (program.preparation.commands, program.preparation.nbytes, program.preparation.inputs)
        kinds = scalar_kinds(topological_order(graph.outputs))
        return Plan(commands, len(program.inputs), outputs, program.arena_bytes, program.scratch_bytes, kinds, sources, self.kernels, kept)

    def _resolve(self, program: Program) -> dict[Kernel, int]:
        """Return the address of every kernel of a program."""
        known = self._addresses
        missing: dict[Kernel, None] = {}
        for command in program.commands:
            if isinstance(command, Command):
                for kernel in (command.kernel, *command.params):
                    if type(kernel) is Kernel and kernel not in known:
                        missing[kernel] = None
        if missing:
            if len(known) + len(missing) > _MAX_ADDRESSES:
                self._addresses = known = {}
                return self._resolve(program)
            known.update(zip(missing, self.kernels.resolve(list(missing), self.target), strict=True))
        return known


def _launch(command: Command, addresses: dict[Kernel, int]) -> Launch:
    params: list[int] = []
    for operand in command.operands:
        value = operand.value
        params += (value.slot, value.offset + operand.offset)
    for param in command.params:
        params.append(addresses[param] if type(param) is Kernel else param)  # type: ignore[arg-type]
    return Launch(addresses[command.kernel], params, command.units, command.cost, command.name)


def _host_call(command: HostCommand) -> HostCall:
    return HostCall(partial(apply, command.node), [_placement(v) for v in command.inputs], _placement(command.output), command.node.op)


def _placement(value: Value) -> Placement:
    return Placement(value.slot, value.offset, value.dtype.numpy, value.shape)


def _name(node: Node) -> str:
    return node.op if node.op != "check_index" else "index" if node.attrs[1] else NOT_NEGATIVE


def scalar_kinds(order: Sequence[Node]) -> str:
    """Return one character for each run-time scalar that the nodes name: "d" for float64, "q" for int64."""
    # A position that is not used may hold either; float64 takes both.
    kinds: dict[int, str] = {node.attrs[0]: "d" if node.dtype.is_floating_point else "q" for node in order if node.op == "scalar"}
    return "".join([kinds.get(k, "d") for k in range(max(kinds, default=-1) + 1)])


_install_lock = threading.Lock()


def install_executor(target: Target, kernels: KernelCache) -> None:
    """Load the native code of the runtime, once."""
    if executor.is_installed():
        return
    with _install_lock:
        if not executor.is_installed():
            loaded = load(_executor_object(target, kernels))
            executor.install({name: loaded.address(name) for name in executor.FUNCTIONS}, loaded)


def load_recorder(engine: NativeEngine, table: int) -> LoadedObject:
    """Load the native code of the recorder for a table of words at an address; see `trine.compiler.templates.recorder`.

    Raises:
        CompileError: it cannot be compiled or loaded.
    """
    return load(_recorder_object(engine.target, engine.kernels), {TABLE: table})


def is_recorder_cached(engine: NativeEngine) -> bool:
    """True if the code of the recorder is on disk."""
    disk = engine.kernels.disk
    return disk is not None and disk.read(file_name(repr(_RECORDER_KEY), engine.target)) is not None


_RECORDER_KEY = ("recorder",)


def _recorder_object(target: Target, kernels: KernelCache) -> bytes:
    return _object(_RECORDER_KEY, lambda: emit_recorder(target), target, kernels)


def _executor_object(target: Target, kernels: KernelCache) -> bytes:
    return _object(("executor", sorted(executor.LAYOUT.items())), lambda: emit_executor(target, executor.LAYOUT), target, kernels)


def _object(key: tuple[Any, ...], emit: Callable[[], str], target: Target, kernels: KernelCache, *, optimize: bool = False) -> bytes:
    """Return the object of a part of the runtime, from the disk cache if it is there."""
    name = file_name(repr(key), target)
    data = kernels.disk.read(name) if kernels.disk is not None else None
    if data is None:
        from trine.compiler import llvm  # takes 40 ms: only if it is not in the cache

        data = llvm.compile_object(emit(), target, optimize=optimize)
        if kernels.disk is not None:
            kernels.disk.write([(name, data)])
    return data
